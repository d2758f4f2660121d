/*
 * auth_file.h
 *		Credentials are read from files: settings and catalogs can be shown, files cannot.
 */
#ifndef TENANCY_AUTH_FILE_H
#define TENANCY_AUTH_FILE_H

#define AUTH_LINE_MAX 4096

extern bool sink_read_auth_file(const char *path, char *line, char *error, size_t error_size);

#endif
