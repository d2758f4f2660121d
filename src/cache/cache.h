/*
 * cache.h
 *		What the parts of tenant_cache_* say to each other.
 */
#ifndef TENANCY_CACHE_H
#define TENANCY_CACHE_H

/* A command to Redis. */
typedef struct CacheCommand
{
	int			 argc;
	const char **argv;
	size_t		*lengths;
} CacheCommand;

/* What came back; text is in the caller's memory, with a zero byte behind it, or NULL. */
typedef struct CacheReply
{
	bool   is_error;
	int64  integer;
	char  *text;
	size_t length;
} CacheReply;

/* False if Redis is not configured, known to be away, or did not answer. */
extern bool cache_call(const CacheCommand *command, CacheReply *reply);

#endif
