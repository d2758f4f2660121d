/*
 * rows.c
 *		Rows of the table at hand, in short transactions.
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "common/spi.h"
#include "sync/doc_query.h"
#include "sync/sink_worker.h"
#include "sync/target.h"
#include "verify/run.h"

#define LOCK_WAIT_MS 10000
#define LOCK_PAUSE_MS 100

/* Why rows cannot be read. */
static VerifyState
refuse(VerifyRun *run, RowReaderResult result)
{
	if (result == ROWS_GONE)
		return VERIFY_GONE;
	strlcpy(run->reason,
			result == ROWS_LOCKED ? "the table is locked"
								  : "the table has no unique index on its key columns",
			SINK_REASON_MAX);
	return VERIFY_NOT_READY;
}

/* Looks the target up and opens its rows; the transaction is the caller's to end. */
static RowReaderResult
open_rows(VerifyRun *run, RowReader **reader)
{
	target_flush(); /* nobody tells this process of changes */
	target_sweep(target_age());
	*reader = NULL;
	run->epoch = sink_state_epoch(); /* it may have been raised since */
	run->target = target_find(run->relid);
	run->place = verify_place(run);
	if (run->place == NULL)
		return ROWS_GONE;
	return row_reader_open(run->target, reader);
}

/* Begins a transaction in which rows can be read; where it returns anything but READY, there is none. */
VerifyState
verify_begin_rows(VerifyRun *run, RowReader **reader)
{
	TimestampTz start = GetCurrentTimestamp();

	for (;;)
	{
		RowReaderResult result;

		tenancy_tx_begin("pg_tenancy verify: reading rows");
		tenancy_tx_bound_locks();
		result = open_rows(run, reader);
		if (result == ROWS_READY)
			return VERIFY_READY;
		if (*reader != NULL)
			row_reader_close(*reader);
		tenancy_tx_commit();
		if (result != ROWS_LOCKED ||
			TimestampDifferenceExceeds(start, GetCurrentTimestamp(), LOCK_WAIT_MS))
			return refuse(run, result);
		verify_pause(run, LOCK_PAUSE_MS);
	}
}

/* Ends it. */
void
verify_end_rows(RowReader *reader)
{
	row_reader_close(reader);
	tenancy_tx_commit();
}

/* Reads the document that a key should have now; returns its size. */
static Size
read_row(VerifyRun *run, RowReader *reader, VerifyKey *key)
{
	MemoryContext  old = MemoryContextSwitchTo(run->batch_context);
	StringInfoData doc;

	initStringInfo(&doc);
	MemoryContextSwitchTo(old);
	memset(&key->fresh, 0, sizeof(key->fresh));
	key->fresh.there = row_reader_fetch(reader, key->document.key, key->document.key_length, &doc);
	key->fresh.doc = doc.data;
	key->fresh.length = doc.len;
	return doc.len;
}

/* Takes the document of a key that a query made. */
static void
take_document(VerifyRun *run, VerifyKey *key, const DocKey *document, const StringInfo docs)
{
	memset(&key->fresh, 0, sizeof(key->fresh));
	key->fresh.there = document->state != DOC_NONE;
	key->fresh.unreadable = document->state == DOC_FAILED;
	if (document->state != DOC_THERE)
		return;
	key->fresh.length = document->length;
	key->fresh.doc = MemoryContextAllocHuge(run->batch_context, document->length + 1);
	memcpy(key->fresh.doc, docs->data + document->start, document->length + 1);
}

/* Reads documents that a query makes. */
static VerifyState
read_documents(VerifyRun *run, VerifyKey **keys, int n, Size most, int *read)
{
	DocKey		  *documents = palloc0(n * sizeof(DocKey));
	const char	  *reason = NULL;
	StringInfoData docs;
	DocResult	   result;

	initStringInfo(&docs);
	for (int i = 0; i < n; i++)
	{
		documents[i].key = keys[i]->document.key;
		documents[i].key_length = keys[i]->document.key_length;
	}
	result = doc_query_read(run->target, documents, n, most, &docs, &reason);
	for (; *read < n && documents[*read].state != DOC_UNREAD; (*read)++)
		take_document(run, keys[*read], &documents[*read], &docs);
	if (*read > 0 || result == DOCS_READ)
		return VERIFY_READY;
	strlcpy(run->reason, result == DOCS_LOCKED ? "a table is locked" : reason, SINK_REASON_MAX);
	return VERIFY_NOT_READY;
}

/* Reads rows in one transaction, at least one and until they have `most` bytes. */
static VerifyState
read_rows(VerifyRun *run, VerifyKey **keys, int n, Size most, int *read)
{
	RowReader  *reader;
	VerifyState state = verify_begin_rows(run, &reader);
	Size		size = 0;

	if (state != VERIFY_READY)
		return state;
	if (run->target->document != NULL)
		state = read_documents(run, keys, n, most, read);
	while (run->target->document == NULL && *read < n && size <= most)
	{
		size += read_row(run, reader, keys[*read]) + sizeof(VerifyKey);
		(*read)++;
	}
	verify_end_rows(reader);
	return state;
}

/* Ends the transaction of a row that cannot be read; what is no fault of the row is thrown again. */
static void
forgive(MemoryContext context)
{
	ErrorData *error;
	int		   category;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	category = ERRCODE_TO_CATEGORY(error->sqlerrcode);
	if (category == ERRCODE_TO_CATEGORY(ERRCODE_OPERATOR_INTERVENTION) ||
		category == ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES) ||
		error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
		error->sqlerrcode == ERRCODE_UNDEFINED_SCHEMA)
		ReThrowError(error);
	tenancy_tx_abort();
	target_flush();
	FreeErrorData(error);
}

/* As read_rows; false: a row could not be read, the one behind those that were. */
static bool
try_rows(VerifyRun *run, VerifyKey **keys, int n, Size most, int *read, VerifyState *state)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool succeeded = true;

	*read = 0;
	PG_TRY();
	{
		*state = read_rows(run, keys, n, most, read);
	}
	PG_CATCH();
	{
		succeeded = false;
		forgive(context);
	}
	PG_END_TRY();
	return succeeded;
}

/* What was read is the row now. */
static void
advance(VerifyKey **keys, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (keys[i]->before.doc != NULL)
			pfree(keys[i]->before.doc);
		keys[i]->before = keys[i]->row;
		keys[i]->row = keys[i]->fresh;
	}
}

/*
 * Reads the rows of keys as they are now, at least one and until they have `most` bytes;
 * *read: how many.  A row that cannot be read is there and like no document.
 */
VerifyState
verify_read_rows(VerifyRun *run, VerifyKey **keys, int n, Size most, int *read)
{
	VerifyState state = VERIFY_READY;

	while (!try_rows(run, keys, n, most, read, &state))
	{
		n = Max(*read, 1);
		if (*read > 0)
			continue;
		memset(&keys[0]->fresh, 0, sizeof(VerifyRow));
		keys[0]->fresh.there = keys[0]->fresh.unreadable = true;
		*read = 1;
		break;
	}
	if (state == VERIFY_READY)
		advance(keys, *read);
	return state;
}
