/*
 * months.c
 *		Where a document is whose index has a part for each partition.
 *
 * The partition follows from the key, so that it can be told of a row that is gone too.  Keys and
 * bounds are text in one form: that of key_pin_settings.
 */
#include "postgres.h"

#include <ctype.h>

#include "common/int.h"
#include "datatype/timestamp.h"
#include "utils/datetime.h"

#include "sync/key.h"
#include "sync/months.h"

/* Reads a number of at least `least` digits; false: there is none. */
static bool
read_number(const char **text, int least, int *number)
{
	int digits = 0;

	for (*number = 0; isdigit((unsigned char) **text) && digits < 7; (*text)++, digits++)
		*number = *number * 10 + (**text - '0');
	return digits >= least;
}

/* Reads microseconds behind the point. */
static int64
read_fraction(const char **text)
{
	int64 fraction = 0;

	(*text)++;
	for (int digit = 0; digit < 6; digit++)
	{
		fraction *= 10;
		if (isdigit((unsigned char) **text))
			fraction += *(*text)++ - '0';
	}
	return fraction;
}

/* Reads the time of a day, in UTC if it says a zone. */
static bool
read_time(const char **text, int64 *time)
{
	int hour;
	int minute;
	int second;

	(*text)++;
	if (!read_number(text, 2, &hour) || *(*text)++ != ':' || !read_number(text, 2, &minute) ||
		*(*text)++ != ':' || !read_number(text, 2, &second))
		return false;
	*time = ((int64) hour * 3600 + minute * 60 + second) * USECS_PER_SEC;
	if (**text == '.')
		*time += read_fraction(text);
	if (strncmp(*text, "+00", 3) == 0)
		*text += 3;
	return true;
}

/* The time of a date and a time of the day; one beyond all is the first or the last. */
static int64
time_of(int year, int month, int day, int64 time)
{
	int64 days = (int64) date2j(year, month, day) - POSTGRES_EPOCH_JDATE;
	int64 result;

	if (pg_mul_s64_overflow(days, USECS_PER_DAY, &result) ||
		pg_add_s64_overflow(result, time, &result))
		return days < 0 ? PG_INT64_MIN : PG_INT64_MAX;
	return result;
}

/* Microseconds since 2000 of a date or a time as it is in keys; false: it is none. */
bool
months_time(const char *text, int64 *time)
{
	int	  year;
	int	  month;
	int	  day;
	int64 of_day = 0;

	if (strcmp(text, "infinity") == 0 || strcmp(text, "-infinity") == 0)
	{
		*time = *text == '-' ? PG_INT64_MIN : PG_INT64_MAX;
		return true;
	}
	if (!read_number(&text, 4, &year) || *text++ != '-' || !read_number(&text, 2, &month) ||
		*text++ != '-' || !read_number(&text, 2, &day))
		return false;
	if (*text == ' ' && isdigit((unsigned char) text[1]) && !read_time(&text, &of_day))
		return false;
	if (strcmp(text, " BC") == 0)
		year = 1 - year;
	else if (*text != '\0')
		return false;
	*time = time_of(year, month, day, of_day);
	return true;
}

/* Order of months: by time, the rest at the end. */
static int
compare_months(const void *a, const void *b)
{
	const SinkMonth *left = a;
	const SinkMonth *right = b;

	if (left->rest != right->rest)
		return left->rest ? 1 : -1;
	return left->from < right->from ? -1 : left->from > right->from;
}

/* Puts months in the order in which they are looked up. */
void
months_sort(SinkPlace *place)
{
	qsort(place->months, place->nmonths, sizeof(SinkMonth), compare_months);
}

/* The month of a time, or the rest, NULL: there is neither. */
static const SinkMonth *
find_month(const SinkPlace *place, int64 time)
{
	bool has_rest = place->nmonths > 0 && place->months[place->nmonths - 1].rest;
	int	 low = 0;
	int	 high = place->nmonths - has_rest; /* the first that begins later */

	while (low < high)
	{
		int middle = low + (high - low) / 2;

		if (place->months[middle].from <= time)
			low = middle + 1;
		else
			high = middle;
	}
	if (low > 0 && (time < place->months[low - 1].to || place->months[low - 1].last))
		return &place->months[low - 1];
	return has_rest ? &place->months[place->nmonths - 1] : NULL;
}

/* Place of a key's document. */
const SinkPlace *
months_place(const SinkPlace *place, const char *key, int key_length)
{
	const char		*parts[INDEX_MAX_KEYS];
	const SinkMonth *month = NULL;
	int64			 time;

	if (!place->monthly)
		return place;
	if (key_parts(key, key_length, parts, INDEX_MAX_KEYS) > place->month_key &&
		months_time(parts[place->month_key], &time))
		month = find_month(place, time);
	if (month != NULL && (month->there || place->role == SINK_SERVING))
		return &month->place;
	/* none has such a row: what there is to be said goes where it does nothing */
	return place->role == SINK_SERVING ? place : NULL;
}
