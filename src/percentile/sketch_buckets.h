/*
 * sketch_buckets.h
 *		How many values are in each bucket.
 */
#ifndef TENANCY_PERCENTILE_SKETCH_BUCKETS_H
#define TENANCY_PERCENTILE_SKETCH_BUCKETS_H

#include "percentile/sketch_scale.h"
#include "percentile/sketch_sum.h"

#define SKETCH_PAGE 64

/* Counters of one sign, in pages that are made when one of their buckets is met. */
typedef struct SketchSide
{
	int		first; /* number of the first page that has a place */
	int		npages;
	int64 **pages; /* NULL: none of its buckets has a value */
} SketchSide;

typedef struct SketchBuckets
{
	MemoryContext context;
	int			  scale;
	int			  used;			  /* buckets that have a value */
	int			  room;			  /* more than this and the scale gets coarser */
	bool		  bounds_inexact; /* values were taken away: min and max may have been among them */
	double		  min;
	double		  max;
	int64		  zero;
	SketchSide	  sides[2]; /* below 0, above 0 */
	SketchSum	  sum;
} SketchBuckets;

/* Goes through the buckets of a side in the order of their magnitudes. */
typedef struct SketchWalk
{
	const SketchSide *side;
	int				  page;
	int				  slot;
	int				  bucket;
	int64			  count;
} SketchWalk;

extern SketchBuckets *sketch_buckets_new(MemoryContext context, int accuracy);
extern void			  sketch_buckets_limit(SketchBuckets *buckets, int accuracy);
extern void			  sketch_buckets_coarsen(SketchBuckets *buckets, int scale);
extern int64		 *sketch_make_counter(SketchBuckets *buckets, SketchSide *side, int bucket);
extern void			  sketch_buckets_fit(SketchBuckets *buckets);
extern void			  sketch_buckets_add_many(SketchBuckets *buckets, const double *values, int n);
extern void			  sketch_buckets_add(SketchBuckets *buckets, double value, int64 weight);
extern void			  sketch_buckets_bounds(SketchBuckets *buckets, double min, double max);
extern bool			  sketch_buckets_subtract(SketchBuckets *buckets, const SketchBuckets *less);
extern bool			  sketch_buckets_sound(const SketchBuckets *buckets);
extern void			  sketch_walk_start(SketchWalk *walk, const SketchSide *side);
extern bool			  sketch_walk_next(SketchWalk *walk);
extern void			  sketch_buckets_write(SketchWriter *out, const SketchBuckets *buckets);
extern bool			  sketch_buckets_read(SketchReader *in, SketchBuckets *buckets, int64 *count);

/* Counter of a bucket. */
static inline int64 *
sketch_counter(SketchBuckets *buckets, SketchSide *side, int bucket)
{
	unsigned page = bucket / SKETCH_PAGE - side->first;

	if (likely(page < (unsigned) side->npages && side->pages[page] != NULL))
		return &side->pages[page][bucket % SKETCH_PAGE];
	return sketch_make_counter(buckets, side, bucket);
}

/* Counts values of a bucket. */
static inline void
sketch_buckets_count(SketchBuckets *buckets, int side, int bucket, int64 count)
{
	int64 *place = sketch_counter(buckets, &buckets->sides[side], bucket);

	*place += count;
	if (unlikely(*place == count) && ++buckets->used > buckets->room)
		sketch_buckets_fit(buckets);
}

#endif
