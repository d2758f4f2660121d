/*
 * sketch_bytes.h
 *		Writing and reading a sketch's bytes: numbers in as few bytes, or bits, as they need.
 *
 * The order of bytes is the same on every machine.  A reader never goes beyond its end: it fails, and
 * gives zeros from then on.
 */
#ifndef TENANCY_PERCENTILE_SKETCH_BYTES_H
#define TENANCY_PERCENTILE_SKETCH_BYTES_H

#include "lib/stringinfo.h"
#include "port/pg_bitutils.h"
#include "port/pg_bswap.h"

typedef struct SketchWriter
{
	StringInfoData out;
	uint64		   bits; /* not written yet: the lowest nbits */
	int			   nbits;
} SketchWriter;

typedef struct SketchReader
{
	const uint8 *at;
	const uint8 *end;
	uint64		 bits; /* the next ones, from the top */
	int			 nbits;
	bool		 failed;
} SketchReader;

extern void	  sketch_put_byte(SketchWriter *out, uint8 value);
extern void	  sketch_put_uint32(SketchWriter *out, uint32 value);
extern void	  sketch_put_uint64(SketchWriter *out, uint64 value);
extern void	  sketch_put_number(SketchWriter *out, uint64 value);
extern void	  sketch_put_short(SketchWriter *out, uint64 value, int usual_bits);
extern void	  sketch_end_bits(SketchWriter *out);
extern uint8  sketch_get_byte(SketchReader *in);
extern uint32 sketch_get_uint32(SketchReader *in);
extern uint64 sketch_get_uint64(SketchReader *in);
extern uint64 sketch_get_number(SketchReader *in);
extern uint64 sketch_get_long(SketchReader *in, int usual_bits);
extern void	  sketch_skip_bits(SketchReader *in);

/* A double, its sign and exponent first. */
static inline void
sketch_put_double(SketchWriter *out, double value)
{
	uint64 bits;

	memcpy(&bits, &value, sizeof(bits));
	sketch_put_uint64(out, bits);
}

/* And back. */
static inline double
sketch_get_double(SketchReader *in)
{
	uint64 bits = sketch_get_uint64(in);
	double value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

/* A signed number as an unsigned one that is small if the other is near 0. */
static inline uint64
sketch_zigzag(int64 value)
{
	return ((uint64) value << 1) ^ (uint64) (value >> 63);
}

/* And back. */
static inline int64
sketch_unzigzag(uint64 value)
{
	return (int64) (value >> 1) ^ -(int64) (value & 1);
}

/* Sees to it that at least 57 bits are at hand, if there are so many. */
static inline void
sketch_refill(SketchReader *in)
{
	if (likely(in->end - in->at >= (ptrdiff_t) sizeof(uint64)))
	{
		uint64 next;

		if (in->nbits > 56)
			return;
		memcpy(&next, in->at, sizeof(next));
		in->bits |= pg_ntoh64(next) >> in->nbits; /* and a part of a byte, which comes again */
		in->at += (63 - in->nbits) / 8;
		in->nbits += (63 - in->nbits) / 8 * 8;
		return;
	}
	while (in->nbits <= 56 && in->at < in->end)
	{
		in->bits |= (uint64) *in->at++ << (56 - in->nbits);
		in->nbits += 8;
	}
}

/* What sketch_put_short wrote. */
static inline uint64
sketch_get_short(SketchReader *in, int usual_bits)
{
	int	   zeros;
	int	   length;
	uint64 code;

	sketch_refill(in);
	zeros = in->bits == 0 ? 64 : 63 - pg_leftmost_one_pos64(in->bits);
	length = 2 * zeros + 1 + usual_bits;
	if (unlikely(length > in->nbits))
		return sketch_get_long(in, usual_bits);
	code = (in->bits << zeros) >> (64 - (length - zeros));
	in->bits <<= length - 1;
	in->bits <<= 1;
	in->nbits -= length;
	return code - (UINT64CONST(1) << usual_bits);
}

#endif
