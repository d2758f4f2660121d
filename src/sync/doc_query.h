/*
 * doc_query.h
 *		Documents that a view or an expression makes.
 */
#ifndef TENANCY_DOC_QUERY_H
#define TENANCY_DOC_QUERY_H

#include "lib/stringinfo.h"

#include "common/spi.h"
#include "sink/sink.h"

typedef enum DocState
{
	DOC_UNREAD,
	DOC_THERE,
	DOC_NONE,  /* no row, or none that has a document */
	DOC_FAILED /* it cannot be made */
} DocState;

/* One key, and what came of it. */
typedef struct DocKey
{
	const char *key;
	int			key_length;
	DocState	state;
	int			start; /* DOC_THERE: place of the document */
	int			length;
	const char *error; /* DOC_FAILED: why */
} DocKey;

typedef enum DocResult
{
	DOCS_READ,
	DOCS_LOCKED, /* somebody holds a table that is needed: the rest later */
	DOCS_REFUSED /* no document of this table can be made */
} DocResult;

/*
 * Documents of a target's keys as they are in the active snapshot, in the order of the
 * keys, until out has `most` bytes or every key was read; a zero byte follows each.  Needs a
 * transaction; what is not the documents' fault is thrown.
 */
extern DocResult doc_query_read(const SinkTarget *target, DocKey *keys, int n, Size most,
								StringInfo out, const char **reason);

/* Throws if the documents of a relation could not be read; needs a transaction. */
extern void doc_query_check(Oid relid, const char *document, char **key_columns, int nkeys);

/* What reading of any user's query needs, in a subtransaction (tenancy_try). */
#define DOC_LOCK_WAIT "100ms" /* the worker does nothing else meanwhile */
extern void doc_query_begin(SpiScope *scope, Oid relid, const char *lock_timeout);
/* False: somebody holds a lock.  Throws again what is not the query's fault. */
extern bool doc_query_forgive(ErrorData *error);

/* Number of changes seen that could make a refused table work. */
extern uint64 doc_query_changes(void);

#endif
