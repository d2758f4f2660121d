/*
 * fetch.c
 *		tenant_cache_fetch: a value from the cache, or made by a query and stored.
 *
 * One session makes a value that is not there; others wait a little for it.  A value that is about
 * to expire is made anew by one session early, the sooner the longer that takes; others
 * have the present one until then.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "cache/cache.h"
#include "common/args.h"
#include "common/compat.h"
#include "common/guc.h"
#include "common/jsonb.h"
#include "common/spi.h"
#include "common/xid.h"
#include "sink/redis_keys.h"

#define NEGATIVE_TTL 10 /* seconds, of a value that is not there */
#define JITTER 0.1		/* of the time to live, so that not all expire at once */
#define LOOK_EVERY_MS 5

PG_FUNCTION_INFO_V1(tenant_cache_fetch);

/*
 * KEYS: value, lease, cost.  ARGV: token or '', life of a lease in ms, how many times the
 * cost before its end a value is made anew.  Returns a letter, and the value where there is one.
 */
static RedisScript look_script = {
	"local function lease()\n"
	"  return ARGV[1] ~= '' and redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2])\n"
	"end\n"
	"local value = redis.call('GET', KEYS[1])\n"
	"if value then\n"
	"  local cost, left = redis.call('GET', KEYS[3]), redis.call('PTTL', KEYS[1])\n"
	"  if cost and left >= 0 and left <= cost * ARGV[3] and lease() then return 'e' end\n"
	"  return 'h' .. value\n"
	"end\n"
	"if lease() then return 'l' end\n"
	"return 'w'\n",
	""};

/* KEYS: lease.  ARGV: token. */
static RedisScript release_script = {
	"if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end\n"
	"return 0\n",
	""};

typedef enum Look
{
	LOOK_HIT,
	LOOK_OURS,	 /* we make it and may store it */
	LOOK_OTHERS, /* somebody else is at it */
	LOOK_AWAY	 /* Redis does not answer */
} Look;

/* Looks for a value, and asks for the right to make it. */
static Look
look(CacheFill *fill, CacheReply *reply)
{
	char		 life[16];
	char		 early[32];
	const char	*tenant = fill->tenant->name;
	const char	*argv[] = {NULL,
						   NULL,
						   "3",
						   fill->key,
						   redis_beside(tenant, "lease", fill->key),
						   redis_beside(tenant, "cost", fill->key),
						   fill->token,
						   life,
						   early};
	CacheCommand command = {lengthof(argv), argv};

	snprintf(life, sizeof(life), "%d", cache_lease_life());
	snprintf(early, sizeof(early), "%.3f", -log(1.0 - pg_prng_double(&pg_global_prng_state)));
	if (!cache_run_script(&look_script, &command, reply) || reply->length == 0)
		return LOOK_AWAY;
	if (reply->text[0] == 'h')
		return LOOK_HIT;
	return reply->text[0] == 'w' ? LOOK_OTHERS : LOOK_OURS;
}

/* Looks, and waits a little while somebody else makes the value. */
static Look
look_and_wait(CacheFill *fill, CacheReply *reply)
{
	static uint32 wait_event = 0;
	TimestampTz	  until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), tenancy_cache_wait);
	Look		  result;

	if (wait_event == 0)
		wait_event = compat_wait_event("TenancyCacheFetch");
	while ((result = look(fill, reply)) == LOOK_OTHERS && fill->token[0] != '\0' &&
		   GetCurrentTimestamp() < until)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LOOK_EVERY_MS,
						 wait_event);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	return result;
}

/* Lets somebody else make the value. */
static void
release(const CacheFill *fill)
{
	const char	*argv[] = {NULL, NULL, "1", redis_beside(fill->tenant->name, "lease", fill->key),
						   fill->token};
	CacheCommand command = {lengthof(argv), argv};
	CacheReply	 reply;

	(void) cache_run_script(&release_script, &command, &reply);
}

/* The one value of the row at hand, in `context`. */
static Jsonb *
take_value(MemoryContext context)
{
	TupleDesc	  desc = SPI_tuptable->tupdesc;
	Oid			  type = SPI_gettypeid(desc, 1);
	MemoryContext old;
	Datum		  value;
	bool		  isnull;

	if (desc->natts != 1 || (type != JSONBOID && type != JSONOID))
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("query must return one column of type jsonb or json")));
	if (SPI_processed == 0)
		return NULL;
	value = tenancy_spi_datum(0, 1, &isnull);
	if (isnull)
		return NULL;
	old = MemoryContextSwitchTo(context);
	value = type == JSONBOID
				? PointerGetDatum(PG_DETOAST_DATUM_COPY(value))
				: DirectFunctionCall1(jsonb_in, CStringGetDatum(TextDatumGetCString(value)));
	MemoryContextSwitchTo(old);
	return DatumGetJsonbP(value);
}

