/*
 * migrate_alone.c
 *		A step that cannot be in a transaction, for one tenant.
 *
 * The worker's session is the blueprint owner's own, for nothing restricts what runs outside a
 * transaction.  What keeps others away meanwhile is the lock on the tenant's name, which who
 * renames, drops or migrates it takes first.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "common/spi.h"
#include "tenant/migrate.h"
#include "tenant/statement.h"
#include "tenant/tenant.h"

/* Changes a setting of this session. */
static void
set(const char *name, const char *value)
{
	SetConfigOption(name, value, PGC_SUSET, PGC_S_SESSION);
}

/* The tenant, if the stage still is for it; else NULL. */
static MigrateTenant *
find(MigrateWorker *worker)
{
	SpiScope	   scope;
	MigrateTenant *tenant;
	int			   count;

	tenancy_tx_begin("pg_tenancy migrate");
	tenancy_spi_begin_as_owner(&scope);
	tenant = migrate_find(worker, false, &count);
	tenancy_spi_end(&scope);
	tenancy_tx_commit();
	return count > 0 ? tenant : NULL;
}

/* Locks a tenant's name for the session; false if somebody has it. */
static bool
lock_name(LOCKTAG *tag, const MigrateTenant *tenant)
{
	bool locked;

	tenancy_tx_begin("pg_tenancy migrate");
	tenancy_name_locktag(tag, "tenant", tenant->name);
	locked = LockAcquire(tag, ExclusiveLock, true, true) != LOCKACQUIRE_NOT_AVAIL;
	tenancy_tx_commit();
	return locked;
}

/* Name, with its schema, of an index that a statement of this kind has left invalid; NULL: none. */
static char *
invalid_index(const IndexStmt *create)
{
	Oid		  relation, index;
	HeapTuple tuple;
	bool	  invalid;

	if (create->idxname == NULL)
		return NULL;
	relation = RangeVarGetRelid(create->relation, NoLock, true);
	index = OidIsValid(relation) ? get_relname_relid(create->idxname, get_rel_namespace(relation))
								 : InvalidOid;
	tuple = OidIsValid(index) ? SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index)) : NULL;
	if (!HeapTupleIsValid(tuple))
		return NULL;
	invalid = !((Form_pg_index) GETSTRUCT(tuple))->indisvalid &&
			  ((Form_pg_index) GETSTRUCT(tuple))->indrelid == relation;
	ReleaseSysCache(tuple);
	return invalid ? quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)),
												create->idxname)
				   : NULL;
}

/* Runs statements that are ours. */
static void
run_own(const char *sql)
{
	ListCell *cell;

	foreach (cell, statement_list(sql))
		statement_run_alone(lfirst(cell));
}

/* Removes what an attempt that failed or was killed has left of an index. */
static void
drop_leftover(MigrateWorker *worker, const Statement *statement)
{
	char *index;

	if (!IsA(statement->tree, IndexStmt) || !statement_is_concurrent(statement))
		return;
	tenancy_tx_begin("pg_tenancy migrate");
	index = invalid_index((IndexStmt *) statement->tree);
	if (index != NULL)
		index = MemoryContextStrdup(worker->context, index);
	tenancy_tx_commit();
	if (index != NULL)
		run_own(psprintf("DROP INDEX CONCURRENTLY %s", index));
}

/*
 * Runs a step's statements.  One that is concurrent waits for whole transactions, in nobody's way:
 * it may take as long as it needs.
 */
static void
run_statements(MigrateWorker *worker, const char *sql)
{
	char	  timeout[16];
	ListCell *cell;

	snprintf(timeout, sizeof(timeout), "%d", worker->pass->lock_timeout);
	foreach (cell, statement_list(sql))
	{
		const Statement *statement = lfirst(cell);

		CHECK_FOR_INTERRUPTS();
		set("lock_timeout", statement_is_concurrent(statement) ? "0" : timeout);
		drop_leftover(worker, statement);
		statement_run_alone(statement);
	}
}

/* Notes in the tenant's schema and in the registry what has become of it. */
static void
write_result(MigrateWorker *worker, const BlueprintStep *step, MigrateTenant *tenant)
{
	const MigratePass *pass = worker->pass;
	SpiScope		   scope;

	tenancy_tx_begin("pg_tenancy migrate");
	tenancy_spi_begin_as_owner(&scope);
	if (tenant->status == MIGRATE_DONE)
		blueprint_note_step(worker->blueprint, step, tenant->schema,
							pass->stage.to < pass->stage.from);
	migrate_write(pass->migration, pass->stage.to, tenant, 1);
	tenancy_spi_end(&scope);
	tenancy_tx_commit();
}

/* Takes the error that ended a statement, whose transaction is given up. */
static void
take_error(MigrateWorker *worker, MigrateTenant *tenant)
{
	ErrorData *error;

	MemoryContextSwitchTo(worker->context);
	error = CopyErrorData();
	FlushErrorState();
	AbortCurrentTransaction();
	MemoryContextSwitchTo(worker->context);
	migrate_classify(worker->pass, tenant, error);
}

/* Makes the session what a step expects: as tenancy_spi_begin_as_role() does for the others. */
static void
set_session(const MigrateTenant *tenant)
{
	set("tenancy.forbid_session_path", "off"); /* this session is nobody's after this */
	set("tenancy.require_context", "off");
	set("tenancy.allow_suspended", "on");
	set("standard_conforming_strings", "on");
	set("search_path", blueprint_search_path(tenant->schema));
}

/* Tries a step for a tenant whose name is locked, and puts the session back to what it was. */
static void
try_step(MigrateWorker *worker, const BlueprintStep *step, MigrateTenant *tenant)
{
	bool down = worker->pass->stage.to < worker->pass->stage.from;

	pgstat_report_activity(STATE_RUNNING, psprintf("pg_tenancy migrate: tenant %s", tenant->name));
	set_session(tenant);
	PG_TRY();
	{
		run_statements(worker, down ? step->down : step->sql);
		tenant->status = MIGRATE_DONE;
	}
	PG_CATCH();
	{
		take_error(worker, tenant);
	}
	PG_END_TRY();
	run_own("DISCARD ALL");
	set("client_min_messages", "error");
}

/* Runs the stage's step for the worker's tenant. */
MigrateCounts
migrate_alone(MigrateWorker *worker)
{
	const MigrateStage	*stage = &worker->pass->stage;
	const BlueprintStep *step =
		blueprint_step_between(worker->blueprint, stage->from, stage->to, 0);
	MigrateCounts  counts = {0};
	MigrateTenant *tenant;
	LOCKTAG		   tag;

	MemoryContextReset(worker->context);
	worker->nbatch = 1;
	MemoryContextSwitchTo(worker->context);
	tenant = find(worker);
	if (tenant != NULL && lock_name(&tag, tenant))
	{
		const char *name = tenant->name;

		tenant = find(worker); /* as it is now that nobody changes it */
		if (tenant != NULL && strcmp(tenant->name, name) == 0)
		{
			try_step(worker, step, tenant);
			write_result(worker, step, tenant);
			counts = migrate_count(tenant, 1);
		}
		if (counts.failed + counts.waiting == 0) /* an abort has released it already */
			(void) LockRelease(&tag, ExclusiveLock, true);
	}
	worker->ntodo = 0;
	if (counts.failed > 0)
		migrate_report_failure(tenant);
	return counts;
}
