/*
 * cache.c
 *		tenant_cache_get, tenant_cache_set, tenant_cache_delete.
 *
 * A cache that is away is a cache without the value: nothing here fails because of
 * Redis.  What the caller does wrong is an error all the same.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "cache/cache.h"
#include "common/args.h"
#include "common/errors.h"
#include "common/jsonb.h"
#include "sink/redis_keys.h"
#include "sync/control.h"
#include "sync/shared.h"
#include "tenant/tenant.h"

PG_FUNCTION_INFO_V1(tenant_cache_get);
PG_FUNCTION_INFO_V1(tenant_cache_set);
PG_FUNCTION_INFO_V1(tenant_cache_delete);

/* Refuses callers who may only use their own tenant. */
static void
require_operator(void)
{
	Oid caller = GetUserId();
	Oid operator= get_role_oid("tenancy_operator", true);
	Oid admin = get_role_oid("tenancy_admin", true);

	if ((OidIsValid(operator) && has_privs_of_role(caller, operator)) ||
		(OidIsValid(admin) && has_privs_of_role(caller, admin)))
		return;
	ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					errmsg("permission denied to read the cache of another tenant"),
					errdetail("That takes the privileges of role tenancy_operator or "
							  "tenancy_admin.")));
}

/*
 * False while values of an earlier tenant of the same name may still be there: the cache
 * worker has not come as far as that one's end.
 */
static bool
is_clean(const Tenant *tenant)
{
	DatabaseShared *database = tenancy_shared_mine();

	if (database == NULL || wal_level < WAL_LEVEL_LOGICAL || RecoveryInProgress() ||
		tenant->cache_from > GetXLogInsertRecPtr())
		return true;
	return pg_atomic_read_u64(&database->sinks[SINK_CACHE].settled) >= tenant->cache_from;
}

/* True if what is in the cache may be used. */
bool
cache_is_usable(const Tenant *tenant)
{
	return is_clean(tenant) && control_is_followed(SINK_CACHE, tenant->id);
}

/* Tenant that an optional argument names; without it the current one. */
static void
find_tenant(FunctionCallInfo fcinfo, int n, Tenant *tenant)
{
	const char *current = tenancy_tenant_current_name();
	char	   *name = PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));

	if (name == NULL || (current != NULL && strcmp(name, current) == 0))
	{
		tenancy_tenant_require_current(tenant);
		return;
	}
	require_operator();
	if (!tenancy_tenant_find(name, tenant))
		ereport(ERROR, (errcode(ERRCODE_TENANCY_UNDEFINED_TENANT),
						errmsg("tenant \"%s\" does not exist", name)));
}

/* Value of a key.  Of the own tenant a miss is remembered: a value stored later is at most as new. */
Datum
tenant_cache_get(PG_FUNCTION_ARGS)
{
	Tenant		 tenant;
	const char	*argv[] = {"GET", NULL};
	CacheCommand command = {2, argv};
	CacheReply	 reply;
	Jsonb		*value;

	find_tenant(fcinfo, 1, &tenant);
	argv[1] = cache_arg_key(fcinfo, &tenant);
	if (!cache_is_usable(&tenant) || !cache_call(&command, &reply))
		PG_RETURN_NULL();
	if (reply.text == NULL)
	{
		if (PG_ARGISNULL(1))
			cache_lease_take(&tenant, argv[1]);
		PG_RETURN_NULL();
	}
	value = tenancy_jsonb_parse(reply.text, reply.length);
	if (value != NULL)
		PG_RETURN_JSONB_P(value);
	ereport(DEBUG1, (errmsg_internal("value of Redis key \"%s\" is not JSON", argv[1])));
	PG_RETURN_NULL();
}

/* Stores a value, if nothing it may have been made of has changed since. */
Datum
tenant_cache_set(PG_FUNCTION_ARGS)
{
	Tenant	  tenant;
	CacheFill fill = {.tenant = &tenant};

	tenancy_tenant_require_current(&tenant);
	fill.key = cache_arg_key(fcinfo, &tenant);
	tenancy_arg_required(fcinfo, 1, "value");
	fill.value = cache_value_text(PG_GETARG_JSONB_P(1), &fill.length);
	fill.ttl = cache_arg_ttl(fcinfo, 2);
	fill.sets = cache_arg_tags(fcinfo, 3, &tenant, &fill.nsets);
	fill.snapshot = tenancy_tenant_snapshot();
	cache_lease_use(&fill);
	PG_RETURN_BOOL(cache_is_usable(&tenant) && cache_fill(&fill));
}

/* Removes a key, and who is about to store it may not any more. */
Datum
tenant_cache_delete(PG_FUNCTION_ARGS)
{
	Tenant		 tenant;
	const char	*argv[] = {"EVAL",
						   "redis.call('UNLINK', KEYS[2]) return redis.call('UNLINK', KEYS[1])", "2",
						   NULL, NULL};
	CacheCommand command = {lengthof(argv), argv};
	CacheReply	 reply;

	tenancy_tenant_require_current(&tenant);
	argv[3] = cache_arg_key(fcinfo, &tenant);
	argv[4] = redis_beside(tenant.name, "lease", argv[3]);
	PG_RETURN_BOOL(cache_call(&command, &reply) && reply.integer > 0);
}
