/*
 * state.h
 *		What the states of all exact aggregates have in common.
 */
#ifndef TENANCY_PERCENTILE_STATE_H
#define TENANCY_PERCENTILE_STATE_H

#include "postgres.h"

#include "fmgr.h"

#include "percentile/fractions.h"

/* How a kind of state counts its values and finds those of the given ranks (ascending, from 0). */
typedef struct PercentileStore
{
	int64 (*count)(const void *state);
	void (*fetch)(const void *state, const int64 *ranks, int nranks, uint64 *found);
} PercentileStore;

/* The first member of every state. */
typedef struct PercentileState
{
	const PercentileStore	  *store;
	const PercentileFractions *fractions;
} PercentileState;

/* How an answer is made of what a store found. */
typedef struct PercentileResult
{
	Oid	  type;
	int16 length;
	bool  byval;
	char  align;
	Datum (*value)(uint64 found);
	Datum (*between)(uint64 low, uint64 high, double proportion); /* NULL: discrete */
} PercentileResult;

extern MemoryContext percentile_agg_context(FunctionCallInfo fcinfo);
extern void			 percentile_limit_memory(Size bytes);
extern Datum		 percentile_finish(FunctionCallInfo fcinfo, const PercentileResult *result);

/* Whether the fractions of a row are those of its group's state. */
static inline void
percentile_state_check(FunctionCallInfo fcinfo, PercentileState *state)
{
	if (unlikely(!state->fractions->fixed))
		percentile_fractions_same(fcinfo, state->fractions);
}

#endif
