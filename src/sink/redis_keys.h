/*
 * redis_keys.h
 *		Names of a tenant's keys, and the script that drops the keys of a tag.
 *
 *		tenant:NAME:KEY        a cached value, as the application sees it
 *		tenant:NAME:#tag:TAG   sorted set: the keys that carry TAG, score = when they expire
 *
 * The tag "" holds every key of the tenant.
 */
#ifndef TENANCY_REDIS_KEYS_H
#define TENANCY_REDIS_KEYS_H

extern char *redis_tenant_key(const char *tenant, const char *key);
extern char *redis_tag_key(const char *tenant, const char *tag);

/* Lua: KEYS[1] = tag's set; unlinks its members and itself, returns how many. */
extern const char *const redis_invalidate_tag_script;

#endif
