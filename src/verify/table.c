/*
 * table.c
 *		One table and its index: every row, then every document.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "common/spi.h"
#include "sync/sink_worker.h"
#include "sync/target.h"
#include "verify/run.h"

#define CHUNK_KEYS 1000
#define LISTING_ATTEMPTS 3

static const char *const tables_query =
	"SELECT t.id, t.name, t.schema_name, s.table_name"
	"  FROM tenancy.tenant t JOIN tenancy.sync_table s ON s.blueprint = t.blueprint"
	" WHERE t.status <> 'dropped' AND s.index_type IS NOT NULL"
	"   AND ($1 IS NULL OR t.name = $1) AND ($2 IS NULL OR s.table_name::text = $2)"
	" ORDER BY t.id, s.table_name";

/* NULL where the table can be compared, else why it cannot. */
static const char *const state_query =
	"SELECT CASE WHEN r.phase = 'blocked' THEN 'it is not synced: ' ||"
	"              coalesce(r.last_error, 'its shape does not allow it')"
	"            WHEN i.state IS NULL THEN 'its index is not made yet'"
	"            WHEN i.state <> 'ready' THEN 'its index is not ready' || coalesce(': ' || "
	"i.last_error, '')"
	"            WHEN NOT i.filled THEN 'its index has not had every row yet' END"
	"  FROM (VALUES (1)) v"
	"  LEFT JOIN (SELECT i.state, i.filled, i.last_error FROM tenancy.search_index i"
	"               JOIN tenancy.tenant t ON t.id = i.tenant_id"
	"               JOIN tenancy.sync_table s ON s.blueprint = t.blueprint"
	"                AND s.index_type = i.index_type"
	"              WHERE t.id = $1 AND s.table_name = $2 AND i.state <> 'dropping'"
	"                AND i.role = $3 LIMIT 1) i ON true"
	"  LEFT JOIN tenancy.resync r ON r.sink = 'search' AND r.tenant_id = $1 AND r.table_name = $2";

/* Makes a run and connects to the search server. */
static VerifyRun *
start_run(DatabaseShared *database)
{
	VerifyRun *run = MemoryContextAllocZero(TopMemoryContext, sizeof(VerifyRun));

	run->database = database;
	run->driver = &search_sink_driver;
	run->batch_context =
		AllocSetContextCreate(TopMemoryContext, "pg_tenancy verify", ALLOCSET_DEFAULT_SIZES);
	tenancy_tx_begin("pg_tenancy verify: starting");
	run->epoch = sink_state_epoch();
	tenancy_tx_commit();
	target_init(SINK_CACHE); /* nothing is to be written here, as settling a shape would */
	sink_state_expect(run->driver);
	run->driver->open();
	verify_connect(run);
	return run;
}

/* Starts comparing; what the process has is used again. */
VerifyRun *
verify_run_make(DatabaseShared *database, bool repair)
{
	static VerifyRun *run = NULL;

	if (run == NULL)
		run = start_run(database);
	run->repair = repair;
	run->new_index = false;
	return run;
}

/* Makes a table of a row of the last query. */
static VerifyTable *
make_table(int row)
{
	VerifyTable *table = palloc(sizeof(VerifyTable));

	table->tenant_id = tenancy_spi_int64(row, 1);
	table->tenant = tenancy_spi_text(row, 2);
	table->schema = tenancy_spi_text(row, 3);
	table->name = tenancy_spi_text(row, 4);
	return table;
}

/* Tables that have an index, in the current context; NULL: of all tenants, of all names. */
List *
verify_tables(const char *tenant, const char *relation)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			  types[2] = {TEXTOID, TEXTOID};
	Datum		  values[2] = {0, 0};
	char		  nulls[2] = {tenant ? ' ' : 'n', relation ? ' ' : 'n'};
	List		 *tables = NIL;
	SpiScope	  scope;

	tenancy_tx_begin("pg_tenancy verify: looking for tables");
	if (tenant != NULL)
		values[0] = CStringGetTextDatum(tenant);
	if (relation != NULL)
		values[1] = CStringGetTextDatum(relation);
	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec(tables_query, 2, types, values, nulls);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		tables = lappend(tables, make_table(row));
		MemoryContextSwitchTo(old);
	}
	tenancy_spi_end(&scope);
	tenancy_tx_commit();
	return tables;
}

/* Oid of the table at hand; needs a transaction. */
static Oid
find_relation(const VerifyTable *table)
{
	Oid schema = get_namespace_oid(table->schema, true);

	return OidIsValid(schema) ? get_relname_relid(table->name, schema) : InvalidOid;
}

