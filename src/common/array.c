/*
 * array.c
 *		Arrays as lists.
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
