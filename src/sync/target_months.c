/*
 * target_months.c
 *		The months of a target's places.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "common/array.h"
#include "common/spi.h"
#include "sink/provision.h"
#include "sync/months.h"
#include "sync/target_months.h"

/* What the query has of the months, each a list of C strings. */
typedef struct MonthRows
{
	List *names;
	List *wholes;
	List *starts; /* "": it has no lower bound */
	List *ends;
	List *kinds;
} MonthRows;

/* A text[] of the last result's first row as a list of C strings, NIL for NULL. */
static List *
strings_of(int column)
{
	bool  isnull;
	Datum value = tenancy_spi_datum(0, column, &isnull);

	return isnull ? NIL : tenancy_text_list(value);
}

/* The n-th string of a list. */
static char *
nth(List *strings, int n)
{
	return list_nth(strings, n);
}

/* A bound, or what stands for none. */
static int64
bound_of(const char *text, int64 none)
{
	int64 time;

	return months_time(text, &time) ? time : none;
}

/* Number of the key column that tells the month; one that no key has if it is none of them. */
static int
month_key_of(const SinkTarget *target, const char *column)
{
	for (int i = 0; column != NULL && i < target->nkeys; i++)
		if (strcmp(target->key_columns[i], column) == 0)
			return i;
	return INDEX_MAX_KEYS;
}

/* Fills in a month from the n-th of the rows. */
static void
read_month(SinkMonth *month, SinkRole role, const MonthRows *rows, int n, MemoryContext context)
{
	const char *kind = nth(rows->kinds, n);

	month->rest = strstr(kind, "rest") != NULL;
	month->there = strstr(kind, "there") != NULL;
	month->from = bound_of(nth(rows->starts, n), PG_INT64_MIN);
	month->to = bound_of(nth(rows->ends, n), PG_INT64_MAX);
	month->last = *nth(rows->ends, n) == '\0';
	month->place.role = role;
	month->place.index_name = MemoryContextStrdup(context, nth(rows->names, n));
	month->place.alias = search_own_alias(context, month->place.index_name);
}

/* Gives a place its months. */
static void
add_months(SinkPlace *place, const MonthRows *rows, MemoryContext context)
{
	int n = list_length(rows->names);

	place->months = MemoryContextAllocZero(context, (n + 1) * sizeof(SinkMonth));
	for (int i = 0; i < n; i++)
		if (strcmp(nth(rows->wholes, i), place->index_name) == 0)
			read_month(&place->months[place->nmonths++], place->role, rows, i, context);
	months_sort(place);
}

/* Takes the months of a target's places from the last result. */
void
target_add_months(SinkTarget *target, MemoryContext context, int column)
{
	MonthRows rows = {strings_of(column), strings_of(column + 1), strings_of(column + 2),
					  strings_of(column + 3), strings_of(column + 4)};
	int		  key = month_key_of(target, tenancy_spi_text(0, column + 5));

	for (int i = 0; i < target->nplaces; i++)
	{
		target->places[i].month_key = key;
		if (target->places[i].monthly)
			add_months(&target->places[i], &rows, context);
	}
}
