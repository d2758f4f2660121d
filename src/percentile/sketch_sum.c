/*
 * sketch_sum.c
 *		Sums of doubles without error.
 */
#include "postgres.h"

#include <math.h>

#include "port/pg_bitutils.h"

#include "percentile/sketch_sum.h"

#define LIMB_BITS 32
#define LOWEST_BIT (-1074)
#define MANTISSA_BITS 52
#define VALUE_LIMB 65 /* every value is below 2^18 of this limb */
#define VALUE_BITS 18

/* Moves carries, so that all limbs but the top one are within 32 bits. */
void
sketch_sum_carry(SketchSum *sum)
{
	for (int i = 0; i + 1 < SKETCH_SUM_LIMBS; i++)
	{
		int64 over = sum->limbs[i] >> LIMB_BITS;

		sum->limbs[i] -= (int64) ((uint64) over << LIMB_BITS);
		sum->limbs[i + 1] += over;
	}
	sum->pending = 0;
}

/* Adds a finite value so many times; a negative weight takes it away. */
void
sketch_sum_add(SketchSum *sum, double value, int64 weight)
{
	uint64 bits;
	uint64 mantissa;
	uint64 times = weight < 0 ? -weight : weight;
	uint64 low;
	uint64 high;
	int	   position;
	int	   limb;
	int64  sign;

	memcpy(&bits, &value, sizeof(bits));
	sign = (bits >> 63 != 0) == (weight < 0) ? 1 : -1;
	mantissa = bits & ((UINT64CONST(1) << MANTISSA_BITS) - 1);
	position = (bits >> MANTISSA_BITS) & 0x7FF;
	if (position > 0)
	{
		mantissa |= UINT64CONST(1) << MANTISSA_BITS;
		position--;
	}
	limb = position / LIMB_BITS;
	position %= LIMB_BITS;
	low = mantissa & PG_UINT32_MAX;
	high = mantissa >> LIMB_BITS;
	sketch_sum_put(sum, limb, position, low * (uint32) times, sign);
	sketch_sum_put(sum, limb + 1, position, high * (uint32) times, sign);
	sketch_sum_put(sum, limb + 1, position, low * (times >> LIMB_BITS), sign);
	sketch_sum_put(sum, limb + 2, position, high * (times >> LIMB_BITS), sign);
	sum->pending += 4;
	if (unlikely(sum->pending >= SKETCH_SUM_PENDING_MAX))
		sketch_sum_carry(sum);
}

/* Adds another sum, or takes it away. */
void
sketch_sum_merge(SketchSum *sum, const SketchSum *other, int sign)
{
	SketchSum more = *other;

	sketch_sum_carry(&more);
	sketch_sum_carry(sum);
	for (int i = 0; i < SKETCH_SUM_LIMBS; i++)
		sum->limbs[i] += sign * more.limbs[i];
	sum->pending = 1;
}

/* The sum as sign and magnitude; returns how many limbs it has up to the highest one that is not 0. */
static int
magnitude(const SketchSum *sum, SketchSum *out, bool *negative)
{
	int n = SKETCH_SUM_LIMBS;

	*out = *sum;
	sketch_sum_carry(out);
	*negative = out->limbs[SKETCH_SUM_LIMBS - 1] < 0;
	if (*negative)
	{
		for (int i = 0; i < SKETCH_SUM_LIMBS; i++)
			out->limbs[i] = -out->limbs[i];
		sketch_sum_carry(out);
	}
	while (n > 0 && out->limbs[n - 1] == 0)
		n--;
	return n;
}

