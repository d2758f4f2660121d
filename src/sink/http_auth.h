/*
 * http_auth.h
 *		Credentials of an HTTP client.
 */
#ifndef TENANCY_HTTP_AUTH_H
#define TENANCY_HTTP_AUTH_H

/* At most one of them is set; both are malloc'd. */
typedef struct HttpAuth
{
	char *header;		 /* line for "ApiKey KEY" and "Bearer TOKEN" */
	char *user_password; /* for basic authentication */
} HttpAuth;

/* False without memory; a file that can't be read leaves a text in error. */
extern bool http_auth_read(HttpAuth *auth, const char *auth_file, char *error, size_t error_size);
extern bool http_auth_same(const HttpAuth *a, const HttpAuth *b);
extern void http_auth_free(HttpAuth *auth);

#endif
