/*
 * batch.c
 *		From dirty keys to a request.
 *
 * Rows are read in one short transaction that has ended before the request starts.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "common/guc.h"
#include "common/spi.h"
#include "sink/text.h"
#include "sync/batch.h"
#include "sync/batch_builder.h"
#include "sync/dead_letter.h"
#include "sync/document.h"
#include "sync/months.h"
#include "sync/resync.h"
#include "sync/row_reader.h"
#include "sync/sink_worker.h"
#include "sync/target.h"

#define OVERDUE_MS 10000
#define READ_ATTEMPTS 3
#define ACTION_BYTES 120 /* of an item's action, without its names */

/* Makes the lanes. */
void
batch_init_lanes(SinkWorker *worker, int nlanes)
{
	worker->nlanes = nlanes;
	worker->lanes = MemoryContextAllocZero(TopMemoryContext, nlanes * sizeof(SyncLane));
	for (int i = 0; i < nlanes; i++)
	{
		worker->lanes[i].number = i;
		worker->lanes[i].context =
			AllocSetContextCreate(TopMemoryContext, "pg_tenancy batch", ALLOCSET_DEFAULT_SIZES);
	}
}

/* Version of a key's document. */
static uint64
version_of(SinkWorker *worker, const DirtyEntry *entry)
{
	return ((uint64) worker->epoch << 52) | entry->version_lsn;
}

/* Bytes that the request has for an item besides its document, about. */
Size
batch_action_bytes(const SinkItem *item)
{
	Size alias = item->place != NULL ? strlen(item->place->alias) : 0;

	return ACTION_BYTES + alias + item->key_length;
}

/* Puts an entry into the batch; the caller fills in the rest. */
SinkItem *
batch_add_item(BatchBuilder *builder, DirtyEntry *entry, const SinkTarget *target,
			   SinkAction action)
{
	SyncLane *lane = builder->lane;
	SinkItem *item;

	if (lane->batch.nitems == builder->room)
		batch_grow(builder);
	item = &lane->batch.items[lane->batch.nitems];
	lane->entries[lane->batch.nitems] = entry;
	builder->offsets[lane->batch.nitems] = builder->docs.len;
	lane->batch.nitems++;
	memset(item, 0, offsetof(SinkItem, reason) + 1);
	item->target = target;
	if (target != NULL && target->nplaces > 0)
		item->place = months_place(&target->places[0], entry->key, entry->key_length);
	item->action = action;
	item->key = entry->key;
	item->key_length = entry->key_length;
	item->version = version_of(builder->worker, entry);
	item->xid_range[0] = entry->xid_low;
	item->xid_range[1] = entry->xid_high;
	builder->around += batch_action_bytes(item);
	return item;
}

/* A document that no server takes is not sent at all. */
static void
refuse_document(BatchBuilder *builder, SinkItem *item, int start)
{
	StringInfo docs = &builder->docs;

	item->outcome = SINK_REFUSED;
	item->status = 413;
	sink_set_textf(item->reason, SINK_REASON_MAX, "the document has %d bytes, the limit is %d",
				   docs->len - start, DOCUMENT_MAX);
	docs->len = start;
	docs->data[start] = '\0';
}

/* Reads one row into the batch. */
static void
add_row(BatchBuilder *builder, DirtyEntry *entry, const SinkTarget *target, RowReader *reader)
{
	StringInfo docs = &builder->docs;
	int		   start = docs->len;
	SinkItem  *item = batch_add_item(builder, entry, target, SINK_REMOVE);

	if (reader == NULL)
		item->action = SINK_PUT; /* this sink does not care whether the row is there */
	if (reader == NULL || !row_reader_fetch(reader, entry->key, entry->key_length, docs))
		return;
	item->action = SINK_PUT;
	if (docs->len - start > DOCUMENT_MAX)
	{
		refuse_document(builder, item, start);
		return;
	}
	item->doc_length = docs->len - start;
	appendStringInfoChar(docs, '\0');
}

