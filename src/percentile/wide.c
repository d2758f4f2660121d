/*
 * wide.c
 *		Values without a key of 64 bits, interval and (discrete) numeric: kept as they are, compared.
 *
 * Values that compare as equal, but are not the same, have an order of their own, so that the
 * answer does not depend on the order of the rows.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "percentile/select_pointers.h"
#include "percentile/state.h"

PG_FUNCTION_INFO_V1(percentile_add_interval);
PG_FUNCTION_INFO_V1(percentile_add_numeric_value);
PG_FUNCTION_INFO_V1(percentile_wide_serialize);
PG_FUNCTION_INFO_V1(percentile_interval_deserialize);
PG_FUNCTION_INFO_V1(percentile_numeric_deserialize);
PG_FUNCTION_INFO_V1(percentile_wide_combine);
PG_FUNCTION_INFO_V1(percentile_interval);
PG_FUNCTION_INFO_V1(percentile_discrete_interval);
PG_FUNCTION_INFO_V1(percentile_discrete_numeric);

#define FIRST_ROOM 128

/* Values one after the other, each aligned. */
typedef struct Wide
{
	PercentileState state;
	char		   *data;
	Size			used;
	Size			room;
	int64			n;
} Wide;

/* How many values. */
static int64
count_wide(const void *state)
{
	return ((const Wide *) state)->n;
}

/* Order of intervals, then of their bytes. */
static int
compare_intervals(const void *a, const void *b)
{
	int order =
		DatumGetInt32(DirectFunctionCall2(interval_cmp, PointerGetDatum(a), PointerGetDatum(b)));

	return order != 0 ? order : memcmp(a, b, sizeof(Interval));
}

/* Order of numerics, then of their lengths and bytes. */
static int
compare_numerics(const void *a, const void *b)
{
	int order =
		DatumGetInt32(DirectFunctionCall2(numeric_cmp, PointerGetDatum(a), PointerGetDatum(b)));

	if (order == 0)
		order = (VARSIZE(a) > VARSIZE(b)) - (VARSIZE(a) < VARSIZE(b));
	return order != 0 ? order : memcmp(a, b, VARSIZE(a));
}

/* Pointers to the values of the ranks; size 0: each tells its own. */
static void
fetch_wide(const Wide *wide, Size size, PercentileCompare compare, const int64 *ranks, int nranks,
		   uint64 *found)
{
	const void **values =
		MemoryContextAllocHuge(CurrentMemoryContext, wide->n * sizeof(const void *));
	char *at = wide->data;

	for (int64 i = 0; i < wide->n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		values[i] = at;
		at += MAXALIGN(size != 0 ? size : VARSIZE(at));
	}
	percentile_select_pointers(values, wide->n, compare, ranks, nranks);
	for (int i = 0; i < nranks; i++)
		found[i] = (uint64) (uintptr_t) values[ranks[i]];
	pfree(values);
}

/* Intervals of the ranks. */
static void
fetch_intervals(const void *state, const int64 *ranks, int nranks, uint64 *found)
{
	fetch_wide(state, sizeof(Interval), compare_intervals, ranks, nranks, found);
}

/* Numerics of the ranks. */
static void
fetch_numerics(const void *state, const int64 *ranks, int nranks, uint64 *found)
{
	fetch_wide(state, 0, compare_numerics, ranks, nranks, found);
}

static const PercentileStore interval_store = {count_wide, fetch_intervals};
static const PercentileStore numeric_store = {count_wide, fetch_numerics};

/* A state without values. */
static Wide *
new_wide(MemoryContext context, const PercentileStore *store)
{
	Wide *wide = MemoryContextAllocZero(context, sizeof(Wide));

	wide->state.store = store;
	return wide;
}

/* Room for so many more bytes. */
static void
reserve(Wide *wide, Size bytes)
{
	Size room = Max(wide->room, FIRST_ROOM);

	if (wide->used + bytes <= wide->room)
		return;
	while (room < wide->used + bytes)
		room *= 2;
	if (room > FIRST_ROOM * 64)
		percentile_limit_memory(room);
	wide->data = wide->data == NULL ? MemoryContextAllocHuge(GetMemoryChunkContext(wide), room)
									: repalloc_huge(wide->data, room);
	wide->room = room;
}

/* Adds a value. */
static void
add_value(Wide *wide, const void *value, Size size)
{
	Size aligned = MAXALIGN(size);

	reserve(wide, aligned);
	memset(wide->data + wide->used + aligned - MAXIMUM_ALIGNOF, 0, MAXIMUM_ALIGNOF);
	memcpy(wide->data + wide->used, value, size);
	wide->used += aligned;
	wide->n++;
}

/* The state of a row's group; null while there are only nulls. */
static Wide *
state_of(FunctionCallInfo fcinfo, const PercentileStore *store)
{
	MemoryContext context;
	Wide		 *wide;

	if (!PG_ARGISNULL(0))
	{
		wide = (Wide *) PG_GETARG_POINTER(0);
		percentile_state_check(fcinfo, &wide->state);
		return wide;
	}
	context = percentile_agg_context(fcinfo);
	if (PG_ARGISNULL(1))
	{
		percentile_fractions_unused(fcinfo);
		return NULL;
	}
	wide = new_wide(context, store);
	wide->state.fractions = percentile_fractions_of(fcinfo, context);
	return wide;
}

