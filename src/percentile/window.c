/*
 * window.c
 *		Keys of a moving window frame: sorted, in chunks, so that a row enters and leaves without a new
 *		selection.
 */
#include "postgres.h"

#include "utils/date.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "percentile/keys.h"
#include "percentile/numeric.h"

#define CHUNK_KEYS 512

/* Some consecutive keys; never empty. */
typedef struct Chunk
{
	int	   n;
	uint64 keys[CHUNK_KEYS];
} Chunk;

typedef struct Frame
{
	PercentileState state;
	int64			n;
	int				nchunks;
	int				room;
	Chunk		  **chunks;
} Frame;

/* How many keys. */
static int64
count_frame(const void *state)
{
	return ((const Frame *) state)->n;
}

/* The keys of the ranks. */
static void
fetch_frame(const void *state, const int64 *ranks, int nranks, uint64 *found)
{
	const Frame *frame = state;
	int64		 before = 0;
	int			 rank = 0;

	for (int c = 0; c < frame->nchunks && rank < nranks; c++)
	{
		const Chunk *chunk = frame->chunks[c];

		for (; rank < nranks && ranks[rank] < before + chunk->n; rank++)
			found[rank] = chunk->keys[ranks[rank] - before];
		before += chunk->n;
	}
}

static const PercentileStore frame_store = {count_frame, fetch_frame};

/* First chunk whose last key is not below the key, or the last chunk. */
static int
chunk_of(const Frame *frame, uint64 key)
{
	int left = 0;
	int right = frame->nchunks - 1;

	while (left < right)
	{
		int			 middle = (left + right) / 2;
		const Chunk *chunk = frame->chunks[middle];

		if (chunk->keys[chunk->n - 1] < key)
			left = middle + 1;
		else
			right = middle;
	}
	return left;
}

/* Place of the first key that is not below the key. */
static int
place_in(const Chunk *chunk, uint64 key)
{
	int left = 0;
	int right = chunk->n;

	while (left < right)
	{
		int middle = (left + right) / 2;

		if (chunk->keys[middle] < key)
			left = middle + 1;
		else
			right = middle;
	}
	return left;
}

/* A new chunk at a place of the frame's list. */
static Chunk *
insert_chunk(Frame *frame, int at)
{
	MemoryContext context = GetMemoryChunkContext(frame);
	Chunk		 *chunk;

	if (frame->nchunks == frame->room)
	{
		percentile_limit_memory(frame->nchunks * sizeof(Chunk));
		frame->room = Max(4, frame->room * 2);
		frame->chunks = frame->chunks == NULL
							? MemoryContextAlloc(context, frame->room * sizeof(Chunk *))
							: repalloc(frame->chunks, frame->room * sizeof(Chunk *));
	}
	chunk = MemoryContextAlloc(context, sizeof(Chunk));
	chunk->n = 0;
	memmove(frame->chunks + at + 1, frame->chunks + at, (frame->nchunks - at) * sizeof(Chunk *));
	frame->chunks[at] = chunk;
	frame->nchunks++;
	return chunk;
}

/* Moves the upper half of a full chunk into a new one. */
static void
split_chunk(Frame *frame, int at)
{
	Chunk *lower = frame->chunks[at];
	Chunk *upper = insert_chunk(frame, at + 1);

	upper->n = CHUNK_KEYS / 2;
	lower->n -= upper->n;
	memcpy(upper->keys, lower->keys + lower->n, upper->n * sizeof(uint64));
}

/* A row enters the frame. */
static void
add_key(Frame *frame, uint64 key)
{
	Chunk *chunk;
	int	   at;
	int	   place;

	if (frame->nchunks == 0)
		(void) insert_chunk(frame, 0);
	at = chunk_of(frame, key);
	if (frame->chunks[at]->n == CHUNK_KEYS)
	{
		split_chunk(frame, at);
		at = chunk_of(frame, key);
	}
	chunk = frame->chunks[at];
	place = place_in(chunk, key);
	memmove(chunk->keys + place + 1, chunk->keys + place, (chunk->n - place) * sizeof(uint64));
	chunk->keys[place] = key;
	chunk->n++;
	frame->n++;
}

/* A row leaves the frame: any key equal to its own will do. */
static void
remove_key(Frame *frame, uint64 key)
{
	int	   at = chunk_of(frame, key);
	Chunk *chunk = frame->chunks[at];
	int	   place = place_in(chunk, key);

	Assert(place < chunk->n && chunk->keys[place] == key);
	chunk->n--;
	memmove(chunk->keys + place, chunk->keys + place + 1, (chunk->n - place) * sizeof(uint64));
	frame->n--;
	if (chunk->n > 0)
		return;
	pfree(chunk);
	frame->nchunks--;
	memmove(frame->chunks + at, frame->chunks + at + 1, (frame->nchunks - at) * sizeof(Chunk *));
}

/* The state of a frame, made with the first row, even if that is null. */
static Frame *
frame_of(FunctionCallInfo fcinfo)
{
	MemoryContext context;
	Frame		 *frame;

	if (!PG_ARGISNULL(0))
	{
		frame = (Frame *) PG_GETARG_POINTER(0);
		percentile_state_check(fcinfo, &frame->state);
		return frame;
	}
	context = percentile_agg_context(fcinfo);
	frame = MemoryContextAllocZero(context, sizeof(Frame));
	frame->state.store = &frame_store;
	frame->state.fractions = percentile_fractions_of(fcinfo, context);
	return frame;
}

/* A moving transition function or its inverse. */
#define MOVE(name, key, change)          \
	PG_FUNCTION_INFO_V1(name);           \
	Datum name(PG_FUNCTION_ARGS)         \
	{                                    \
		Frame *frame = frame_of(fcinfo); \
                                         \
		if (!PG_ARGISNULL(1))            \
			change(frame, key);          \
		PG_RETURN_POINTER(frame);        \
	}

#define ENTER_AND_LEAVE(type, key)              \
	MOVE(percentile_enter_##type, key, add_key) \
	MOVE(percentile_leave_##type, key, remove_key)

PERCENTILE_EACH_TYPE(ENTER_AND_LEAVE)
