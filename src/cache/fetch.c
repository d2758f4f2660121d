/*
 * fetch.c
 *		tenant_cache_fetch: a value from the cache, or made by a query and stored.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "cache/cache.h"
#include "common/args.h"
#include "common/spi.h"
#include "common/xid.h"

PG_FUNCTION_INFO_V1(tenant_cache_fetch);

/* True for JSON's null, which is no value here: it is what a missing one is stored as. */
static bool
is_null(Jsonb *value)
{
	JsonbValue scalar;

	return JB_ROOT_IS_SCALAR(value) && JsonbExtractScalar(&value->root, &scalar) &&
		   scalar.type == jbvNull;
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
	return is_null(DatumGetJsonbP(value)) ? NULL : DatumGetJsonbP(value);
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

/*
 * Makes the value with one snapshot, which goes into fill; none does if the query has found values
 * in the cache: these may be older, and nothing would unlink what is made of them.
 */
static Jsonb *
make_value(CacheFill *fill, const char *query)
{
	TimestampTz start = GetCurrentTimestamp();
	uint64		found = cache_found_count();
	Jsonb	   *value;

	PushActiveSnapshot(GetTransactionSnapshot());
	fill->snapshot = tenancy_snapshot_text(GetActiveSnapshot(), false);
	value = run_query(query);
	PopActiveSnapshot();
	if (cache_found_count() != found)
		fill->snapshot = NULL;
	fill->cost = (int) TimestampDifferenceMilliseconds(start, GetCurrentTimestamp());
	return value;
}

/* The same, and stores it; if that fails somebody else may try. */
static Jsonb *
make_and_store(CacheFill *fill, const char *query)
{
	MemoryContext context = CurrentMemoryContext;
	Jsonb *volatile value = NULL;

	PG_TRY();
	{
		value = make_value(fill, query);
		cache_store(fill, value);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		cache_release(fill);
		PG_RE_THROW();
	}
	PG_END_TRY();
	return value;
}

/* The value from the cache; else the query's, which is stored if nothing forbids that. */
static Jsonb *
fetch(CacheFill *fill, const char *query)
{
	Jsonb	 *value;
	CacheLook look = cache_look(fill, &value);

	if (look == CACHE_FOUND)
		return value;
	if (look != CACHE_OURS)
		return make_value(fill, query);
	return make_and_store(fill, query);
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
