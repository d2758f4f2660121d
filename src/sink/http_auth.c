/*
 * http_auth.c
 *		Credentials of an HTTP client.
 */
#include "postgres.h"

#include "sink/auth_file.h"
#include "sink/http_auth.h"

/* Turns the line of the file into a header or into user and password. */
static bool
take_line(HttpAuth *auth, const char *line)
{
	size_t size = strlen(line) + sizeof("Authorization: ");

	if (pg_strncasecmp(line, "ApiKey ", 7) != 0 && pg_strncasecmp(line, "Bearer ", 7) != 0)
	{
		auth->user_password = strdup(line);
		return auth->user_password != NULL;
	}
	auth->header = malloc(size);
	if (auth->header != NULL)
		snprintf(auth->header, size, "Authorization: %s", line);
	return auth->header != NULL;
}

/* Reads the file; without one there is nothing to say. */
bool
http_auth_read(HttpAuth *auth, const char *auth_file, char *error, size_t error_size)
{
	char line[AUTH_LINE_MAX];
	bool ok;

	if (!sink_read_auth_file(auth_file, line, error, error_size) || line[0] == '\0')
		return true;
	ok = take_line(auth, line);
	explicit_bzero(line, sizeof(line));
	return ok;
}

/* Overwrites and frees a secret. */
static void
free_secret(char *secret)
{
	if (secret == NULL)
		return;
	explicit_bzero(secret, strlen(secret));
	free(secret);
}

/* True if two texts, or two times nothing, are the same. */
static bool
same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* True if two are the same credentials. */
bool
http_auth_same(const HttpAuth *a, const HttpAuth *b)
{
	return same(a->header, b->header) && same(a->user_password, b->user_password);
}

/* Forgets the credentials. */
void
http_auth_free(HttpAuth *auth)
{
	free_secret(auth->header);
	free_secret(auth->user_password);
	auth->header = auth->user_password = NULL;
}