/* End of the run of keys of one relation that starts at next. */
static int
run_end(BatchBuilder *builder)
{
	DirtyEntry **taken = builder->worker->taken;
	int			 end = builder->next + 1;

	while (end < builder->ntaken && taken[end]->relid == taken[builder->next]->relid &&
		   taken[end]->kind == taken[builder->next]->kind)
		end++;
	return end;
}

/* Nothing has to be sent for a run of keys. */
void
batch_drop_run(BatchBuilder *builder, int end)
{
	for (; builder->next < end; builder->next++)
		builder->over[builder->nover++] = builder->worker->taken[builder->next];
}

/* Puts keys from..to back in their order. */
static void
return_range(SinkWorker *worker, int from, int to)
{
	for (int i = to - 1; i >= from; i--)
		dirty_again(worker->dirty, worker->taken[i], false);
}

/* Puts a run of keys back and keeps its relation back for a while. */
void
batch_park_run(BatchBuilder *builder, int end, int ms)
{
	SinkWorker *worker = builder->worker;
	Oid			relid = worker->taken[builder->next]->relid;

	return_range(worker, builder->next, end);
	builder->next = end;
	dirty_park(worker->dirty, relid, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms));
}

/* True if a key has waited too long for its table or its index. */
bool
batch_is_overdue(const DirtyEntry *entry)
{
	const DirtyMark *mark = &entry->marks[!entry->waiting]; /* it is in flight now */

	return !mark->pinned ||
		   TimestampDifferenceExceeds(mark->commit_time, GetCurrentTimestamp(), OVERDUE_MS);
}

/*
 * A run of keys cannot be sent now.  Keys that have waited for long are let go, since they
 * hold back the WAL: the whole table is looked at again when it can be.
 */
void
batch_hold_back(BatchBuilder *builder, int end, const SinkTarget *target, int ms)
{
	if (batch_is_overdue(builder->worker->taken[builder->next]))
	{
		resync_request_rows(target, builder->worker->driver->name);
		batch_drop_run(builder, end);
	}
	else
		batch_park_run(builder, end, ms);
}

/* Notices that the batch is full, or more than that where the server's limit is known. */
void
batch_check_room(BatchBuilder *builder)
{
	SyncLane *lane = builder->lane;
	Size	  bytes = builder->docs.len + builder->around;

	builder->full = bytes >= builder->most;
	if (bytes > builder->most && lane->entries[0] != lane->entries[lane->batch.nitems - 1] &&
		pace_is_strict(builder->worker))
		batch_take_back(builder);
}

/* Reads a run of rows until the batch is full. */
static void
read_run(BatchBuilder *builder, int end, const SinkTarget *target, RowReader *reader)
{
	while (builder->next < end && !builder->full)
	{
		add_row(builder, builder->worker->taken[builder->next++], target, reader);
		batch_spread(builder);
		batch_check_room(builder);
	}
}

/*
 * The table has no unique index on its key columns.  Other tables must go on, so its
 * keys are dropped; the whole table is looked at again when its shape has changed.
 */
static void
refuse_run(BatchBuilder *builder, int end, const SinkTarget *target)
{
	SinkWorker *worker = builder->worker;
	char		error[SHARED_ERROR_MAX];

	if (target_is_stale())
	{
		batch_park_run(builder, end, PARK_LOCKED_MS); /* its key may have other columns by now */
		return;
	}
	sink_set_textf(error, sizeof(error),
				   "relation %u of tenant \"%s\" is not synced: it has no unique index on its key "
				   "columns",
				   target->relid, target->tenant);
	worker_set_error(&worker->shared->worker, error);
	resync_block(target, worker->driver->name, error);
	batch_drop_run(builder, end);
}

