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
#define SKETCH_SUM_PENDING_MAX (1 << 28)

/* Limbs of 32 bits, the lowest worth 2^-1074, each with room for carries. */
typedef struct SketchSum
{
	int64 limbs[SKETCH_SUM_LIMBS];
	int	  pending; /* additions since carries were moved */
} SketchSum;

extern void	  sketch_sum_add(SketchSum *sum, double value, int64 weight);
extern void	  sketch_sum_carry(SketchSum *sum);
extern void	  sketch_sum_merge(SketchSum *sum, const SketchSum *other, int sign);
extern double sketch_sum_value(const SketchSum *sum);
extern void	  sketch_sum_write(SketchWriter *out, const SketchSum *sum);
extern void	  sketch_sum_apply(SketchReader *in, SketchSum *sum, uint64 *more_than);
extern bool	  sketch_sum_fits(const SketchSum *sum, int64 count);

/* Adds number * 2^shift at a limb, or takes it away. */
static inline void
sketch_sum_put(SketchSum *sum, int limb, int shift, uint64 number, int64 sign)
{
	uint64 low = (number & PG_UINT32_MAX) << shift;
	uint64 high = (number >> 32) << shift;

	sum->limbs[limb] += sign * (int64) (uint32) low;
	sum->limbs[limb + 1] += sign * (int64) ((low >> 32) + (uint32) high);
	sum->limbs[limb + 2] += sign * (int64) (high >> 32);
}

/* Adds a finite value once; its exponent is that of a normal double or of one below these. */
static inline void
sketch_sum_add_one(SketchSum *sum, double value)
{
	uint64 bits;
	int	   position;
	uint64 mantissa;

	if (unlikely(sum->pending >= SKETCH_SUM_PENDING_MAX))
		sketch_sum_carry(sum);
	memcpy(&bits, &value, sizeof(bits));
	position = (bits >> 52) & 0x7FF;
	mantissa = (bits & ((UINT64CONST(1) << 52) - 1)) | ((uint64) (position > 0) << 52);
	position -= position > 0;
	sketch_sum_put(sum, position / 32, position % 32, mantissa, 1 - 2 * (int64) (bits >> 63));
	sum->pending++;
}

#endif
