/*
 * fractions.c
 *		Fractions: what is asked of an aggregate.
 *
 * A plain aggregate gets its fraction with every row.  It is looked at in every row, unless the
 * expression cannot change, so that a group with two fractions is an error and not a surprise.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "libpq/pqformat.h"
#include "nodes/primnodes.h"

#include "percentile/fractions.h"

#define FRACTION_ARG 2

static double half = 0.5;
static bool	  half_null = false;

const PercentileFractions percentile_half = {true, 1, NULL, &half, &half_null};

/* A fraction is within 0 and 1; the words and the code are those of percentile_cont. */
void
percentile_fraction_check(double fraction)
{
	if (fraction < 0 || fraction > 1 || isnan(fraction))
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						errmsg("percentile value %g is not between 0 and 1", fraction)));
}

/* Fractions of an array, in the given context. */
static PercentileFractions *
from_array(ArrayType *array, MemoryContext context)
{
	MemoryContext		 old = MemoryContextSwitchTo(context);
	PercentileFractions *fractions = palloc0(sizeof(PercentileFractions));
	Datum				*values;

	fractions->array = (ArrayType *) palloc(VARSIZE(array));
	memcpy(fractions->array, array, VARSIZE(array));
	deconstruct_array(fractions->array, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &values, &fractions->nulls, &fractions->count);
	fractions->values = palloc(sizeof(double) * Max(fractions->count, 1));
	for (int i = 0; i < fractions->count; i++)
	{
		fractions->values[i] = fractions->nulls[i] ? 0 : DatumGetFloat8(values[i]);
		percentile_fraction_check(fractions->values[i]);
	}
	MemoryContextSwitchTo(old);
	return fractions;
}

/* One fraction, or a null, in the given context. */
static PercentileFractions *
from_one(double value, bool isnull, MemoryContext context)
{
	PercentileFractions *fractions = MemoryContextAllocZero(context, sizeof(PercentileFractions));

	if (!isnull)
		percentile_fraction_check(value);
	fractions->count = 1;
	fractions->values = MemoryContextAlloc(context, sizeof(double));
	fractions->nulls = MemoryContextAlloc(context, sizeof(bool));
	fractions->values[0] = isnull ? 0 : value;
	fractions->nulls[0] = isnull;
	return fractions;
}

/* Whether the query gives the same fractions to every row; a window function does not tell. */
static bool
argument_is_fixed(FunctionCallInfo fcinfo)
{
	Aggref *call = AggGetAggref(fcinfo);
	Expr   *fraction;

	if (call == NULL || list_length(call->args) < FRACTION_ARG)
		return false;
	fraction = ((TargetEntry *) list_nth(call->args, FRACTION_ARG - 1))->expr;
	return IsA(fraction, Const) ||
		   (IsA(fraction, Param) && ((Param *) fraction)->paramkind == PARAM_EXTERN);
}

/* Reads the argument into the given context. */
static PercentileFractions *
from_argument(FunctionCallInfo fcinfo, MemoryContext context)
{
	bool isnull = PG_ARGISNULL(FRACTION_ARG);
	bool is_array = get_fn_expr_argtype(fcinfo->flinfo, FRACTION_ARG) == FLOAT8ARRAYOID;
	PercentileFractions *fractions;

	if (isnull || !is_array)
		fractions = from_one(isnull ? 0 : PG_GETARG_FLOAT8(FRACTION_ARG), isnull, context);
	else
		fractions = from_array(PG_GETARG_ARRAYTYPE_P(FRACTION_ARG), context);
	fractions->fixed = argument_is_fixed(fcinfo);
	return fractions;
}

/* Whether two are the same. */
static bool
same(const PercentileFractions *a, const PercentileFractions *b)
{
	if (a->array != NULL || b->array != NULL)
		return a->array != NULL && b->array != NULL && VARSIZE(a->array) == VARSIZE(b->array) &&
			   memcmp(a->array, b->array, VARSIZE(a->array)) == 0;
	return a->nulls[0] == b->nulls[0] && a->values[0] == b->values[0];
}