/* Opens a relation and adds a run of its rows. */
static void
add_rows(BatchBuilder *builder, int end, const SinkTarget *target)
{
	RowReader	   *reader;
	RowReaderResult result = row_reader_open(target, &reader);

	if (result == ROWS_READY && target_is_stale())
	{
		row_reader_close(reader); /* the run is looked at again: its index may lack a field */
		return;
	}
	if (result == ROWS_READY && target->document == NULL)
		read_run(builder, end, target, reader);
	row_reader_close(reader);
	if (result == ROWS_READY && target->document != NULL)
		batch_add_documents(builder, end, target);
	else if (result == ROWS_LOCKED)
		batch_hold_back(builder, end, target, PARK_LOCKED_MS);
	else if (result == ROWS_NO_KEY)
		refuse_run(builder, end, target);
	else if (result == ROWS_GONE)
		batch_drop_run(builder, end);
}

/* True if the sink has nothing to do with a relation. */
bool
batch_not_wanted(SinkWorker *worker, const SinkTarget *target)
{
	if (target == NULL)
		return true;
	if (worker->kind == SINK_SEARCH)
		return target->alias == NULL;
	if (worker->kind == SINK_STATISTICS)
		return !target->benchmark;
	return target->ncache_keys == 0 && target->ncache_tags == 0;
}

/*
 * The target cannot be kept in step as it is, which tenancy.resync says: all rows are looked at when
 * it can; what the cache holds of the tenant goes with every change instead.
 */
static void
forget_run(BatchBuilder *builder, int end, const SinkTarget *target)
{
	SinkWorker *worker = builder->worker;
	SinkItem   *item;

	resync_block(target, worker->driver->name, target->problem);
	if (worker->kind != SINK_CACHE)
	{
		batch_drop_run(builder, end);
		return;
	}
	item = batch_add_item(builder, worker->taken[builder->next++], target, SINK_FORGET_TENANT);
	item->key = target->tenant;
	item->key_length = strlen(target->tenant) + 1;
	batch_drop_run(builder, end);
}

/* Adds a run of rows of one relation. */
static void
add_row_run(BatchBuilder *builder, int end)
{
	SinkWorker		 *worker = builder->worker;
	const SinkTarget *target = target_find(worker->taken[builder->next]->relid);

	if (batch_not_wanted(worker, target))
		batch_drop_run(builder, end);
	else if (target->problem != NULL)
		forget_run(builder, end, target);
	else if (worker->driver->target_ready != NULL && !worker->driver->target_ready(target))
		batch_hold_back(builder, end, target, PARK_NO_INDEX_MS);
	else if (worker->driver->wants_rows)
		add_rows(builder, end, target);
	else
		read_run(builder, end, target, NULL);
}

/*
 * Adds what it means to the sink that a whole table is dirty: after a TRUNCATE (the key is
 * empty) what it has may lack its row, else rows may have changed too.
 */
static void
add_table(BatchBuilder *builder, DirtyEntry *entry, const SinkTarget *target)
{
	const char *sink = builder->worker->driver->name;

	if (builder->worker->kind == SINK_CACHE)
	{
		SinkItem *item = batch_add_item(builder, entry, target, SINK_FORGET_TENANT);

		item->key = target->tenant;
		item->key_length = strlen(target->tenant) + 1;
		return;
	}
	if (entry->key_length == 0)
		resync_request_ghosts(target, sink);
	else
		resync_request_rows(target, sink);
	builder->over[builder->nover++] = entry;
}

/* Adds whole tables. */
static void
add_table_run(BatchBuilder *builder, int end)
{
	while (builder->next < end)
	{
		DirtyEntry		 *entry = builder->worker->taken[builder->next];
		const SinkTarget *target = target_find(entry->relid);

		if (batch_not_wanted(builder->worker, target))
			batch_drop_run(builder, builder->next + 1);
		else
		{
			add_table(builder, entry, target);
			builder->next++;
		}
	}
}

