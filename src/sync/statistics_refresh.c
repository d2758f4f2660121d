/*
 * statistics_refresh.c
 *		Counting all rows of a tenant by hand, where no worker does it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "common/errors.h"
#include "common/spi.h"
#include "sync/key.h"
#include "sync/row_reader.h"
#include "sync/statistics.h"
#include "sync/target.h"

#define KEYS_AT_ONCE 500

PG_FUNCTION_INFO_V1(tenancy_benchmark_refresh);

/* Where a refresh is. */
typedef struct Refresh
{
	int64			  tenant_id;
	const SinkTarget *target;	/* NULL: there is no such table */
	MemoryContext	  context;	/* of a chunk */
	StringInfoData	  position; /* after which the next chunk begins */
	int64			  cells;
} Refresh;

/* Id of a tenant that has a benchmark table, and the table, InvalidOid: it is not there. */
static int64
find_tenant(const char *name, Oid *relid)
{
	Oid		 types[1] = {TEXTOID};
	Datum	 values[1] = {CStringGetTextDatum(name)};
	int64	 tenant_id;
	int64	 declared;
	SpiScope scope;

	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec(
		"SELECT t.id, (b.blueprint IS NOT NULL)::int::bigint, coalesce(c.oid::bigint, 0)"
		"  FROM tenancy.tenant t LEFT JOIN tenancy.benchmark_table b USING (blueprint)"
		"  LEFT JOIN pg_namespace n ON n.nspname = t.schema_name"
		"  LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = b.table_name"
		"   AND c.relkind IN ('r', 'p')"
		" WHERE t.name = $1 AND t.status <> 'dropped'",
		1, types, values, NULL);
	if (SPI_processed == 0)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_UNDEFINED_TENANT),
						errmsg("tenant \"%s\" does not exist", name)));
	tenant_id = tenancy_spi_int64(0, 1);
	declared = tenancy_spi_int64(0, 2);
	*relid = (Oid) tenancy_spi_int64(0, 3);
	tenancy_spi_end(&scope);
	if (declared == 0)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_SYNC_CONFIG),
						errmsg("the blueprint of tenant \"%s\" has no benchmark table", name),
						errhint("Call tenant_benchmark_table().")));
	return tenant_id;
}

/* Keeps other writers of the tenant's cells off until the transaction ends. */
static void
lock_tenant(int64 tenant_id)
{
	Oid		 types[1] = {INT8OID};
	Datum	 values[1] = {Int64GetDatum(tenant_id)};
	SpiScope scope;

	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec("SELECT tenancy.benchmark_lock($1)", 1, types, values, NULL);
	tenancy_spi_end(&scope);
}

/* Opens the table's rows, or says why not. */
static RowReader *
open_rows(const SinkTarget *target)
{
	RowReader	   *reader;
	RowReaderResult result = row_reader_open(target, &reader);

	if (result == ROWS_LOCKED)
		ereport(ERROR, (errcode(ERRCODE_LOCK_NOT_AVAILABLE),
						errmsg("the benchmark table of tenant \"%s\" is locked", target->tenant)));
	if (result == ROWS_NO_KEY)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_SYNC_CONFIG),
						errmsg("the benchmark table of tenant \"%s\" has no unique index on its "
							   "key columns",
							   target->tenant)));
	if (result == ROWS_READY)
		return reader;
	row_reader_close(reader);
	return NULL;
}

/* Reads the row of a key. */
static void
add_row(StatisticsRows *rows, RowReader *reader, const char *key, int key_length)
{
	StringInfoData doc;

	initStringInfo(&doc);
	if (reader != NULL && row_reader_fetch(reader, key, key_length, &doc))
		statistics_rows_add(rows, key, key_length, doc.data, doc.len);
	else
		statistics_rows_add(rows, key, key_length, NULL, 0);
	pfree(doc.data);
}

