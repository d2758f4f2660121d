/*
 * sketch_buckets_format.c
 *		Buckets as bytes: scale, flags, bounds, sum, zeros, then each sign's buckets in bits.
 *
 * Neighbours have about as many values: what is written is how many more than in the one before,
 * in about as many bits as chance makes it differ.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "percentile/sketch.h"

#define BOUNDS_INEXACT 1

/* How many bits the difference to a count usually has. */
static inline int
usual_bits(int64 count)
{
	return count == 0 ? 0 : (pg_leftmost_one_pos64(count) + 1) / 2;
}

/* A bucket that has values. */
typedef struct Counted
{
	int	  bucket;
	int64 count;
} Counted;

/* All that a side has. */
static Counted *
list_side(const SketchBuckets *buckets, const SketchSide *side, int *n)
{
	Counted	  *list = palloc(sizeof(Counted) * (buckets->used + 1));
	SketchWalk walk;

	*n = 0;
	for (sketch_walk_start(&walk, side); sketch_walk_next(&walk);)
		list[(*n)++] = (Counted){walk.bucket, walk.count};
	return list;
}

/* How many of the next buckets are neighbours. */
static int
run_length(const Counted *list, int n)
{
	int length = 1;

	while (length < n && list[length].bucket == list[length - 1].bucket + 1)
		length++;
	return length;
}

/* The buckets of one sign: runs of neighbours, each the gap before it, its length, and its counts. */
static void
put_side(SketchWriter *out, const SketchBuckets *buckets, const SketchSide *side)
{
	int		 n;
	Counted *list = list_side(buckets, side, &n);
	int64	 before = 0;
	int		 runs = 0;

	for (int i = 0; i < n; i += run_length(list + i, n - i))
		runs++;
	sketch_put_number(out, runs);
	for (int i = 0; i < n;)
	{
		int end = i + run_length(list + i, n - i);

		if (i == 0)
			sketch_put_number(out, list[i].bucket);
		else
			sketch_put_short(out, list[i].bucket - list[i - 1].bucket - 2, 0);
		sketch_put_short(out, end - i - 1, 0);
		for (; i < end; i++)
		{
			sketch_put_short(out, sketch_zigzag(list[i].count - before), usual_bits(before));
			before = list[i].count;
		}
	}
	sketch_end_bits(out);
	pfree(list);
}

/* Writes all. */
void
sketch_buckets_write(SketchWriter *out, const SketchBuckets *buckets)
{
	sketch_put_byte(out, buckets->scale);
	sketch_put_byte(out, buckets->bounds_inexact ? BOUNDS_INEXACT : 0);
	sketch_put_double(out, buckets->min);
	sketch_put_double(out, buckets->max);
	sketch_sum_write(out, &buckets->sum);
	sketch_put_number(out, buckets->zero);
	put_side(out, buckets, &buckets->sides[0]);
	put_side(out, buckets, &buckets->sides[1]);
}

/* A number that was read, but no more than a limit. */
static inline int64
at_most(uint64 number, int64 limit)
{
	return number > (uint64) limit ? limit : (int64) number;
}

/* Buckets of one sign as they are read. */
typedef struct SideReader
{
	SketchReader  *in;
	SketchBuckets *buckets;
	int			   side;
	int			   scale; /* that they were written at */
	int64		   bucket;
	int64		   count; /* of the last one */
	int64		   all;
} SideReader;

/* Adds a run of neighbours; false: it is not sound. */
static bool
get_run(SideReader *reader, int64 length)
{
	SketchReader *in = reader->in;
	int64		  count = reader->count;
	int64		  all = reader->all;

	for (int64 end = reader->bucket + length; reader->bucket < end; reader->bucket++)
	{
		/* a sum of two numbers below 2^63 that may go round: then it is negative, or too large */
		count = (int64) ((uint64) count +
						 (uint64) sketch_unzigzag(sketch_get_short(in, usual_bits(count))));
		if (in->failed || count < 1 || count > SKETCH_COUNT_MAX - all)
			return false;
		all += count;
		sketch_buckets_count(reader->buckets, reader->side,
							 (int) (reader->bucket >> (reader->scale - reader->buckets->scale)),
							 count);
	}
	reader->count = count;
	reader->all = all;
	return true;
}

/* Adds the buckets of one sign; false: they are not sound. */
static bool
get_side(SideReader *reader)
{
	SketchReader *in = reader->in;
	uint64		  runs = sketch_get_number(in);
	int64		  limit = (int64) SKETCH_OCTAVES << reader->scale;

	if (runs > 8 * (uint64) (in->end - in->at))
		return false;
	if (runs > 0)
		reader->bucket = at_most(sketch_get_number(in), limit);
	if (runs > 0 && reader->bucket < INT64CONST(1) << reader->scale)
		return false; /* that of 0 */
	for (uint64 i = 0; i < runs; i++)
	{
		int64 length;

		if (i > 0)
			reader->bucket += 1 + at_most(sketch_get_short(in, 0), limit);
		length = 1 + at_most(sketch_get_short(in, 0), limit);
		if (in->failed || reader->bucket + length > limit || !get_run(reader, length))
			return false;
	}
	sketch_skip_bits(in);
	return true;
}

/* Adds buckets that were written; false: they are not what sketch_buckets_write writes. */
bool
sketch_buckets_read(SketchReader *in, SketchBuckets *buckets, int64 *count)
{
	int	   scale = sketch_get_byte(in);
	int	   flags = sketch_get_byte(in);
	double min = sketch_get_double(in);
	double max = sketch_get_double(in);
	uint64 zero;
	uint64 more_than;
	int64  all;

	sketch_sum_apply(in, &buckets->sum, &more_than);
	zero = sketch_get_number(in);
	if (in->failed || scale > SKETCH_SCALE_MAX || (flags & ~BOUNDS_INEXACT) || !isfinite(min) ||
		!isfinite(max) || zero > SKETCH_COUNT_MAX)
		return false;
	sketch_buckets_coarsen(buckets, scale);
	all = (int64) zero;
	for (int i = 0; i < 2; i++)
	{
		SideReader reader = {.in = in, .buckets = buckets, .side = i, .scale = scale, .all = all};

		if (!get_side(&reader))
			return false;
		all = reader.all;
	}
	*count = all;
	buckets->zero += zero;
	buckets->bounds_inexact |= (flags & BOUNDS_INEXACT) != 0;
	sketch_buckets_bounds(buckets, min, max);
	return more_than < (uint64) *count && min <= max;
}
