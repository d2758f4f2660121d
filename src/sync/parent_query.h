/*
 * parent_query.h
 *		The query for the rows that a joined row is part of.
 */
#ifndef TENANCY_PARENT_QUERY_H
#define TENANCY_PARENT_QUERY_H

#include "common/spi.h"
#include "sync/depends_on.h"
#include "sync/sql_column.h"

typedef struct ParentQuery
{
	int		   ncolumns;
	SqlColumn  columns[INDEX_MAX_KEYS]; /* of the joined table */
	bool	   is_key;					/* the columns' values are the parent's key */
	int		   key_order[INDEX_MAX_KEYS];
	SPIPlanPtr plan; /* NULL if is_key */
} ParentQuery;

/* Both inside doc_query_begin; they throw what is wrong with the tables or the query. */
extern void	  parent_query_prepare(ParentQuery *query, Oid relid, char **key_columns, int nkeys,
								   const Dependency *dependency);
extern Portal parent_query_open(ParentQuery *query, const char **texts);
/* The joined table; throws if there is none of which changes are captured. */
extern Oid parent_query_joined(Oid relid, const char *name);

#endif
