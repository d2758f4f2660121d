/*
 * auth_file.c
 *		Credentials are read from files: settings and catalogs can be shown, files cannot.
 */
#include "postgres.h"

#include <sys/stat.h>
#include <unistd.h>

#include "storage/fd.h"

#include "sink/auth_file.h"

/*
 * Refuses what PostgreSQL refuses as a private key's file: others must not read it.  One
 * that root owns may be read by its group, as secrets that a system brings along are.
 */
static bool
is_private(const char *path, char *error, size_t error_size)
{
	struct stat file;
	mode_t		refused;

	if (stat(path, &file) != 0)
		return true; /* opening it says why */
	refused = file.st_uid == 0 && geteuid() != 0 ? S_IWGRP | S_IXGRP | S_IRWXO : S_IRWXG | S_IRWXO;
	if (!S_ISREG(file.st_mode))
		snprintf(error, error_size, "credentials file \"%s\" is not a regular file", path);
	else if (file.st_mode & refused)
		snprintf(error, error_size,
				 "credentials file \"%s\" can be read by others: it must have permissions u=rw "
				 "(0600) or less, or u=rw,g=r (0640) or less if root owns it",
				 path);
	else
		return true;
	return false;
}

/*
 * Reads the first line of a file into line[AUTH_LINE_MAX]; no path is an empty
 * line.  False and an error text, which never quotes the contents, if it can't.
 */
bool
sink_read_auth_file(const char *path, char *line, char *error, size_t error_size)
{
	FILE *file;

	line[0] = '\0';
	if (path == NULL || path[0] == '\0')
		return true;
	if (!is_private(path, error, error_size))
		return false;
	file = AllocateFile(path, "r");
	if (file == NULL)
	{
		snprintf(error, error_size, "could not open credentials file \"%s\": %s", path,
				 strerror(errno));
		return false;
	}
	if (fgets(line, AUTH_LINE_MAX, file) != NULL)
		line[strcspn(line, "\r\n")] = '\0';
	FreeFile(file);
	if (line[0] == '\0')
		snprintf(error, error_size, "credentials file \"%s\" is empty", path);
	return line[0] != '\0';
}
