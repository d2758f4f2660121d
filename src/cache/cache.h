/*
 * cache.h
 *		What the parts of tenant_cache_* say to each other.
 */
#ifndef TENANCY_CACHE_H
#define TENANCY_CACHE_H

#include "datatype/timestamp.h"
#include "fmgr.h"
#include "utils/jsonb.h"

#include "sink/redis_scripts.h"
#include "tenant/tenant.h"

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
	bool   is_integer;
	int64  integer; /* 0 unless it is one */
	char  *text;
	size_t length;
} CacheReply;

#define LEASE_TOKEN_LENGTH 16

/* A value to be stored. */
typedef struct CacheFill
{
	const Tenant *tenant;
	const char	 *key; /* in Redis */
	const char	 *value;
	size_t		  length;
	int			  ttl; /* seconds */
	char		**sets;
	int			  nsets;
	const char	 *snapshot; /* not newer than the one it was read with, NULL: not known */
	char		 *token;	/* of the lease, NULL: none */
	int			  cost;		/* ms that it took to make, -1: not known */
} CacheFill;

/* What is counted for each tenant; counters.c. */
typedef enum CacheCounter
{
	CACHE_HITS,
	CACHE_MISSES,
	CACHE_FILLS,
	CACHE_REJECTED
} CacheCounter;

#define CACHE_COUNTERS (CACHE_REJECTED + 1)

/* arguments.c */
extern void	 cache_arg_tenant(FunctionCallInfo fcinfo, int n, Tenant *tenant);
extern char *cache_arg_key(FunctionCallInfo fcinfo, const Tenant *tenant);
extern char *cache_key(const Tenant *tenant, char *key);
extern int	 cache_arg_ttl(FunctionCallInfo fcinfo, int n);
/* The tag's set. */
extern char	 *cache_arg_tag(FunctionCallInfo fcinfo, int n, const Tenant *tenant);
extern char **cache_arg_tags(FunctionCallInfo fcinfo, int n, const Tenant *tenant, int *count);
extern char	 *cache_value_text(Jsonb *value, size_t *length);
extern char	 *cache_tag_set(const Tenant *tenant, const char *tag);
/* cache.c: true if what is in the cache may be used */
extern bool cache_is_usable(const Tenant *tenant);
/* counters.c */
extern void cache_count(const Tenant *tenant, CacheCounter counter);
/* All zero where nothing was counted; false: nothing ever is. */
extern bool cache_counters_read(int64 tenant_id, uint64 *counts, TimestampTz *since);
/* True if whoever may read tenants' caches may read all of a table: what is made of it may be there. */
extern bool cache_is_for_all(Oid relid, bool or_view);
/* guard.c */
extern bool cache_may_fill(void);
extern bool cache_fill(const CacheFill *fill);
/* miss.c */
extern void	  cache_found(void);
extern uint64 cache_found_count(void);
extern void	  cache_missed(const Tenant *tenant, const char *key, bool lease);
/* Stores a value of the caller's, read in this transaction or since the key was missed. */
extern bool cache_fill_missed(CacheFill *fill);
extern bool cache_lease_ask(const Tenant *tenant, const char *key, const char *token);
extern void cache_lease_token(char *token);
extern int	cache_lease_life(void);

/* look.c */
typedef enum CacheLook
{
	CACHE_FOUND,
	CACHE_OURS,	   /* not there: make it, then cache_store or cache_release */
	CACHE_NOT_OURS /* not there, and it must not be stored */
} CacheLook;

/* The value, NULL for JSON's null. */
extern CacheLook cache_look(CacheFill *fill, Jsonb **value);
/* The right to make a value anew that ends within half of fill->ttl; CACHE_FOUND: it does not. */
extern CacheLook cache_claim(CacheFill *fill);
/* Stores what was made for about fill->ttl; false as cache_fill. */
extern bool cache_store(CacheFill *fill, Jsonb *value);
extern void cache_release(const CacheFill *fill);

/* owner.c */
extern void cache_owner_note(const Tenant *tenant);
/* As cache_call; false too if what is there is of an earlier tenant of the same name. */
extern bool cache_owner_call(const Tenant *tenant, const CacheCommand *command, CacheReply *reply);

/* connection.c */
extern uint64 cache_connections; /* made so far */
extern int
	cache_time_limit; /* ms that a call may take, if less than tenancy.redis_timeout; 0: no less */
/* Runs a script; argv[1] is for its name, argv[0] for the command. */
extern bool cache_run_script(RedisScript *script, CacheCommand *command, CacheReply *reply);
/* False if Redis is not configured, known to be away, or did not answer. */
extern bool cache_call(const CacheCommand *command, CacheReply *reply);

#endif
