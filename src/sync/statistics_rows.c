/*
 * statistics_rows.c
 *		From rows as they are now to the cells that they count in.
 *
 * What a row counted as before is in tenancy.benchmark_row, so that it does not matter how often
 * a key comes, nor what happened in between.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"

#include "common/errors.h"
#include "common/guc.h"
#include "common/spi.h"
#include "sync/statistics.h"

#define KEYS_AT_ONCE 500
#define LOCK_TIMEOUT "500ms"

PG_FUNCTION_INFO_V1(tenancy_benchmark_refresh);
PG_FUNCTION_INFO_V1(tenancy_benchmark_min_tenants_setting);

/* What reading a tenant's rows takes. */
typedef struct BenchmarkQuery
{
	Oid	  owner; /* InvalidOid: there is no table */
	char *schema;
	char *key_query;
	char *row_query;
} BenchmarkQuery;

/* Keys in batches, as the text of JSON arrays. */
typedef struct KeyBatches
{
	List		  *done;
	StringInfoData keys;
	int			   n;
} KeyBatches;

/* Text of a query's first row in the context. */
static char *
text_in(MemoryContext context, int column)
{
	char *text = tenancy_spi_text(0, column);

	return text == NULL ? NULL : MemoryContextStrdup(context, text);
}

/* Asks how the tenant's rows are read. */
static BenchmarkQuery
find_query(int64 tenant_id)
{
	MemoryContext  context = CurrentMemoryContext;
	BenchmarkQuery query = {0};
	Oid			   types[1] = {INT8OID};
	Datum		   values[1] = {Int64GetDatum(tenant_id)};
	SpiScope	   scope;

	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec("SELECT coalesce(owner::bigint, 0), schema_name, key_query, row_query"
					 "  FROM tenancy.benchmark_query($1)",
					 1, types, values, NULL);
	query.owner = (Oid) tenancy_spi_int64(0, 1);
	query.schema = text_in(context, 2);
	query.key_query = text_in(context, 3);
	query.row_query = text_in(context, 4);
	tenancy_spi_end(&scope);
	return query;
}

/* Reads as the table's owner; values have the text that they have in the workers. */
static void
begin_reading(SpiScope *scope, const BenchmarkQuery *query)
{
	static const char *const settings[][2] = {
		{"datestyle", "ISO, MDY"},	 {"intervalstyle", "postgres"}, {"timezone", "UTC"},
		{"extra_float_digits", "1"}, {"bytea_output", "hex"},		{"lc_monetary", "C"}};

	tenancy_spi_begin_reading(scope, query->owner, query->schema, LOCK_TIMEOUT);
	for (int i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
}

/*
 * Keeps other writers of a tenant's cells off until the transaction ends, and reads rows as they are
 * from now on: what a snapshot of before says may have been applied, and replaced, by then.
 */
static void
begin_writing(int64 tenant_id)
{
	Oid		 types[1] = {INT8OID};
	Datum	 values[1] = {Int64GetDatum(tenant_id)};
	SpiScope scope;

	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec("SELECT pg_advisory_xact_lock(hashtextextended('tenancy.benchmark', $1))", 1,
					 types, values, NULL);
	tenancy_spi_end(&scope);
	PushActiveSnapshot(GetLatestSnapshot());
}

/* What the rows of the keys count as; NULL: none is there. */
static char *
read_rows(const BenchmarkQuery *query, const char *keys)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			  types[1] = {JSONBOID};
	Datum		  values[1];
	SpiScope	  scope;
	char		 *rows;

	if (!OidIsValid(query->owner))
		return NULL;
	values[0] = DirectFunctionCall1(jsonb_in, CStringGetDatum(keys));
	begin_reading(&scope, query);
	tenancy_spi_query(query->row_query, 1, types, values);
	rows = text_in(context, 1);
	tenancy_spi_end(&scope);
	return rows;
}

/* Makes the cells agree with what was read; returns how many changed. */
static int64
apply_rows(int64 tenant_id, const char *keys, const char *rows)
{
	Oid		 types[3] = {INT8OID, TEXTOID, TEXTOID};
	Datum	 values[3] = {Int64GetDatum(tenant_id), CStringGetTextDatum(keys),
						  CStringGetTextDatum(rows ? rows : "[]")};
	SpiScope scope;
	int64	 cells;

	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec("SELECT tenancy.benchmark_apply($1, $2::jsonb, $3::jsonb)", 3, types, values,
					 NULL);
	cells = tenancy_spi_int64(0, 1);
	tenancy_spi_end(&scope);
	return cells;
}

/* Makes the cells agree with the rows of some keys; needs a transaction. */
int64
statistics_apply(int64 tenant_id, const char *keys)
{
	BenchmarkQuery query;
	char		  *rows;

	begin_writing(tenant_id);
	query = find_query(tenant_id);
	rows = read_rows(&query, keys);
	PopActiveSnapshot();
	return apply_rows(tenant_id, keys, rows);
}