/* Asks the registry whether the table at hand can be compared. */
static VerifyState
ask_registry(VerifyRun *run)
{
	Oid			types[3] = {INT8OID, NAMEOID, TEXTOID};
	Datum		values[3] = {Int64GetDatum(run->table->tenant_id), 0,
							 CStringGetTextDatum(run->new_index ? "filling" : "serving")};
	NameData	name;
	SpiScope	scope;
	char	   *reason;
	VerifyState state = VERIFY_READY;

	namestrcpy(&name, run->table->name);
	values[1] = NameGetDatum(&name);
	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec(state_query, 3, types, values, NULL);
	reason = SPI_processed > 0 ? tenancy_spi_text(0, 1) : NULL;
	if (reason != NULL)
	{
		strlcpy(run->reason, reason, SINK_REASON_MAX);
		state = VERIFY_NOT_READY;
	}
	tenancy_spi_end(&scope);
	return state;
}

/* The index of the target that is compared, NULL: there is none. */
const SinkPlace *
verify_place(const VerifyRun *run)
{
	SinkRole role = run->new_index ? SINK_FILLING : SINK_SERVING;

	for (int i = 0; run->target != NULL && i < run->target->nplaces; i++)
		if (run->target->places[i].role == role)
			return &run->target->places[i];
	return NULL;
}

/* Finds the table at hand in the registry and the catalog. */
static VerifyState
look_up(VerifyRun *run)
{
	VerifyState state = VERIFY_GONE;

	tenancy_tx_begin("pg_tenancy verify: looking at a table");
	tenancy_tx_bound_locks();
	target_flush();
	run->relid = find_relation(run->table);
	run->target = OidIsValid(run->relid) ? target_find(run->relid) : NULL;
	run->place = verify_place(run);
	if (run->target != NULL && run->target->tenant_id == run->table->tenant_id)
		state = ask_registry(run);
	tenancy_tx_commit();
	return state;
}

/* Begins with a table. */
VerifyState
verify_table_begin(VerifyRun *run, const VerifyTable *table)
{
	run->table = table;
	run->not_waiting = false;
	memset(&run->counts, 0, sizeof(run->counts));
	run->reason[0] = '\0';
	return look_up(run);
}

/* Ends with a table: what went wrong half-way may be because it is not there any more. */
VerifyState
verify_table_end(VerifyRun *run, VerifyState state)
{
	char reason[SINK_REASON_MAX];

	MemoryContextReset(run->batch_context);
	if (state != VERIFY_NOT_READY)
		return state;
	strlcpy(reason, run->reason, sizeof(reason));
	state = look_up(run);
	if (state != VERIFY_READY)
		return state;
	strlcpy(run->reason, reason, SINK_REASON_MAX);
	return VERIFY_NOT_READY;
}

/* Length of the first n parts at p, or less if they end before. */
static int
parts_length(const char *p, const char *end, int n)
{
	const char *start = p;

	while (n-- > 0 && p < end)
		p += strlen(p) + 1;
	return p - start;
}

/* Compares the rows at positions of the row reader. */
VerifyState
verify_positions(VerifyRun *run, StringInfo positions)
{
	const char *p = positions->data;
	const char *end = p + positions->len;
	VerifyKey  *keys = palloc0(CHUNK_KEYS * sizeof(VerifyKey));
	VerifyState state;
	int			n = 0;

	while (p < end && n < CHUNK_KEYS)
	{
		p += parts_length(p, end, 1);
		keys[n].document.key = p;
		keys[n].document.key_length = parts_length(p, end, run->target->nkeys);
		p += keys[n++].document.key_length;
	}
	run->counts.checked += n;
	state = verify_keys(run, keys, n);
	pfree(keys);
	return state;
}

/* Reads the positions of the next rows; *given: how many. */
static VerifyState
next_positions(VerifyRun *run, StringInfo after, StringInfo positions, int *given)
{
	RowReader  *reader;
	VerifyState state = verify_begin_rows(run, &reader);

	resetStringInfo(positions);
	if (state != VERIFY_READY)
		return state;
	*given = row_reader_scan_keys(reader, after->data, after->len, CHUNK_KEYS, positions);
	verify_end_rows(reader);
	return state;
}

