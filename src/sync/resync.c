/*
 * resync.c
 *		Marks every row of a table dirty, chunk by chunk, as tenancy.resync asks.
 *
 * The position moves on in tenancy.resync only when the sink agrees about every
 * key of the chunk, so a crash repeats one chunk at the most.  Afterwards every
 * document of the index is marked too, so that those without a row go.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "common/spi.h"
#include "sync/key.h"
#include "sync/resync.h"
#include "sync/row_reader.h"
#include "sync/sink_worker.h"
#include "sync/target.h"

#define CHUNK_KEYS 5000
#define PAUSE_MS 1000

/* The table that is being scanned. */
typedef struct Resync
{
	int64		   tenant_id;
	char		   table_name[NAMEDATALEN];
	TimestampTz	   requested_at; /* another one: it was asked for again meanwhile */
	Oid			   relid;
	bool		   ghosts;	 /* phase */
	StringInfoData position; /* last one given out, empty: none */
	int64		   given;	 /* rows of the open chunk */
	bool		   at_end;	 /* the phase gave all it has */
	SinkListing	  *listing;
	uint64		   fence; /* batches up to this number must have ended first */
	StringInfoData keys;  /* of the chunk */
} Resync;

static bool		   wanted = true;
static bool		   active = false;
static TimestampTz not_before = 0;
static Resync	   resync;

/* Look at tenancy.resync again. */
void
resync_wake(void)
{
	wanted = true;
	not_before = 0;
}

/* True if there is, or may be, a table to be done. */
bool
resync_pending(void)
{
	return wanted || active;
}

/* Asks for every synced table of every tenant; needs a transaction. */
void
resync_request_all(const char *sink)
{
	Oid		 types[1] = {TEXTOID};
	Datum	 values[1] = {CStringGetTextDatum(sink)};
	SpiScope scope;

	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec("SELECT tenancy.request_resync($1, NULL, NULL, NULL)", 1, types, values, NULL);
	tenancy_spi_end(&scope);
}

/* Asks to look for documents without a row in a target; needs a transaction. */
void
resync_request_ghosts(const SinkTarget *target)
{
	Oid		 types[2] = {INT8OID, NAMEOID};
	Datum	 values[2];
	NameData table;
	char	*name = get_rel_name(target->relid);
	SpiScope scope;

	if (name == NULL)
		return;
	namestrcpy(&table, name);
	values[0] = Int64GetDatum(target->tenant_id);
	values[1] = NameGetDatum(&table);
	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec("INSERT INTO tenancy.resync AS r (sink, tenant_id, table_name, phase)"
					 " VALUES ('search', $1, $2, 'ghosts')"
					 " ON CONFLICT (sink, tenant_id, table_name) DO UPDATE"
					 " SET requested_at = pg_catalog.clock_timestamp()",
					 2, types, values, NULL);
	tenancy_spi_end(&scope);
	if (active && resync.ghosts && resync.relid == target->relid)
		active = false;
	resync_wake();
}

/*
 * Runs a statement on the active row of tenancy.resync.  Parameters $1 to $4 name it; if
 * it was asked for again meanwhile it is another row, and nothing happens.
 */
static void
change_row(SinkWorker *worker, const char *sql, Oid type, Datum value, int64 count)
{
	Oid		 types[6] = {TEXTOID, INT8OID, NAMEOID, TIMESTAMPTZOID, type, INT8OID};
	Datum	 values[6];
	char	 nulls[6] = {' ', ' ', ' ', ' ', value ? ' ' : 'n', ' '};
	NameData table;
	SpiScope scope;

	namestrcpy(&table, resync.table_name);
	values[0] = CStringGetTextDatum(worker->driver->name);
	values[1] = Int64GetDatum(resync.tenant_id);
	values[2] = NameGetDatum(&table);
	values[3] = TimestampTzGetDatum(resync.requested_at);
	values[4] = value;
	values[5] = Int64GetDatum(count);
	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec(sql, OidIsValid(type) ? 6 : 4, types, values, nulls);
	tenancy_spi_end(&scope);
}

/* The open chunk is done: writes how far the scan is. */
static void
save_position(SinkWorker *worker)
{
	Datum position = (Datum) 0;

	if (resync.given == 0)
		return;
	if (!resync.ghosts)
		position = PointerGetDatum(key_to_array(resync.position.data, resync.position.len));
	change_row(
		worker,
		"UPDATE tenancy.resync SET last_key = $5, rows_done = rows_done + $6, last_error = NULL"
		" WHERE sink = $1 AND tenant_id = $2 AND table_name = $3 AND requested_at = $4",
		TEXTARRAYOID, position, resync.given);
	resync.given = 0;
}

/* Ends the ghost phase's listing. */
static void
close_listing(SinkWorker *worker)
{
	if (resync.listing != NULL)
		worker->driver->list_close(resync.listing);
	resync.listing = NULL;
}