/* Counts the next rows; false: there is none. */
static bool
next_rows(Refresh *refresh)
{
	RowReader	  *reader = refresh->target != NULL ? open_rows(refresh->target) : NULL;
	StringInfoData keys;
	StatisticsRows rows;
	const char	  *p;

	if (reader == NULL)
		return false;
	initStringInfo(&keys);
	statistics_rows_init(&rows);
	(void) row_reader_scan_keys(reader, refresh->position.data, refresh->position.len, KEYS_AT_ONCE,
								&keys);
	for (p = keys.data; p < keys.data + keys.len;)
	{
		const char *end = keys.data + keys.len;
		int			skip = key_parts_length(p, end, 1); /* the leaf */
		int			length = key_parts_length(p + skip, end, refresh->target->nkeys);

		add_row(&rows, reader, p + skip, length);
		resetStringInfo(&refresh->position);
		appendBinaryStringInfo(&refresh->position, p, skip + length);
		p += skip + length;
	}
	row_reader_close(reader);
	if (rows.nkeys > 0)
		refresh->cells += statistics_rows_apply(&rows, refresh->tenant_id);
	return rows.nkeys > 0;
}

/* Looks for the rows of what counts; false: all has been looked at. */
static bool
next_counted(Refresh *refresh)
{
	RowReader	  *reader;
	StringInfoData keys;
	StatisticsRows rows;
	const char	  *p;

	initStringInfo(&keys);
	if (statistics_next_keys(refresh->tenant_id, &refresh->position, &keys) == 0)
		return false;
	reader = refresh->target != NULL ? open_rows(refresh->target) : NULL;
	statistics_rows_init(&rows);
	for (p = keys.data; p < keys.data + keys.len;)
	{
		int32 length;

		memcpy(&length, p, sizeof(length));
		p += sizeof(length);
		if (reader == NULL || !row_reader_fetch(reader, p, length, NULL))
			statistics_rows_add(&rows, p, length, NULL, 0);
		p += length;
	}
	if (reader != NULL)
		row_reader_close(reader);
	if (rows.nkeys > 0)
		refresh->cells += statistics_rows_apply(&rows, refresh->tenant_id);
	return true;
}

/* Does a step until there is nothing left, each in fresh memory and as rows are now. */
static void
do_all(Refresh *refresh, bool (*step)(Refresh *))
{
	bool more = true;

	refresh->position.len = 0;
	while (more)
	{
		MemoryContext old = MemoryContextSwitchTo(refresh->context);

		CHECK_FOR_INTERRUPTS();
		PushActiveSnapshot(GetLatestSnapshot());
		more = step(refresh);
		PopActiveSnapshot();
		MemoryContextSwitchTo(old);
		MemoryContextReset(refresh->context);
	}
}

/* Values get the text that they have in the workers, until the level ends. */
static void
pin_settings(void)
{
	static const char *const settings[][2] = {
		{"datestyle", "ISO, MDY"},	 {"intervalstyle", "postgres"}, {"timezone", "UTC"},
		{"extra_float_digits", "1"}, {"bytea_output", "hex"},		{"xmlbinary", "base64"},
		{"lc_monetary", "C"}};

	for (int i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
}

/* Finds the table; an error if its rows cannot be counted. */
static const SinkTarget *
find_target(const char *name, Oid relid)
{
	const SinkTarget *target;

	target_init(SINK_STATISTICS);
	target_flush(); /* nobody tells this process of changes */
	target_sweep(target_age());
	target = OidIsValid(relid) ? target_find(relid) : NULL;
	if (target != NULL && target->problem != NULL)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_SYNC_CONFIG),
						errmsg("the benchmark table of tenant \"%s\" cannot be counted: %s", name,
							   target->problem)));
	return target;
}

/* tenancy.benchmark_refresh(tenant) */
Datum
tenancy_benchmark_refresh(PG_FUNCTION_ARGS)
{
	char   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Refresh refresh = {0};
	int		level;
	Oid		relid;

	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("benchmarks can only be refreshed at isolation level READ COMMITTED")));
	refresh.tenant_id = find_tenant(name, &relid);
	lock_tenant(refresh.tenant_id);
	level = NewGUCNestLevel();
	pin_settings();
	refresh.target = find_target(name, relid);
	refresh.context =
		AllocSetContextCreate(CurrentMemoryContext, "pg_tenancy refresh", ALLOCSET_DEFAULT_SIZES);
	initStringInfo(&refresh.position);
	do_all(&refresh, next_rows);
	do_all(&refresh, next_counted);
	MemoryContextDelete(refresh.context);
	AtEOXact_GUC(false, level);
	PG_RETURN_INT64(refresh.cells);
}
