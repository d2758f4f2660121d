/*
 * resync.c
 *		Marks every row of a table dirty, chunk by chunk, as tenancy.resync asks.
 *
 * The position moves on in tenancy.resync only when the sink agrees about every
 * key of the chunk, so a crash repeats one chunk at the most.  Afterwards every
 * document of the index is looked at too, so that those without a row go.
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "common/guc.h"
#include "common/spi.h"
#include "sync/batch.h"
#include "sync/hold.h"
#include "sync/key.h"
#include "sync/resync.h"
#include "sync/resync_barrier.h"
#include "sync/resync_scan.h"
#include "sync/target.h"

#define CHUNK_KEYS 5000
#define CHUNK_GROWS_MS 5000 /* a longer one would be repeated after a crash */
#define PAUSE_MS 1000
#define BARRIER_MS 20

bool resync_may_be_blocked = true; /* a row may be in phase "blocked" */

static bool		   wanted = true;  /* tenancy.resync has, or may have, something to do */
static bool		   active = false; /* resync is about a table */
static bool		   unblock = true; /* put blocked rows back */
static uint64	   behind = 0;	   /* LSN that has to have come before a scan */
static TimestampTz not_before = 0;
static Resync	   resync;
static TimestampTz throttled_until = 0;		   /* tenancy.resync_rate */
static int		   barrier_pause = BARRIER_MS; /* before the barriers are looked at again */
static bool		   barred = false;			   /* a table waits for its barrier */
static int64	   skip = 0;				   /* rows that were looked at in vain */

/* Look at tenancy.resync again. */
void
resync_wake(void)
{
	wanted = true;
	not_before = 0;
}

/* A table's shape changed: those that could not be synced may be able to now. */
void
resync_unblock(void)
{
	if (!resync_may_be_blocked)
		return;
	unblock = true;
	wanted = true;
}

/* tenancy.resync changed: look at it when the present pause is over. */
void
resync_look(void)
{
	wanted = true;
}

/*
 * Keeps every scan back until all up to lsn has come.  A row's version is how much has come when
 * it is marked: after a crash that may be less than an earlier process had, whose documents would
 * then refuse ours.
 */
void
resync_after(uint64 lsn)
{
	behind = lsn;
}

/* When the present pause is over, 0: there is none. */
TimestampTz
resync_due(void)
{
	if (throttled_until > Max(not_before, GetCurrentTimestamp()))
		return throttled_until;
	return not_before;
}

/* True if there is, or may be, a table to be done. */
bool
resync_pending(void)
{
	return wanted || active;
}

/* Goes on after a pause. */
static void
pause_scan(void)
{
	not_before = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), PAUSE_MS);
}

/* No table can be worked on: looks again after a pause, soon if old transactions are in the way. */
static void
pause_choice(void)
{
	barrier_pause = barred ? Min(2 * barrier_pause, PAUSE_MS) : BARRIER_MS;
	not_before =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), barred ? barrier_pause : PAUSE_MS);
}

/* Ends the ghost phase's listing. */
static void
close_listing(SinkWorker *worker)
{
	if (resync.listing != NULL)
		worker->driver->list_close(resync.listing);
	resync.listing = NULL;
}

/* Lets go of the active table; its row says where to go on. */
static void
deactivate(SinkWorker *worker)
{
	close_listing(worker);
	active = false;
	wanted = true;
}

/* The open chunk is done: writes how far the scan is. */
static void
save_position(SinkWorker *worker)
{
	Datum position;

	if (resync.given == 0)
		return;
	position = PointerGetDatum(key_to_array(resync.position.data, resync.position.len));
	resync_row_change(
		&resync.row,
		"UPDATE tenancy.resync"
		" SET last_key = $5, rows_done = rows_done + $6, last_error = NULL WHERE " RESYNC_THIS_ROW,
		TEXTARRAYOID, position, resync.given);
	resync.given = 0;
}

/* The table is done: takes its row away, unless more became dirty meanwhile. */
static void
end_table(void)
{
	resync_row_change(&resync.row,
					  "UPDATE tenancy.resync SET phase = again, again = NULL, last_key = NULL,"
					  "  rows_done = 0, started_at = NULL, postponed_at = NULL, fresh = false,"
					  "  requested_at = pg_catalog.clock_timestamp()"
					  " WHERE " RESYNC_THIS_ROW " AND again IS NOT NULL",
					  InvalidOid, (Datum) 0, 0);
	if (SPI_processed == 0)
		resync_row_change(&resync.row, "DELETE FROM tenancy.resync WHERE " RESYNC_THIS_ROW,
						  InvalidOid, (Datum) 0, 0);
}

