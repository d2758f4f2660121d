/*
 * redis_keys.c
 *		Names of a tenant's keys.
 *
 * A tenant's name has no colon, so no tenant can name a key of another one.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"

#include "sink/redis_keys.h"

/* Redis key of what the application calls key. */
char *
redis_tenant_key(const char *tenant, const char *key)
{
	return psprintf("tenant:%s:%s", tenant, key);
}

/* Redis key of the set of a tag. */
char *
redis_tag_key(const char *tenant, const char *tag)
{
	return psprintf("tenant:%s:#tag:%s", tenant, tag);
}

/* Redis key of the sum of the sizes of a tenant's values. */
char *
redis_size_key(const char *tenant)
{
	return psprintf("tenant:%s:#size", tenant);
}

/* Redis key of the id of the tenant whose values are there. */
char *
redis_owner_key(const char *tenant)
{
	return psprintf("tenant:%s:#owner", tenant);
}

/* Redis key of what is kept beside a key or a tag's set: its name with something in front. */
char *
redis_beside(const char *tenant, const char *what, const char *name)
{
	return psprintf("tenant:%s:#%s:%s", tenant, what, name + strlen("tenant::") + strlen(tenant));
}

/* Redis key of the mark of this database; OIDs alone are the same in many clusters. */
char *
redis_mark_key(void)
{
	return psprintf("tenant:#mark:" UINT64_FORMAT ":%u", GetSystemIdentifier(), MyDatabaseId);
}