/* Runs the query with the caller's rights in the active snapshot; NULL: no row, or null. */
static Jsonb *
run_query(const char *query)
{
	MemoryContext context = CurrentMemoryContext;
	SpiScope	  scope;
	SPIPlanPtr	  plan;
	Portal		  portal;
	Jsonb		 *value;

	tenancy_spi_begin_as_caller(&scope);
	plan = tenancy_spi_prepare(query, 0, NULL);
	if (!SPI_is_cursor_plan(plan))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("query must be one statement that returns a value")));
	portal = tenancy_spi_open_plan(plan, NULL, NULL);
	SPI_cursor_fetch(portal, true, 2);
	value = take_value(context);
	if (SPI_processed > 1)
		ereport(ERROR, (errcode(ERRCODE_CARDINALITY_VIOLATION),
						errmsg("query must not return more than one row")));
	SPI_cursor_close(portal);
	tenancy_spi_end(&scope);
	return value;
}

/* Makes the value with one snapshot, which goes into fill. */
static Jsonb *
make_value(CacheFill *fill, const char *query)
{
	TimestampTz start = GetCurrentTimestamp();
	Jsonb	   *value;

	PushActiveSnapshot(GetTransactionSnapshot());
	fill->snapshot = tenancy_snapshot_text(GetActiveSnapshot(), false);
	value = run_query(query);
	PopActiveSnapshot();
	fill->cost = (int) TimestampDifferenceMilliseconds(start, GetCurrentTimestamp());
	return value;
}

/* The same; if it fails somebody else may try. */
static Jsonb *
make_leased_value(CacheFill *fill, const char *query)
{
	MemoryContext context = CurrentMemoryContext;
	Jsonb *volatile value = NULL;

	PG_TRY();
	{
		value = make_value(fill, query);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		HOLD_INTERRUPTS();
		release(fill);
		RESUME_INTERRUPTS();
		PG_RE_THROW();
	}
	PG_END_TRY();
	return value;
}

/* Stores what was made, for about its time to live. */
static void
store(CacheFill *fill, Jsonb *value)
{
	double factor = 1 + JITTER * (2 * pg_prng_double(&pg_global_prng_state) - 1);

	if (value == NULL)
	{
		fill->value = "null";
		fill->length = strlen(fill->value);
		fill->ttl = Min(fill->ttl, NEGATIVE_TTL);
	}
	else
		fill->value = cache_value_text(value, &fill->length);
	fill->ttl = Max(1, (int) rint(fill->ttl * factor));
	(void) cache_fill(fill);
}

/* A cached value; *found false: it is not JSON. */
static Jsonb *
cached_value(const CacheReply *reply, bool *found)
{
	Jsonb *value = NULL;

	*found = true;
	if (reply->length == 5 && memcmp(reply->text, "hnull", 5) == 0)
		return NULL;
	value = tenancy_jsonb_parse(reply->text + 1, reply->length - 1);
	*found = value != NULL;
	return value;
}

/* The value from the cache; else the query's, which is stored if nothing forbids that. */
static Jsonb *
fetch(CacheFill *fill, const char *query)
{
	char	   token[LEASE_TOKEN_LENGTH + 1] = "";
	CacheReply reply = {0};
	Look	   result = LOOK_AWAY;
	Jsonb	  *value;
	bool	   found;

	if (cache_may_fill())
		cache_lease_token(token);
	fill->token = token;
	if (cache_is_usable(fill->tenant))
		result = look_and_wait(fill, &reply);
	if (result == LOOK_HIT)
	{
		value = cached_value(&reply, &found);
		if (found)
		{
			cache_count(fill->tenant, CACHE_HITS);
			return value;
		}
	}
	cache_count(fill->tenant, CACHE_MISSES);
	if (result != LOOK_OURS)
		return make_value(fill, query);
	value = make_leased_value(fill, query);
	store(fill, value);
	return value;
}

/* Value of a key, made by a query if it is not there. */
Datum
tenant_cache_fetch(PG_FUNCTION_ARGS)
{
	Tenant	  tenant;
	CacheFill fill = {.tenant = &tenant};
	char	 *query;
	Jsonb	 *value;

	tenancy_tenant_require_current(&tenant);
	fill.key = cache_arg_key(fcinfo, &tenant);
	query = tenancy_arg_text(fcinfo, 1, "query");
	fill.ttl = cache_arg_ttl(fcinfo, 2);
	fill.sets = cache_arg_tags(fcinfo, 3, &tenant, &fill.nsets);
	value = fetch(&fill, query);
	if (value == NULL)
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(value);
}
