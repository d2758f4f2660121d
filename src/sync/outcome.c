/*
 * outcome.c
 *		From the outcome of a request back to the dirty set, and to dead letters.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "common/guc.h"
#include "common/spi.h"
#include "sync/batch.h"
#include "sync/dead_letter.h"
#include "sync/hold.h"
#include "sync/places.h"
#include "sync/samples.h"
#include "sync/target.h"

#define RACE_ATTEMPTS 3

/* True if the sink holds a version that was never issued. */
static bool
version_regressed(SinkWorker *worker, const SinkItem *item)
{
	uint64 issued = ((uint64) worker->epoch << 52) | GetFlushRecPtr(NULL);

	return item->stored_version > Max(issued, item->version);
}

/* Shows and says, once, that the sink holds what was never issued. */
static void
alarm_regressed(SinkWorker *worker, const SinkItem *item)
{
	if (worker->regressed)
		return;
	worker->regressed = true;
	ereport(WARNING, (errcode(ERRCODE_DATA_EXCEPTION),
					  errmsg("index \"%s\" has a document with version " UINT64_FORMAT
							 ", which this database never gave",
							 item->target && item->target->alias ? item->target->alias : "",
							 item->stored_version),
					  errhint("If the database went back in time, call tenancy.raise_epoch().")));
}

/* True if an item ended for good; *dead: with a dead letter. */
static bool
is_over(SinkWorker *worker, SyncLane *lane, SinkItem *item, bool *dead)
{
	*dead = false;
	switch (item->outcome)
	{
		case SINK_DONE:
			return true;
		case SINK_CONFLICT:
			*dead = version_regressed(worker, item);
			if (*dead)
				alarm_regressed(worker, item);
			return true;
		case SINK_REFUSED:
			*dead =
				!item->raced || lane->entries[item - lane->batch.items]->attempts >= RACE_ATTEMPTS;
			return *dead;
		case SINK_TOO_LARGE:
			*dead = lane->batch.nitems == 1;
			return *dead;
		default:
			return false;
	}
}

/* Counts what an item came to. */
static void
count_item(SinkShared *shared, const SinkItem *item, bool over, bool dead)
{
	if (!over)
		pg_atomic_fetch_add_u64(&shared->retries, 1);
	else if (dead)
		pg_atomic_fetch_add_u64(&shared->dead, 1);
	else if (item->outcome == SINK_CONFLICT)
		pg_atomic_fetch_add_u64(&shared->conflicts, 1);
	else
		pg_atomic_fetch_add_u64(item->action == SINK_PUT ? &shared->docs : &shared->deletes, 1);
}

/* True if an item ended for good and has a dead letter to be written (*dead) or removed. */
static bool
has_letter(SinkWorker *worker, SyncLane *lane, int i, bool *dead)
{
	return is_over(worker, lane, &lane->batch.items[i], dead) &&
		   (*dead || dead_letter_known(worker, lane->entries[i]));
}

/* A batch whose dead letters are written. */
typedef struct Letters
{
	SinkWorker *worker;
	SyncLane   *lane;
	int			removed;
} Letters;

/* Writes the dead letters of a batch and removes those that its rows had. */
static void
write_letters(void *arg)
{
	Letters	 *letters = arg;
	SyncLane *lane = letters->lane;

	for (int i = 0; i < lane->batch.nitems; i++)
	{
		SinkItem *item = &lane->batch.items[i];
		bool	  dead;

		if (!has_letter(letters->worker, lane, i, &dead))
			continue;
		if (dead)
			dead_letter_write(letters->worker, lane->entries[i],
							  item->target ? item->target->tenant_id : 0, item->status,
							  item->reason, item->version);
		else if (dead_letter_remove(letters->worker, lane->entries[i]))
			letters->removed++;
	}
}

/* True if an item has a letter. */
static bool
any_letter(SinkWorker *worker, SyncLane *lane)
{
	bool dead;

	for (int i = 0; i < lane->batch.nitems; i++)
		if (has_letter(worker, lane, i, &dead))
			return true;
	return false;
}

