/*
 * sketch_buckets.c
 *		How many values are in each bucket.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "percentile/sketch_buckets.h"

/* No buckets yet. */
SketchBuckets *
sketch_buckets_new(MemoryContext context, int accuracy)
{
	SketchBuckets *buckets = MemoryContextAllocZero(context, sizeof(SketchBuckets));

	buckets->context = context;
	buckets->scale = SKETCH_SCALE_MAX;
	buckets->min = DBL_MAX;
	buckets->max = -DBL_MAX;
	sketch_buckets_limit(buckets, accuracy);
	return buckets;
}

/* Makes places for pages up to, or down to, the given one. */
static void
extend_side(SketchBuckets *buckets, SketchSide *side, int page)
{
	int		first = side->npages == 0 ? page : Min(side->first, page);
	int		end = side->npages == 0 ? page + 1 : Max(side->first + side->npages, page + 1);
	int64 **pages = MemoryContextAllocZero(buckets->context, sizeof(int64 *) * (end - first));

	if (side->npages > 0)
	{
		memcpy(pages + (side->first - first), side->pages, sizeof(int64 *) * side->npages);
		pfree(side->pages);
	}
	side->first = first;
	side->npages = end - first;
	side->pages = pages;
}

/* Counter of a bucket that has no page yet. */
pg_noinline int64 *
sketch_make_counter(SketchBuckets *buckets, SketchSide *side, int bucket)
{
	int page = bucket / SKETCH_PAGE;

	if (page < side->first || page >= side->first + side->npages)
		extend_side(buckets, side, page);
	page -= side->first;
	if (side->pages[page] == NULL)
		side->pages[page] = MemoryContextAllocZero(buckets->context, sizeof(int64) * SKETCH_PAGE);
	return &side->pages[page][bucket % SKETCH_PAGE];
}

/* Starts a walk. */
void
sketch_walk_start(SketchWalk *walk, const SketchSide *side)
{
	walk->side = side;
	walk->page = 0;
	walk->slot = -1;
}

/* The next bucket that has a value; false: there is none. */
bool
sketch_walk_next(SketchWalk *walk)
{
	for (; walk->page < walk->side->npages; walk->page++, walk->slot = -1)
	{
		const int64 *page = walk->side->pages[walk->page];

		while (page != NULL && ++walk->slot < SKETCH_PAGE)
		{
			if (page[walk->slot] == 0)
				continue;
			walk->bucket = (walk->side->first + walk->page) * SKETCH_PAGE + walk->slot;
			walk->count = page[walk->slot];
			return true;
		}
	}
	return false;
}

/* Forgets a side's counters. */
static void
free_side(SketchSide *side)
{
	for (int i = 0; i < side->npages; i++)
		if (side->pages[i] != NULL)
			pfree(side->pages[i]);
	if (side->npages > 0)
		pfree(side->pages);
}

/* Makes the scale coarser, if it is finer than that. */
void
sketch_buckets_coarsen(SketchBuckets *buckets, int scale)
{
	int shift = buckets->scale - scale;

	if (shift <= 0)
		return;
	buckets->scale = scale;
	buckets->used = 0;
	for (int i = 0; i < 2; i++)
	{
		SketchSide old = buckets->sides[i];
		SketchWalk walk;

		memset(&buckets->sides[i], 0, sizeof(SketchSide));
		sketch_walk_start(&walk, &old);
		while (sketch_walk_next(&walk))
		{
			int64 *count = sketch_counter(buckets, &buckets->sides[i], walk.bucket >> shift);

			buckets->used += *count == 0;
			*count += walk.count;
		}
		free_side(&old);
	}
}

/* Makes the scale coarser until there are no more buckets than there may be. */
void
sketch_buckets_fit(SketchBuckets *buckets)
{
	while (buckets->used > buckets->room && buckets->scale > 0)
		sketch_buckets_coarsen(buckets, buckets->scale - 1);
}

/* Makes the scale no finer than an accuracy needs. */
void
sketch_buckets_limit(SketchBuckets *buckets, int accuracy)
{
	buckets->room = sketch_scale_room(accuracy);
	sketch_buckets_coarsen(buckets, sketch_scale_of(accuracy));
	sketch_buckets_fit(buckets);
}

/* Adds finite values; -0 is none of them. */
void
sketch_buckets_add_many(SketchBuckets *buckets, const double *values, int n)
{
	double min = buckets->min;
	double max = buckets->max;

	for (int i = 0; i < n; i++)
	{
		double value = values[i];

		if (unlikely(value == 0))
			buckets->zero++;
		else
			sketch_buckets_count(buckets, value > 0, sketch_bucket(fabs(value), buckets->scale), 1);
		sketch_sum_add_one(&buckets->sum, value);
		min = Min(min, value);
		max = Max(max, value);
	}
	buckets->min = min;
	buckets->max = max;
}

