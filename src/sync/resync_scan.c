/*
 * resync_scan.c
 *		Rows and documents of the table that a resync is about.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

#include "sync/key.h"
#include "sync/resync.h"
#include "sync/resync_scan.h"
#include "sync/row_reader.h"
#include "sync/target.h"

/* What a reader that could not be opened means; the table's row says why it is blocked. */
static ScanResult
result_of(SinkWorker *worker, const SinkTarget *target, RowReaderResult result)
{
	if (result == ROWS_LOCKED)
		return SCAN_LOCKED;
	if (result != ROWS_NO_KEY)
		return SCAN_DONE;
	resync_block(target, worker->driver->name, "no unique index on the key columns");
	return SCAN_BLOCKED;
}

/* Reads the keys of the next rows. */
static ScanResult
read_rows(SinkWorker *worker, Resync *resync, const SinkTarget *target, int most)
{
	RowReader	   *reader;
	RowReaderResult result = row_reader_open(target, &reader);

	resetStringInfo(&resync->keys);
	resync->read = 0;
	if (result == ROWS_READY)
		resync->read = row_reader_scan_keys(reader, resync->position.data, resync->position.len,
											most, &resync->keys);
	resync->given += resync->read;
	resync->at_end = result == ROWS_GONE || (result == ROWS_READY && resync->read < most);
	row_reader_close(reader);
	return result_of(worker, target, result);
}

/* Marks one key of the chunk. */
static void
mark_key(SinkWorker *worker, Resync *resync, const char *key, int key_length)
{
	DirtyKey dirty = {.kind = DIRTY_ROW,
					  .relid = resync->relid,
					  .schema = resync->schema,
					  .key = key,
					  .key_length = key_length,
					  .lsn = worker->received,
					  .commit_time = GetCurrentTimestamp(),
					  .chunk = true};

	dirty_mark(worker->dirty, &dirty);
}

/* Marks the keys of the chunk; in a position the leaf's OID stands before the key. */
static void
mark_chunk(SinkWorker *worker, Resync *resync, int nkeys)
{
	const char *p = resync->keys.data;
	const char *end = p + resync->keys.len;

	while (p < end)
	{
		int skip = key_parts_length(p, end, 1);
		int length = key_parts_length(p + skip, end, nkeys);

		mark_key(worker, resync, p + skip, length);
		resetStringInfo(&resync->position);
		appendBinaryStringInfo(&resync->position, p, skip + length);
		p += skip + length;
	}
}

/* Rows may have gone without notice: the cache drops all that the tenant has. */
static void
mark_tenant(SinkWorker *worker, const SinkTarget *target)
{
	DirtyKey dirty = {.kind = DIRTY_TENANT,
					  .key = target->tenant,
					  .key_length = strlen(target->tenant) + 1,
					  .lsn = worker->received,
					  .commit_time = GetCurrentTimestamp(),
					  .chunk = true};

	dirty_mark(worker->dirty, &dirty);
}

/* Reads the next rows, `most` at the most, and marks them. */
ScanResult
resync_scan_rows(SinkWorker *worker, Resync *resync, int most)
{
	const SinkTarget *target = target_find(resync->relid);
	ScanResult		  result;

	if (target == NULL)
	{
		resync->at_end = resync->ghosts = resync->gone = true;
		resync->fence = worker->batches;
		return SCAN_DONE;
	}
	if (worker->kind == SINK_CACHE && resync->position.len == 0)
		mark_tenant(worker, target);
	if (target->problem != NULL)
	{
		resync_block(target, worker->driver->name, target->problem);
		return SCAN_BLOCKED;
	}
	result = read_rows(worker, resync, target, most);
	if (result == SCAN_DONE)
		mark_chunk(worker, resync, target->nkeys);
	return result;
}

/* Marks the keys of a page that have no row; each has its length before it. */
static void
mark_ghosts(SinkWorker *worker, Resync *resync, RowReader *reader)
{
	const char *p = resync->keys.data;
	const char *end = p + resync->keys.len;

	while (p < end)
	{
		int32 length;

		CHECK_FOR_INTERRUPTS();
		memcpy(&length, p, sizeof(length));
		p += sizeof(length);
		if (!row_reader_fetch(reader, p, length, NULL))
			mark_key(worker, resync, p, length);
		p += length;
	}
}

/* Looks for the rows of a page of documents. */
ScanResult
resync_scan_page(SinkWorker *worker, Resync *resync)
{
	const SinkTarget *target = target_find(resync->relid);
	RowReader		 *reader;
	RowReaderResult	  result;

	if (target == NULL)
		return SCAN_DONE;
	result = row_reader_open(target, &reader);
	if (result == ROWS_READY)
		mark_ghosts(worker, resync, reader);
	row_reader_close(reader);
	return result_of(worker, target, result);
}

/* Starts listing the documents of the next place. */
void
resync_open_place(SinkWorker *worker, Resync *resync, const SinkTarget *target)
{
	SinkPlace *place = target->nplaces > 0 ? &target->places[resync->place] : NULL;

	resync->nplaces = worker->kind == SINK_SEARCH ? target->nplaces : 1;
	if (resync->place < resync->nplaces)
		resync->listing = worker->driver->list_open(target, place);
}
