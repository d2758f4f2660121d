/*
 * sketch_runs.c
 *		A sketch as its values in order, and what is asked of these.
 */
#include "postgres.h"

#include "utils/float.h"

#include "percentile/fractions.h"
#include "percentile/sketch_runs.h"

/* Appends a run. */
static void
append(SketchRuns *runs, SketchRun run)
{
	if (run.count == 0)
		return;
	runs->runs[runs->n++] = run;
	runs->count += run.count;
}

/* Appends a value that is there so many times. */
static void
append_value(SketchRuns *runs, double value, int64 count)
{
	append(runs, (SketchRun){value, value, value, value, count});
}

/*
 * Appends a bucket.  Its values are between its own bounds and those of all values; whatever they
 * are, an answer between least and most is as near to them as promised.
 */
static void
append_bucket(SketchRuns *runs, const Sketch *sketch, int side, int bucket, int64 count)
{
	const SketchBuckets *buckets = sketch->buckets;
	double				 accuracy = sketch_accuracy_in_force(sketch) / SKETCH_ACCURACY_UNIT;
	double				 start = sketch_bucket_start(bucket, buckets->scale);
	double				 end = sketch_bucket_start(bucket + 1, buckets->scale);
	double				 least = Max(start, end * (1 - accuracy));
	double				 most = Min(end, start * (1 + accuracy));

	least = Min(least, most);
	if (side == 0)
		append(runs, (SketchRun){-end, -start, -most, -least, count});
	else
		append(runs, (SketchRun){start, end, least, most, count});
}

/* Keeps a run within the bounds of all values. */
static void
trim(SketchRun *run, double min, double max)
{
	run->low = Min(Max(run->low, min), max);
	run->high = Min(Max(run->high, min), max);
	run->least = Min(Max(run->least, min), max);
	run->most = Min(Max(run->most, min), max);
}

/* The buckets, below 0 in reverse. */
static void
append_buckets(SketchRuns *runs, const Sketch *sketch)
{
	const SketchBuckets *buckets = sketch->buckets;
	int					 first = runs->n;
	SketchWalk			 walk;

	for (sketch_walk_start(&walk, &buckets->sides[0]); sketch_walk_next(&walk);)
		append_bucket(runs, sketch, 0, walk.bucket, walk.count);
	for (int i = first, j = runs->n - 1; i < j; i++, j--)
	{
		SketchRun run = runs->runs[i];

		runs->runs[i] = runs->runs[j];
		runs->runs[j] = run;
	}
	append_value(runs, 0, buckets->zero);
	for (sketch_walk_start(&walk, &buckets->sides[1]); sketch_walk_next(&walk);)
		append_bucket(runs, sketch, 1, walk.bucket, walk.count);
	for (int i = first; i < runs->n; i++)
		trim(&runs->runs[i], buckets->min, buckets->max);
}

/* The lowest and the highest value of all are known: runs of their own. */
static void
split_ends(SketchRuns *runs, const SketchBuckets *buckets, int first)
{
	SketchRun *run = &runs->runs[first];

	if (buckets->bounds_inexact || runs->n == first)
		return;
	if (run->count > 1 && run->low < run->high)
	{
		memmove(run + 1, run, sizeof(SketchRun) * (runs->n - first));
		*run = (SketchRun){buckets->min, buckets->min, buckets->min, buckets->min, 1};
		run[1].count--;
		runs->n++;
	}
	else if (run->count == 1)
		run->low = run->high = run->least = run->most = buckets->min;
	run = &runs->runs[runs->n - 1];
	if (run->count > 1 && run->low < run->high)
	{
		run[1] = (SketchRun){buckets->max, buckets->max, buckets->max, buckets->max, 1};
		run->count--;
		runs->n++;
	}
	else if (run->count == 1)
		run->low = run->high = run->least = run->most = buckets->max;
}

/* A sketch's values in order; NaN is above all. */
SketchRuns
sketch_runs(const Sketch *sketch)
{
	SketchRuns runs = {0};
	int		   n = 0;

	if (sketch->buckets != NULL)
	{
		runs.runs = palloc(sizeof(SketchRun) * (sketch->buckets->used + 6));
		append_value(&runs, -get_float8_infinity(), sketch->infinite[0]);
		n = runs.n;
		append_buckets(&runs, sketch);
		split_ends(&runs, sketch->buckets, n);
	}
	else
	{
		SketchPair *pairs = sketch_pairs(sketch, &n);

		runs.runs = palloc(sizeof(SketchRun) * (n + 3));
		append_value(&runs, -get_float8_infinity(), sketch->infinite[0]);
		for (int i = 0; i < n; i++)
			append_value(&runs, pairs[i].value, pairs[i].count);
	}
	append_value(&runs, get_float8_infinity(), sketch->infinite[1]);
	append_value(&runs, get_float8_nan(), sketch->nan);
	return runs;
}

/* The value at a position, from 0 to its count, in a run. */
double
sketch_run_value(const SketchRun *run, double position)
{
	double value;

	if (!(run->low < run->high))
		return run->low;
	value = run->low + (run->high - run->low) * (position / run->count);
	return Min(Max(value, run->least), run->most);
}

/* The value of a rank, from 0. */
double
sketch_runs_rank(const SketchRuns *runs, int64 rank)
{
	for (int i = 0; i < runs->n; i++)
	{
		if (rank < runs->runs[i].count)
			return sketch_run_value(&runs->runs[i], rank + 0.5);
		rank -= runs->runs[i].count;
	}
	return runs->runs[runs->n - 1].high;
}

/* As percentile_cont's: the same expression gives the same bits. */
static pg_noinline double
interpolate(double low, double high, double proportion)
{
	return low + (proportion * (high - low));
}

/* The value of a fraction: between those of two ranks, as percentile_cont. */
double
sketch_runs_percentile(const SketchRuns *runs, double fraction)
{
	PercentileRows rows = percentile_rows(fraction, runs->count, false);
	double		   low = sketch_runs_rank(runs, rows.first);

	if (rows.first == rows.second)
		return low;
	return interpolate(low, sketch_runs_rank(runs, rows.second), rows.proportion);
}

/* Whether a value is below another one, NaN being above all. */
static bool
is_below(double a, double b)
{
	return float8_lt(a, b);
}

/* About how many values are below a value, or not above it. */
double
sketch_runs_below(const SketchRuns *runs, double value, bool also_equal)
{
	double below = 0;

	for (int i = 0; i < runs->n; i++)
	{
		const SketchRun *run = &runs->runs[i];

		if (is_below(run->high, value) || (also_equal && float8_eq(run->high, value)))
			below += run->count;
		else if (run->low < run->high && is_below(run->low, value))
			below += run->count * ((value - run->low) / (run->high - run->low));
	}
	return below;
}

/* Average of what is between two positions, from 0 to the count of all; the value there if they are one. */
double
sketch_runs_average(const SketchRuns *runs, double from, double to)
{
	double sum = 0;
	double start = 0;

	if (to <= from)
		return sketch_runs_percentile(runs, Min(from / runs->count, 1));
	for (int i = 0; i < runs->n; i++)
	{
		const SketchRun *run = &runs->runs[i];
		double			 first = Max(from, start);
		double			 last = Min(to, start + run->count);

		if (first < last)
			sum += (last - first) * sketch_run_value(run, (first + last) / 2 - start);
		start += run->count;
	}
	return sum / (to - from);
}
