/*
 * sketch_scale.c
 *		From doubles to buckets and back, by their bits: no function of libm, the same everywhere.
 */
#include "postgres.h"

#include <float.h>

#include "percentile/sketch_scale.h"
#include "percentile/sketch_scale_table.h"

#define EXPONENT_END 2047
#define BUCKETS_AT_FINEST 2048 /* that a sketch of the default scale may have */
#define DEFAULT_SCALE 6

/* Largest relative distance from a value to what stands for its bucket, in 1/100000, rounded up. */
static const int accuracies[SKETCH_SCALE_MAX + 1] = {33334, 17158, 8643, 4330, 2166,
													 1084,	542,   271,	 136};

/* Least double of a bucket; the largest double for the one after the last. */
double
sketch_bucket_start(int bucket, int scale)
{
	int64  part = (int64) bucket << (SKETCH_SCALE_MAX - scale);
	int	   exponent = (int) (part >> SKETCH_SCALE_MAX) - SKETCH_SUBNORMAL_SHIFT;
	bool   subnormal = exponent <= 0;
	uint64 bits;
	double start;

	if (exponent >= EXPONENT_END)
		return DBL_MAX;
	if (subnormal)
		exponent += SKETCH_SUBNORMAL_SHIFT;
	bits = ((uint64) exponent << SKETCH_MANTISSA_BITS) |
		   sketch_part_starts[part & ((1 << SKETCH_SCALE_MAX) - 1)];
	memcpy(&start, &bits, sizeof(start));
	return subnormal ? start / SKETCH_SUBNORMAL_FACTOR : start;
}

/* The coarsest scale whose buckets are as accurate as that. */
int
sketch_scale_of(int accuracy)
{
	int scale = 0;

	while (scale < SKETCH_SCALE_MAX && accuracies[scale] > accuracy)
		scale++;
	return scale;
}

/* What a scale can promise, in 1/100000. */
int
sketch_scale_accuracy(int scale)
{
	return accuracies[scale];
}

/* How many buckets a sketch may have: 32 octaves full of them, and more of the coarse ones. */
int
sketch_scale_room(int accuracy)
{
	int scale = sketch_scale_of(accuracy);

	return scale <= DEFAULT_SCALE ? BUCKETS_AT_FINEST
								  : BUCKETS_AT_FINEST << (scale - DEFAULT_SCALE);
}
