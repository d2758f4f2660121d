/*
 * sketch_format.c
 *		Sketches as bytes, on disk and between servers: version 1.
 *
 * version, kind, accuracy (2 bytes); if the kind says so how many NaN, -infinity, infinity; then the
 * values, or the buckets.  There is one way to write a sketch: other bytes are refused.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/float.h"

#include "common/compat.h"
#include "percentile/sketch.h"
#include "percentile/sketch_format.h"

#define VERSION 1
#define VALUES_ROOM 2400 /* bytes; more, and there are buckets */
#define SCALE_MAX 6		 /* digits behind the point */
#define MANTISSA_MAX (INT64CONST(1) << 50)

static const double powers[SCALE_MAX + 1] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6};

/* How many digits behind the point make whole numbers of all values; -1: they are none. */
static int
decimal_scale(const SketchPair *pairs, int n)
{
	int scale = 0;

	for (int i = 0; i < n; i++)
	{
		for (;; scale++)
		{
			double number;

			if (scale > SCALE_MAX)
				return -1;
			number = rint(pairs[i].value * powers[scale]);
			if (fabs(number) > MANTISSA_MAX)
				return -1;
			if (number / powers[scale] == pairs[i].value)
				break;
		}
	}
	/* with the digits of the others */
	for (int i = 0; i < n; i++)
		if (fabs(rint(pairs[i].value * powers[scale])) > MANTISSA_MAX)
			return -1;
	return scale;
}

/* Values as whole numbers: the first, and how much more each next one is; ends when there is no room. */
static void
put_decimals(SketchWriter *out, const SketchPair *pairs, int n, int scale, int end)
{
	int64 before = 0;

	sketch_put_byte(out, scale);
	sketch_put_number(out, n);
	for (int i = 0; i < n && out->out.len <= end; i++)
	{
		int64 number = (int64) rint(pairs[i].value * powers[scale]);

		sketch_put_number(out, i == 0 ? sketch_zigzag(number) : (uint64) (number - before));
		before = number;
	}
}

/* Values as they are; ends when there is no room. */
static void
put_doubles(SketchWriter *out, const SketchPair *pairs, int n, int end)
{
	sketch_put_number(out, n);
	for (int i = 0; i < n && out->out.len <= end; i++)
		sketch_put_double(out, pairs[i].value);
}

/* Writes all values; false, and it is not all, if they take more than they may. */
bool
sketch_put_values(SketchWriter *out, const SketchPair *pairs, int n, uint8 *kind)
{
	int	 scale = decimal_scale(pairs, n);
	int	 end = out->out.len + VALUES_ROOM;
	bool ones = true;

	*kind |= scale >= 0 ? SKETCH_KIND_DECIMALS : SKETCH_KIND_DOUBLES;
	if (scale >= 0)
		put_decimals(out, pairs, n, scale, end);
	else
		put_doubles(out, pairs, n, end);
	for (int i = 0; i < n && ones; i++)
		ones = pairs[i].count == 1;
	if (ones)
		*kind |= SKETCH_KIND_ONES;
	for (int i = 0; i < n && !ones && out->out.len <= end; i++)
		sketch_put_number(out, pairs[i].count);
	return out->out.len <= end;
}

/* A finite double, bits as they are. */
static double
get_finite(SketchReader *in)
{
	double value = sketch_get_double(in);

	if (!isfinite(value))
		in->failed = true;
	return in->failed ? 0 : value;
}

/* The n values, ascending; -0 is none. */
static void
get_doubles(SketchReader *in, double *values, int64 n)
{
	for (int64 i = 0; i < n && !in->failed; i++)
	{
		values[i] = get_finite(in);
		if ((i > 0 && values[i] <= values[i - 1]) || (values[i] == 0 && signbit(values[i])))
			in->failed = true;
	}
}

/* The n whole numbers, as values. */
static void
get_decimals(SketchReader *in, double *values, int64 n, int scale)
{
	int64 number = 0;

	for (int64 i = 0; i < n && !in->failed; i++)
	{
		uint64 next = sketch_get_number(in);

		if (i == 0)
			number = sketch_unzigzag(next);
		else if (next >= 1 && next <= 2 * MANTISSA_MAX)
			number += next;
		else
			in->failed = true;
		if (number < -MANTISSA_MAX || number > MANTISSA_MAX)
			in->failed = true;
		values[i] = number / powers[scale];
	}
}

/* Adds values that were written; false: they are not what sketch_put_values writes. */
bool
sketch_get_values(SketchReader *in, Sketch *sketch, uint8 kind)
{
	int		scale = (kind & SKETCH_KIND) == SKETCH_KIND_DECIMALS ? sketch_get_byte(in) : 0;
	uint64	n = sketch_get_number(in);
	double *values;

	if (scale > SCALE_MAX || n > (uint64) (in->end - in->at))
		return false;
	values = palloc_extended(sizeof(double) * (n + 1), MCXT_ALLOC_HUGE);
	if ((kind & SKETCH_KIND) == SKETCH_KIND_DECIMALS)
		get_decimals(in, values, n, scale);
	else
		get_doubles(in, values, n);
	if ((kind & SKETCH_KIND_ONES) && sketch->buckets != NULL && !in->failed)
	{
		sketch_count_more(sketch, n);
		sketch_buckets_add_many(sketch->buckets, values, n);
		n = 0;
	}
	for (uint64 i = 0; i < n && !in->failed; i++)
	{
		uint64 count = kind & SKETCH_KIND_ONES ? 1 : sketch_get_number(in);

		if (count < 1 || count > SKETCH_COUNT_MAX)
			in->failed = true;
		else
			sketch_add(sketch, values[i], count);
	}
	pfree(values);
	return !in->failed;
}

