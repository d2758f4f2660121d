/*
 * owner.c
 *		Whose values are under a tenant's name: it may have been another tenant's.
 *
 * The values of a dropped tenant go when the cache worker comes to its end, which sessions of a standby, and those that see
 * a prepared transaction committed, cannot wait for.  So a fill writes the tenant's id beside the values, and one of another
 * tenant is refused until the worker has taken it away.  A name is once given away for ever:
 * after one look nothing has to be asked again on the same connection.  Where there is no id only
 * other clients have stored values.
 */
#include "postgres.h"

#include "cache/cache.h"
#include "sink/redis_keys.h"

#define PLACES 64

/* Tenants whose id was found, in the place of it. */
static Tenant known[PLACES];
static uint64 known_on = 0; /* connection */

/* True if a tenant's id was found before. */
static bool
is_known(const Tenant *tenant)
{
	const Tenant *place = &known[tenant->id % PLACES];

	return known_on == cache_connections && place->id == tenant->id &&
		   strcmp(place->name, tenant->name) == 0;
}

/* A tenant's id is there. */
void
cache_owner_note(const Tenant *tenant)
{
	if (known_on != cache_connections)
		memset(known, 0, sizeof(known));
	known_on = cache_connections;
	known[tenant->id % PLACES] = *tenant;
}

/* Looks who the owner is; false: another tenant, or nobody knows. */
static bool
may_be_ours(const Tenant *tenant)
{
	const char	*argv[] = {"GET", redis_owner_key(tenant->name)};
	CacheCommand command = {lengthof(argv), argv};
	CacheReply	 reply;

	if (!cache_call(&command, &reply))
		return false;
	if (reply.text == NULL)
		return true;
	if (strcmp(reply.text, psprintf(INT64_FORMAT, tenant->id)) != 0)
		return false;
	cache_owner_note(tenant);
	return true;
}

/* A command that reads a value; the owner is looked at first: what is there later is not older. */
bool
cache_owner_call(const Tenant *tenant, const CacheCommand *command, CacheReply *reply)
{
	uint64 before;

	memset(reply, 0, sizeof(*reply));
	if (!is_known(tenant) && !may_be_ours(tenant))
		return false;
	before = cache_connections;
	return cache_call(command, reply) && cache_connections == before;
}
