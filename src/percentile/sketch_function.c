/*
 * sketch_function.c
 *		What SQL asks of a sketch.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/float.h"

#include "percentile/fractions.h"
#include "percentile/sketch_runs.h"

PG_FUNCTION_INFO_V1(sketch_percentile);
PG_FUNCTION_INFO_V1(sketch_percentile_array);
PG_FUNCTION_INFO_V1(sketch_percentile_rank);
PG_FUNCTION_INFO_V1(sketch_count);
PG_FUNCTION_INFO_V1(sketch_min);
PG_FUNCTION_INFO_V1(sketch_max);
PG_FUNCTION_INFO_V1(sketch_sum);
PG_FUNCTION_INFO_V1(sketch_avg);
PG_FUNCTION_INFO_V1(sketch_trimmed_avg);
PG_FUNCTION_INFO_V1(sketch_accuracy);
PG_FUNCTION_INFO_V1(sketch_subtract);
PG_FUNCTION_INFO_V1(benchmark_change);

/* The value of a fraction. */
Datum
sketch_percentile(PG_FUNCTION_ARGS)
{
	SketchRuns runs = sketch_runs(PG_GETARG_SKETCH(0));
	double	   fraction = PG_GETARG_FLOAT8(1);

	percentile_fraction_check(fraction);
	if (runs.count == 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(sketch_runs_percentile(&runs, fraction));
}

/* The values of several fractions, as an array of their shape. */
Datum
sketch_percentile_array(PG_FUNCTION_ARGS)
{
	SketchRuns runs = sketch_runs(PG_GETARG_SKETCH(0));
	ArrayType *fractions = PG_GETARG_ARRAYTYPE_P(1);
	Datum	  *values;
	bool	  *nulls;
	int		   n;

	deconstruct_array(fractions, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &values, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (nulls[i])
			continue;
		percentile_fraction_check(DatumGetFloat8(values[i]));
		if (runs.count > 0)
			values[i] = Float8GetDatum(sketch_runs_percentile(&runs, DatumGetFloat8(values[i])));
	}
	if (runs.count == 0)
		PG_RETURN_NULL();
	if (n == 0)
		PG_RETURN_POINTER(construct_empty_array(FLOAT8OID));
	PG_RETURN_ARRAYTYPE_P(construct_md_array(values, nulls, ARR_NDIM(fractions),
											 ARR_DIMS(fractions), ARR_LBOUND(fractions), FLOAT8OID,
											 sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* The share of values that are not above a value. */
Datum
sketch_percentile_rank(PG_FUNCTION_ARGS)
{
	SketchRuns runs = sketch_runs(PG_GETARG_SKETCH(0));

	if (runs.count == 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(sketch_runs_below(&runs, PG_GETARG_FLOAT8(1), true) / runs.count);
}

/* How many values there are. */
Datum
sketch_count(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(PG_GETARG_SKETCH(0)->count);
}

/* The lowest value. */
Datum
sketch_min(PG_FUNCTION_ARGS)
{
	SketchRuns runs = sketch_runs(PG_GETARG_SKETCH(0));

	if (runs.count == 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(runs.runs[0].low);
}

/* The highest value. */
Datum
sketch_max(PG_FUNCTION_ARGS)
{
	SketchRuns runs = sketch_runs(PG_GETARG_SKETCH(0));

	if (runs.count == 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(runs.runs[runs.n - 1].high);
}

/* Sum of the finite values, rounded once. */
static double
finite_sum(const Sketch *sketch)
{
	SketchSum	sum = {{0}};
	int			n;
	SketchPair *pairs;

	if (sketch->buckets != NULL)
		return sketch_sum_value(&sketch->buckets->sum);
	pairs = sketch_pairs(sketch, &n);
	for (int i = 0; i < n; i++)
		sketch_sum_add(&sum, pairs[i].value, pairs[i].count);
	return sketch_sum_value(&sum);
}

/* Sum of all values. */
static double
whole_sum(const Sketch *sketch)
{
	if (sketch->nan > 0 || (sketch->infinite[0] > 0 && sketch->infinite[1] > 0))
		return get_float8_nan();
	if (sketch->infinite[0] > 0 || sketch->infinite[1] > 0)
		return sketch->infinite[1] > 0 ? get_float8_infinity() : -get_float8_infinity();
	return finite_sum(sketch);
}

/* Sum of all values. */
Datum
sketch_sum(PG_FUNCTION_ARGS)
{
	Sketch *sketch = PG_GETARG_SKETCH(0);

	if (sketch->count == 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(whole_sum(sketch));
}

/* Average of all values. */
Datum
sketch_avg(PG_FUNCTION_ARGS)
{
	Sketch *sketch = PG_GETARG_SKETCH(0);

	if (sketch->count == 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(whole_sum(sketch) / sketch->count);
}

/* Average of the values between two fractions. */
Datum
sketch_trimmed_avg(PG_FUNCTION_ARGS)
{
	SketchRuns runs = sketch_runs(PG_GETARG_SKETCH(0));
	double	   low = PG_GETARG_FLOAT8(1);
	double	   high = PG_GETARG_FLOAT8(2);

	percentile_fraction_check(low);
	percentile_fraction_check(high);
	if (low >= high)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("the lower fraction must be below the upper one")));
	if (runs.count == 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(sketch_runs_average(&runs, low * runs.count, high * runs.count));
}

/* The relative error that answers may have. */
Datum
sketch_accuracy(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(sketch_accuracy_in_force(PG_GETARG_SKETCH(0)) / SKETCH_ACCURACY_UNIT);
}

/* Values were to be taken away that are not there. */
static void
refuse_subtraction(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("the percentile_sketch does not have all values of the one to be subtracted")));
}

/* Takes NaN and infinities away. */
static void
subtract_rare(Sketch *sketch, const Sketch *less)
{
	if (sketch->nan < less->nan || sketch->infinite[0] < less->infinite[0] ||
		sketch->infinite[1] < less->infinite[1])
		refuse_subtraction();
	sketch->nan -= less->nan;
	sketch->infinite[0] -= less->infinite[0];
	sketch->infinite[1] -= less->infinite[1];
}

/* What is left of values, as a new sketch. */
static Sketch *
subtract_values(const Sketch *from, const Sketch *less)
{
	Sketch	   *rest = sketch_new(CurrentMemoryContext, from->accuracy);
	int			n;
	int			nless;
	SketchPair *pairs = sketch_pairs(from, &n);
	SketchPair *gone = sketch_pairs(less, &nless);
	int			i = 0;

	for (int g = 0; g < nless; g++)
	{
		while (i < n && pairs[i].value < gone[g].value)
			i++;
		if (i == n || pairs[i].value != gone[g].value || pairs[i].count < gone[g].count)
			refuse_subtraction();
		pairs[i].count -= gone[g].count;
	}
	for (i = 0; i < n; i++)
		if (pairs[i].count > 0)
			sketch_add(rest, pairs[i].value, pairs[i].count);
	rest->nan = from->nan;
	rest->infinite[0] = from->infinite[0];
	rest->infinite[1] = from->infinite[1];
	return rest;
}

/* A sketch without the values of another one. */
static Sketch *
subtract(Sketch *sketch, Sketch *less)
{
	int64 left = sketch->count - less->count;

	sketch_set_accuracy(sketch, less->accuracy);
	subtract_rare(sketch, less);
	if (less->count == less->nan + less->infinite[0] + less->infinite[1])
		; /* nothing else is taken away: min and max stay exact */
	else if (sketch->buckets == NULL && less->buckets == NULL)
		sketch = subtract_values(sketch, less);
	else
	{
		if (sketch->buckets == NULL)
			sketch_to_buckets(sketch);
		if (less->buckets == NULL)
		{
			sketch_set_accuracy(less, sketch->accuracy);
			sketch_to_buckets(less);
		}
		sketch_buckets_coarsen(less->buckets, sketch->buckets->scale);
		if (!sketch_buckets_subtract(sketch->buckets, less->buckets))
			refuse_subtraction();
		if (sketch->buckets->used == 0 && sketch->buckets->zero == 0)
			sketch->buckets = NULL; /* a list again, of none */
		else if (!sketch_sum_fits(&sketch->buckets->sum,
								  left - sketch->nan - sketch->infinite[0] - sketch->infinite[1]))
			refuse_subtraction();
	}
	sketch->count = left;
	return sketch;
}

/* Takes the values of another sketch away. */
Datum
sketch_subtract(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(sketch_write(subtract(PG_GETARG_SKETCH(0), PG_GETARG_SKETCH(1))));
}

/* A sketch, which may be null, with the values of a second one, and then without those of a third. */
Datum
benchmark_change(PG_FUNCTION_ARGS)
{
	Sketch *sketch = sketch_new(CurrentMemoryContext, 0);

	if (PG_ARGISNULL(0) && PG_ARGISNULL(1))
		PG_RETURN_NULL();
	for (int i = 0; i < 2; i++)
		if (!PG_ARGISNULL(i))
			sketch_apply(sketch,
						 (const struct varlena *) PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(i)),
						 SKETCH_STORED);
	if (!PG_ARGISNULL(2))
		sketch = subtract(sketch, PG_GETARG_SKETCH(2));
	PG_RETURN_POINTER(sketch_write(sketch));
}
