/*
 * document.h
 *		A row as a JSON document.
 */
#ifndef TENANCY_DOCUMENT_H
#define TENANCY_DOCUMENT_H

#include "executor/tuptable.h"
#include "lib/stringinfo.h"

#define DOCUMENT_MAX (100 * 1024 * 1024) /* bytes; no server takes more */

typedef struct DocumentWriter DocumentWriter;

extern DocumentWriter *document_writer_make(TupleDesc desc, List *flat, List *only);
extern void document_append(DocumentWriter *writer, TupleTableSlot *slot, StringInfo out);

#endif