/* The phase is over: starts the next one, or ends the table. */
static void
end_phase(SinkWorker *worker)
{
	bool filled = !resync.ghosts && worker->driver->list_open != NULL;
	bool list = filled && !resync_row_is_fresh(&resync.row);

	deactivate(worker);
	if (filled && worker->kind == SINK_SEARCH)
		resync_row_filled(&resync.row);
	if (resync.gone)
		resync_row_table_gone(&resync.row);
	if (!list)
		end_table();
	else
		resync_row_change(
			&resync.row,
			"UPDATE tenancy.resync SET phase = 'ghosts', last_key = NULL WHERE " RESYNC_THIS_ROW,
			InvalidOid, (Datum) 0, 0);
}

/* Brings the active row up to date; false: not now. */
static bool
settle(SinkWorker *worker)
{
	SpiScope scope;
	RowLock	 lock;

	if (!active || (resync.given == 0 && !resync.at_end))
		return true;
	tenancy_spi_begin_as_owner(&scope);
	lock = resync_row_lock(&resync.row);
	if (lock == ROW_LOCKED_BY_US)
	{
		save_position(worker);
		if (resync.at_end)
			end_phase(worker);
	}
	else if (lock == ROW_GONE)
		deactivate(worker);
	tenancy_spi_end(&scope);
	if (lock == ROW_BUSY)
		pause_scan();
	return lock != ROW_BUSY;
}

/* Makes the buffers, once. */
static void
make_buffers(void)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	if (resync.position.data == NULL)
	{
		initStringInfo(&resync.position);
		initStringInfo(&resync.keys);
	}
	MemoryContextSwitchTo(old);
}

/* Makes a row of the query below the active one. */
static void
activate(SinkWorker *worker, int row)
{
	bool  isnull;
	Datum position;

	make_buffers();
	resync.row.sink = worker->driver->name;
	resync.row.tenant_id = tenancy_spi_int64(row, 1);
	strlcpy(resync.row.table_name, tenancy_spi_text(row, 2), NAMEDATALEN);
	resync.ghosts = strcmp(tenancy_spi_text(row, 3), "ghosts") == 0;
	resetStringInfo(&resync.position);
	position = tenancy_spi_datum(row, 4, &isnull);
	if (!isnull)
		key_from_array(&resync.position, DatumGetArrayTypeP(position));
	resync.row.requested_at = DatumGetTimestampTz(tenancy_spi_datum(row, 6, &isnull));
	resync.given = resync.read = 0;
	resync.at_end = false;
	resync.gone = false;
	resync.place = 0;
	resync.barrier = resync_barrier(&resync.row);
	resync.fence = worker->batches;
}

/* Takes the barrier of a row of the query below. */
static void
note_seen(int row)
{
	ResyncRow seen = {.tenant_id = tenancy_spi_int64(row, 1)};
	bool	  isnull;

	strlcpy(seen.table_name, tenancy_spi_text(row, 2), NAMEDATALEN);
	seen.requested_at = DatumGetTimestampTz(tenancy_spi_datum(row, 6, &isnull));
	(void) resync_barrier(&seen);
}

/*
 * True if every transaction that was running when the table was chosen has ended.  Such a
 * one may have changed rows before the table was synced: capture did not know it then,
 * and a scan does not see them before they are committed.
 */
static bool
barrier_passed(TransactionId oldest)
{
	return resync.position.len > 0 || !TransactionIdPrecedes(oldest, resync.barrier);
}

/*
 * True if a row of the query below can be worked on: it becomes the active one.  oldest: first
 * transaction that runs.
 */
static bool
try_row(SinkWorker *worker, int row, TransactionId oldest)
{
	const SinkTarget *target;

	activate(worker, row);
	resync.relid = (Oid) tenancy_spi_int64(row, 5);
	resync.schema = OidIsValid(resync.relid) ? get_rel_namespace(resync.relid) : InvalidOid;
	target = OidIsValid(resync.relid) ? target_find(resync.relid) : NULL;
	if (target == NULL)
		resync.at_end = resync.ghosts = resync.gone = true; /* only the documents have to go */
	else if (!resync.ghosts && !barrier_passed(oldest))
	{
		barred = true;
		return false;
	}
	return target == NULL ||
		   (!hold_keeps_scan(resync.relid, resync.schema) &&
			(worker->driver->target_ready == NULL || worker->driver->target_ready(target)));
}