/* Brings the dead letters of a batch up to date; false: not now, somebody has locked them. */
static bool
settle_dead_letters(SinkWorker *worker, SyncLane *lane)
{
	Letters letters = {.worker = worker, .lane = lane};

	if (!any_letter(worker, lane))
		return true;
	if (!tenancy_tx_try("pg_tenancy: writing dead letters", write_letters, &letters))
		return false;
	pg_atomic_fetch_sub_u64(&worker->shared->dead, letters.removed);
	for (int i = 0; i < lane->batch.nitems; i++)
	{
		bool dead;

		if (has_letter(worker, lane, i, &dead) && !dead)
			dead_letter_forget(worker, lane->entries[i]);
	}
	return true;
}

/* Tells the sink about indices that are missing, once per run of items. */
static void
report_missing(SinkWorker *worker, SyncLane *lane)
{
	const SinkPlace *told = NULL;

	for (int i = 0; i < lane->batch.nitems; i++)
	{
		SinkItem *item = &lane->batch.items[i];

		if (item->outcome != SINK_NO_INDEX || item->place == told)
			continue;
		told = item->place;
		if (worker->driver->place_missing != NULL)
			worker->driver->place_missing(told);
		dirty_park(worker->dirty, item->target->relid,
				   TimestampTzPlusMilliseconds(GetCurrentTimestamp(), PARK_NO_INDEX_MS));
	}
	if (told != NULL)
		target_flush(); /* one that does not serve is no place before it is there again */
}

/* Shows why a batch, or one of its items, did not get in. */
static void
report_error(SinkWorker *worker, const SinkBatch *batch)
{
	if (batch->error[0] != '\0')
	{
		worker_set_error(&worker->shared->worker, batch->error);
		return;
	}
	for (int i = batch->nitems - 1; i >= 0; i--)
		if (batch->items[i].outcome != SINK_DONE && batch->items[i].outcome != SINK_CONFLICT &&
			batch->items[i].outcome != SINK_ELSEWHERE)
		{
			worker_set_error(&worker->shared->worker, batch->items[i].reason);
			return;
		}
}

/* Ends one item of an answered batch; letters: the batch's dead letters could be written. */
static void
finish_item(SinkWorker *worker, SyncLane *lane, int i, bool letters)
{
	SinkItem   *item = &lane->batch.items[i];
	DirtyEntry *entry = lane->entries[i];
	bool		dead;
	bool		has;
	bool		over;

	if (item->outcome == SINK_ELSEWHERE)
	{
		dirty_again(worker->dirty, entry, false);
		return;
	}
	has = has_letter(worker, lane, i, &dead);
	over = has ? letters : is_over(worker, lane, item, &dead);
	count_item(worker->shared, item, over, dead);
	worker->denied |= item->outcome == SINK_DENIED;
	if (over)
	{
		if (worker->kind == SINK_CACHE)
			samples_note(worker->database, item);
		dirty_done(worker->dirty, entry);
		return;
	}
	dirty_again(worker->dirty, entry, true);
	if (has)
		dirty_park(worker->dirty, entry->relid,
				   TimestampTzPlusMilliseconds(GetCurrentTimestamp(), PARK_LETTER_MS));
}

/* Takes an answered batch apart. */
void
batch_finish(SinkWorker *worker, SyncLane *lane)
{
	SinkBatch *batch = &lane->batch;
	int		   faults;
	bool	   letters;

	places_fold(worker, lane);
	faults = hold_judge(worker, lane);
	worker->denied = false;
	letters = settle_dead_letters(worker, lane);
	worker->regressed &= hash_get_num_entries(worker->dead) > 0;
	for (int i = batch->nitems - 1; i >= 0; i--)
		finish_item(worker, lane, i, letters);
	report_error(worker, batch);
	report_missing(worker, lane);
	pace_ended(worker, lane, faults);
	lane->busy = false;
	MemoryContextReset(lane->context);
}

/*
 * True if no request is under way that was started as number `fence` or before: it
 * could still bring a document that has no row any more.
 */
bool
batch_all_after(SinkWorker *worker, uint64 fence)
{
	for (int i = 0; i < worker->nlanes; i++)
		if (worker->lanes[i].busy && worker->lanes[i].batch_number <= fence)
			return false;
	return true;
}
