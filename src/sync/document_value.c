/*
 * document_value.c
 *		Values that a document has otherwise than as their text: intervals, points and ranges.
 *
 * Field types for ranges refuse a document for a bound that they cannot hold, and for one that
 * is beyond the other after rounding (to a double, to a millisecond): neither may be written.
 * A bound before the year 1 or after 9999 is the first or last moment between.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/float.h"
#include "utils/fmgrprotos.h"
#include "utils/geo_decls.h"
#include "utils/json.h"
#include "utils/numeric.h"
#include "utils/rangetypes.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "sync/document_value.h"

#include <float.h>
#include <math.h>

#define DAY_MS 86400000.0

/* A bound as it is written. */
typedef struct End
{
	bool   there;  /* else the range has no end */
	bool   beyond; /* nothing is on this side of it: the range is empty */
	bool   inclusive;
	bool   in_ms;	  /* at is in milliseconds, else a number */
	bool   exact;	  /* an integer: the server has it as it is */
	double at;		  /* as the server sees it */
	char   text[128]; /* JSON */
	char  *longer;	  /* instead of text */
} End;

/* interval: seconds */
void
document_write_interval(StringInfo out, Datum value, FmgrInfo *output)
{
	Datum	epoch = CStringGetTextDatum("epoch");
	Numeric seconds = DatumGetNumeric(DirectFunctionCall2(extract_interval, epoch, value));

	if (numeric_is_nan(seconds) || numeric_is_inf(seconds))
		appendStringInfoString(out, "null");
	else
		appendStringInfoString(
			out, DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(seconds))));
}

/* point: x is the longitude */
void
document_write_point(StringInfo out, Datum value, FmgrInfo *output)
{
	Point *point = DatumGetPointP(value);

	if (isfinite(point->x) && isfinite(point->y))
		appendStringInfo(out, "{\"lon\":%.17g,\"lat\":%.17g}", point->x, point->y);
	else
		appendStringInfoString(out, "null");
}

/* Takes a bound that is at no number: the range goes on for ever there, or has nothing. */
static void
set_infinite(End *end, bool positive, bool upper)
{
	end->there = false;
	end->beyond = positive != upper;
}

/* Takes a bound that is an integer. */
static void
set_integer(End *end, int64 value)
{
	end->exact = true;
	snprintf(end->text, sizeof(end->text), INT64_FORMAT, value);
}

/* Takes a bound that is a numeric; NaN is above all numbers. */
static void
set_numeric(End *end, Datum value, bool upper)
{
	Numeric number = DatumGetNumeric(value);

	if (numeric_is_nan(number))
	{
		set_infinite(end, true, upper);
		return;
	}
	end->at = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, value));
	if (numeric_is_inf(number) || (isinf(end->at) && (end->at > 0) == upper))
		set_infinite(end, end->at > 0, upper);
	else if (isinf(end->at))
	{
		end->at = end->at > 0 ? DBL_MAX : -DBL_MAX;
		snprintf(end->text, sizeof(end->text), "%.17g", end->at);
	}
	else
		end->longer = DatumGetCString(DirectFunctionCall1(numeric_out, value));
}

/* Writes a date or time of the years that every server knows. */
static void
set_datetime(End *end, Datum value, Oid type)
{
	char text[MAXDATELEN + 1];

	end->in_ms = true;
	(void) JsonEncodeDateTime(text, value, type, NULL);
	snprintf(end->text, sizeof(end->text), "\"%s\"", text);
}

/* Takes a bound that is a date. */
static void
set_date(End *end, DateADT date, bool upper)
{
	DateADT first = date2j(1, 1, 1) - POSTGRES_EPOCH_JDATE;
	DateADT last = date2j(9999, 12, 31) - POSTGRES_EPOCH_JDATE;

	if (DATE_NOT_FINITE(date))
	{
		set_infinite(end, DATE_IS_NOEND(date), upper);
		return;
	}
	date = Max(first, Min(last, date));
	end->at = date * DAY_MS;
	set_datetime(end, DateADTGetDatum(date), DATEOID);
}

/* Takes a bound that is a timestamp. */
static void
set_timestamp(End *end, Timestamp time, Oid type, bool upper)
{
	Timestamp first = (date2j(1, 1, 1) - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY;
	Timestamp last = (date2j(10000, 1, 1) - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY - 1;

	if (TIMESTAMP_NOT_FINITE(time))
	{
		set_infinite(end, TIMESTAMP_IS_NOEND(time), upper);
		return;
	}
	time = Max(first, Min(last, time));
	end->at = floor(time / 1000.0);
	set_datetime(end, TimestampGetDatum(time), type);
}

/* Takes a bound of a range over a type. */
static void
read_end(End *end, const RangeBound *bound, Oid type, bool upper)
{
	memset(end, 0, sizeof(End));
	end->there = !bound->infinite;
	end->inclusive = bound->inclusive;
	if (!end->there)
		return;
	if (type == INT4OID)
		set_integer(end, DatumGetInt32(bound->val));
	else if (type == INT8OID)
		set_integer(end, DatumGetInt64(bound->val));
	else if (type == NUMERICOID)
		set_numeric(end, bound->val, upper);
	else if (type == DATEOID)
		set_date(end, DatumGetDateADT(bound->val), upper);
	else
		set_timestamp(end, DatumGetTimestamp(bound->val), type, upper);
}

/* True if the server would find the lower end beyond the upper one. */
static bool
are_crossed(const End *lower, const End *upper)
{
	double low = lower->at;
	double high = upper->at;

	if (!lower->there || !upper->there || lower->exact)
		return false;
	if (!lower->inclusive)
		low = lower->in_ms ? low + 1 : nextafter(low, HUGE_VAL);
	if (!upper->inclusive)
		high = upper->in_ms ? high - 1 : nextafter(high, -HUGE_VAL);
	return low > high;
}

/* Appends a bound, if it is there. */
static void
append_end(StringInfo out, const End *end, const char *inclusive, const char *exclusive)
{
	if (!end->there)
		return;
	if (out->data[out->len - 1] != '{')
		appendStringInfoChar(out, ',');
	appendStringInfo(out, "\"%s\":%s", end->inclusive ? inclusive : exclusive,
					 end->longer != NULL ? end->longer : end->text);
}

/* A built-in range: its bounds; null if it is empty */
void
document_write_range(StringInfo out, Datum value, FmgrInfo *output)
{
	RangeType	   *range = DatumGetRangeTypeP(value);
	TypeCacheEntry *type = lookup_type_cache(RangeTypeGetOid(range), TYPECACHE_RANGE_INFO);
	RangeBound		bounds[2];
	End				lower;
	End				upper;
	bool			empty;

	range_deserialize(type, range, &bounds[0], &bounds[1], &empty);
	if (!empty)
	{
		read_end(&lower, &bounds[0], type->rngelemtype->type_id, false);
		read_end(&upper, &bounds[1], type->rngelemtype->type_id, true);
		empty = lower.beyond || upper.beyond;
	}
	if (empty)
	{
		appendStringInfoString(out, "null");
		return;
	}
	if (are_crossed(&lower, &upper))
		lower.inclusive = upper.inclusive = true;
	appendStringInfoChar(out, '{');
	append_end(out, &lower, "gte", "gt");
	append_end(out, &upper, "lte", "lt");
	appendStringInfoChar(out, '}');
}
