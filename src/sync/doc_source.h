/*
 * doc_source.h
 *		What makes the documents of a table, if not its rows themselves.
 */
#ifndef TENANCY_DOC_SOURCE_H
#define TENANCY_DOC_SOURCE_H

#include "sync/sql_column.h"

/* Name of the view; NULL: it is an expression.  Throws if it is neither. */
extern char *doc_source_view(const char *document);
/* Refuse what tenant_sync_table() must not take: text that is no document, or not one SELECT. */
extern void	 doc_source_check(const char *document);
extern void	 doc_source_check_select(const char *text);
extern char *doc_source_sql(Oid relid, const char *document, const SqlColumn *key, int nkeys);

#endif