/* Adds a finite value so many times. */
void
sketch_buckets_add(SketchBuckets *buckets, double value, int64 weight)
{
	value += 0.0; /* -0 becomes 0 */
	if (weight == 1)
	{
		sketch_buckets_add_many(buckets, &value, 1);
		return;
	}
	if (value == 0)
		buckets->zero += weight;
	else
		sketch_buckets_count(buckets, value > 0, sketch_bucket(fabs(value), buckets->scale),
							 weight);
	sketch_sum_add(&buckets->sum, value, weight);
	buckets->min = Min(buckets->min, value);
	buckets->max = Max(buckets->max, value);
}

/* Takes the bounds of values that were counted without being seen. */
void
sketch_buckets_bounds(SketchBuckets *buckets, double min, double max)
{
	buckets->min = Min(buckets->min, min);
	buckets->max = Max(buckets->max, max);
}

/* Takes a side's values away; false: they were not there. */
static bool
subtract_side(SketchBuckets *buckets, int side, const SketchSide *less, int shift)
{
	SketchWalk walk;

	sketch_walk_start(&walk, less);
	while (sketch_walk_next(&walk))
	{
		int64 *count = sketch_counter(buckets, &buckets->sides[side], walk.bucket >> shift);

		if (*count < walk.count)
			return false;
		*count -= walk.count;
		buckets->used -= *count == 0;
	}
	return true;
}

/* Magnitudes of a side's outermost buckets. */
typedef struct SideBounds
{
	bool   any;
	double low; /* of the first one */
	double low_end;
	double high_start; /* of the last one */
	double high;
} SideBounds;

/* Between which magnitudes a side's values are. */
static SideBounds
side_bounds(const SketchBuckets *buckets, int side)
{
	SideBounds bounds = {0};
	SketchWalk walk = {0};
	int		   first = -1;

	sketch_walk_start(&walk, &buckets->sides[side]);
	while (sketch_walk_next(&walk))
	{
		if (first < 0)
			first = walk.bucket;
	}
	if (first < 0)
		return bounds;
	bounds.any = true;
	bounds.low = sketch_bucket_start(first, buckets->scale);
	bounds.low_end = sketch_bucket_start(first + 1, buckets->scale);
	bounds.high_start = sketch_bucket_start(walk.bucket, buckets->scale);
	bounds.high = sketch_bucket_start(walk.bucket + 1, buckets->scale);
	return bounds;
}

/* After values were taken away, the others are within the buckets that are left, and what min and max were. */
static void
narrow_bounds(SketchBuckets *buckets)
{
	SideBounds below = side_bounds(buckets, 0);
	SideBounds above = side_bounds(buckets, 1);

	buckets->bounds_inexact = true;
	if (below.any)
		buckets->min = Max(buckets->min, -below.high);
	else
		buckets->min = Max(buckets->min, buckets->zero > 0 ? 0 : above.low);
	if (above.any)
		buckets->max = Min(buckets->max, above.high);
	else
		buckets->max = Min(buckets->max, buckets->zero > 0 ? 0 : -below.low);
}

/* Takes values away; false: some were not there. */
bool
sketch_buckets_subtract(SketchBuckets *buckets, const SketchBuckets *less)
{
	sketch_buckets_coarsen(buckets, less->scale);
	if (buckets->zero < less->zero)
		return false;
	buckets->zero -= less->zero;
	for (int i = 0; i < 2; i++)
		if (!subtract_side(buckets, i, &less->sides[i], less->scale - buckets->scale))
			return false;
	sketch_sum_merge(&buckets->sum, &less->sum, -1);
	narrow_bounds(buckets);
	return true;
}

/* Whether min and max can be those of the values: in the outermost buckets, if none were taken away. */
bool
sketch_buckets_sound(const SketchBuckets *buckets)
{
	SideBounds below = side_bounds(buckets, 0);
	SideBounds above = side_bounds(buckets, 1);
	bool	   zero = buckets->zero > 0;
	double	   least = below.any ? -below.high : zero ? 0 : above.low;
	double	   least_end = below.any ? -below.high_start : zero ? 0 : above.low_end;
	double	   most_start = above.any ? above.high_start : zero ? 0 : -below.low_end;
	double	   most = above.any ? above.high : zero ? 0 : -below.low;

	if ((buckets->min == 0 && signbit(buckets->min)) ||
		(buckets->max == 0 && signbit(buckets->max)))
		return false; /* -0 is no value */
	if (!buckets->bounds_inexact && (buckets->min > least_end || buckets->max < most_start))
		return false;
	return buckets->min >= least && buckets->max <= most && buckets->min <= buckets->max;
}
