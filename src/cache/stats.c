/*
 * stats.c
 *		tenant_cache_stats: how much a tenant has in Redis, and how often it was found.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "cache/cache.h"
#include "sink/redis_keys.h"

#define STATS_COLUMNS 9

PG_FUNCTION_INFO_V1(tenant_cache_stats);

/* KEYS: tenant's set, size.  Returns "KEYS UNITS"; neither takes longer with more keys. */
static RedisScript stats_script = {
	"local now = redis.call('TIME')[1] * " REDIS_LUA_SCALE "\n"
	"local keys = redis.call('ZCOUNT', KEYS[1], string.format('(%.0f', now), '+inf')\n"
	"local units = redis.call('EXISTS', KEYS[1]) == 1 and redis.call('GET', KEYS[2])\n"
	"return keys .. ' ' .. (units or 0)\n",
	""};

/* Row under construction. */
typedef struct StatsRow
{
	Datum values[STATS_COLUMNS];
	bool  nulls[STATS_COLUMNS];
} StatsRow;

/* What Redis has of the tenant; nulls where it does not answer. */
static void
set_totals(StatsRow *row, const Tenant *tenant)
{
	const char *argv[] = {NULL, NULL, "2", cache_tag_set(tenant, ""), redis_size_key(tenant->name)};
	CacheCommand command = {lengthof(argv), argv};
	CacheReply	 reply;
	char		*end;
	int64		 bytes;

	memset(row->nulls, true, 3);
	if (!cache_run_script(&stats_script, &command, &reply) || reply.text == NULL)
		return;
	row->values[0] = Int64GetDatum(strtoll(reply.text, &end, 10));
	bytes = strtoll(end, NULL, 10);
	bytes = Min(Max(bytes, 0), PG_INT64_MAX / REDIS_SIZE_UNIT) * REDIS_SIZE_UNIT;
	row->values[1] = Int64GetDatum(bytes);
	row->values[2] =
		DirectFunctionCall2(numeric_round,
							NumericGetDatum(numeric_div_opt_error(
								int64_to_numeric(bytes), int64_to_numeric(1024 * 1024), NULL)),
							Int32GetDatum(2));
	memset(row->nulls, false, 3);
}

/* What this server has counted; nulls where it does not count. */
static void
set_counts(StatsRow *row, const Tenant *tenant)
{
	uint64		counts[CACHE_COUNTERS];
	TimestampTz since;
	double		reads;

	memset(&row->nulls[3], true, STATS_COLUMNS - 3);
	if (!cache_counters_read(tenant->id, counts, &since))
		return;
	memset(&row->nulls[3], false, STATS_COLUMNS - 3);
	reads = (double) counts[CACHE_HITS] + counts[CACHE_MISSES];
	row->values[3] = Int64GetDatum((int64) counts[CACHE_HITS]);
	row->values[4] = Int64GetDatum((int64) counts[CACHE_MISSES]);
	row->nulls[5] = reads == 0;
	row->values[5] = Float8GetDatum(reads > 0 ? counts[CACHE_HITS] / reads : 0);
	row->values[6] = Int64GetDatum((int64) counts[CACHE_FILLS]);
	row->values[7] = Int64GetDatum((int64) counts[CACHE_REJECTED]);
	row->values[8] = TimestampTzGetDatum(since);
}

/* How a tenant's cache is. */
Datum
tenant_cache_stats(PG_FUNCTION_ARGS)
{
	Tenant	  tenant;
	TupleDesc desc;
	StatsRow  row;

	cache_arg_tenant(fcinfo, 0, &tenant);
	(void) get_call_result_type(fcinfo, NULL, &desc);
	set_totals(&row, &tenant);
	set_counts(&row, &tenant);
	PG_RETURN_DATUM(
		HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), row.values, row.nulls)));
}
