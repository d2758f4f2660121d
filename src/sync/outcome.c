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
#include "sync/target.h"

/* Writes the dead letter of an item; opens the transaction at the first one. */
static void
bury(SinkWorker *worker, SyncLane *lane, int i, bool *in_transaction)
{
	SinkItem *item = &lane->batch.items[i];

	if (!*in_transaction)
		tenancy_tx_begin("pg_tenancy: writing dead letters");
	*in_transaction = true;
	dead_letter_write(worker, lane->entries[i], item->target ? item->target->tenant_id : 0,
					  item->status, item->reason, item->version);
}

/* True if the sink holds a version that was never issued. */
static bool
version_regressed(SinkWorker *worker, const SinkItem *item)
{
	uint64 issued = ((uint64) worker->epoch << 52) | GetFlushRecPtr(NULL);

	return item->stored_version > Max(issued, item->version);
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
				worker_set_state(&worker->shared->worker, WORKER_VERSION_REGRESSED);
			return true;
		case SINK_REFUSED:
			*dead = true;
			return true;
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

/* Writes the dead letters of a batch and removes those that its rows had. */
static void
settle_dead_letters(SinkWorker *worker, SyncLane *lane)
{
	bool in_transaction = false;

	for (int i = 0; i < lane->batch.nitems; i++)
	{
		SinkItem *item = &lane->batch.items[i];
		bool	  dead;

		if (!is_over(worker, lane, item, &dead))
			continue;
		if (dead)
			bury(worker, lane, i, &in_transaction);
		else if (dead_letter_known(worker, lane->entries[i]))
		{
			if (!in_transaction)
				tenancy_tx_begin("pg_tenancy: removing dead letters");
			in_transaction = true;
			dead_letter_remove(worker, lane->entries[i]);
		}
	}
	if (in_transaction)
		tenancy_tx_commit();
}

/* Tells the sink about indices that are missing, once per relation. */
static void
report_missing(SinkWorker *worker, SyncLane *lane)
{
	const SinkTarget *told = NULL;

	for (int i = 0; i < lane->batch.nitems; i++)
	{
		SinkItem *item = &lane->batch.items[i];

		if (item->outcome != SINK_NO_INDEX || item->target == told)
			continue;
		told = item->target;
		if (worker->driver->target_missing != NULL)
			worker->driver->target_missing(told);
		dirty_park(worker->dirty, told->relid,
				   TimestampTzPlusMilliseconds(GetCurrentTimestamp(), PARK_NO_INDEX_MS));
	}
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
		if (batch->items[i].outcome != SINK_DONE && batch->items[i].outcome != SINK_CONFLICT)
		{
			worker_set_error(&worker->shared->worker, batch->items[i].reason);
			return;
		}
}

/* Takes an answered batch apart. */
void
batch_finish(SinkWorker *worker, SyncLane *lane)
{
	SinkBatch *batch = &lane->batch;

	worker->denied = false;
	if (pg_atomic_read_u32(&worker->shared->worker.state) == WORKER_VERSION_REGRESSED)
		worker_set_state(&worker->shared->worker, WORKER_RUNNING); /* unless it shows again */
	settle_dead_letters(worker, lane);
	for (int i = batch->nitems - 1; i >= 0; i--)
	{
		bool dead;
		bool over = is_over(worker, lane, &batch->items[i], &dead);

		count_item(worker->shared, &batch->items[i], over, dead);
		worker->denied |= batch->items[i].outcome == SINK_DENIED;
		if (over)
			dirty_done(worker->dirty, lane->entries[i]);
		else
			dirty_again(worker->dirty, lane->entries[i], true);
	}
	report_error(worker, batch);
	report_missing(worker, lane);
	pace_ended(worker, lane);
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