/* Those that the call's cache has, if they are the given ones; or the given ones, in context. */
const PercentileFractions *
percentile_fractions_kept(FunctionCallInfo fcinfo, const PercentileFractions *given,
						  MemoryContext context)
{
	PercentileFractions *cached = fcinfo->flinfo->fn_extra;
	PercentileFractions *copy;

	if (cached != NULL && same(cached, given))
		return cached;
	if (cached == NULL)
		context = fcinfo->flinfo->fn_mcxt;
	copy = given->array != NULL ? from_array(given->array, context)
								: from_one(given->values[0], given->nulls[0], context);
	copy->fixed = given->fixed;
	if (cached == NULL)
		fcinfo->flinfo->fn_extra = copy;
	return copy;
}

/* What a new state, in context, was asked for: groups share what does not differ. */
const PercentileFractions *
percentile_fractions_of(FunctionCallInfo fcinfo, MemoryContext context)
{
	PercentileFractions *cached = fcinfo->flinfo->fn_extra;

	if (PG_NARGS() <= FRACTION_ARG)
		return &percentile_half;
	if (cached != NULL && cached->fixed)
		return cached;
	return percentile_fractions_kept(fcinfo, from_argument(fcinfo, CurrentMemoryContext), context);
}

/* As percentile_cont, complains of a wrong fraction even if all values are null, but not in an array. */
void
percentile_fractions_unused(FunctionCallInfo fcinfo)
{
	if (PG_NARGS() > FRACTION_ARG && !PG_ARGISNULL(FRACTION_ARG) &&
		get_fn_expr_argtype(fcinfo->flinfo, FRACTION_ARG) == FLOAT8OID)
		percentile_fraction_check(PG_GETARG_FLOAT8(FRACTION_ARG));
}

/* Whether an argument is what was given before, without reading it into memory. */
static bool
argument_is(FunctionCallInfo fcinfo, const PercentileFractions *fractions)
{
	if (PG_ARGISNULL(FRACTION_ARG))
		return fractions->array == NULL && fractions->nulls[0];
	if (fractions->array != NULL)
	{
		ArrayType *array = PG_GETARG_ARRAYTYPE_P(FRACTION_ARG);

		return VARSIZE(array) == VARSIZE(fractions->array) &&
			   memcmp(array, fractions->array, VARSIZE(array)) == 0;
	}
	return !fractions->nulls[0] && fractions->values[0] == PG_GETARG_FLOAT8(FRACTION_ARG);
}

/* A plain aggregate cannot keep its caller from this before the rows are there. */
static void
fraction_changed(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("the fraction of a percentile must be the same in all rows of a group")));
}

/* The fractions of a row have to be those of its group. */
void
percentile_fractions_same(FunctionCallInfo fcinfo, const PercentileFractions *fractions)
{
	if (!argument_is(fcinfo, fractions))
		fraction_changed();
}

/* The fractions of two workers' states of a group have to be the same. */
void
percentile_fractions_agree(const PercentileFractions *a, const PercentileFractions *b)
{
	if (a != b && !same(a, b))
		fraction_changed();
}

/* Into the state that a parallel worker sends. */
void
percentile_fractions_write(StringInfo out, const PercentileFractions *fractions)
{
	Size size = fractions->array != NULL ? VARSIZE(fractions->array) : 0;

	pq_sendint8(out, fractions->array == NULL && fractions->nulls[0]);
	pq_sendint64(out, size);
	if (size > 0)
		appendBinaryStringInfo(out, (char *) fractions->array, size);
	else
		pq_sendfloat8(out, fractions->values[0]);
}

/* From the state that a parallel worker sent. */
PercentileFractions *
percentile_fractions_read(StringInfo in)
{
	bool				 isnull = pq_getmsgbyte(in) != 0;
	Size				 size = pq_getmsgint64(in);
	PercentileFractions *fractions;

	if (size > 0)
	{
		ArrayType *array = palloc(size);

		memcpy(array, pq_getmsgbytes(in, size), size);
		fractions = from_array(array, CurrentMemoryContext);
	}
	else
		fractions = from_one(pq_getmsgfloat8(in), isnull, CurrentMemoryContext);
	fractions->fixed = true;
	return fractions;
}

/* The rows of a fraction among n; every expression has the form that percentile_cont's has. */
PercentileRows
percentile_rows(double fraction, int64 n, bool discrete)
{
	PercentileRows rows = {0};

	if (discrete)
	{
		rows.first = Max(1, (int64) ceil(fraction * n)) - 1;
		rows.second = rows.first;
		return rows;
	}
	rows.first = floor(fraction * (n - 1));
	rows.second = ceil(fraction * (n - 1));
	rows.proportion = (fraction * (n - 1)) - rows.first;
	return rows;
}
