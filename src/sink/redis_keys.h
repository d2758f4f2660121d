/*
 * redis_keys.h
 *		Names of a tenant's keys.
 *
 *		tenant:NAME:KEY        a cached value, as the application sees it
 *		tenant:NAME:#tag:TAG   sorted set: the keys that carry TAG, score = when they expire, and size
 *		tenant:NAME:#size      sum of the sizes in the set of the tag "", in units of 16 bytes
 *		tenant:NAME:#owner     id of the tenant that stored the values
 *		tenant:NAME:#floor:X   which transactions changed X lately; X is KEY or #tag:TAG
 *		tenant:NAME:#lease:KEY who is about to store KEY
 *		tenant:NAME:#cost:KEY  milliseconds that the query took that made KEY
 *		tenant:#mark:SYSTEM:OID  a snapshot that values must be as new as
 *
 * The tag "" holds every key of the tenant.
 */
#ifndef TENANCY_REDIS_KEYS_H
#define TENANCY_REDIS_KEYS_H

extern char *redis_tenant_key(const char *tenant, const char *key);
extern char *redis_tag_key(const char *tenant, const char *tag);
extern char *redis_size_key(const char *tenant);
extern char *redis_owner_key(const char *tenant);
extern char *redis_beside(const char *tenant, const char *what, const char *name);
extern char *redis_mark_key(void);

#endif
