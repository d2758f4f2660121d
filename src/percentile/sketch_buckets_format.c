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

/* The buckets of one sign. */
static void
put_side(SketchWriter *out, const SketchSide *side)
{
	SketchWalk walk;
	int64	   before = 0;
	int		   last = 0;
	int		   n = 0;

	for (sketch_walk_start(&walk, side); sketch_walk_next(&walk);)
		n++;
	sketch_put_number(out, n);
	n = 0;
	for (sketch_walk_start(&walk, side); sketch_walk_next(&walk); n++)
	{
		if (n == 0)
			sketch_put_number(out, walk.bucket);
		else
			sketch_put_short(out, walk.bucket - last - 1, 0);
		sketch_put_short(out, sketch_zigzag(walk.count - before), usual_bits(before));
		before = walk.count;
		last = walk.bucket;
	}
	sketch_end_bits(out);
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
	put_side(out, &buckets->sides[0]);
	put_side(out, &buckets->sides[1]);
}

/* A number that was read, but no more than a limit. */
static inline int64
at_most(uint64 number, int64 limit)
{
	return number > (uint64) limit ? limit : (int64) number;
}

/* Adds the buckets of one sign that were written at a scale; returns how many values, negative: not sound. */
static int64
get_side(SketchReader *in, SketchBuckets *buckets, int side, int scale)
{
	uint64 n = sketch_get_number(in);
	int64  limit = (int64) SKETCH_OCTAVES << scale;
	int64  bucket = 0;
	int64  count = 0;
	int64  all = 0;

	if (n > 8 * (uint64) (in->end - in->at))
		return -1;
	if (n > 0)
		bucket = at_most(sketch_get_number(in), limit);
	for (uint64 i = 0; i < n; i++)
	{
		if (i > 0)
			bucket += sketch_get_zero(in) ? 1 : 1 + at_most(sketch_get_short(in, 0), limit);
		/* a sum of two numbers below 2^63 that may go round: then it is negative, or too large */
		count = (int64) ((uint64) count +
						 (uint64) sketch_unzigzag(sketch_get_short(in, usual_bits(count))));
		if (in->failed || bucket >= limit || count < 1 || count > SKETCH_COUNT_MAX - all)
			return -1;
		all += count;
		sketch_buckets_count(buckets, side, (int) (bucket >> (scale - buckets->scale)), count);
	}
	sketch_skip_bits(in);
	return all;
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
	int64  side[2];

	sketch_sum_apply(in, &buckets->sum);
	zero = sketch_get_number(in);
	if (in->failed || scale > SKETCH_SCALE_MAX || (flags & ~BOUNDS_INEXACT) || !isfinite(min) ||
		!isfinite(max) || zero > SKETCH_COUNT_MAX)
		return false;
	sketch_buckets_coarsen(buckets, scale);
	for (int i = 0; i < 2; i++)
	{
		side[i] = get_side(in, buckets, i, scale);
		if (side[i] < 0)
			return false;
	}
	*count = (int64) zero;
	if (side[0] > SKETCH_COUNT_MAX - *count || side[1] > SKETCH_COUNT_MAX - *count - side[0])
		return false;
	*count += side[0] + side[1];
	buckets->zero += zero;
	buckets->bounds_inexact |= (flags & BOUNDS_INEXACT) != 0;
	sketch_buckets_bounds(buckets, min, max);
	return *count > 0 && min <= max;
}
