/*
 * backlog.c
 *		Dirty keys that do not fit into memory: they go to tenancy.backlog.
 *
 * A key in the table is safe, so the slot may go past its commit, and a sink that is
 * down holds back neither the WAL nor the other sink.  Keys come back chunk by chunk; a
 * chunk is deleted only when the sink agrees about every key of it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "common/guc.h"
#include "common/spi.h"
#include "sync/backlog.h"

#define SPILL_KEYS 5000				 /* per statement */
#define SPILL_LAG (16 * 1024 * 1024) /* bytes of WAL */
#define CHUNK_KEYS 5000				 /* at most; less where the memory is small */
#define KEY_BYTES 256				 /* about what a key takes in memory */

static uint64 count = 0;   /* keys in the table */
static int64  last_id = 0; /* of the open chunk, 0: none is open */
static uint64 chunk = 0;   /* keys of the open chunk */

/* Number of keys in the table. */
uint64
backlog_count(void)
{
	return count;
}

/* Runs a statement about this sink's keys: $1 sink, $2 id. */
static void
exec_for_sink(SinkWorker *worker, const char *sql, int64 id)
{
	Oid	  types[2] = {TEXTOID, INT8OID};
	Datum values[2] = {CStringGetTextDatum(worker->driver->name), Int64GetDatum(id)};

	tenancy_spi_exec(sql, 2, types, values, NULL);
}

/* Counts what an earlier process left, when the worker starts. */
void
backlog_load(SinkWorker *worker)
{
	SpiScope scope;

	tenancy_tx_begin("pg_tenancy: counting the backlog");
	tenancy_spi_begin_as_owner(&scope);
	exec_for_sink(worker, "SELECT count(*) FROM tenancy.backlog WHERE sink = $1 AND id > $2", 0);
	count = (uint64) tenancy_spi_int64(0, 1);
	tenancy_spi_end(&scope);
	tenancy_tx_commit();
}

/* Forgets everything: the sink is switched off.  Needs a transaction. */
void
backlog_clear(SinkWorker *worker)
{
	SpiScope scope;

	tenancy_spi_begin_as_owner(&scope);
	exec_for_sink(worker, "DELETE FROM tenancy.backlog WHERE sink = $1 AND id > $2", 0);
	tenancy_spi_end(&scope);
	count = 0;
	last_id = 0;
}

/* An array of n values. */
static Datum
make_array(Datum *values, int n, Oid type, int length, bool by_value, char align)
{
	return PointerGetDatum(construct_array(values, n, type, length, by_value, align));
}

/* A key as bytea. */
static Datum
key_bytea(const DirtyEntry *entry)
{
	bytea *value = palloc(VARHDRSZ + entry->key_length);

	SET_VARSIZE(value, VARHDRSZ + entry->key_length);
	memcpy(VARDATA(value), entry->key, entry->key_length);
	return PointerGetDatum(value);
}

/* Writes n keys in the order in which they were taken. */
static void
write_keys(SinkWorker *worker, DirtyEntry **entries, int n)
{
	static SPIPlanPtr plan = NULL;
	Oid				  types[4] = {TEXTOID, INT2ARRAYOID, OIDARRAYOID, BYTEAARRAYOID};
	Datum			  values[4];
	Datum			 *kinds = palloc(n * sizeof(Datum));
	Datum			 *relids = palloc(n * sizeof(Datum));
	Datum			 *keys = palloc(n * sizeof(Datum));
	SpiScope		  scope;

	for (int i = 0; i < n; i++)
	{
		kinds[i] = Int16GetDatum(entries[i]->kind);
		relids[i] = ObjectIdGetDatum(entries[i]->relid);
		keys[i] = key_bytea(entries[i]);
	}
	values[0] = CStringGetTextDatum(worker->driver->name);
	values[1] = make_array(kinds, n, INT2OID, 2, true, TYPALIGN_SHORT);
	values[2] = make_array(relids, n, OIDOID, 4, true, TYPALIGN_INT);
	values[3] = make_array(keys, n, BYTEAOID, -1, false, TYPALIGN_INT);
	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec_saved(&plan,
						   "INSERT INTO tenancy.backlog (sink, kind, relid, key)"
						   " SELECT $1, u.kind, u.relid, u.key"
						   " FROM unnest($2, $3, $4) WITH ORDINALITY u(kind, relid, key, n)"
						   " ORDER BY u.n",
						   4, types, values, NULL);
	tenancy_spi_end(&scope);
}

