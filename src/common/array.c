/*
 * array.c
 *		Lists of strings, and arrays as such.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "common/array.h"

/* Elements of a text[] without nulls, as C strings. */
List *
tenancy_text_list(Datum array)
{
	Datum *elements;
	int	   n;
	List  *texts = NIL;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL,
					  &n);
	for (int i = 0; i < n; i++)
		texts = lappend(texts, TextDatumGetCString(elements[i]));
	return texts;
}

/* Strings as text[]. */
Datum
tenancy_text_array(List *strings)
{
	Datum	 *elements = palloc((list_length(strings) + 1) * sizeof(Datum));
	int		  n = 0;
	ListCell *cell;

	foreach (cell, strings)
		elements[n++] = CStringGetTextDatum(lfirst(cell));
	return PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/* True if a list of strings has it. */
bool
tenancy_has_string(List *strings, const char *string)
{
	ListCell *cell;

	foreach (cell, strings)
		if (strcmp(lfirst(cell), string) == 0)
			return true;
	return false;
}
