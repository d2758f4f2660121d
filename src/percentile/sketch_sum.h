/*
 * sketch_sum.h
 *		Sums of doubles without error: a fixed-point number that is wide enough for all of them.
 *
 * So the order of additions does not matter, and what was added can be taken away again.
 */
#ifndef TENANCY_PERCENTILE_SKETCH_SUM_H
#define TENANCY_PERCENTILE_SKETCH_SUM_H

#include "postgres.h"

#include "percentile/sketch_bytes.h"

#define SKETCH_SUM_LIMBS 72

/* Limbs of 32 bits, the lowest worth 2^-1074, each with room for carries. */
typedef struct SketchSum
{
	int64 limbs[SKETCH_SUM_LIMBS];
	int	  pending; /* additions since carries were moved */
} SketchSum;

extern void	  sketch_sum_add(SketchSum *sum, double value, int64 weight);
extern void	  sketch_sum_merge(SketchSum *sum, const SketchSum *other, int sign);
extern double sketch_sum_value(const SketchSum *sum);
extern void	  sketch_sum_write(SketchWriter *out, const SketchSum *sum);
extern void	  sketch_sum_apply(SketchReader *in, SketchSum *sum);

#endif