/* Notes when the work on the active row began. */
static void
note_start(void)
{
	if (resync_row_lock(&resync.row) == ROW_LOCKED_BY_US)
		resync_row_change(&resync.row,
						  "UPDATE tenancy.resync SET started_at = pg_catalog.clock_timestamp()"
						  " WHERE started_at IS NULL AND " RESYNC_THIS_ROW,
						  InvalidOid, (Datum) 0, 0);
}

/*
 * Chooses the next table whose target is ready, those with unready indices last.  Where none of
 * many is, others are next; those that wait for a barrier again, as those of very many are lost.
 */
static bool
choose(SinkWorker *worker)
{
	TransactionId oldest = GetOldestActiveTransactionId();
	SpiScope	  scope;
	bool		  chosen = false;

	resync.row.sink = NULL;
	tenancy_spi_begin_as_owner(&scope);
	if (unblock)
		unblock = resync_may_be_blocked = resync_row_unblock(worker->driver->name);
	resync_row_list(worker->driver->name, skip);
	wanted = SPI_processed > 0 || unblock || skip > 0;
	barred = false;
	for (uint64 row = 0; row < SPI_processed; row++)
		note_seen(row);
	for (uint64 row = 0; row < SPI_processed && !chosen; row++)
		chosen = try_row(worker, row, oldest);
	skip = chosen || barred || SPI_processed < RESYNC_LIST_MOST ? 0 : skip + RESYNC_LIST_MOST;
	if (chosen)
		note_start();
	tenancy_spi_end(&scope);
	return chosen;
}

/* The table cannot be gone on with now: others go first.  Needs a transaction. */
static void
put_last(SinkWorker *worker, const char *reason)
{
	SpiScope scope;

	tenancy_spi_begin_as_owner(&scope);
	if (resync_row_lock(&resync.row) == ROW_LOCKED_BY_US)
		resync_row_change(&resync.row,
						  "UPDATE tenancy.resync SET last_error = $5,"
						  " postponed_at = pg_catalog.clock_timestamp() WHERE " RESYNC_THIS_ROW,
						  TEXTOID, CStringGetTextDatum(reason), 0);
	tenancy_spi_end(&scope);
	deactivate(worker);
	pause_scan();
}

/* What a look at the active table came to; needs a transaction. */
static void
take_result(SinkWorker *worker, ScanResult result)
{
	if (result == SCAN_LOCKED)
		put_last(worker, "the table is locked");
	else if (result == SCAN_BLOCKED)
		deactivate(worker);
}

/* Starts listing the active table's documents; false: not yet. */
static bool
open_listing(SinkWorker *worker)
{
	const SinkTarget *target;

	if (!batch_all_after(worker, resync.fence))
		return false;
	tenancy_tx_begin("pg_tenancy: looking for documents without a row");
	tenancy_tx_bound_locks();
	target = target_find(resync.relid);
	if (target != NULL && (target->alias != NULL || worker->kind != SINK_SEARCH))
		resync_open_place(worker, &resync, target);
	tenancy_tx_commit();
	resync.at_end = resync.listing == NULL;
	resync.gone = target == NULL;
	resync.fence = worker->batches;
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
	if (result == SINK_LIST_END)
	{
		close_listing(worker);
		resync.at_end = ++resync.place >= resync.nplaces;
	}
	if (result == SINK_LIST_PAGE)
	{
		tenancy_tx_begin("pg_tenancy: looking for documents without a row");
		tenancy_tx_bound_locks();
		take_result(worker, resync_scan_page(worker, &resync));
		tenancy_tx_commit();
	}
	if (result == SINK_LIST_FAILED)
	{
		tenancy_tx_begin("pg_tenancy: putting a resync off");
		put_last(worker, "the documents of the index could not be listed");
		tenancy_tx_commit();
	}
	return result == SINK_LIST_PAGE || result == SINK_LIST_END;
}

/* Most rows of a chunk: with a limit, about those of a tenth of a second. */
static int
chunk_size(void)
{
	return tenancy_resync_rate == 0 ? CHUNK_KEYS
									: Min(CHUNK_KEYS, Max(1, tenancy_resync_rate / 10));
}

/* Keeps the next chunk back as long as tenancy.resync_rate says. */
static void
throttle(void)
{
	if (tenancy_resync_rate == 0 || resync.read == 0)
		return;
	throttled_until = Max(throttled_until, GetCurrentTimestamp());
	throttled_until += resync.read * USECS_PER_SEC / tenancy_resync_rate;
}

/*
 * True if the open chunk may grow: lanes would run dry at the end of each small one.  It is nearly
 * worked off, and not so old that its position should be saved first.
 */
