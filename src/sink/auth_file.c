/*
 * auth_file.c
 *		Credentials are read from files: settings and catalogs can be shown, files cannot.
 */
#include "postgres.h"

#include "storage/fd.h"

#include "sink/auth_file.h"

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
