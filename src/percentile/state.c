/*
 * state.c
 *		From a state to an answer, for every kind of state and type.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/array.h"

#include "percentile/state.h"

/* Where an aggregate's states live. */
MemoryContext
percentile_agg_context(FunctionCallInfo fcinfo)
{
	MemoryContext context;

	if (!AggCheckCallContext(fcinfo, &context))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("a percentile's transition function was called outside of an aggregate")));
	return context;
}

/* States that cannot go into a file end where the server allows a hash table to end. */
void
percentile_limit_memory(Size bytes)
{
	if (bytes > get_hash_memory_limit())
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("the values of a percentile need more memory than work_mem times "
							   "hash_mem_multiplier"),
						errhint("Raise work_mem, or use percentile_cont or percentile_disc.")));
}

/* Order of ranks. */
static int
compare_ranks(const void *a, const void *b)
{
	int64 left = *(const int64 *) a;
	int64 right = *(const int64 *) b;

	return left < right ? -1 : left > right;
}

/* Ranks sorted, each once; returns how many there are. */
static int
sort_ranks(int64 *ranks, int n)
{
	int kept = 0;

	qsort(ranks, n, sizeof(int64), compare_ranks);
	for (int i = 0; i < n; i++)
	{
		if (kept == 0 || ranks[kept - 1] != ranks[i])
			ranks[kept++] = ranks[i];
	}
	return kept;
}

/* What was found for a rank. */
static uint64
found_at(const int64 *ranks, int nranks, const uint64 *found, int64 rank)
{
	const int64 *place = bsearch(&rank, ranks, nranks, sizeof(int64), compare_ranks);

	return found[place - ranks];
}

/* The answers to all fractions: one selection for all of them. */
static Datum *
answers(const PercentileState *state, int64 n, const PercentileResult *result)
{
	const PercentileFractions *fractions = state->fractions;
	PercentileRows			  *rows = palloc(sizeof(PercentileRows) * fractions->count);
	int64					  *ranks = palloc(sizeof(int64) * 2 * fractions->count);
	uint64					  *found = palloc(sizeof(uint64) * 2 * fractions->count);
	Datum					  *values = palloc(sizeof(Datum) * fractions->count);
	int						   nranks = 0;

	for (int i = 0; i < fractions->count; i++)
	{
		if (fractions->nulls[i])
			continue;
		rows[i] = percentile_rows(fractions->values[i], n, result->between == NULL);
		ranks[nranks++] = rows[i].first;
		ranks[nranks++] = rows[i].second;
	}
	nranks = sort_ranks(ranks, nranks);
	if (nranks > 0)
		state->store->fetch(state, ranks, nranks, found);
	for (int i = 0; i < fractions->count; i++)
	{
		uint64 low;

		values[i] = (Datum) 0;
		if (fractions->nulls[i])
			continue;
		low = found_at(ranks, nranks, found, rows[i].first);
		if (rows[i].first == rows[i].second)
			values[i] = result->value(low);
		else
			values[i] = result->between(low, found_at(ranks, nranks, found, rows[i].second),
										rows[i].proportion);
	}
	return values;
}

/* The final function of all: null without a value, an array of the shape of the fractions' array. */
Datum
percentile_finish(FunctionCallInfo fcinfo, const PercentileResult *result)
{
	PercentileState			  *state;
	const PercentileFractions *fractions;
	int64					   n;
	Datum					  *values;

	(void) percentile_agg_context(fcinfo);
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	state = (PercentileState *) PG_GETARG_POINTER(0);
	fractions = state->fractions;
	n = state->store->count(state);
	if (n == 0 || (fractions->array == NULL && fractions->nulls[0]))
		PG_RETURN_NULL();
	if (fractions->count == 0)
		PG_RETURN_POINTER(construct_empty_array(result->type));
	values = answers(state, n, result);
	if (fractions->array == NULL)
		PG_RETURN_DATUM(values[0]);
	PG_RETURN_ARRAYTYPE_P(construct_md_array(
		values, fractions->nulls, ARR_NDIM(fractions->array), ARR_DIMS(fractions->array),
		ARR_LBOUND(fractions->array), result->type, result->length, result->byval, result->align));
}