/* Transition function of interval. */
Datum
percentile_add_interval(PG_FUNCTION_ARGS)
{
	Wide *wide = state_of(fcinfo, &interval_store);

	if (wide == NULL)
		PG_RETURN_NULL();
	if (!PG_ARGISNULL(1))
		add_value(wide, PG_GETARG_INTERVAL_P(1), sizeof(Interval));
	PG_RETURN_POINTER(wide);
}

/* Transition function of numeric where a value itself is the answer. */
Datum
percentile_add_numeric_value(PG_FUNCTION_ARGS)
{
	Wide *wide = state_of(fcinfo, &numeric_store);

	if (wide == NULL)
		PG_RETURN_NULL();
	if (!PG_ARGISNULL(1))
	{
		Numeric value = PG_GETARG_NUMERIC(1);

		add_value(wide, value, VARSIZE(value));
	}
	PG_RETURN_POINTER(wide);
}

/* A worker's state as bytes. */
Datum
percentile_wide_serialize(PG_FUNCTION_ARGS)
{
	Wide		  *wide = (Wide *) PG_GETARG_POINTER(0);
	StringInfoData out;

	(void) percentile_agg_context(fcinfo);
	if (wide->used > MaxAllocSize / 2)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("a parallel worker has more values of one group than it can send"),
						errhint("Set max_parallel_workers_per_gather to 0.")));
	pq_begintypsend(&out);
	percentile_fractions_write(&out, wide->state.fractions);
	pq_sendint64(&out, wide->n);
	pq_sendint64(&out, wide->used);
	pq_sendbytes(&out, wide->data, wide->used);
	PG_RETURN_BYTEA_P(pq_endtypsend(&out));
}

/* A state from what a worker sent. */
static Wide *
deserialize(FunctionCallInfo fcinfo, const PercentileStore *store)
{
	bytea		  *in = PG_GETARG_BYTEA_PP(0);
	Wide		  *wide = new_wide(CurrentMemoryContext, store);
	StringInfoData message = {.data = VARDATA_ANY(in), .len = VARSIZE_ANY_EXHDR(in)};

	(void) percentile_agg_context(fcinfo);
	wide->state.fractions = percentile_fractions_read(&message);
	wide->n = pq_getmsgint64(&message);
	wide->used = pq_getmsgint64(&message);
	wide->data = (char *) pq_getmsgbytes(&message, wide->used);
	return wide;
}

/* Intervals from a worker. */
Datum
percentile_interval_deserialize(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(deserialize(fcinfo, &interval_store));
}

/* Numerics from a worker. */
Datum
percentile_numeric_deserialize(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(deserialize(fcinfo, &numeric_store));
}

/* Adds what a worker sent to the leader's state. */
Datum
percentile_wide_combine(PG_FUNCTION_ARGS)
{
	MemoryContext context = percentile_agg_context(fcinfo);
	Wide		 *wide = PG_ARGISNULL(0) ? NULL : (Wide *) PG_GETARG_POINTER(0);
	Wide		 *more = PG_ARGISNULL(1) ? NULL : (Wide *) PG_GETARG_POINTER(1);

	if (more == NULL)
	{
		if (wide == NULL)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(wide);
	}
	if (wide == NULL)
	{
		wide = new_wide(context, more->state.store);
		wide->state.fractions = percentile_fractions_kept(fcinfo, more->state.fractions, context);
	}
	percentile_fractions_agree(wide->state.fractions, more->state.fractions);
	reserve(wide, more->used);
	memcpy(wide->data + wide->used, more->data, more->used);
	wide->used += more->used;
	wide->n += more->n;
	PG_RETURN_POINTER(wide);
}

/* A copy of an interval that was found. */
static Datum
interval_value(uint64 found)
{
	Interval *copy = palloc(sizeof(Interval));

	memcpy(copy, (void *) (uintptr_t) found, sizeof(Interval));
	PG_RETURN_INTERVAL_P(copy);
}

/* Between two intervals, in the server's own arithmetic, as percentile_cont does it. */
static Datum
interval_between(uint64 low, uint64 high, double proportion)
{
	Datum from = PointerGetDatum((void *) (uintptr_t) low);
	Datum distance =
		DirectFunctionCall2(interval_mi, PointerGetDatum((void *) (uintptr_t) high), from);

	return DirectFunctionCall2(
		interval_pl, DirectFunctionCall2(interval_mul, distance, Float8GetDatum(proportion)), from);
}

/* A copy of a numeric that was found. */
static Datum
numeric_value(uint64 found)
{
	struct varlena *value = (struct varlena *) (uintptr_t) found;
	struct varlena *copy = palloc(VARSIZE(value));

	memcpy(copy, value, VARSIZE(value));
	PG_RETURN_POINTER(copy);
}

/* Final function of interval. */
Datum
percentile_interval(PG_FUNCTION_ARGS)
{
	static const PercentileResult result = {INTERVALOID,	 sizeof(Interval), false,
											TYPALIGN_DOUBLE, interval_value,   interval_between};

	return percentile_finish(fcinfo, &result);
}

/* Final function of interval, discrete. */
Datum
percentile_discrete_interval(PG_FUNCTION_ARGS)
{
	static const PercentileResult result = {INTERVALOID,	 sizeof(Interval), false,
											TYPALIGN_DOUBLE, interval_value,   NULL};

	return percentile_finish(fcinfo, &result);
}

/* Final function of numeric, discrete. */
Datum
percentile_discrete_numeric(PG_FUNCTION_ARGS)
{
	static const PercentileResult result = {NUMERICOID,	   -1,	false, TYPALIGN_INT,
											numeric_value, NULL};

	return percentile_finish(fcinfo, &result);
}
