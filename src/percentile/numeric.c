/*
 * numeric.c
 *		numeric as float8, the same double as the cast's, without writing the digits as text.
 *
 * A mantissa below 2^53 and a power of ten up to 10^22 are doubles without error, so that one
 * division or multiplication of them rounds once, as reading the decimal text does.  Whatever is
 * not like that goes to the cast.  What is read is the form on disk, which pg_upgrade holds fixed.
 */
#include "postgres.h"

#include "common/compat.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "percentile/numeric.h"

#define SHORT_FORM 0x8000
#define SPECIAL_FORM 0xC000
#define SHORT_NEGATIVE 0x2000
#define SHORT_WEIGHT_SIGN 0x0040
#define SHORT_WEIGHT 0x003F
#define BASE 10000
#define MOST_GROUPS 5 /* of four digits within an exact power of ten */
#define LARGEST_MANTISSA (INT64CONST(1) << 53)

static const double powers[] = {1e0, 1e4, 1e8, 1e12, 1e16, 1e20};

/* Value of a short numeric's digits, which may lie anywhere; false if they are too many. */
static bool
short_value(const char *at, int ndigits, int weight, double *value)
{
	int64 mantissa = 0;
	int	  exponent = weight - ndigits + 1;

	if (ndigits > MOST_GROUPS || exponent > MOST_GROUPS || exponent < -MOST_GROUPS)
		return false;
	for (int i = 0; i < ndigits; i++)
	{
		int16 digit;

		memcpy(&digit, at + i * sizeof(int16), sizeof(int16));
		mantissa = mantissa * BASE + digit;
		if (mantissa > LARGEST_MANTISSA)
			return false;
	}
	*value = exponent < 0 ? mantissa / powers[-exponent] : mantissa * powers[exponent];
	return true;
}

/* The double that the cast gives. */
double
percentile_numeric_float8(Datum value)
{
	struct varlena *packed = PG_DETOAST_DATUM_PACKED(value);
	const char	   *at = VARDATA_ANY(packed);
	int				ndigits = ((int) VARSIZE_ANY_EXHDR(packed) - (int) sizeof(uint16)) / 2;
	uint16			header;
	double			result;

	memcpy(&header, at, sizeof(header));
	if ((header & SPECIAL_FORM) == SHORT_FORM)
	{
		int weight = (header & SHORT_WEIGHT_SIGN ? ~SHORT_WEIGHT : 0) | (header & SHORT_WEIGHT);

		if (short_value(at + sizeof(header), ndigits, weight, &result))
			return header & SHORT_NEGATIVE ? -result : result;
	}
	return DatumGetFloat8(DirectFunctionCall1(numeric_float8, PointerGetDatum(packed)));
}
