/*
 * plugin.c
 *		The output plugin: turns decoded changes into dirty keys.
 *
 * It runs inside the capture worker only and finds it in output_writer_private.
 */
#include "postgres.h"

#include "access/transam.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "replication/logical.h"
#include "replication/output_plugin.h"
#include "storage/procarray.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "capture/capture.h"
#include "common/compat.h"
#include "common/xid.h"
#include "sync/key.h"
#include "sync/message.h"
#include "sync/parents.h"

extern PGDLLEXPORT void _PG_output_plugin_init(OutputPluginCallbacks *callbacks);

/*
 * The worker that decodes.  NULL when somebody else decodes with this plugin: then
 * output_writer_private is something else altogether.
 */
static inline Capture *
capture_of(LogicalDecodingContext *context)
{
	return context->output_writer_private == capture_decoding ? capture_decoding : NULL;
}

/* Start-up. */
static void
on_startup(LogicalDecodingContext *context, OutputPluginOptions *options, bool is_init)
{
	options->output_type = OUTPUT_PLUGIN_BINARY_OUTPUT;
}

/*
 * A decoder can see a commit before other sessions can.  Waits until they can: else
 * a sink would read the row as it was before.
 */
static void
on_begin(LogicalDecodingContext *context, ReorderBufferTXN *txn)
{
	Capture *capture = capture_of(context);

	if (capture == NULL)
		return;
	capture->old_registry = txn->first_lsn <= capture->registry_lsn;
	capture_relation_begin(capture->old_registry);
	InvalidateCatalogSnapshot();
	while (TransactionIdIsInProgress(txn->xid))
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 1,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* Gives a sink a record; a key that is larger than the ring (in an index it is compressed): all rows. */
static void
put_or_all(Capture *capture, SinkKind kind, RingRecord record, const char *key)
{
	if (!ring_fits(capture->database->sinks[kind].ring, record.key_length) &&
		OidIsValid(record.relid))
	{
		record.kind = RING_TABLE;
		key = PARENTS_ALL_ROWS;
		record.key_length = sizeof(PARENTS_ALL_ROWS);
	}
	capture_put(capture, kind, &record, key);
}

/* Sends a record of a transaction to the sinks in a bit set. */
void
capture_send(Capture *capture, ReorderBufferTXN *txn, uint8 sinks, RingKind kind, Oid relid,
			 Oid schema, const char *key, int key_length)
{
	RingRecord record = {.kind = kind,
						 .schema = schema,
						 .relid = relid,
						 .key_length = key_length,
						 .lsn = txn->final_lsn,
						 .xid = tenancy_xid_full(txn->xid),
						 .commit_time = compat_commit_time(txn)};

	for (int i = 0; i < SINK_COUNT; i++)
		if ((sinks & (1 << i)) && txn->final_lsn >= capture->skip_to[i])
			put_or_all(capture, i, record, key);
}

/* True if a value is in the TOAST table, which must not be read while decoding. */
static inline bool
is_unreadable(Relation relation, AttrNumber attribute, Datum value, bool isnull)
{
	return !isnull && TupleDescAttr(RelationGetDescr(relation), attribute - 1)->attlen == -1 &&
		   VARATT_IS_EXTERNAL_ONDISK(DatumGetPointer(value));
}

/*
 * Value of a column: from the new row, or from the old where that one's is unchanged TOAST;
 * false: the WAL does not have it.
 */
bool
capture_value(Relation relation, AttrNumber attribute, HeapTuple tuple, HeapTuple other,
			  Datum *value, bool *isnull)
{
	*value = heap_getattr(tuple, attribute, RelationGetDescr(relation), isnull);
	if (other != NULL && is_unreadable(relation, attribute, *value, *isnull))
		*value = heap_getattr(other, attribute, RelationGetDescr(relation), isnull);
	return !is_unreadable(relation, attribute, *value, *isnull);
}

/* Makes the key of a row in capture->key; false if it has none. */
static bool
make_key(Capture *capture, CaptureRelation *info, Relation relation, HeapTuple tuple,
		 HeapTuple other)
{
	resetStringInfo(&capture->key);
	if (info->nkeys == 0)
		return false;
	for (int i = 0; i < info->nkeys; i++)
	{
		Datum value;
		bool  isnull;

		if (!capture_value(relation, info->attributes[i], tuple, other, &value, &isnull) || isnull)
			return false;
		key_append_value(&capture->key, &info->outputs[i], value);
	}
	return true;
}

/* Marks one row of a change; false: its key is not known. */
static bool
mark(Capture *capture, ReorderBufferTXN *txn, CaptureRelation *info, Relation relation,
	 HeapTuple tuple, HeapTuple other)
{
	if (tuple != NULL && make_key(capture, info, relation, tuple, other))
		capture_send(capture, txn, info->sinks, RING_KEY, info->root, info->schema,
					 capture->key.data, capture->key.len);
	else
		return false;
	return true;
}

/*
 * Marks what a change touched: the row as it is and as it was.  Where the WAL does not
 * say which row it was (no key, or one that is not in the replica identity), the whole
 * table is looked at again: all of it, or just documents without a row.
 */
static void
mark_change(Capture *capture, ReorderBufferTXN *txn, CaptureRelation *info, Relation relation,
			HeapTuple old_row, HeapTuple new_row, bool is_insert)
{
	bool marked_old = mark(capture, txn, info, relation, old_row, NULL);
	bool marked_new = mark(capture, txn, info, relation, new_row, old_row);

	if (new_row != NULL && !marked_new)
		capture_send(capture, txn, info->sinks, RING_TABLE, info->root, info->schema,
					 PARENTS_ALL_ROWS, sizeof(PARENTS_ALL_ROWS));
	else if (!marked_old && !is_insert && (new_row == NULL || !info->key_in_identity))
		capture_send(capture, txn, info->sinks, RING_TABLE, info->root, info->schema, NULL, 0);
}

/* Tells every sink something once per transaction. */
static void
tell(Capture *capture, ReorderBufferTXN *txn, RingKind kind)
{
	if (!(capture->told & (1 << kind)))
		capture_send(capture, txn, (1 << SINK_COUNT) - 1, kind, InvalidOid, InvalidOid, NULL, 0);
	capture->told |= 1 << kind;
}

/* tenancy.instance changed, by a restored dump, say: looks once who we are. */
static void
on_identity_change(Capture *capture, ReorderBufferTXN *txn)
{
	if (txn->final_lsn <= capture->identity_lsn)
		return;
	capture->identity_lsn = txn->final_lsn;
	capture->identity_changed = true;
}

/* One of our own tables changed. */
static void
on_registry_change(Capture *capture, ReorderBufferTXN *txn, CaptureRegistry registry)
{
	switch (registry)
	{
		case REGISTRY_NONE:
			break;
		case REGISTRY_DECIDES:
			capture_relation_forget_all();
			capture->registry_lsn = txn->final_lsn;
			tell(capture, txn, RING_CONFIG);
			break;
		case REGISTRY_CONFIG:
			tell(capture, txn, RING_CONFIG);
			break;
		case REGISTRY_RESYNC:
			tell(capture, txn, RING_RESYNC);
			break;
		case REGISTRY_IDENTITY:
			on_identity_change(capture, txn);
			break;
	}
}

/* A row changed: its key is dirty, and the key it had before. */
static void
on_change(LogicalDecodingContext *context, ReorderBufferTXN *txn, Relation relation,
		  ReorderBufferChange *change)
{
	Capture			*capture = capture_of(context);
	CaptureRelation *info;
	HeapTuple		 old_row = compat_change_tuple(change->data.tp.oldtuple);
	HeapTuple		 new_row = compat_change_tuple(change->data.tp.newtuple);
	MemoryContext	 before;

	if (capture == NULL)
		return;
	before = MemoryContextSwitchTo(capture->change_context);
	info = capture_relation(relation);
	if (info->registry != REGISTRY_NONE)
		on_registry_change(capture, txn, info->registry);
	else if (info->sinks != 0)
		mark_change(capture, txn, info, relation, old_row, new_row,
					change->action == REORDER_BUFFER_CHANGE_INSERT);
	capture_mark_parents(capture, txn, info, relation, change->action, old_row, new_row);
	MemoryContextSwitchTo(before);
	MemoryContextReset(capture->change_context);
}

/* Tables were truncated. */
static void
on_truncate(LogicalDecodingContext *context, ReorderBufferTXN *txn, int nrelations,
			Relation relations[], ReorderBufferChange *change)
{
	Capture *capture = capture_of(context);

	if (capture == NULL)
		return;
	for (int i = 0; i < nrelations; i++)
	{
		CaptureRelation *info = capture_relation(relations[i]);

		if (info->registry != REGISTRY_NONE)
			on_registry_change(capture, txn, info->registry);
		else if (info->sinks != 0)
			capture_send(capture, txn, info->sinks, RING_TABLE, info->root, info->schema, NULL, 0);
		capture_mark_all_parents(capture, txn, info);
	}
}

/* True if the zero-ended strings of a message from `start` on are text in our encoding. */
static bool
is_text(const char *message, Size size, Size start)
{
	for (Size at = start; at < size; at += strlen(message + at) + 1)
		if (!pg_verify_mbstr(GetDatabaseEncoding(), message + at, strlen(message + at), true))
			return false;
	return true;
}

/*
 * Something that SQL told the sync workers.  Any user can write such a message with
 * pg_logical_emit_message(), so it is not trusted: at the worst it makes a sink look again,
 * or a tenant's cached values go.
 */
static void
on_message(LogicalDecodingContext *context, ReorderBufferTXN *txn, XLogRecPtr lsn,
		   bool transactional, const char *prefix, Size size, const char *message)
{
	Capture *capture = capture_of(context);
	Oid		 relid;

	if (capture == NULL || !transactional || size < 2 || size > TENANCY_MESSAGE_MAX ||
		message[size - 1] != '\0' || strcmp(prefix, TENANCY_MESSAGE_PREFIX) != 0 ||
		!is_text(message, size, *message == TENANCY_MESSAGE_DIRTY ? 1 + sizeof(relid) : 1))
		return;
	if (*message == TENANCY_MESSAGE_FORGET)
		capture_send(capture, txn, 1 << SINK_CACHE, RING_FORGET, InvalidOid, InvalidOid,
					 message + 1, size - 1);
	else if (*message == TENANCY_MESSAGE_DIRTY && size > 1 + sizeof(relid))
	{
		memcpy(&relid, message + 1, sizeof(relid));
		capture_send(capture, txn, (1 << SINK_COUNT) - 1, RING_KEY, relid, get_rel_namespace(relid),
					 message + 1 + sizeof(relid), size - 1 - sizeof(relid));
	}
}

/*
 * Tells search and statistics which tables may have another shape now.  It was an invalidation that
 * said so: one of this transaction, or one that this process heard of anyway.
 */
static void
tell_shapes(Capture *capture, ReorderBufferTXN *txn)
{
	MemoryContext before = MemoryContextSwitchTo(capture->change_context);
	ListCell	 *cell;

	foreach (cell, capture_relation_changes())
		if (lfirst_oid(cell) >= FirstNormalObjectId || !OidIsValid(lfirst_oid(cell)))
			capture_send(capture, txn, 1 << SINK_SEARCH | 1 << SINK_STATISTICS, RING_SHAPE,
						 lfirst_oid(cell), InvalidOid, NULL, 0);
	MemoryContextSwitchTo(before);
	MemoryContextReset(capture->change_context);
}

/* A transaction has been replayed. */
static void
on_commit(LogicalDecodingContext *context, ReorderBufferTXN *txn, XLogRecPtr commit_lsn)
{
	Capture *capture = capture_of(context);

	if (capture == NULL)
		return;
	capture->told = 0;
	tell_shapes(capture, txn);
	if (capture->old_registry)
		capture_relation_begin(false);
}

/* Entry point of the server's logical decoding. */
void
_PG_output_plugin_init(OutputPluginCallbacks *callbacks)
{
	callbacks->startup_cb = on_startup;
	callbacks->begin_cb = on_begin;
	callbacks->change_cb = on_change;
	callbacks->truncate_cb = on_truncate;
	callbacks->message_cb = on_message;
	callbacks->commit_cb = on_commit;
}
