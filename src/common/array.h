/*
 * array.h
 *		Arrays as lists.
 */
#ifndef TENANCY_ARRAY_H
#define TENANCY_ARRAY_H

#include "nodes/pg_list.h"

/* Elements of a text[] without nulls, as C strings. */
extern List *tenancy_text_list(Datum array);

#endif
