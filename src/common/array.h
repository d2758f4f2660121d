/*
 * array.h
 *		Lists of strings, and arrays as such.
 */
#ifndef TENANCY_ARRAY_H
#define TENANCY_ARRAY_H

#include "nodes/pg_list.h"

/* Elements of a text[] without nulls, as C strings. */
extern List *tenancy_text_list(Datum array);
/* Strings as text[]. */
extern Datum tenancy_text_array(List *strings);
/* True if a list of strings has it. */
extern bool tenancy_has_string(List *strings, const char *string);

#endif
