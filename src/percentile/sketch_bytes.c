/*
 * sketch_bytes.c
 *		Writing and reading a sketch's bytes.
 */
#include "postgres.h"

#include "percentile/sketch_bytes.h"

#define SEVEN 0x7F
#define MORE 0x80
#define LONGEST_NUMBER 63 /* bits of the largest shift within 64 */

/* A byte. */
void
sketch_put_byte(SketchWriter *out, uint8 value)
{
	appendStringInfoCharMacro(&out->out, (char) value);
}

/* Four bytes, the highest first. */
void
sketch_put_uint32(SketchWriter *out, uint32 value)
{
	uint32 big = pg_hton32(value);

	appendBinaryStringInfo(&out->out, (const char *) &big, sizeof(big));
}

/* Eight bytes, the highest first. */
void
sketch_put_uint64(SketchWriter *out, uint64 value)
{
	uint64 big = pg_hton64(value);

	appendBinaryStringInfo(&out->out, (const char *) &big, sizeof(big));
}

/* A number in groups of seven bits, the lowest first. */
void
sketch_put_number(SketchWriter *out, uint64 value)
{
	while (value > SEVEN)
	{
		sketch_put_byte(out, MORE | (value & SEVEN));
		value >>= 7;
	}
	sketch_put_byte(out, value);
}

/* Appends up to 32 bits; fewer than 32 of all are kept back. */
static inline void
put_bits(SketchWriter *out, uint64 value, int n)
{
	out->bits = (out->bits << n) | value;
	out->nbits += n;
	if (out->nbits < 32)
		return;
	out->nbits -= 32;
	sketch_put_uint32(out, (uint32) (out->bits >> out->nbits));
}

/* A number below 2^63 in bits: about usual_bits + 1 of them if it has no more than these (exponential Golomb). */
void
sketch_put_short(SketchWriter *out, uint64 value, int usual_bits)
{
	uint64 code = value + (UINT64CONST(1) << usual_bits);
	int	   length = pg_leftmost_one_pos64(code) + 1;
	int	   zeros = length - usual_bits - 1;

	if (likely(zeros + length <= 32))
	{
		put_bits(out, code, zeros + length);
		return;
	}
	for (; zeros > 32; zeros -= 32)
		put_bits(out, 0, 32);
	put_bits(out, 0, zeros);
	if (length > 32)
		put_bits(out, code >> 32, length - 32);
	put_bits(out, code & PG_UINT32_MAX, Min(length, 32));
}

/* Writes what was kept back, and fills the last byte. */
void
sketch_end_bits(SketchWriter *out)
{
	for (; out->nbits > 0; out->nbits -= 8)
		sketch_put_byte(out, out->nbits >= 8 ? out->bits >> (out->nbits - 8)
											 : out->bits << (8 - out->nbits));
	out->nbits = 0;
}

/* Whether so many bytes are there. */
static inline bool
has(SketchReader *in, int n)
{
	if (likely(in->end - in->at >= n))
		return true;
	in->failed = true;
	in->at = in->end;
	return false;
}

/* A byte. */
uint8
sketch_get_byte(SketchReader *in)
{
	return has(in, 1) ? *in->at++ : 0;
}

/* Four bytes. */
uint32
sketch_get_uint32(SketchReader *in)
{
	uint32 big;

	if (!has(in, sizeof(big)))
		return 0;
	memcpy(&big, in->at, sizeof(big));
	in->at += sizeof(big);
	return pg_ntoh32(big);
}

/* Eight bytes. */
uint64
sketch_get_uint64(SketchReader *in)
{
	uint64 big;

	if (!has(in, sizeof(big)))
		return 0;
	memcpy(&big, in->at, sizeof(big));
	in->at += sizeof(big);
	return pg_ntoh64(big);
}

/* A number in groups of seven bits; fails if it does not fit. */
uint64
sketch_get_number(SketchReader *in)
{
	uint64 value = 0;

	for (int shift = 0; shift <= LONGEST_NUMBER; shift += 7)
	{
		uint8 byte = sketch_get_byte(in);

		if (shift == LONGEST_NUMBER && byte > 1)
			break;
		value |= (uint64) (byte & SEVEN) << shift;
		if (!(byte & MORE))
			return value;
	}
	in->failed = true;
	return 0;
}

/* Up to 32 bits. */
static uint64
get_bits(SketchReader *in, int n)
{
	uint64 value;

	if (n == 0)
		return 0;
	sketch_refill(in);
	if (in->nbits < n)
	{
		in->failed = true;
		return 0;
	}
	value = in->bits >> (64 - n);
	in->bits <<= n;
	in->nbits -= n;
	return value;
}

/* What sketch_put_short wrote, if it has many bits. */
pg_noinline uint64
sketch_get_long(SketchReader *in, int usual_bits)
{
	int	   zeros = 0;
	int	   length;
	uint64 code;

	while (!in->failed && zeros <= LONGEST_NUMBER && get_bits(in, 1) == 0)
		zeros++;
	length = zeros + usual_bits; /* behind the leading one */
	if (in->failed || length > LONGEST_NUMBER)
	{
		in->failed = true;
		return 0;
	}
	code = length > 32 ? get_bits(in, length - 32) << 32 : 0;
	code |= get_bits(in, Min(length, 32));
	return (code | (UINT64CONST(1) << length)) - (UINT64CONST(1) << usual_bits);
}

/* Goes on at the next byte that no bit was read from. */
void
sketch_skip_bits(SketchReader *in)
{
	in->at -= in->nbits / 8;
	in->bits = 0;
	in->nbits = 0;
}
