/*
 * statement.h
 *		Statements of steps that are not transactional, one by one.
 */
#ifndef TENANCY_STATEMENT_H
#define TENANCY_STATEMENT_H

#include "nodes/parsenodes.h"

typedef struct Statement
{
	char *sql;
	Node *tree; /* as it was parsed */
} Statement;

/* In the current memory context. */
extern List *statement_list(const char *sql);
/* True for what PostgreSQL refuses inside a transaction block. */
extern bool statement_is_concurrent(const Statement *statement);
/* Outside a transaction; role, search_path and all settings are the session's. */
extern void statement_run_alone(const Statement *statement);
/* All of a script, inside a transaction and an SPI scope, in tables that nobody else can see yet. */
extern void statement_run_inside(const char *sql);

#endif
