/*
 * keys.c
 *		Lists of keys: in memory up to work_mem times hash_mem_multiplier, then in a temporary file.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/buffile.h"
#include "utils/memutils.h"

#include "percentile/keys.h"

#define FIRST_ROOM 64
#define BLOCK_IN_MEMORY 65536
#define BLOCK_IN_FILE 8192

typedef struct PercentileFile
{
	BufFile *file;
	int64	 n;
} PercentileFile;

static const PercentileStore keys_store = {percentile_keys_count, percentile_select};

/* A new list; room 0: as small as can be. */
PercentileKeys *
percentile_keys_new(MemoryContext context, int64 room)
{
	PercentileKeys *list = MemoryContextAlloc(context, sizeof(PercentileKeys));

	list->state.store = &keys_store;
	list->state.fractions = NULL;
	list->used = 0;
	list->room = PERCENTILE_INLINE_KEYS;
	list->keys = list->inline_keys;
	list->file = NULL;
	if (room > PERCENTILE_INLINE_KEYS)
	{
		list->room = Min(room, (int64) (get_hash_memory_limit() / sizeof(uint64)));
		list->keys = MemoryContextAllocHuge(context, list->room * sizeof(uint64));
	}
	return list;
}

/* Ends the file of an aggregate that ends. */
static void
close_file(Datum list)
{
	PercentileFile *file = ((PercentileKeys *) DatumGetPointer(list))->file;

	if (file->file != NULL)
		BufFileClose(file->file);
	file->file = NULL;
}

/* Frees a list that no aggregate owns. */
void
percentile_keys_free(PercentileKeys *list)
{
	if (list->file != NULL)
		close_file(PointerGetDatum(list));
	if (list->keys != list->inline_keys)
		pfree(list->keys);
	pfree(list);
}

/* A file for a list; that of a state ends with its group. */
static void
open_file(PercentileKeys *list, FunctionCallInfo fcinfo)
{
	MemoryContext context = GetMemoryChunkContext(list);
	MemoryContext old = MemoryContextSwitchTo(context);

	list->file = palloc0(sizeof(PercentileFile));
	if (fcinfo != NULL)
		AggRegisterCallback(fcinfo, close_file, PointerGetDatum(list));
	list->file->file = BufFileCreateTemp(false);
	MemoryContextSwitchTo(old);
}

/* Moves what is in memory to the end of the file, where writing and reading all of it have left it. */
static void
spill(PercentileKeys *list, FunctionCallInfo fcinfo)
{
	if (list->file == NULL)
		open_file(list, fcinfo);
	BufFileWrite(list->file->file, list->keys, list->used * sizeof(uint64));
	list->file->n += list->used;
	list->used = 0;
}

/* Room in memory for twice as many. */
static void
enlarge(PercentileKeys *list)
{
	if (list->keys == list->inline_keys)
	{
		list->keys =
			MemoryContextAlloc(GetMemoryChunkContext(list), FIRST_ROOM / 2 * sizeof(uint64));
		memcpy(list->keys, list->inline_keys, list->used * sizeof(uint64));
		list->room = FIRST_ROOM / 2;
		return;
	}
	list->room *= 2;
	list->keys = repalloc_huge(list->keys, list->room * sizeof(uint64));
}

/* Room for at least one more key. */
void
percentile_keys_grow(PercentileKeys *list, FunctionCallInfo fcinfo)
{
	Size bytes = list->room * 2 * sizeof(uint64);

	if (list->room < FIRST_ROOM || bytes <= get_hash_memory_limit())
		enlarge(list);
	else if (fcinfo != NULL && AggCheckCallContext(fcinfo, NULL) == AGG_CONTEXT_WINDOW)
	{
		percentile_limit_memory(bytes);
		enlarge(list);
	}
	else
		spill(list, fcinfo);
}

/* Adds many keys. */
void
percentile_keys_add_many(PercentileKeys *list, const uint64 *keys, int64 n, FunctionCallInfo fcinfo)
{
	while (n > 0)
	{
		int64 some;

		CHECK_FOR_INTERRUPTS();
		if (list->used == list->room)
			percentile_keys_grow(list, fcinfo);
		some = Min(n, list->room - list->used);
		memcpy(list->keys + list->used, keys, some * sizeof(uint64));
		list->used += some;
		keys += some;
		n -= some;
	}
}

/* How many keys there are, in memory and in the file. */
int64
percentile_keys_count(const void *list)
{
	const PercentileKeys *keys = list;

	return keys->used + (keys->file != NULL ? keys->file->n : 0);
}

/* Begins to read a list that nobody adds to meanwhile. */
void
percentile_read_start(PercentileReader *reader, const PercentileKeys *list)
{
	reader->list = list;
	reader->position = 0;
	reader->buffer = NULL;
}

/* The next keys of the file; 0: there are no more. */
static int64
read_file(PercentileReader *reader, const uint64 **block)
{
	PercentileFile *file = reader->list->file;
	int64			first = reader->position - reader->list->used;
	int64			n;

	if (file == NULL || first == file->n)
		return 0;
	if (reader->buffer == NULL)
		reader->buffer = palloc(BLOCK_IN_FILE * sizeof(uint64));
	if (first == 0 && BufFileSeek(file->file, 0, 0, SEEK_SET) != 0)
		ereport(ERROR,
				(errcode_for_file_access(), errmsg("could not seek in a temporary file: %m")));
	n = Min(BLOCK_IN_FILE, file->n - first);
	if (BufFileRead(file->file, reader->buffer, n * sizeof(uint64)) != n * sizeof(uint64))
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not read a temporary file: %m")));
	reader->position += n;
	*block = reader->buffer;
	return n;
}

/* The next keys of the list; 0: there are no more. */
int64
percentile_read(PercentileReader *reader, const uint64 **block)
{
	int64 n = Min(BLOCK_IN_MEMORY, reader->list->used - reader->position);

	CHECK_FOR_INTERRUPTS();
	if (n <= 0)
	{
		n = read_file(reader, block);
		if (n == 0 && reader->buffer != NULL)
		{
			pfree(reader->buffer);
			reader->buffer = NULL;
		}
		return n;
	}
	*block = reader->list->keys + reader->position;
	reader->position += n;
	return n;
}
