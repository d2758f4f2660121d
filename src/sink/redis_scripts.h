/*
 * redis_scripts.h
 *		What the cache sink has Redis do in one step.
 */
#ifndef TENANCY_REDIS_SCRIPTS_H
#define TENANCY_REDIS_SCRIPTS_H

#define REDIS_SHA_LENGTH 40

/* A script and, once asked for, its name in Redis. */
typedef struct RedisScript
{
	const char *text;
	char		sha[REDIS_SHA_LENGTH + 1];
} RedisScript;

/* For each key: KEYS value, floor, lease, tenant's set; ARGV low, high, after the floors' life in ms. */
extern RedisScript redis_unlink_script;
/* For each tag: KEYS set, floor, tenant's set; ARGV low, high, after life and budget.  Returns tags done. */
extern RedisScript redis_drop_tags_script;
/* KEYS mark; ARGV snapshot, since, life, fresh.  Returns the time in ms, negative: the mark was gone. */
extern RedisScript redis_mark_script;

extern const char *redis_script_sha(RedisScript *script);

#endif
