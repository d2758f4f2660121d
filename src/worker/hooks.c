/*
 * hooks.c
 *		What happens in other people's sessions: wake-up at commit, and making way
 *		for commands that need a database without connections.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/ipc.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/timestamp.h"

#include <signal.h>

#include "common/compat.h"
#include "common/utility.h"
#include "worker/worker.h"

#define STOP_WAIT_MS 5000

static ProcessUtility_hook_type next_utility_hook = NULL;
static bool						attach_at_commit = false;

PG_FUNCTION_INFO_V1(tenancy_attach);

/* This database's part, looked up when the list of databases has changed. */
static DatabaseShared *
my_database(void)
{
	static DatabaseShared *mine = NULL;
	static uint32		   seen = 0; /* the list's generation, which starts at 1 */
	uint32				   generation = pg_atomic_read_u32(&tenancy_shared->generation);

	if (seen != generation)
		mine = tenancy_shared_mine();
	seen = generation;
	return mine;
}

/* A transaction that wrote something has committed: capture looks at once. */
static void
wake_capture(void)
{
	DatabaseShared *database;

	if (!TransactionIdIsValid(GetTopTransactionIdIfAny()))
		return;
	database = my_database();
	if (database == NULL)
		return;
	if (pg_atomic_read_u32(&database->committed) == 0)
		pg_atomic_write_u32(&database->committed, 1);
	if (pg_atomic_read_u32(&database->capture_asleep) != 0 &&
		pg_atomic_exchange_u32(&database->capture_asleep, 0) != 0)
		worker_wake(&database->capture);
}

/* End of a transaction. */
static void
on_xact(XactEvent event, void *arg)
{
	if (tenancy_shared == NULL || (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT))
		return;
	if (event == XACT_EVENT_COMMIT)
	{
		wake_capture();
		if (attach_at_commit)
		{
			pg_atomic_write_u32(&tenancy_shared->rescan, 1);
			worker_wake(&tenancy_shared->launcher);
		}
	}
	attach_at_commit = false;
}

/* CREATE EXTENSION calls this: the launcher looks at this database after the commit. */
Datum
tenancy_attach(PG_FUNCTION_ARGS)
{
	attach_at_commit = true;
	PG_RETURN_VOID();
}

/* Sets or clears the pause of a database's workers; returns its part. */
static DatabaseShared *
set_paused(Oid dboid, bool paused)
{
	DatabaseShared *database;

	LWLockAcquire(tenancy_shared->lock, LW_EXCLUSIVE);
	database = tenancy_shared_find(dboid);
	if (database != NULL)
		database->paused = paused;
	LWLockRelease(tenancy_shared->lock);
	worker_wake(&tenancy_shared->launcher);
	return database;
}

/* Ends the pause, also when the command fails or the session is terminated. */
static void
unpause(int code, Datum arg)
{
	pg_atomic_write_u32(&tenancy_shared->rescan, 1);
	(void) set_paused(DatumGetObjectId(arg), false);
}

/* Ends a worker; true if it is gone. */
static bool
end_worker(WorkerShared *worker)
{
	pid_t pid = worker_pid(worker);

	if (pid != 0)
		(void) kill(pid, SIGTERM);
	return pid == 0;
}

/* Pauses a database's workers and waits until they are gone. */
static void
pause_workers(Oid dboid)
{
	DatabaseShared *database = set_paused(dboid, true);
	TimestampTz		start = GetCurrentTimestamp();
	bool			gone = database == NULL;

	while (!gone && !TimestampDifferenceExceeds(start, GetCurrentTimestamp(), STOP_WAIT_MS))
	{
		gone = true;
		for (int role = 0; role < ROLE_COUNT; role++)
			gone = end_worker(worker_shared(database, role)) && gone;
		if (gone)
			break;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 10,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* Template that CREATE DATABASE copies; NULL: the standard one. */
static const char *
template_of(CreatedbStmt *statement)
{
	ListCell *cell;

	foreach (cell, statement->options)
	{
		DefElem *option = lfirst(cell);

		if (strcmp(option->defname, "template") == 0 && option->arg != NULL)
			return defGetString(option);
	}
	return NULL;
}

/* Database that a command needs without connections; NULL: none. */
static const char *
database_of(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_DropdbStmt:
			return ((DropdbStmt *) statement)->dbname;
		case T_CreatedbStmt:
			return template_of((CreatedbStmt *) statement);
		case T_RenameStmt:
			if (((RenameStmt *) statement)->renameType == OBJECT_DATABASE)
				return ((RenameStmt *) statement)->subname;
			return NULL;
		case T_AlterDatabaseStmt:
			return ((AlterDatabaseStmt *) statement)->dbname;
		default:
			return NULL;
	}
}

/* Database to pause for a command, if the caller may do such things to it. */
static Oid
database_to_pause(Node *statement)
{
	const char *name = tenancy_shared != NULL ? database_of(statement) : NULL;
	Oid			dboid = name != NULL ? get_database_oid(name, true) : InvalidOid;

	if (!OidIsValid(dboid) || (dboid == MyDatabaseId && !IsA(statement, CreatedbStmt)) ||
		!compat_database_ownercheck(dboid, GetUserId()))
		return InvalidOid;
	return dboid;
}

/* Runs a utility command, with the workers out of its way. */
static void
on_utility(PlannedStmt *statement, const char *query, bool read_only_tree,
		   ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
		   DestReceiver *dest, QueryCompletion *completion)
{
	const Oid dboid = database_to_pause(statement->utilityStmt);

	if (!OidIsValid(dboid))
	{
		tenancy_next_utility(next_utility_hook, statement, query, read_only_tree, context, params,
							 environment, dest, completion);
		return;
	}
	PG_ENSURE_ERROR_CLEANUP(unpause, ObjectIdGetDatum(dboid));
	{
		pause_workers(dboid);
		tenancy_next_utility(next_utility_hook, statement, query, read_only_tree, context, params,
							 environment, dest, completion);
	}
	PG_END_ENSURE_ERROR_CLEANUP(unpause, ObjectIdGetDatum(dboid));
	unpause(0, ObjectIdGetDatum(dboid));
}

/* Installs everything; called while shared_preload_libraries is processed. */
void
worker_hooks_init(void)
{
	RegisterXactCallback(on_xact, NULL);
	next_utility_hook = ProcessUtility_hook;
	ProcessUtility_hook = on_utility;
}
