/*
 * doc_id.h
 *		A row's document id, made from its key.
 */
#ifndef TENANCY_DOC_ID_H
#define TENANCY_DOC_ID_H

#include "lib/stringinfo.h"

/* Bytes that the servers allow. */
#define DOC_ID_MAX 512

/* What stands before the id in a shared index. */
extern void sink_append_part(StringInfo out, const char *part);
/* The key is column values, each ended by a zero byte; key_length counts those too. */
extern char *sink_doc_id(const char *key, int key_length);
extern void	 sink_append_doc_id(StringInfo out, const char *key, int key_length);
/* The other way round, for a key of so many columns; an id of another number of parts gives those. */
extern void sink_append_doc_key(StringInfo out, const char *id, int nkeys);

#endif
