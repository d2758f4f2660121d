/*
 * statement.c
 *		Statements of steps that are not transactional, one by one.
 *
 * In a tenant that is being made nobody waits for a lock, and the transaction is the caller's:
 * there the statements run without CONCURRENTLY, which makes the same things.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "tcop/dest.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "common/spi.h"
#include "tenant/statement.h"

/* Text of one statement of a script; length 0: up to its end. */
static char *
piece(const char *sql, int location, int length)
{
	return length > 0 ? pnstrdup(sql + Max(location, 0), length) : pstrdup(sql + Max(location, 0));
}

/* Takes a script apart. */
List *
statement_list(const char *sql)
{
	List	 *statements = NIL;
	ListCell *cell;

	foreach (cell, pg_parse_query(sql))
	{
		RawStmt	  *raw = lfirst_node(RawStmt, cell);
		Statement *statement = palloc(sizeof(Statement));

		statement->sql = piece(sql, raw->stmt_location, raw->stmt_len);
		statement->tree = raw->stmt;
		statements = lappend(statements, statement);
	}
	return statements;
}

/* The DETACH PARTITION of an ALTER TABLE; NULL if it has none. */
static PartitionCmd *
detach_of(AlterTableStmt *alter)
{
	ListCell *cell;

	foreach (cell, alter->cmds)
	{
		AlterTableCmd *command = lfirst_node(AlterTableCmd, cell);

		if (command->subtype == AT_DetachPartition)
			return castNode(PartitionCmd, command->def);
	}
	return NULL;
}

/* Option of a REINDEX that is set to true; NULL if it is not. */
static DefElem *
concurrently_option(ReindexStmt *reindex)
{
	ListCell *cell;

	foreach (cell, reindex->params)
	{
		DefElem *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, "concurrently") == 0 && defGetBoolean(option))
			return option;
	}
	return NULL;
}

/* Where a statement says CONCURRENTLY, if it is of a kind that has it as a flag; else NULL. */
static bool *
concurrent_flag(Node *tree)
{
	PartitionCmd *detach;

	switch (nodeTag(tree))
	{
		case T_IndexStmt:
			return &((IndexStmt *) tree)->concurrent;
		case T_DropStmt:
			return &((DropStmt *) tree)->concurrent;
		case T_AlterTableStmt:
			detach = detach_of((AlterTableStmt *) tree);
			return detach != NULL ? &detach->concurrent : NULL;
		default:
			return NULL;
	}
}

/* True for what PostgreSQL refuses inside a transaction block. */
bool
statement_is_concurrent(const Statement *statement)
{
	Node *tree = statement->tree;
	bool *flag = concurrent_flag(tree);

	if (flag != NULL)
		return *flag;
	return IsA(tree, ReindexStmt) || IsA(tree, DiscardStmt) ||
		   (IsA(tree, VacuumStmt) && ((VacuumStmt *) tree)->is_vacuumcmd);
}

/* Runs a utility command from its parse tree; true if it was given a snapshot. */
static bool
run_utility(const Statement *statement, ProcessUtilityContext context)
{
	PlannedStmt *planned = makeNode(PlannedStmt);

	planned->commandType = CMD_UTILITY;
	planned->canSetTag = true;
	planned->utilityStmt = statement->tree;
	if (PlannedStmtRequiresSnapshot(planned))
		PushActiveSnapshot(GetTransactionSnapshot());
	ProcessUtility(planned, statement->sql, false, context, NULL, NULL, None_Receiver, NULL);
	return PlannedStmtRequiresSnapshot(planned);
}

/* Runs what may be in a transaction in one of its own. */
static void
run_in_transaction(const char *sql)
{
	SpiScope scope;

	PushActiveSnapshot(GetTransactionSnapshot());
	tenancy_spi_begin_as_caller(&scope);
	tenancy_spi_script(sql);
	SPI_finish(); /* without the end of the scope: what it has set is for the statements after it */
	PopActiveSnapshot();
}

/*
 * Runs one statement outside a transaction.  What commits by itself keeps things in the current
 * memory context, or in one below the portal's, which there is none of in a worker.
 */
void
statement_run_alone(const Statement *statement)
{
	MemoryContext context = CurrentMemoryContext;

	PortalContext = context;
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	MemoryContextSwitchTo(context);
	if (statement_is_concurrent(statement))
	{
		(void) run_utility(statement, PROCESS_UTILITY_TOPLEVEL);
		if (ActiveSnapshotSet()) /* one that committed by itself has none */
			PopActiveSnapshot();
	}
	else
		run_in_transaction(statement->sql);
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
}

/* Makes a statement one that may be in a transaction; false if there is nothing left of it. */
static bool
take_concurrently_away(Statement *statement)
{
	Node *tree = statement->tree;
	bool *flag = concurrent_flag(tree);

	if (flag != NULL)
		*flag = false;
	else if (IsA(tree, ReindexStmt))
	{
		ReindexStmt *reindex = (ReindexStmt *) tree;

		reindex->params = list_delete_ptr(reindex->params, concurrently_option(reindex));
	}
	else
		return false;
	return true;
}

/* Runs a script inside a transaction. */
void
statement_run_inside(const char *sql)
{
	ListCell *cell;

	foreach (cell, statement_list(sql))
	{
		Statement *statement = lfirst(cell);

		CHECK_FOR_INTERRUPTS();
		if (!statement_is_concurrent(statement))
			tenancy_spi_script(statement->sql);
		else if (take_concurrently_away(statement))
		{
			if (run_utility(statement, PROCESS_UTILITY_QUERY))
				PopActiveSnapshot();
			CommandCounterIncrement();
		}
	}
}
