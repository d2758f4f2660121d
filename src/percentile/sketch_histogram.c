/*
 * sketch_histogram.c
 *		How many values are in each of a number of equal parts of their range.
 */
#include "postgres.h"

#include <float.h>

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/float.h"

#include "percentile/sketch_runs.h"

#define PARTS_MAX 10000

PG_FUNCTION_INFO_V1(sketch_histogram);

/* The finite values only. */
static SketchRuns
finite_runs(const Sketch *sketch)
{
	SketchRuns runs = sketch_runs(sketch);
	SketchRuns finite = {.runs = runs.runs};

	for (int i = 0; i < runs.n; i++)
	{
		if (!isfinite(runs.runs[i].low))
			continue;
		finite.count += runs.runs[i].count;
		finite.runs[finite.n++] = runs.runs[i];
	}
	return finite;
}

/* How many values are below an end of a part; more than the digits of a double are rounded. */
static int64
count_below(const SketchRuns *runs, double end)
{
	double below = rint(sketch_runs_below(runs, end, false));

	return below < (double) runs->count ? (int64) below : runs->count;
}

/*
 * Where a part begins, not above the last end; halves, as the range may be more than a double
 * takes.  What is between doubles that are next to each other is rounded to one of them.
 */
static double
edge(double low, double high, int part, int parts)
{
	double share = (double) part / parts;

	if (part == 0 || part == parts)
		return part == 0 ? low : high;
	return Min(high, low * (1 - share) + high * share);
}

/* The parts as rows. */
static void
put_parts(ReturnSetInfo *result, const SketchRuns *runs, int parts)
{
	double low = runs->runs[0].low;
	double high = runs->runs[runs->n - 1].high;
	double start = low;
	int64  before = 0;

	if (low == high)
		parts = 1;
	for (int i = 0; i < parts; i++)
	{
		double end = Max(start, edge(low, high, i + 1, parts));
		int64  below = i + 1 == parts ? runs->count : count_below(runs, end);
		Datum  values[5] = {Int32GetDatum(i + 1), Float8GetDatum(start), Float8GetDatum(end),
							Int64GetDatum(below - before),
							Float8GetDatum((double) (below - before) / runs->count)};
		bool   nulls[5] = {false};

		CHECK_FOR_INTERRUPTS();
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
		start = end;
		before = below;
	}
}

/* Equal parts of the range from the lowest to the highest finite value. */
Datum
sketch_histogram(PG_FUNCTION_ARGS)
{
	int		   parts = PG_GETARG_INT32(1);
	SketchRuns runs = finite_runs(PG_GETARG_SKETCH(0));

	if (parts < 1 || parts > PARTS_MAX)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("a histogram has between 1 and %d parts", PARTS_MAX)));
	InitMaterializedSRF(fcinfo, 0);
	if (runs.count > 0)
		put_parts((ReturnSetInfo *) fcinfo->resultinfo, &runs, parts);
	return (Datum) 0;
}
