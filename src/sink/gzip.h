/*
 * gzip.h
 *		Bodies of requests, made smaller.  gzip.c alone uses zlib.
 */
#ifndef TENANCY_GZIP_H
#define TENANCY_GZIP_H

/* A malloc'd copy in gzip format, NULL if there is no memory for it. */
extern char *gzip_compress(const char *data, size_t length, size_t *compressed_length);

#endif
