/*
 * sketch_aggregate.c
 *		percentile_sketch of values, and percentile_sketch_merge of sketches.
 *
 * Both have the same state.  What a parallel worker sends is a sketch as it is stored.
 */
#include "postgres.h"

#include "percentile/numeric.h"
#include "percentile/sketch.h"
#include "percentile/state.h"

PG_FUNCTION_INFO_V1(percentile_sketch_merge_add);
PG_FUNCTION_INFO_V1(percentile_sketch_combine);
PG_FUNCTION_INFO_V1(percentile_sketch_serialize);
PG_FUNCTION_INFO_V1(percentile_sketch_deserialize);
PG_FUNCTION_INFO_V1(percentile_sketch_final);

/* The accuracy that a row asks for. */
static double
accuracy_of(FunctionCallInfo fcinfo, int argument)
{
	if (PG_ARGISNULL(argument))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("the accuracy of a percentile_sketch must not be null")));
	return PG_GETARG_FLOAT8(argument);
}

/* The state of a group's first value; argument 0: the accuracy is the default. */
static pg_noinline Sketch *
first_state(FunctionCallInfo fcinfo, int argument)
{
	double	asked = argument > 0 ? accuracy_of(fcinfo, argument) : 0;
	Sketch *sketch =
		sketch_new(percentile_agg_context(fcinfo),
				   argument > 0 ? sketch_check_accuracy(asked) : SKETCH_ACCURACY_DEFAULT);

	sketch->asked = asked;
	return sketch;
}

/* The state of a row's group. */
static inline Sketch *
state_of(FunctionCallInfo fcinfo, int argument)
{
	Sketch *sketch;

	if (unlikely(PG_ARGISNULL(0)))
		return first_state(fcinfo, argument);
	sketch = (Sketch *) PG_GETARG_POINTER(0);
	if (argument > 0 && unlikely(accuracy_of(fcinfo, argument) != sketch->asked))
	{
		/* the coarsest of all, as in a merge: it does not matter which rows a worker had */
		sketch->asked = PG_GETARG_FLOAT8(argument);
		sketch_set_accuracy(sketch, sketch_check_accuracy(sketch->asked));
	}
	return sketch;
}

/* How often a row's value counts. */
static inline int64
check_weight(int64 weight)
{
	if (unlikely(weight < 0))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("a weight of a percentile_sketch must not be negative")));
	return weight;
}

/* A transition function; a null value or weight, and weight 0, count for nothing. */
#define ADD(name, value, weight_argument, weight, accuracy_argument)                     \
	PG_FUNCTION_INFO_V1(name);                                                           \
	Datum name(PG_FUNCTION_ARGS)                                                         \
	{                                                                                    \
		int64	times;                                                                   \
		Sketch *sketch;                                                                  \
                                                                                         \
		if (PG_ARGISNULL(1) || PG_ARGISNULL(weight_argument) || (times = (weight)) == 0) \
		{                                                                                \
			if (PG_ARGISNULL(0))                                                         \
				PG_RETURN_NULL();                                                        \
			PG_RETURN_POINTER(PG_GETARG_POINTER(0));                                     \
		}                                                                                \
		sketch = state_of(fcinfo, accuracy_argument);                                    \
		sketch_add(sketch, value, times);                                                \
		PG_RETURN_POINTER(sketch);                                                       \
	}

/* Those of a type of value. */
#define ADDS(type, value)                                                                   \
	ADD(percentile_sketch_add_##type, value, 1, 1, 0)                                       \
	ADD(percentile_sketch_add_##type##_accuracy, value, 1, 1, 2)                            \
	ADD(percentile_sketch_add_##type##_int4, value, 2, check_weight(PG_GETARG_INT32(2)), 0) \
	ADD(percentile_sketch_add_##type##_int8, value, 2, check_weight(PG_GETARG_INT64(2)), 0) \
	ADD(percentile_sketch_add_##type##_int8_accuracy, value, 2, check_weight(PG_GETARG_INT64(2)), 3)

ADDS(float8, PG_GETARG_FLOAT8(1))
ADDS(numeric, percentile_numeric_float8(PG_GETARG_DATUM(1)))

/* Adds the bytes of a sketch to a state, which may be none yet. */
static Sketch *
apply(FunctionCallInfo fcinfo, const struct varlena *bytes)
{
	Sketch *sketch;
	Size	n = VARSIZE_ANY_EXHDR(bytes);

	if (!PG_ARGISNULL(0))
	{
		sketch = (Sketch *) PG_GETARG_POINTER(0);
		sketch_apply(sketch, bytes, SKETCH_STORED);
		return sketch;
	}
	/* a group of one sketch is that sketch */
	sketch = sketch_new(percentile_agg_context(fcinfo), 0);
	sketch->only = MemoryContextAlloc(sketch->context, VARHDRSZ + n);
	SET_VARSIZE(sketch->only, VARHDRSZ + n);
	memcpy(VARDATA(sketch->only), VARDATA_ANY(bytes), n);
	return sketch;
}

/* A stored sketch joins its group. */
Datum
percentile_sketch_merge_add(PG_FUNCTION_ARGS)
{
	if (!PG_ARGISNULL(1))
		PG_RETURN_POINTER(
			apply(fcinfo, (const struct varlena *) PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(1))));
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	PG_RETURN_POINTER(PG_GETARG_POINTER(0));
}

/* A parallel worker's state joins the leader's; either may be none. */
Datum
percentile_sketch_combine(PG_FUNCTION_ARGS)
{
	(void) percentile_agg_context(fcinfo);
	if (!PG_ARGISNULL(1))
	{
		Sketch *sketch = apply(fcinfo, (const struct varlena *) PG_GETARG_POINTER(1));

		PG_RETURN_POINTER(sketch);
	}
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	PG_RETURN_POINTER(PG_GETARG_POINTER(0));
}

/* A state as a sketch is stored. */
Datum
percentile_sketch_serialize(PG_FUNCTION_ARGS)
{
	(void) percentile_agg_context(fcinfo);
	PG_RETURN_POINTER(sketch_write((Sketch *) PG_GETARG_POINTER(0)));
}

/* What a worker sent; it stays as it is, for percentile_sketch_combine. */
Datum
percentile_sketch_deserialize(PG_FUNCTION_ARGS)
{
	(void) percentile_agg_context(fcinfo);
	PG_RETURN_POINTER(PG_GETARG_BYTEA_P_COPY(0));
}

/* The sketch of a group; the state means the same as before. */
Datum
percentile_sketch_final(PG_FUNCTION_ARGS)
{
	(void) percentile_agg_context(fcinfo);
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	PG_RETURN_POINTER(sketch_write((Sketch *) PG_GETARG_POINTER(0)));
}