/* How many NaN and infinities there are. */
static void
put_rare(SketchWriter *out, const Sketch *sketch)
{
	sketch_put_number(out, sketch->nan);
	sketch_put_number(out, sketch->infinite[0]);
	sketch_put_number(out, sketch->infinite[1]);
}

/* Adds NaN and infinities that were written; false: there are none, or too many. */
static bool
get_rare(SketchReader *in, Sketch *sketch)
{
	const double values[3] = {get_float8_nan(), -get_float8_infinity(), get_float8_infinity()};
	uint64		 all = 0;

	for (int i = 0; i < 3; i++)
	{
		uint64 count = sketch_get_number(in);

		if (in->failed || count > SKETCH_COUNT_MAX)
			return false;
		if (count > 0)
			sketch_add(sketch, values[i], count);
		all |= count;
	}
	return all > 0;
}

/* Reads the only sketch of a merge, as it is one of several now. */
static void
apply_only(Sketch *sketch)
{
	struct varlena *only = sketch->only;

	sketch->only = NULL;
	sketch_apply(sketch, only, SKETCH_STORED);
	pfree(only);
}

/* The sketch as a value of its type; a list or table that is too large becomes buckets first. */
struct varlena *
sketch_write(Sketch *sketch)
{
	SketchWriter out = {0};
	uint8		 kind = 0;
	int			 n;
	int			 start;

	if (sketch->only != NULL)
		return (struct varlena *) memcpy(palloc(VARSIZE(sketch->only)), sketch->only,
										 VARSIZE(sketch->only));
	initStringInfo(&out.out);
	appendStringInfoSpaces(&out.out, VARHDRSZ);
	sketch_put_byte(&out, VERSION);
	sketch_put_byte(&out, 0);
	sketch_put_byte(&out, sketch->accuracy >> 8);
	sketch_put_byte(&out, sketch->accuracy & 0xFF);
	if (sketch->nan != 0 || sketch->infinite[0] != 0 || sketch->infinite[1] != 0)
	{
		kind = SKETCH_KIND_RARE;
		put_rare(&out, sketch);
	}
	start = out.out.len;
	if (sketch->buckets == NULL)
	{
		SketchPair *pairs = sketch_pairs(sketch, &n);

		if (!sketch_put_values(&out, pairs, n, &kind))
			sketch_to_buckets(sketch);
		pfree(pairs);
	}
	if (sketch->buckets != NULL)
	{
		kind = (kind & SKETCH_KIND_RARE) | SKETCH_KIND_BUCKETS;
		out.out.len = start;
		sketch_buckets_write(&out, sketch->buckets);
	}
	out.out.data[VARHDRSZ + 1] = kind;
	SET_VARSIZE(out.out.data, out.out.len);
	return (struct varlena *) out.out.data;
}

/* Bytes that no version of the type writes. */
static void
refuse(SketchSource source, const char *detail)
{
	if (source == SKETCH_STORED)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("stored percentile_sketch is damaged"), errdetail("%s", detail)));
	ereport(ERROR, (errcode(source == SKETCH_TEXT ? ERRCODE_INVALID_TEXT_REPRESENTATION
												  : ERRCODE_INVALID_BINARY_REPRESENTATION),
					errmsg("invalid percentile_sketch"), errdetail("%s", detail)));
}

/* Adds the buckets that were written; false: they are none. */
static bool
apply_buckets(SketchReader *in, Sketch *sketch)
{
	int64 count = 0;

	if (sketch->buckets == NULL)
		sketch_to_buckets(sketch);
	if (!sketch_buckets_read(in, sketch->buckets, &count))
		return false;
	sketch_count_more(sketch, count);
	return true;
}

/* Adds all values of a sketch that was written. */
void
sketch_apply(Sketch *sketch, const struct varlena *bytes, SketchSource source)
{
	SketchReader in = {.at = (const uint8 *) VARDATA_ANY(bytes)};
	int			 accuracy;
	uint8		 kind;
	bool		 sound = true;

	in.end = in.at + VARSIZE_ANY_EXHDR(bytes);
	CHECK_FOR_INTERRUPTS();
	if (sketch->only != NULL)
		apply_only(sketch);
	if (sketch_get_byte(&in) != VERSION)
		refuse(source, "It is of another version.");
	kind = sketch_get_byte(&in);
	accuracy = sketch_get_byte(&in) << 8;
	accuracy |= sketch_get_byte(&in);
	if (kind > SKETCH_KIND_ALL || (kind & SKETCH_KIND) == SKETCH_KIND)
		refuse(source, "It is of another kind.");
	if (in.failed || accuracy < SKETCH_ACCURACY_MIN || accuracy > SKETCH_ACCURACY_MAX)
		refuse(source, "Its accuracy is none.");
	sketch_set_accuracy(sketch, accuracy);
	if (kind & SKETCH_KIND_RARE)
		sound = get_rare(&in, sketch);
	if (sound && (kind & SKETCH_KIND) == SKETCH_KIND_BUCKETS)
		sound = apply_buckets(&in, sketch);
	else if (sound)
		sound = sketch_get_values(&in, sketch, kind);
	if (!sound || in.failed || in.at != in.end)
		refuse(source, "Its values are not as they are written.");
}

/* The sketch that was written. */
Sketch *
sketch_read(const struct varlena *bytes, SketchSource source)
{
	Sketch *sketch = sketch_new(CurrentMemoryContext, 0);

	sketch_apply(sketch, bytes, source);
	return sketch;
}
