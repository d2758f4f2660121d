/*
 * answer.c
 *		Final functions of the types that have keys: from keys back to values, and between two values.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/timestamp.h"

#include "percentile/keys.h"

/* As core's: one place, so that the compiler makes the same of it for every type. */
static pg_noinline double
interpolate(double low, double high, double proportion)
{
	return low + (proportion * (high - low));
}

/* A double. */
static Datum
float8_value(uint64 key)
{
	return Float8GetDatum(percentile_float8_of_key(key));
}

/* Between two doubles. */
static Datum
float8_between(uint64 low, uint64 high, double proportion)
{
	return Float8GetDatum(
		interpolate(percentile_float8_of_key(low), percentile_float8_of_key(high), proportion));
}

/* A real. */
static Datum
float4_value(uint64 key)
{
	return Float4GetDatum((float4) percentile_float8_of_key(key));
}

/* A whole number as a double. */
static Datum
integer_float8(uint64 key)
{
	return Float8GetDatum((double) percentile_int64_of_key(key));
}

/* Between two whole numbers, as doubles. */
static Datum
integer_between(uint64 low, uint64 high, double proportion)
{
	return Float8GetDatum(interpolate((double) percentile_int64_of_key(low),
									  (double) percentile_int64_of_key(high), proportion));
}

/* A smallint. */
static Datum
int2_value(uint64 key)
{
	return Int16GetDatum((int16) percentile_int64_of_key(key));
}

/* An integer or a date. */
static Datum
int4_value(uint64 key)
{
	return Int32GetDatum((int32) percentile_int64_of_key(key));
}

/* A bigint or a time. */
static Datum
int8_value(uint64 key)
{
	return Int64GetDatum(percentile_int64_of_key(key));
}

/* Nearest microsecond between two times; the distance may be more than a signed number takes. */
static Timestamp
time_between(Timestamp low, Timestamp high, double proportion)
{
	uint64 distance = (uint64) high - (uint64) low;

	if (low == high)
		return low;
	if (TIMESTAMP_IS_NOBEGIN(low))
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
						errmsg("there is no time between -infinity and a later time"),
						errhint("Use percentile_discrete.")));
	if (TIMESTAMP_IS_NOEND(high))
		return high;
	return (Timestamp) ((uint64) low + (uint64) rint(proportion * (double) distance));
}

/* Between two times. */
static Datum
timestamp_between(uint64 low, uint64 high, double proportion)
{
	return TimestampGetDatum(
		time_between(percentile_int64_of_key(low), percentile_int64_of_key(high), proportion));
}

/* Midnight at which a date begins. */
static Datum
date_start(uint64 key)
{
	return DirectFunctionCall1(date_timestamp, int4_value(key));
}

/* Between two dates' midnights. */
static Datum
date_between(uint64 low, uint64 high, double proportion)
{
	return TimestampGetDatum(time_between(DatumGetTimestamp(date_start(low)),
										  DatumGetTimestamp(date_start(high)), proportion));
}

/* A final function; between is NULL for a discrete one. */
#define ANSWER(name, type, ctype, byval, align, value, between) \
	PG_FUNCTION_INFO_V1(name);                                  \
	Datum name(PG_FUNCTION_ARGS)                                \
	{                                                           \
		static const PercentileResult result = {                \
			type, sizeof(ctype), byval, align, value, between}; \
                                                                \
		return percentile_finish(fcinfo, &result);              \
	}

#define EIGHT(name, type, value, between) \
	ANSWER(name, type, int64, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, value, between)

EIGHT(percentile_float8, FLOAT8OID, float8_value, float8_between)
EIGHT(percentile_integer, FLOAT8OID, integer_float8, integer_between)
EIGHT(percentile_date, TIMESTAMPOID, date_start, date_between)
EIGHT(percentile_timestamp, TIMESTAMPOID, int8_value, timestamp_between)
EIGHT(percentile_timestamptz, TIMESTAMPTZOID, int8_value, timestamp_between)

EIGHT(percentile_discrete_float8, FLOAT8OID, float8_value, NULL)
EIGHT(percentile_discrete_int8, INT8OID, int8_value, NULL)
EIGHT(percentile_discrete_timestamp, TIMESTAMPOID, int8_value, NULL)
EIGHT(percentile_discrete_timestamptz, TIMESTAMPTZOID, int8_value, NULL)
ANSWER(percentile_discrete_float4, FLOAT4OID, float4, true, TYPALIGN_INT, float4_value, NULL)
ANSWER(percentile_discrete_int2, INT2OID, int16, true, TYPALIGN_SHORT, int2_value, NULL)
ANSWER(percentile_discrete_int4, INT4OID, int32, true, TYPALIGN_INT, int4_value, NULL)
ANSWER(percentile_discrete_date, DATEOID, DateADT, true, TYPALIGN_INT, int4_value, NULL)