/* The phase is over: starts the next one, or takes the row away. */
static void
end_phase(SinkWorker *worker)
{
	close_listing(worker);
	active = false;
	if (!resync.ghosts && worker->driver->list_open != NULL)
		change_row(worker,
				   "UPDATE tenancy.resync SET phase = 'ghosts', last_key = NULL"
				   " WHERE sink = $1 AND tenant_id = $2 AND table_name = $3 AND requested_at = $4",
				   InvalidOid, (Datum) 0, 0);
	else
		change_row(worker,
				   "DELETE FROM tenancy.resync"
				   " WHERE sink = $1 AND tenant_id = $2 AND table_name = $3 AND requested_at = $4",
				   InvalidOid, (Datum) 0, 0);
}

/* Makes a row of the query below the active one. */
static void
activate(int row)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	bool		  isnull;
	Datum		  position;

	resync.tenant_id = tenancy_spi_int64(row, 1);
	strlcpy(resync.table_name, tenancy_spi_text(row, 2), NAMEDATALEN);
	resync.ghosts = strcmp(tenancy_spi_text(row, 3), "ghosts") == 0;
	if (resync.position.data == NULL)
	{
		initStringInfo(&resync.position);
		initStringInfo(&resync.keys);
	}
	resetStringInfo(&resync.position);
	position = tenancy_spi_datum(row, 4, &isnull);
	if (!isnull)
		key_from_array(&resync.position, DatumGetArrayTypeP(position));
	resync.requested_at = DatumGetTimestampTz(tenancy_spi_datum(row, 6, &isnull));
	resync.given = 0;
	resync.at_end = false;
	MemoryContextSwitchTo(old);
}

/* Finds the relation of a row of the query below. */
static Oid
relation_of(int row)
{
	Oid schema = get_namespace_oid(tenancy_spi_text(row, 5), true);

	return OidIsValid(schema) ? get_relname_relid(tenancy_spi_text(row, 2), schema) : InvalidOid;
}

/* Chooses the next table whose target is ready; false if there is none now. */
static bool
choose(SinkWorker *worker)
{
	Oid		 types[1] = {TEXTOID};
	Datum	 values[1] = {CStringGetTextDatum(worker->driver->name)};
	SpiScope scope;
	bool	 chosen = false;

	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec(
		"SELECT r.tenant_id, r.table_name, r.phase, r.last_key, t.schema_name, r.requested_at"
		"  FROM tenancy.resync r LEFT JOIN tenancy.tenant t ON t.id = r.tenant_id"
		" WHERE r.sink = $1 ORDER BY r.requested_at LIMIT 100",
		1, types, values, NULL);
	wanted = SPI_processed > 0;
	for (uint64 row = 0; row < SPI_processed && !chosen; row++)
	{
		const SinkTarget *target;

		activate(row);
		resync.relid = tenancy_spi_text(row, 5) ? relation_of(row) : InvalidOid;
		target = OidIsValid(resync.relid) ? target_find(resync.relid) : NULL;
		chosen = target == NULL || worker->driver->target_ready == NULL ||
				 worker->driver->target_ready(target);
	}
	tenancy_spi_end(&scope);
	return chosen;
}

/* Reads the keys of the next rows. */
static void
read_rows(const SinkTarget *target)
{
	RowReader	   *reader;
	RowReaderResult result = row_reader_open(target, &reader);

	resetStringInfo(&resync.keys);
	if (result == ROWS_READY)
		resync.given = row_reader_scan_keys(reader, resync.position.data, resync.position.len,
											CHUNK_KEYS, &resync.keys);
	resync.at_end = result != ROWS_LOCKED && resync.given < CHUNK_KEYS;
	if (result == ROWS_LOCKED)
		not_before = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), PAUSE_MS);
	row_reader_close(reader);
}

/* Marks one key of the chunk. */
static void
mark_key(SinkWorker *worker, const char *key, int key_length)
{
	DirtyKey dirty = {.kind = DIRTY_ROW,
					  .relid = resync.relid,
					  .key = key,
					  .key_length = key_length,
					  .lsn = worker->received,
					  .chunk = true};

	dirty_mark(worker->dirty, &dirty);
}

/* Length of the first n parts at p. */
static int
parts_length(const char *p, int n)
{
	const char *start = p;

	while (n-- > 0)
		p += strlen(p) + 1;
	return p - start;
}

/* Marks the keys of the chunk; in a position the leaf's OID stands before the key. */
static void
mark_chunk(SinkWorker *worker, int nkeys)
{
	const char *p = resync.keys.data;
	const char *end = p + resync.keys.len;

	while (p < end)
	{
		int skip = parts_length(p, 1);
		int length = parts_length(p + skip, nkeys);

		mark_key(worker, p + skip, length);
		resetStringInfo(&resync.position);
		appendBinaryStringInfo(&resync.position, p, skip + length);
		p += skip + length;
	}
}

/* Reads the next rows of the active table and marks them; needs a transaction. */
static void
next_rows(SinkWorker *worker)
{
	const SinkTarget *target = target_find(resync.relid);

	if (target == NULL)
	{
		resync.at_end = resync.ghosts = true;
		return;
	}
	read_rows(target);
	mark_chunk(worker, target->nkeys);
}