/* The nearest double; infinite beyond the largest. */
double
sketch_sum_value(const SketchSum *sum)
{
	SketchSum out;
	bool	  negative;
	int		  n = magnitude(sum, &out, &negative);
	int		  low = Max(n - 2, 0);
	uint64	  top;
	double	  value;

	if (n == 0)
		return 0;
	top = (uint64) out.limbs[low];
	if (n > 1)
		top |= (uint64) out.limbs[low + 1] << LIMB_BITS;
	if (n > 2)
	{
		int	   shift = 63 - pg_leftmost_one_pos64(top);
		uint64 next = (uint64) out.limbs[low - 1];
		uint64 rest = shift > 0 ? next & (PG_UINT32_MAX >> shift) : next;

		/* 64 bits of the sum; the last one is set if a bit below is, so that rounding sees it */
		top = (top << shift) | (shift > 0 ? next >> (LIMB_BITS - shift) : 0);
		for (int i = 0; i < low - 1; i++)
			rest |= (uint64) out.limbs[i];
		top |= rest != 0;
		value = ldexp((double) top, low * LIMB_BITS - shift + LOWEST_BIT);
	}
	else
		value = ldexp((double) top, low * LIMB_BITS + LOWEST_BIT);
	return negative ? -value : value;
}

/* The lowest limb that is not 0, how many follow, the sign, and the limbs. */
void
sketch_sum_write(SketchWriter *out, const SketchSum *sum)
{
	SketchSum absolute;
	bool	  negative;
	int		  n = magnitude(sum, &absolute, &negative);
	int		  first = 0;

	while (first < n && absolute.limbs[first] == 0)
		first++;
	sketch_put_byte(out, n - first);
	if (n == first)
		return;
	sketch_put_byte(out, first);
	sketch_put_byte(out, negative);
	for (int i = first; i < n; i++)
		sketch_put_uint32(out, (uint32) absolute.limbs[i]);
}

/*
 * How many values a sum needs at the least less one, each being below 2^1024: so sums that merging makes
 * are as sound as those that it began with.  top: limbs from VALUE_LIMB on.  Fails if it is too large.
 */
static uint64
least_count(SketchReader *in, const uint32 top[SKETCH_SUM_LIMBS - VALUE_LIMB])
{
	for (int i = 3; i < SKETCH_SUM_LIMBS - VALUE_LIMB; i++)
		in->failed |= top[i] != 0;
	in->failed |= top[2] >> VALUE_BITS != 0;
	return (uint64) top[2] << (2 * LIMB_BITS - VALUE_BITS) |
		   (uint64) top[1] << (LIMB_BITS - VALUE_BITS) | top[0] >> VALUE_BITS;
}

/* Whether so many values can have the sum. */
bool
sketch_sum_fits(const SketchSum *sum, int64 count)
{
	SketchSum	 absolute;
	SketchReader in = {0};
	uint32		 top[SKETCH_SUM_LIMBS - VALUE_LIMB];
	bool		 negative;

	(void) magnitude(sum, &absolute, &negative);
	for (int i = 0; i < SKETCH_SUM_LIMBS - VALUE_LIMB; i++)
		top[i] = (uint32) absolute.limbs[VALUE_LIMB + i];
	return least_count(&in, top) < (uint64) count && !in.failed;
}

/* Adds a sum that was written; fails if it is none.  There are more values than *more_than. */
void
sketch_sum_apply(SketchReader *in, SketchSum *sum, uint64 *more_than)
{
	uint32 top[SKETCH_SUM_LIMBS - VALUE_LIMB] = {0};
	int	   n = sketch_get_byte(in);
	int	   first;
	int	   sign;

	*more_than = 0;
	if (n == 0)
		return;
	first = sketch_get_byte(in);
	sign = sketch_get_byte(in) != 0 ? -1 : 1;
	if (first + n >= SKETCH_SUM_LIMBS)
		in->failed = true;
	for (int i = first; i < first + n && !in->failed; i++)
	{
		uint32 limb = sketch_get_uint32(in);

		sum->limbs[i] += sign * (int64) limb;
		if (i >= VALUE_LIMB)
			top[i - VALUE_LIMB] = limb;
	}
	*more_than = least_count(in, top);
	if (++sum->pending >= SKETCH_SUM_PENDING_MAX)
		sketch_sum_carry(sum);
}