/* Takes up to n waiting keys of any lane. */
static int
take_waiting(SinkWorker *worker, DirtyEntry **entries, int n)
{
	int taken = 0;

	dirty_unpark_all(worker->dirty);
	for (int lane = 0; lane < worker->nlanes; lane++)
		taken += dirty_take(worker->dirty, lane, n - taken, entries + taken);
	return taken;
}

/* Writes one lot of waiting keys and forgets them; false if there are none. */
static bool
spill_lot(SinkWorker *worker)
{
	DirtyEntry **entries = palloc(SPILL_KEYS * sizeof(DirtyEntry *));
	int			 n = take_waiting(worker, entries, SPILL_KEYS);

	if (n == 0)
		return false;
	tenancy_tx_begin("pg_tenancy: writing keys to the backlog");
	write_keys(worker, entries, n);
	tenancy_tx_commit();
	for (int i = 0; i < n; i++)
		dirty_done(worker->dirty, entries[i]);
	count += n;
	pfree(entries);
	return true;
}

/* True if the sink takes nothing and its keys keep much WAL. */
static bool
holds_back_wal(SinkWorker *worker)
{
	const char *error = NULL;
	uint64		lsn;
	TimestampTz commit_time;

	return worker->streaming && worker->driver->configured() &&
		   worker->driver->health(&error) != SINK_READY &&
		   dirty_oldest(worker->dirty, &lsn, &commit_time) && worker->received > lsn + SPILL_LAG;
}

/*
 * Makes room when memory is full, or lets go of WAL when the sink is away.  An error here ends the process, and the keys
 * are decoded again.
 */
void
backlog_spill(SinkWorker *worker)
{
	Size limit = (Size) tenancy_dirty_mem * 1024;
	Size keep = limit / 2;

	if (holds_back_wal(worker))
		keep = 0;
	else if (dirty_memory(worker->dirty) < limit)
		return;
	while (dirty_memory(worker->dirty) > keep && spill_lot(worker))
		CHECK_FOR_INTERRUPTS();
}

/* Marks a row of the query below. */
static void
mark_row(SinkWorker *worker, int row)
{
	bool	 isnull;
	bytea	*key = DatumGetByteaPP(tenancy_spi_datum(row, 4, &isnull));
	DirtyKey dirty = {.kind = (DirtyKind) tenancy_spi_int64(row, 2),
					  .relid = (Oid) tenancy_spi_int64(row, 3),
					  .key = VARDATA_ANY(key),
					  .key_length = VARSIZE_ANY_EXHDR(key),
					  .lsn = worker->received,
					  .commit_time = GetCurrentTimestamp(),
					  .chunk = true};

	dirty_mark(worker->dirty, &dirty);
}

/* Deletes the chunk that is done. */
static void
delete_chunk(SinkWorker *worker)
{
	if (last_id == 0)
		return;
	exec_for_sink(worker, "DELETE FROM tenancy.backlog WHERE sink = $1 AND id <= $2", last_id);
	count -= Min(count, chunk);
	last_id = 0;
}

/* Reads the next chunk and marks its keys. */
static void
read_chunk(SinkWorker *worker)
{
	exec_for_sink(worker,
				  "SELECT id, kind::bigint, relid::bigint, key FROM tenancy.backlog"
				  " WHERE sink = $1 ORDER BY id LIMIT $2",
				  Min(CHUNK_KEYS, (int64) tenancy_dirty_mem * 1024 / 8 / KEY_BYTES));
	chunk = SPI_processed;
	for (uint64 row = 0; row < chunk; row++)
		mark_row(worker, row);
	if (chunk > 0)
		last_id = tenancy_spi_int64(chunk - 1, 1);
	else
		count = 0;
}

/* Brings keys back when the sink can take them; true: call again soon. */
bool
backlog_pump(SinkWorker *worker)
{
	SpiScope scope;

	if (count == 0 || !worker->enabled || dirty_chunk_open(worker->dirty) > 0 ||
		dirty_memory(worker->dirty) > (Size) tenancy_dirty_mem * 1024 / 4)
		return false;
	tenancy_tx_begin("pg_tenancy: reading the backlog");
	tenancy_spi_begin_as_owner(&scope);
	delete_chunk(worker);
	if (count > 0)
		read_chunk(worker);
	tenancy_spi_end(&scope);
	tenancy_tx_commit();
	return true;
}
