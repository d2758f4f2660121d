/*
 * cache.c
 *		tenant_cache_get, tenant_cache_set, tenant_cache_delete.
 *
 * A cache that is away is a cache without the value: nothing here fails because of
 * Redis.  What the caller does wrong is an error all the same.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xlog.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "cache/cache.h"
#include "common/args.h"
#include "common/guc.h"
#include "common/jsonb.h"
#include "sink/redis_keys.h"
#include "sync/control.h"
#include "sync/shared.h"
#include "tenant/tenant.h"

PG_FUNCTION_INFO_V1(tenant_cache_get);
PG_FUNCTION_INFO_V1(tenant_cache_set);
PG_FUNCTION_INFO_V1(tenant_cache_delete);

/*
 * False while values of an earlier tenant of the same name may still be there: the cache
 * worker has not come as far as that one's end.  A standby knows nothing of that; see owner.c.
 */
static bool
is_clean(const Tenant *tenant)
{
	DatabaseShared *database = tenancy_shared_mine();

	if (database == NULL || wal_level < WAL_LEVEL_LOGICAL || RecoveryInProgress() ||
		tenant->cache_from > GetXLogInsertRecPtr())
		return true;
	return pg_atomic_read_u64(&database->sinks[SINK_CACHE].settled) >= tenant->cache_from &&
		   forgetting_is_over(tenant->name);
}

/* True if what is in the cache may be used. */
bool
cache_is_usable(const Tenant *tenant)
{
	return is_clean(tenant) && control_is_followed(SINK_CACHE, tenant->id);
}

/* Value of a key.  Of the own tenant a miss is remembered: a value stored later is at most as new. */
Datum
tenant_cache_get(PG_FUNCTION_ARGS)
{
	Tenant		 tenant;
	const char	*argv[] = {"GET", NULL};
	CacheCommand command = {2, argv};
	CacheReply	 reply;
	Jsonb		*value = NULL;
	bool		 answered;

	cache_arg_tenant(fcinfo, 1, &tenant);
	argv[1] = cache_arg_key(fcinfo, &tenant);
	answered = cache_is_usable(&tenant) && cache_owner_call(&tenant, &command, &reply);
	if (answered && reply.text != NULL)
		value = tenancy_jsonb_parse(reply.text, reply.length);
	cache_count(&tenant, value != NULL ? CACHE_HITS : CACHE_MISSES);
	if (value != NULL)
	{
		cache_found();
		PG_RETURN_JSONB_P(value);
	}
	if (PG_ARGISNULL(1))
		cache_missed(&tenant, argv[1], answered);
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
	PG_RETURN_BOOL(cache_fill_missed(&fill));
}

/* KEYS: value, lease, tenant's set, size, floor.  ARGV: life of a floor, newest transaction id. */
static RedisScript delete_script = {REDIS_LUA_RAISE REDIS_LUA_FORGET
									"redis.call('UNLINK', KEYS[2])\n"
									"forget(KEYS[3], KEYS[4], KEYS[1])\n"
									"raise(KEYS[5], 0, tonumber(ARGV[2]))\n"
									"return redis.call('UNLINK', KEYS[1])\n",
									""};

/* Removes a key; what was read before a change that has ended by now is not stored after it. */
Datum
tenant_cache_delete(PG_FUNCTION_ARGS)
{
	Tenant		 tenant;
	const char	*argv[] = {NULL, NULL, "5", NULL, NULL, NULL, NULL, NULL, NULL, NULL};
	CacheCommand command = {lengthof(argv), argv};
	CacheReply	 reply;

	tenancy_tenant_require_current(&tenant);
	argv[3] = cache_arg_key(fcinfo, &tenant);
	argv[4] = redis_beside(tenant.name, "lease", argv[3]);
	argv[5] = cache_tag_set(&tenant, "");
	argv[6] = redis_size_key(tenant.name);
	argv[7] = redis_beside(tenant.name, "floor", argv[3]);
	argv[8] = psprintf("%d", tenancy_cache_guard_time * 1000);
	argv[9] = psprintf(UINT64_FORMAT, U64FromFullTransactionId(ReadNextFullTransactionId()) - 1);
	PG_RETURN_BOOL(cache_run_script(&delete_script, &command, &reply) && reply.integer > 0);
}