/* Adds tenants whose cache is to be dropped; only the cache sink has such keys. */
static void
add_tenant_run(BatchBuilder *builder, int end)
{
	for (; builder->next < end; builder->next++)
		batch_add_item(builder, builder->worker->taken[builder->next], NULL, SINK_FORGET_TENANT);
}

/* Reads everything that was taken, until the batch is full; the rest goes back. */
static void
fill_batch(BatchBuilder *builder)
{
	SinkWorker *worker = builder->worker;

	while (builder->next < builder->ntaken && !builder->full)
	{
		int end = run_end(builder);

		CHECK_FOR_INTERRUPTS();
		if (worker->taken[builder->next]->kind == DIRTY_ROW)
			add_row_run(builder, end);
		else if (worker->taken[builder->next]->kind == DIRTY_TABLE)
			add_table_run(builder, end);
		else if (worker->taken[builder->next]->kind == DIRTY_PARENTS)
			batch_add_parents_run(builder, end);
		else
			add_tenant_run(builder, end);
	}
	return_range(worker, builder->next, builder->ntaken);
}

/* Points the items at their documents, now that these do not move any more. */
static void
set_documents(BatchBuilder *builder)
{
	SinkBatch *batch = &builder->lane->batch;

	builder->lane->docs_size = Min(builder->docs.len, tenancy_bulk_bytes * 1024);
	for (int i = 0; i < batch->nitems; i++)
		if (batch->items[i].doc_length > 0)
			batch->items[i].doc = builder->docs.data + builder->offsets[i];
}

/* Prepares an empty batch for up to n keys. */
static void
init_builder(BatchBuilder *builder, SinkWorker *worker, SyncLane *lane, int n)
{
	memset(builder, 0, sizeof(*builder));
	memset(&lane->batch, 0, sizeof(lane->batch));
	MemoryContextReset(lane->context);
	MemoryContextSwitchTo(lane->context);
	builder->worker = worker;
	builder->lane = lane;
	builder->ntaken = n;
	builder->room = n;
	builder->most = pace_bytes(worker, lane);
	builder->offsets = palloc(n * sizeof(int));
	initStringInfo(&builder->docs);
	enlargeStringInfo(&builder->docs, lane->docs_size);
	lane->batch.lane = lane->number;
	lane->batch.items = MemoryContextAllocHuge(lane->context, n * sizeof(SinkItem));
	lane->entries = palloc(n * sizeof(DirtyEntry *));
	lane->age = target_age();
	builder->over = palloc(n * sizeof(DirtyEntry *));
}

/* Gives every key back; failed: the attempt counts. */
static void
return_all(BatchBuilder *builder, bool failed)
{
	SinkWorker *worker = builder->worker;
	SyncLane   *lane = builder->lane;

	for (int i = lane->batch.nitems - 1; i >= 0; i--)
		if (i == 0 || lane->entries[i] != lane->entries[i - 1])
			dirty_again(worker->dirty, lane->entries[i], failed);
	for (int i = 0; i < builder->nover; i++)
		dirty_again(worker->dirty, builder->over[i], false);
	if (failed && builder->ntaken == 1 && builder->next == 0)
		dirty_again(worker->dirty, worker->taken[0], true);
	else
		return_range(worker, builder->next, builder->ntaken);
	lane->batch.nitems = 0;
}

/* Somebody holds a lock that the keys at hand need: others go first. */
static void
wait_for_lock(BatchBuilder *builder)
{
	int at = Min(builder->next, builder->ntaken - 1);
	Oid relid = builder->worker->taken[at]->relid;

	return_all(builder, false);
	dirty_park(builder->worker->dirty, relid,
			   TimestampTzPlusMilliseconds(GetCurrentTimestamp(), PARK_NO_INDEX_MS));
}