/* Keeps the last of some positions. */
static void
keep_last(VerifyRun *run, StringInfo positions, StringInfo last)
{
	const char *p = positions->data;
	const char *end = p + positions->len;
	int			length = 0;

	for (; p < end; p += length)
		length = parts_length(p, end, run->target->nkeys + 1);
	resetStringInfo(last);
	appendBinaryStringInfo(last, end - length, length);
}

/* Compares every row. */
static VerifyState
verify_all_rows(VerifyRun *run)
{
	StringInfoData after;
	StringInfoData positions;
	VerifyState	   state = VERIFY_READY;
	int			   given = CHUNK_KEYS;

	initStringInfo(&after);
	initStringInfo(&positions);
	while (state == VERIFY_READY && given == CHUNK_KEYS)
	{
		state = next_positions(run, &after, &positions, &given);
		if (state != VERIFY_READY || given == 0)
			break;
		keep_last(run, &positions, &after);
		state = verify_positions(run, &positions);
	}
	pfree(after.data);
	pfree(positions.data);
	return state;
}

/* Finds the keys of a page that have no row; each has its length before it. */
static VerifyState
find_ghosts(VerifyRun *run, StringInfo page, VerifyKey **found, int *n)
{
	RowReader  *reader;
	char	   *p = page->data;
	VerifyState state = verify_begin_rows(run, &reader);
	int32		length;

	*n = 0;
	if (state != VERIFY_READY)
		return state;
	*found = MemoryContextAllocZero(run->batch_context, CHUNK_KEYS * sizeof(VerifyKey));
	for (; p < page->data + page->len && *n < CHUNK_KEYS; p += length)
	{
		CHECK_FOR_INTERRUPTS();
		memcpy(&length, p, sizeof(length));
		p += sizeof(length);
		if (row_reader_fetch(reader, p, length, NULL))
			continue;
		(*found)[*n].document.key = p;
		(*found)[*n].document.key_length = length;
		(*n)++;
	}
	verify_end_rows(reader);
	return state;
}

/* Compares the documents of a page that seem to have no row. */
static VerifyState
verify_page(VerifyRun *run, StringInfo page)
{
	VerifyKey  *found;
	VerifyKey  *keys;
	VerifyState state;
	int			n;

	MemoryContextReset(run->batch_context);
	state = find_ghosts(run, page, &found, &n);
	if (state != VERIFY_READY || n == 0)
		return state;
	keys = palloc(n * sizeof(VerifyKey));
	memcpy(keys, found, n * sizeof(VerifyKey));
	state = verify_keys(run, keys, n);
	pfree(keys);
	return state;
}

/* Looks at every document of a listing, and closes it. */
VerifyState
verify_listing(VerifyRun *run, SinkListing *listing)
{
	StringInfoData page;
	SinkListResult result = SINK_LIST_BUSY;
	VerifyState	   state = VERIFY_READY;

	initStringInfo(&page);
	while (state == VERIFY_READY && result != SINK_LIST_END && result != SINK_LIST_FAILED)
	{
		resetStringInfo(&page);
		result = run->driver->list_next(listing, &page);
		if (result == SINK_LIST_BUSY)
			verify_wait(run, 1000);
		else if (result == SINK_LIST_PAGE)
			state = verify_page(run, &page);
	}
	run->driver->list_close(listing);
	pfree(page.data);
	if (result != SINK_LIST_FAILED)
		return state;
	strlcpy(run->reason, "the documents of its index could not be listed", SINK_REASON_MAX);
	return VERIFY_NOT_READY;
}

/* Looks at every document; a listing that breaks off is begun again. */
static VerifyState
verify_all_documents(VerifyRun *run)
{
	VerifyCounts counts = run->counts;
	VerifyState	 state = VERIFY_NOT_READY;

	for (int attempt = 0; attempt < LISTING_ATTEMPTS && state == VERIFY_NOT_READY; attempt++)
	{
		RowReader *reader;

		if (attempt > 0)
			verify_pause(run, 1000);
		verify_connect(run);
		run->counts = counts;
		state = verify_begin_rows(run, &reader); /* for the target as it is now */
		if (state != VERIFY_READY)
			return state;
		verify_end_rows(reader);
		state = verify_listing(run, run->driver->list_open(run->target, run->place));
	}
	return state;
}

/* Compares a table with its index. */
VerifyState
verify_table(VerifyRun *run, const VerifyTable *table)
{
	VerifyState state = verify_table_begin(run, table);

	if (state == VERIFY_READY)
		state = verify_all_rows(run);
	if (state == VERIFY_READY)
		state = verify_all_documents(run);
	return verify_table_end(run, state);
}
