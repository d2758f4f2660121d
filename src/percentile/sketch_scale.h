/*
 * sketch_scale.h
 *		Buckets of doubles: those of scale s are 2^s equal parts, by ratio, of every octave.
 *
 * A bucket of scale s is two of scale s + 1, exactly, so that sketches of different scales merge.
 */
#ifndef TENANCY_PERCENTILE_SKETCH_SCALE_H
#define TENANCY_PERCENTILE_SKETCH_SCALE_H

#include "postgres.h"

#define SKETCH_SCALE_MAX 8
#define SKETCH_OCTAVES 2099 /* of positive doubles, subnormal ones too */
#define SKETCH_MANTISSA_BITS 52
#define SKETCH_SLICE_BITS 9
#define SKETCH_SUBNORMAL_SHIFT 52
#define SKETCH_SUBNORMAL_FACTOR 4503599627370496.0
#define SKETCH_ACCURACY_UNIT 100000.0
#define SKETCH_ACCURACY_DEFAULT 1000
#define SKETCH_ACCURACY_MIN 140
#define SKETCH_ACCURACY_MAX 30000

extern double sketch_bucket_start(int bucket, int scale);
extern int	  sketch_scale_of(int accuracy);
extern int	  sketch_scale_accuracy(int scale);
extern int	  sketch_scale_room(int accuracy);

extern const uint64 sketch_part_starts[257];
extern const uint8	sketch_first_parts[512];

/* Bucket, from 0 at the smallest, of a finite double above 0. */
static inline int
sketch_bucket(double magnitude, int scale)
{
	uint64 bits;
	uint64 mantissa;
	int	   exponent;
	int	   part;

	memcpy(&bits, &magnitude, sizeof(bits));
	exponent = bits >> SKETCH_MANTISSA_BITS;
	if (unlikely(exponent == 0))
	{
		magnitude *= SKETCH_SUBNORMAL_FACTOR;
		memcpy(&bits, &magnitude, sizeof(bits));
		exponent = (int) (bits >> SKETCH_MANTISSA_BITS) - SKETCH_SUBNORMAL_SHIFT;
	}
	mantissa = bits & ((UINT64CONST(1) << SKETCH_MANTISSA_BITS) - 1);
	part = sketch_first_parts[mantissa >> (SKETCH_MANTISSA_BITS - SKETCH_SLICE_BITS)];
	part += mantissa >= sketch_part_starts[part + 1];
	return (((exponent + SKETCH_SUBNORMAL_SHIFT) << SKETCH_SCALE_MAX) + part) >>
		   (SKETCH_SCALE_MAX - scale);
}

#endif
