/*
 * add.c
 *		Transition functions: a value of each type becomes a key.
 */
#include "postgres.h"

#include "utils/date.h"
#include "utils/timestamp.h"

#include "percentile/keys.h"
#include "percentile/numeric.h"

/* The state of a group's first row; null for a null value, whose fraction is looked at all the same. */
static pg_noinline PercentileKeys *
first_row(FunctionCallInfo fcinfo)
{
	MemoryContext	context = percentile_agg_context(fcinfo);
	PercentileKeys *list;

	if (PG_ARGISNULL(1))
	{
		percentile_fractions_unused(fcinfo);
		return NULL;
	}
	list = percentile_keys_new(context, 0);
	list->state.fractions = percentile_fractions_of(fcinfo, context);
	return list;
}

/* The state of a row's group. */
static inline PercentileKeys *
state_of(FunctionCallInfo fcinfo)
{
	PercentileKeys *list;

	if (unlikely(PG_ARGISNULL(0)))
		return first_row(fcinfo);
	list = (PercentileKeys *) PG_GETARG_POINTER(0);
	percentile_state_check(fcinfo, &list->state);
	return list;
}

/* A transition function whose value's key is the expression. */
#define ADD(type, key)                              \
	PG_FUNCTION_INFO_V1(percentile_add_##type);     \
	Datum percentile_add_##type(PG_FUNCTION_ARGS)   \
	{                                               \
		PercentileKeys *list = state_of(fcinfo);    \
                                                    \
		if (unlikely(list == NULL))                 \
			PG_RETURN_NULL();                       \
		if (!PG_ARGISNULL(1))                       \
			percentile_keys_add(list, key, fcinfo); \
		PG_RETURN_POINTER(list);                    \
	}

PERCENTILE_EACH_TYPE(ADD)
