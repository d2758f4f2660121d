/*
 * statement_cost.c
 *		Measures the statements of transactions that use a tenant.
 *
 * Only the outermost statement is measured: what functions and triggers run is part of
 * it.  Of a statement that fails nothing is counted.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_database.h"
#include "catalog/pg_namespace.h"
#include "executor/executor.h"
#include "executor/instrument.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lwlock.h"
#include "tcop/utility.h"

#include "common/compat.h"
#include "common/ident.h"
#include "common/utility.h"
#include "metrics/tenant_stat.h"
#include "tenant/tenant.h"

static ExecutorRun_hook_type	next_run = NULL;
static ExecutorFinish_hook_type next_finish = NULL;
static ProcessUtility_hook_type next_utility = NULL;
static object_access_hook_type	next_object_access = NULL;
static int						depth = 0; /* statements inside each other */

/* Where a measurement began. */
typedef struct Measurement
{
	bool	   is_on;
	instr_time start;
	WalUsage   wal;
} Measurement;

/* Begins to measure, if this is the outermost statement and a tenant is in use. */
static void
begin(Measurement *m)
{
	m->is_on = depth == 0 && tenancy_tenant_current_name() != NULL && tenant_stat_is_on();
	if (!m->is_on)
		return;
	m->wal = pgWalUsage;
	INSTR_TIME_SET_CURRENT(m->start);
}

/* Ends to measure, and adds it to the tenant that is in use now. */
static void
end(Measurement *m, uint64 calls, uint64 rows)
{
	const char	 *tenant = m->is_on ? tenancy_tenant_current_name() : NULL;
	StatementCost cost = {.calls = calls, .rows = rows};
	instr_time	  now;
	Oid			  schema;

	if (tenant == NULL)
		return;
	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, m->start);
	cost.microseconds = INSTR_TIME_GET_MICROSEC(now);
	cost.wal_records = pgWalUsage.wal_records - m->wal.wal_records;
	cost.wal_bytes = pgWalUsage.wal_bytes - m->wal.wal_bytes;
	if (calls == 0 && cost.wal_records == 0)
		return; /* the end of a statement without triggers */
	schema = get_namespace_oid(tenancy_tenant_schema(tenant), true);
	if (OidIsValid(schema))
		tenant_stat_add(schema, &cost);
}

/* Runs a plan. */
static void
on_run(COMPAT_RUN_ARGUMENTS)
{
	Measurement m;

	begin(&m);
	depth++;
	PG_TRY();
	{
		if (next_run)
			next_run(COMPAT_RUN_PASS);
		else
			standard_ExecutorRun(COMPAT_RUN_PASS);
	}
	PG_FINALLY();
	{
		depth--;
	}
	PG_END_TRY();
	end(&m, 1, query->estate->es_processed);
}

/* Fires what is left of a plan's triggers: a part of the statement too. */
static void
on_finish(QueryDesc *query)
{
	Measurement m;

	begin(&m);
	depth++;
	PG_TRY();
	{
		if (next_finish)
			next_finish(query);
		else
			standard_ExecutorFinish(query);
	}
	PG_FINALLY();
	{
		depth--;
	}
	PG_END_TRY();
	end(&m, 0, 0);
}

/* True for commands that are no work of a tenant's. */
static bool
is_bookkeeping(Node *statement)
{
	return IsA(statement, TransactionStmt) || IsA(statement, VariableSetStmt) ||
		   IsA(statement, VariableShowStmt) || IsA(statement, PrepareStmt) ||
		   IsA(statement, DeallocateStmt) || IsA(statement, DiscardStmt);
}

/* Runs a command. */
static void
on_utility(PlannedStmt *statement, const char *text, bool read_only_tree,
		   ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
		   DestReceiver *dest, QueryCompletion *completion)
{
	Measurement m;

	begin(&m);
	m.is_on &= !is_bookkeeping(statement->utilityStmt);
	depth++; /* also for COMMIT: deferred triggers are no statements of their own */
	PG_TRY();
	{
		tenancy_next_utility(next_utility, statement, text, read_only_tree, context, params,
							 environment, dest, completion);
	}
	PG_FINALLY();
	{
		depth--;
	}
	PG_END_TRY();
	end(&m, 1, completion ? completion->nprocessed : 0);
}

/* A schema or a database is dropped: its place in shared memory is free. */
static void
on_object_access(ObjectAccessType access, Oid class, Oid object, int sub, void *arg)
{
	if (next_object_access)
		next_object_access(access, class, object, sub, arg);
	if (access == OAT_DROP && class == NamespaceRelationId)
		tenant_stat_forget(MyDatabaseId, object);
	if (access == OAT_DROP && class == DatabaseRelationId)
		tenant_stat_forget(object, InvalidOid);
}

/* Installs the hooks; called while shared_preload_libraries is processed. */
void
tenant_stat_hooks_init(void)
{
	next_run = ExecutorRun_hook;
	ExecutorRun_hook = on_run;
	next_finish = ExecutorFinish_hook;
	ExecutorFinish_hook = on_finish;
	next_utility = ProcessUtility_hook;
	ProcessUtility_hook = on_utility;
	next_object_access = object_access_hook;
	object_access_hook = on_object_access;
}
