/*
 * spill.c
 *		Which dirty keys go to tenancy.backlog, and when.
 *
 * A key in the table is safe, so the slot may go past its commit: a sink that is away or
 * slow, a relation that is refused and a paused tenant hold back neither the WAL nor
 * anybody else.  Little is written at a time, as the lanes have to go on meanwhile.
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "common/guc.h"
#include "common/spi.h"
#include "sync/backlog.h"
#include "sync/backlog_table.h"
#include "sync/hold.h"
#include "sync/pause.h"

#define SPILL_KEYS 5000				 /* at a time */
#define SPILL_LAG (16 * 1024 * 1024) /* bytes of WAL */
#define SPILL_AGE_MS 10000
#define HELD_EVERY_MS 200
#define RETRY_MS 1000

static TimestampTz not_before = 0;		/* a lock could not be had */
static TimestampTz held_not_before = 0; /* held keys come in one by one */

/* Some keys on their way to the table. */
typedef struct Lot
{
	SinkWorker	*worker;
	int			 n;
	DirtyEntry **entries;
} Lot;

/* Writes a lot. */
static void
write_lot(void *arg)
{
	Lot *lot = arg;

	backlog_table_write(lot->worker->driver->name, lot->entries, lot->n);
}

/* Writes keys that were taken and forgets them; false: they are back where they were. */
static bool
spill(Lot *lot)
{
	if (lot->n == 0)
		return false;
	if (!tenancy_tx_try("pg_tenancy: writing keys to the backlog", write_lot, lot))
	{
		for (int i = lot->n - 1; i >= 0; i--)
			dirty_again(lot->worker->dirty, lot->entries[i], false);
		not_before = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RETRY_MS);
		return false;
	}
	backlog_added(lot->entries, lot->n);
	for (int i = 0; i < lot->n; i++)
		dirty_done(lot->worker->dirty, lot->entries[i]);
	return true;
}

/* True if the sink cannot be sent anything for now. */
static bool
is_away(SinkWorker *worker)
{
	const char *error = NULL;

	return worker->paused || worker->driver->health(&error) != SINK_READY;
}

/* How far the keys in memory hold back the WAL: *much bytes of it, *long time. */
static void
look_at_oldest(SinkWorker *worker, bool *much, bool *long_time)
{
	uint64		lsn;
	TimestampTz commit_time;

	*much = *long_time = false;
	if (!dirty_oldest(worker->dirty, &lsn, &commit_time))
		return;
	*much = worker->received > lsn + SPILL_LAG;
	*long_time = TimestampDifferenceExceeds(commit_time, GetCurrentTimestamp(), SPILL_AGE_MS);
}

/* Relations whose keys are not sent for longer than a moment. */
static bool
is_held(Oid relid, Oid schema)
{
	return hold_until(relid, schema) != 0 && hold_is_long(relid, schema);
}

/* Relations whose tenant is paused. */
static bool
is_paused(Oid relid, Oid schema)
{
	return pause_covers(schema);
}

/*
 * Takes keys of held relations: of what is paused at once, of refused relations when they
 * hold back the WAL or a scan's chunk.
 */
static void
take_held(Lot *lot, bool holds_wal)
{
	DirtySet *dirty = lot->worker->dirty;
	bool	  all = holds_wal || dirty_chunk_open(dirty) > 0;

	if ((!all || hold_count() == 0) && !pause_covers_any() && !lot->worker->paused)
		return;
	if (GetCurrentTimestamp() < held_not_before)
		return;
	if (lot->worker->paused)
		lot->n = dirty_take_longest(dirty, SPILL_KEYS, lot->entries);
	else
		lot->n = dirty_take_held(dirty, all ? is_held : is_paused, SPILL_KEYS, lot->entries);
	if (lot->n < SPILL_KEYS)
		held_not_before = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), HELD_EVERY_MS);
}

/* Takes what has to go: what is held; everything if the sink is away; else what is old, or too much. */
static void
take(Lot *lot)
{
	SinkWorker *worker = lot->worker;
	bool		much;
	bool		long_time;

	look_at_oldest(worker, &much, &long_time);
	take_held(lot, much || long_time);
	if (lot->n > 0)
		return;
	if (is_away(worker) && (much || long_time))
		lot->n = dirty_take_longest(worker->dirty, SPILL_KEYS, lot->entries);
	else if (much && long_time)
		lot->n = dirty_take_old(worker->dirty, worker->received - SPILL_LAG / 2, SPILL_KEYS,
								lot->entries);
	if (lot->n == 0 && dirty_memory(worker->dirty) >= (Size) tenancy_dirty_mem * 1024)
		lot->n = dirty_take_longest(worker->dirty, SPILL_KEYS, lot->entries);
}

/*
 * Writes some keys to the table if memory is full or they hold back the WAL; true: there
 * may be more.
 */
bool
backlog_spill(SinkWorker *worker)
{
	Lot	 lot = {.worker = worker};
	bool done;

	if (!worker->streaming || dirty_count(worker->dirty) == 0 || !worker->driver->configured() ||
		(not_before != 0 && GetCurrentTimestamp() < not_before))
		return false;
	not_before = 0;
	lot.entries = palloc(SPILL_KEYS * sizeof(DirtyEntry *));
	take(&lot);
	done = spill(&lot);
	pfree(lot.entries);
	return done;
}