/* A row could not be read: gives the keys back, to be read one by one. */
static void
handle_read_error(BatchBuilder *builder, ErrorData *error)
{
	tenancy_tx_abort();
	target_flush(); /* what was noted with it is rolled back */
	worker_set_error(&builder->worker->shared->worker, error->message);
	if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
	{
		wait_for_lock(builder);
		return;
	}
	return_all(builder, true);
	builder->lane->careful = builder->ntaken;
	pace_read_failed(builder->lane);
}

/* A key whose row cannot be read. */
typedef struct Unreadable
{
	SinkWorker *worker;
	SyncLane   *lane;
	const char *reason;
} Unreadable;

/* Writes its dead letter. */
static void
write_letter(void *arg)
{
	Unreadable		 *row = arg;
	SinkItem		 *item = &row->lane->batch.items[0];
	const SinkTarget *target = item->target;

	dead_letter_write(row->worker, row->lane->entries[0], target ? target->tenant_id : 0, 0,
					  row->reason, item->version);
}

/* Gives up a key whose row cannot be read, when that is written down. */
static void
give_up(SinkWorker *worker, SyncLane *lane, const char *reason)
{
	Unreadable	row = {.worker = worker, .lane = lane, .reason = reason};
	DirtyEntry *entry = lane->entries[0];

	if (tenancy_tx_try("pg_tenancy: writing a dead letter", write_letter, &row))
		dirty_done(worker->dirty, entry);
	else
	{
		dirty_again(worker->dirty, entry, true);
		dirty_park(worker->dirty, entry->relid,
				   TimestampTzPlusMilliseconds(GetCurrentTimestamp(), PARK_LETTER_MS));
	}
	lane->batch.nitems = 0;
}

/* Message with its detail, which tells the sizes where a row does not fit into memory. */
static char *
error_text(const ErrorData *error)
{
	return error->detail != NULL ? psprintf("%s: %s", error->message, error->detail)
								 : error->message;
}

/* Reads the rows of the keys taken. */
static void
build_batch(BatchBuilder *builder)
{
	MemoryContext context = builder->lane->context;

	PG_TRY();
	{
		tenancy_tx_begin("pg_tenancy: reading rows");
		tenancy_tx_bound_locks();
		MemoryContextSwitchTo(context);
		fill_batch(builder);
		tenancy_tx_commit();
		for (int i = 0; i < builder->nover; i++)
			dirty_done(builder->worker->dirty, builder->over[i]);
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		if (error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE && builder->ntaken == 1 &&
			builder->lane->batch.nitems > 0 && builder->lane->entries[0]->attempts >= READ_ATTEMPTS)
		{
			tenancy_tx_abort();
			target_flush(); /* retired, not freed: the item still has its own */
			give_up(builder->worker, builder->lane, error_text(error));
		}
		else
			handle_read_error(builder, error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
}

/* Most keys to take now. */
static int
take_limit(SyncLane *lane)
{
	if (lane->careful == 0)
		return pace_actions(lane);
	lane->careful--;
	return 1;
}

/* Takes keys of a lane, reads their rows and sends them; false if there was nothing. */
bool
batch_start(SinkWorker *worker, SyncLane *lane)
{
	BatchBuilder  builder;
	MemoryContext old = CurrentMemoryContext;
	int			  limit = take_limit(lane);
	int			  n;

	worker->taken = worker->taken == NULL
						? MemoryContextAlloc(TopMemoryContext, limit * sizeof(DirtyEntry *))
						: repalloc(worker->taken, limit * sizeof(DirtyEntry *));
	n = dirty_take(worker->dirty, lane->number, limit, worker->taken);
	if (n == 0)
		return false;
	init_builder(&builder, worker, lane, n);
	build_batch(&builder);
	if (lane->batch.nitems > 0)
	{
		set_documents(&builder);
		worker->driver->submit(&lane->batch);
		lane->busy = true;
		pace_started(lane);
		lane->batch_number = ++worker->batches;
	}
	MemoryContextSwitchTo(old);
	return true;
}