/*
 * True if no request is under way that read its rows before the listing was asked for:
 * it could still bring a document that has no row any more.
 */
static bool
fence_passed(SinkWorker *worker)
{
	for (int i = 0; i < worker->nlanes; i++)
		if (worker->lanes[i].busy && worker->lanes[i].batch_number <= resync.fence)
			return false;
	return true;
}

/* Marks the keys of a page that have no row. */
static void
mark_ghosts(SinkWorker *worker, RowReader *reader, int nkeys)
{
	const char *p = resync.keys.data;
	const char *end = p + resync.keys.len;

	while (p < end)
	{
		int length = parts_length(p, nkeys);

		CHECK_FOR_INTERRUPTS();
		if (!row_reader_fetch(reader, p, length, NULL))
			mark_key(worker, p, length);
		p += length;
	}
}

/* The listing cannot go on: it begins anew after a pause. */
static void
put_off(SinkWorker *worker)
{
	close_listing(worker);
	active = false;
	not_before = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), PAUSE_MS);
}

/* Looks for the rows of a page of documents; needs a transaction. */
static void
check_page(SinkWorker *worker)
{
	const SinkTarget *target = target_find(resync.relid);
	RowReader		 *reader;
	RowReaderResult	  result;

	if (target == NULL)
		return;
	result = row_reader_open(target, &reader);
	if (result == ROWS_READY)
		mark_ghosts(worker, reader, target->nkeys);
	row_reader_close(reader);
	if (result == ROWS_LOCKED)
		put_off(worker);
}

/* Starts listing the active table's documents; false: not yet. */
static bool
open_listing(SinkWorker *worker)
{
	const SinkTarget *target;

	if (!fence_passed(worker))
		return false;
	tenancy_tx_begin("pg_tenancy: looking for documents without a row");
	target = target_find(resync.relid);
	if (target != NULL && target->alias != NULL)
		resync.listing = worker->driver->list_open(target);
	tenancy_tx_commit();
	resync.at_end = resync.listing == NULL;
	return true;
}

/* Asks the sink for the next documents of the active table; true: again soon. */
static bool
next_documents(SinkWorker *worker)
{
	SinkListResult result;

	if (resync.listing == NULL)
		return open_listing(worker);
	resetStringInfo(&resync.keys);
	result = worker->driver->list_next(resync.listing, &resync.keys);
	resync.at_end = result == SINK_LIST_END;
	if (result == SINK_LIST_FAILED)
		put_off(worker);
	if (result == SINK_LIST_PAGE)
	{
		tenancy_tx_begin("pg_tenancy: looking for documents without a row");
		check_page(worker);
		tenancy_tx_commit();
	}
	return result == SINK_LIST_PAGE || result == SINK_LIST_END;
}

/* One step inside a transaction: bookkeeping, then rows; true: again soon. */
static bool
step(SinkWorker *worker)
{
	tenancy_tx_begin("pg_tenancy: marking rows of a resync");
	if (active)
		save_position(worker);
	if (active && resync.at_end)
		end_phase(worker);
	if (!active)
	{
		active = choose(worker);
		resync.fence = worker->batches;
	}
	if (active && (!OidIsValid(resync.relid)))
		resync.at_end = resync.ghosts = true;
	else if (active && !resync.ghosts)
		next_rows(worker);
	if (!active && wanted)
		not_before = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), PAUSE_MS);
	tenancy_tx_commit();
	return active;
}

/* The scan met an error: shows it, and lets other tables go first. */
static void
note_error(SinkWorker *worker, const char *message)
{
	tenancy_tx_abort();
	put_off(worker);
	worker_set_error(&worker->shared->worker, message);
	tenancy_tx_begin("pg_tenancy: putting a resync off");
	change_row(worker,
			   "UPDATE tenancy.resync SET last_error = $5, rows_done = rows_done + $6,"
			   " requested_at = pg_catalog.clock_timestamp()"
			   " WHERE sink = $1 AND tenant_id = $2 AND table_name = $3 AND requested_at = $4",
			   TEXTOID, CStringGetTextDatum(message), 0);
	tenancy_tx_commit();
}

/* Goes on with resyncs if the last chunk is done; true: call again soon. */
bool
resync_pump(SinkWorker *worker)
{
	MemoryContext old = CurrentMemoryContext;
	volatile bool again = false;

	if (!(wanted || active) || !worker->enabled || dirty_chunk_open(worker->dirty) > 0 ||
		(not_before != 0 && GetCurrentTimestamp() < not_before))
		return false;
	not_before = 0;
	PG_TRY();
	{
		if (active && resync.ghosts && resync.given == 0 && !resync.at_end)
			again = next_documents(worker);
		else
			again = step(worker);
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(old);
		error = CopyErrorData();
		FlushErrorState();
		note_error(worker, error->message);
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	return again;
}