static bool
chunk_may_grow(SinkWorker *worker)
{
	return active && !resync.ghosts && !resync.at_end && resync.given > 0 &&
		   dirty_chunk_open(worker->dirty) <= CHUNK_KEYS &&
		   !hold_keeps_scan(resync.relid, resync.schema) &&
		   dirty_memory(worker->dirty) < (Size) tenancy_dirty_mem * 1024 / 8 &&
		   !TimestampDifferenceExceeds(resync.opened_at, GetCurrentTimestamp(), CHUNK_GROWS_MS);
}

/* Lets the open chunk be worked off before more is read: its position must be saved first. */
static void
stop_growing(void)
{
	resync.opened_at = 0;
}

/* Adds rows to the open chunk; needs a transaction. */
static void
grow_chunk(SinkWorker *worker)
{
	if (resync_scan_rows(worker, &resync, chunk_size()) != SCAN_DONE)
		stop_growing();
	throttle();
}

/* Reads the first rows of a chunk of the active table and marks them; needs a transaction. */
static void
next_rows(SinkWorker *worker)
{
	resync.opened_at = GetCurrentTimestamp();
	take_result(worker, resync_scan_rows(worker, &resync, chunk_size()));
	throttle();
}

/*
 * True if the documents of a table that is gone may go: no request is under way that was
 * started when it was there.
 */
static bool
may_end(SinkWorker *worker)
{
	if (!active || !resync.gone || batch_all_after(worker, resync.fence))
		return true;
	not_before = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), BARRIER_MS);
	return false;
}

/* One step: bookkeeping, then the next table or the next rows; true: again soon. */
static bool
step(SinkWorker *worker)
{
	if (!may_end(worker))
		return false;
	tenancy_tx_begin("pg_tenancy: marking rows of a resync");
	tenancy_tx_bound_locks();
	if (dirty_chunk_open(worker->dirty) > 0)
		grow_chunk(worker);
	else if (!settle(worker))
		;
	else if (!active)
	{
		active = choose(worker);
		if (active)
			barrier_pause = BARRIER_MS;
		else if (wanted)
			pause_choice();
	}
	else if (hold_keeps_scan(resync.relid, resync.schema))
		put_last(worker, "the server takes none of its rows");
	else if (!resync.ghosts && !resync.at_end)
		next_rows(worker);
	tenancy_tx_commit();
	return not_before == 0 && (active || wanted);
}

/* Puts the table at hand last, if the error was not met before there was one. */
static void
put_off(void *arg)
{
	if (resync.row.sink != NULL)
		put_last(arg, "");
	deactivate(arg);
	pause_scan();
}

/* The scan met an error: shows it, and lets other tables go first. */
static void
note_error(SinkWorker *worker, const char *message)
{
	tenancy_tx_abort();
	target_flush(); /* what was noted in the transaction is rolled back */
	unblock = resync_may_be_blocked = true;
	worker_set_error(&worker->shared->worker, message);
	if (dirty_chunk_open(worker->dirty) > 0)
		stop_growing();
	else if (!tenancy_tx_try("pg_tenancy: putting a resync off", put_off, worker))
	{
		deactivate(worker);
		pause_scan();
	}
}

/*
 * A process without transactions hears of no change of shape: has one now and then while a
 * table waits for such a change.
 */
static void
listen_for_changes(void)
{
	static TimestampTz listened_at = 0;

	if (!resync_may_be_blocked || wanted ||
		!TimestampDifferenceExceeds(listened_at, GetCurrentTimestamp(), PAUSE_MS))
		return;
	listened_at = GetCurrentTimestamp();
	tenancy_tx_begin("pg_tenancy: looking whether a table can be synced now");
	tenancy_tx_commit();
}

/* True if there is something to do now. */
static bool
is_due(SinkWorker *worker)
{
	listen_for_changes();
	return (wanted || active) && worker->enabled && worker->received >= behind &&
		   (dirty_chunk_open(worker->dirty) == 0 || chunk_may_grow(worker)) &&
		   GetCurrentTimestamp() >= Max(not_before, throttled_until);
}

/* Goes on with resyncs if the last chunk is done; true: call again soon. */
bool
resync_pump(SinkWorker *worker)
{
	MemoryContext old = CurrentMemoryContext;
	volatile bool again = false;

	if (!is_due(worker))
		return false;
	not_before = 0;
	PG_TRY();
	{
		if (active && resync.ghosts && !resync.at_end &&
			!hold_keeps_scan(resync.relid, resync.schema))
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
