/*
 * batch_joined.c
 *		Documents that are made of more than their row, and rows that a joined row is part of.
 */
#include "postgres.h"

#include "sink/text.h"
#include "sync/batch_builder.h"
#include "sync/dead_letter.h"
#include "sync/doc_query.h"
#include "sync/parents.h"
#include "sync/resync.h"
#include "sync/target.h"

/* A row's document cannot be made: the rest goes on without it. */
static void
bury_row(BatchBuilder *builder, DirtyEntry *entry, const SinkTarget *target, const char *reason)
{
	SinkWorker *worker = builder->worker;

	if (!dead_letter_known(worker, entry))
		pg_atomic_fetch_add_u64(&worker->shared->dead, 1);
	dead_letter_write(worker, entry, target->tenant_id, 0, reason,
					  ((uint64) worker->epoch << 52) | entry->version_lsn);
	worker_set_error(&worker->shared->worker, reason);
	builder->over[builder->nover++] = entry;
}

/* Adds what came of a key. */
static void
add_document(BatchBuilder *builder, const SinkTarget *target, const DocKey *key)
{
	DirtyEntry *entry = builder->worker->taken[builder->next++];
	SinkItem   *item;

	if (key->state == DOC_FAILED)
	{
		bury_row(builder, entry, target, key->error);
		return;
	}
	item = batch_add_item(builder, entry, target, key->state == DOC_THERE ? SINK_PUT : SINK_REMOVE);
	item->doc_length = key->state == DOC_THERE ? key->length : 0;
	builder->offsets[builder->lane->batch.nitems - 1] = key->start;
}

/* Adds what was read; false: not all of it, the batch is full. */
static bool
add_read(BatchBuilder *builder, const SinkTarget *target, const DocKey *keys, int n)
{
	for (int i = 0; i < n && keys[i].state != DOC_UNREAD; i++)
	{
		int next = builder->next;

		add_document(builder, target, &keys[i]);
		if (keys[i].state != DOC_FAILED)
		{
			batch_spread(builder);
			batch_check_room(builder);
		}
		if (builder->next == next)
			return false;
	}
	return true;
}

/*
 * The documents of a table cannot be made: it is looked at again when something has changed
 * that may mend that; `changes` had happened before the attempt.
 */
static void
refuse_documents(BatchBuilder *builder, int end, const SinkTarget *target, const char *reason,
				 uint64 changes)
{
	SinkWorker *worker = builder->worker;
	char		error[SHARED_ERROR_MAX];

	sink_set_textf(error, sizeof(error),
				   "documents of relation %u of tenant \"%s\" cannot be made: %s", target->relid,
				   target->tenant, reason);
	worker_set_error(&worker->shared->worker, error);
	resync_block(target, worker->driver->name, error);
	if (changes != doc_query_changes())
		resync_unblock();
	batch_drop_run(builder, end);
}

/* Adds documents of a run that a query makes, until the batch is full. */
void
batch_add_documents(BatchBuilder *builder, int end, const SinkTarget *target)
{
	SinkBatch  *batch = &builder->lane->batch;
	int			n = end - builder->next;
	int			nitems = batch->nitems;
	Size		around = builder->around;
	DocKey	   *keys = palloc0(n * sizeof(DocKey));
	const char *reason = NULL;
	uint64		changes = doc_query_changes();
	DocResult	result;

	for (int i = 0; i < n; i++)
	{
		DirtyEntry *entry = builder->worker->taken[builder->next++];

		keys[i].key = entry->key;
		keys[i].key_length = entry->key_length;
		batch_add_item(builder, entry, target, SINK_REMOVE); /* the attempt counts if this throws */
	}
	result = doc_query_read(target, keys, n, builder->most - Min(builder->most, builder->around),
							&builder->docs, &reason);
	batch->nitems = nitems;
	builder->around = around;
	builder->next -= n;
	if (!add_read(builder, target, keys, n))
		return;
	if (result == DOCS_LOCKED)
		batch_hold_back(builder, end, target, PARK_LOCKED_MS);
	else if (result == DOCS_REFUSED)
		refuse_documents(builder, end, target, reason, changes);
}

/* Marks the rows that rows of joined tables are part of. */
void
batch_add_parents_run(BatchBuilder *builder, int end)
{
	SinkWorker		 *worker = builder->worker;
	DirtyEntry		**entries = worker->taken + builder->next;
	const SinkTarget *target = target_find(entries[0]->relid);
	bool			  locked = false;
	int				  n = end - builder->next;

	if (!batch_not_wanted(worker, target))
		n = parents_mark(worker, target, entries, n, &locked);
	batch_drop_run(builder, builder->next + n);
	builder->full |= !locked && builder->next < end;
	if (!locked)
		return;
	if (!batch_is_overdue(builder->worker->taken[builder->next]))
	{
		batch_park_run(builder, end, PARK_LOCKED_MS);
		return;
	}
	for (int i = builder->next; i < end; i++)
		parents_mark_all(worker, worker->taken[i]);
	batch_drop_run(builder, end);
}