/* Ends a batch. */
static void
end_batch(KeyBatches *batches)
{
	if (batches->n == 0)
		return;
	appendStringInfoChar(&batches->keys, ']');
	batches->done = lappend(batches->done, batches->keys.data);
	initStringInfo(&batches->keys);
	batches->n = 0;
}

/* Collects the keys that a query gives; its scope is open. */
static void
collect_keys(KeyBatches *batches, const char *sql, int nargs, Oid *types, Datum *values,
			 MemoryContext context)
{
	Portal portal = tenancy_spi_open(sql, nargs, types, values);

	while (tenancy_spi_next(portal))
	{
		MemoryContext old = MemoryContextSwitchTo(context);
		char		 *key = tenancy_spi_text(0, 1);

		CHECK_FOR_INTERRUPTS();
		if (batches->keys.data == NULL)
			initStringInfo(&batches->keys);
		appendStringInfo(&batches->keys, "%c%s", batches->n++ == 0 ? '[' : ',', key);
		pfree(key);
		if (batches->n == KEYS_AT_ONCE)
			end_batch(batches);
		MemoryContextSwitchTo(old);
	}
}

/* Keys of all rows, and of all that count. */
static List *
all_keys(int64 tenant_id, const BenchmarkQuery *query)
{
	MemoryContext context = CurrentMemoryContext;
	KeyBatches	  batches = {0};
	Oid			  types[1] = {INT8OID};
	Datum		  values[1] = {Int64GetDatum(tenant_id)};
	SpiScope	  scope;

	if (OidIsValid(query->owner))
	{
		begin_reading(&scope, query);
		collect_keys(&batches, query->key_query, 0, NULL, NULL, context);
		tenancy_spi_end(&scope);
	}
	tenancy_spi_begin_as_owner(&scope);
	collect_keys(&batches, "SELECT to_jsonb(key) FROM tenancy.benchmark_row WHERE tenant_id = $1",
				 1, types, values, context);
	tenancy_spi_end(&scope);
	end_batch(&batches);
	return batches.done;
}

/* Makes the cells agree with all rows; needs a transaction. */
int64
statistics_apply_all(int64 tenant_id)
{
	BenchmarkQuery query;
	List		  *batches;
	ListCell	  *cell;
	int64		   cells = 0;

	begin_writing(tenant_id);
	query = find_query(tenant_id);
	batches = all_keys(tenant_id, &query);
	foreach (cell, batches)
	{
		char *rows = read_rows(&query, lfirst(cell));

		CHECK_FOR_INTERRUPTS();
		cells += apply_rows(tenant_id, lfirst(cell), rows);
		if (rows != NULL)
			pfree(rows);
	}
	PopActiveSnapshot();
	return cells;
}

/* Makes the cells of a tenant, if it is there, agree with all its rows; needs a transaction. */
void
statistics_apply_tenant(const char *name)
{
	Oid		 types[1] = {TEXTOID};
	Datum	 values[1] = {CStringGetTextDatum(name)};
	int64	 tenant_id = 0;
	SpiScope scope;

	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec("SELECT t.id FROM tenancy.tenant t JOIN tenancy.benchmark_table USING"
					 " (blueprint) WHERE t.name = $1 AND t.status <> 'dropped'",
					 1, types, values, NULL);
	if (SPI_processed > 0)
		tenant_id = tenancy_spi_int64(0, 1);
	tenancy_spi_end(&scope);
	if (tenant_id != 0)
		statistics_apply_all(tenant_id);
}

/* Id of a tenant that has a benchmark table. */
static int64
find_tenant(const char *name)
{
	Oid		 types[1] = {TEXTOID};
	Datum	 values[1] = {CStringGetTextDatum(name)};
	bool	 declared;
	bool	 isnull;
	int64	 tenant_id;
	SpiScope scope;

	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec("SELECT t.id, b.blueprint IS NOT NULL FROM tenancy.tenant t"
					 "  LEFT JOIN tenancy.benchmark_table b USING (blueprint)"
					 " WHERE t.name = $1 AND t.status <> 'dropped'",
					 1, types, values, NULL);
	if (SPI_processed == 0)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_UNDEFINED_TENANT),
						errmsg("tenant \"%s\" does not exist", name)));
	tenant_id = tenancy_spi_int64(0, 1);
	declared = DatumGetBool(tenancy_spi_datum(0, 2, &isnull));
	tenancy_spi_end(&scope);
	if (!declared)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_SYNC_CONFIG),
						errmsg("the blueprint of tenant \"%s\" has no benchmark table", name),
						errhint("Call tenant_benchmark_table().")));
	return tenant_id;
}

/* tenancy.benchmark_refresh(tenant) */
Datum
tenancy_benchmark_refresh(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(statistics_apply_all(find_tenant(text_to_cstring(PG_GETARG_TEXT_PP(0)))));
}

/* tenancy.benchmark_min_tenants() */
Datum
tenancy_benchmark_min_tenants_setting(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(tenancy_benchmark_min_tenants);
}
