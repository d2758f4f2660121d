/*
 * document.h
 *		A row as a JSON document.
 */
#ifndef TENANCY_DOCUMENT_H
#define TENANCY_DOCUMENT_H

#include "executor/tuptable.h"
#include "lib/stringinfo.h"

typedef struct DocumentWriter DocumentWriter;

extern DocumentWriter *document_writer_make(TupleDesc desc);
extern void document_append(DocumentWriter *writer, TupleTableSlot *slot, StringInfo out);

#endif
