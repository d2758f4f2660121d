/*
 * document_value.h
 *		Values that a document has otherwise than as their text.
 */
#ifndef TENANCY_DOCUMENT_VALUE_H
#define TENANCY_DOCUMENT_VALUE_H

#include "fmgr.h"
#include "lib/stringinfo.h"

/* Each appends a value as JSON. */
extern void document_write_interval(StringInfo out, Datum value, FmgrInfo *output);
extern void document_write_point(StringInfo out, Datum value, FmgrInfo *output);
extern void document_write_range(StringInfo out, Datum value, FmgrInfo *output);

/* document_flat.c: makes the JSON text from `start` on such that a flattened field takes it. */
extern void document_flatten(StringInfo out, int start);

#endif
