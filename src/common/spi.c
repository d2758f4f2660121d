/*
 * spi.c
 *		Transactions and SPI: the only door to the extension's own tables.
 *
 * Statements name every object with its schema and run with search_path
 * pinned, as the owner of schema tenancy, so that neither the caller's path nor
 * the caller's lack of privileges on the registry matters.  An error inside a
 * scope needs no clean-up: the abort puts user, settings and SPI back.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "common/spi.h"

static MemoryContext outer_context = NULL; /* current one before a worker's transaction */

/* Starts a worker's transaction with a snapshot and shows it in pg_stat_activity. */
void
tenancy_tx_begin(const char *activity)
{
	outer_context = CurrentMemoryContext;
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, activity);
}

/* Bounds how long this transaction waits for a lock. */
static void
bound_locks(const char *timeout)
{
	(void) set_config_option("lock_timeout", timeout, PGC_SUSET, PGC_S_SESSION, GUC_ACTION_LOCAL,
							 true, 0, false);
}

/* Bounds how long this transaction waits for a lock; 0: it waits until it has it. */
void
tenancy_tx_lock_timeout(int ms)
{
	bound_locks(psprintf("%d", ms));
}

/*
 * Bounds how long this transaction of a worker waits for a lock, as the caller takes
 * ERRCODE_LOCK_NOT_AVAILABLE for "not now": no user's transaction may stop a worker.
 */
void
tenancy_tx_bound_locks(void)
{
	bound_locks("500ms");
}

/* Hands the table statistics on: else autovacuum never sees a worker's writes. */
static void
after_transaction(void)
{
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
	MemoryContextSwitchTo(outer_context);
}

/* Ends it; the memory context is the one before it again. */
void
tenancy_tx_commit(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	after_transaction();
}

/* Gives a worker's transaction up without an error. */
void
tenancy_tx_abort(void)
{
	AbortCurrentTransaction();
	after_transaction();
}

/*
 * Does a worker's small work in a transaction that hardly waits for locks, as the worker
 * has other things to do and can try again later.
 */
bool
tenancy_tx_try(const char *activity, void (*work)(void *arg), void *arg)
{
	volatile bool done = false;

	tenancy_tx_begin(activity);
	bound_locks("100ms");
	PG_TRY();
	{
		work(arg);
		tenancy_tx_commit();
		done = true;
	}
	PG_CATCH();
	{
		if (geterrcode() != ERRCODE_LOCK_NOT_AVAILABLE)
			PG_RE_THROW();
		FlushErrorState();
		tenancy_tx_abort();
	}
	PG_END_TRY();
	return done;
}

/* Schema that holds the registry. */
Oid
tenancy_schema_oid(bool missing_ok)
{
	return get_namespace_oid("tenancy", missing_ok);
}

/* True if this database has the extension. */
bool
tenancy_extension_exists(void)
{
	return OidIsValid(get_extension_oid("pg_tenancy", true));
}

/* Owner of the registry. */
static Oid
registry_owner(void)
{
	HeapTuple tuple = SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(tenancy_schema_oid(false)));
	Oid		  owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_SCHEMA),
						errmsg("schema \"%s\" does not exist", "tenancy")));
	owner = ((Form_pg_namespace) GETSTRUCT(tuple))->nspowner;
	ReleaseSysCache(tuple);
	return owner;
}

/* Becomes role with a pinned search_path until spi_end, and connects SPI. */
static void
begin_scope(SpiScope *scope, Oid role, int sec_context, const char *search_path)
{
	GetUserIdAndSecContext(&scope->save_userid, &scope->save_sec_context);
	SetUserIdAndSecContext(role, scope->save_sec_context | sec_context);
	scope->save_nestlevel = NewGUCNestLevel();
	scope->save_read_only = XactReadOnly;
	(void) set_config_option("search_path", search_path, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	if (SPI_connect() != SPI_OK_CONNECT)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not connect to the SPI manager")));
}

/* Connects SPI as the registry's owner. */
void
tenancy_spi_begin_as_owner(SpiScope *scope)
{
	begin_scope(scope, registry_owner(), SECURITY_LOCAL_USERID_CHANGE, "pg_catalog, pg_temp");
}

/*
 * Connects SPI to run statements that role wrote and the caller need not trust:
 * they cannot become another role, nor leave anything that runs later as the caller.
 */
void
tenancy_spi_begin_as_role(SpiScope *scope, Oid role, const char *search_path)
{
	begin_scope(scope, role, SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION,
				search_path);
	(void) set_config_option("standard_conforming_strings", "on", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("tenancy.require_context", "off", PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("tenancy.allow_suspended", "on", PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

/*
 * Connects SPI to read a schema's tables as role, by statements that it wrote: row security
 * is an error instead of rows left out, nothing is written, and no plan is made for more
 * than a few rows.  Whoever may write into a schema of the path is trusted by role already.
 */
void
tenancy_spi_begin_reading(SpiScope *scope, Oid role, const char *schema, const char *lock_timeout)
{
	const char *settings[][2] = {{"row_security", "off"},
								 {"max_parallel_workers_per_gather", "0"},
								 {"jit", "off"},
								 {"lock_timeout", lock_timeout}};

	tenancy_spi_begin_as_role(scope, role, psprintf("%s, pg_temp", quote_identifier(schema)));
	for (int i = 0; i < lengthof(settings); i++)
		if (settings[i][1] != NULL)
			(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET, PGC_S_SESSION,
									 GUC_ACTION_SAVE, true, 0, false);
	XactReadOnly = true; /* from 16 on the setting cannot be put back before the transaction ends */
}

/* Connects SPI to read user tables with the caller's rights and row-level security. */
void
tenancy_spi_begin_as_caller(SpiScope *scope)
{
	GetUserIdAndSecContext(&scope->save_userid, &scope->save_sec_context);
	scope->save_nestlevel = NewGUCNestLevel();
	scope->save_read_only = XactReadOnly;
	if (SPI_connect() != SPI_OK_CONNECT)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not connect to the SPI manager")));
}

/* Connects SPI for a procedure that commits; its scopes begin and end between commits. */
void
tenancy_spi_begin_procedure(void)
{
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not connect to the SPI manager")));
}

/* Commits a procedure's transaction and starts the next, which has no snapshot. */
void
tenancy_spi_commit_procedure(void)
{
	SPI_commit();
}

/* Disconnects a procedure. */
void
tenancy_spi_end_procedure(void)
{
	SPI_finish();
}

/* Disconnects, undoes every setting made since, and becomes the caller again. */
void
tenancy_spi_end(SpiScope *scope)
{
	SPI_finish();
	XactReadOnly = scope->save_read_only;
	AtEOXact_GUC(false, scope->save_nestlevel);
	SetUserIdAndSecContext(scope->save_userid, scope->save_sec_context);
}

/* Complains about an SPI call that did not do what it was asked. */
static int
check_result(int rc, const char *sql)
{
	if (rc < 0)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not run a registry query"),
						errdetail_internal("%s: %s", SPI_result_code_string(rc), sql)));
	return rc;
}

/* Runs statements that a user wrote. */
void
tenancy_spi_script(const char *sql)
{
	int rc = SPI_execute(sql, false, 0);

	if (rc == SPI_ERROR_TRANSACTION)
		ereport(ERROR, (errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
						errmsg("transaction commands are not allowed here")));
	if (rc == SPI_ERROR_COPY)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("COPY from or to the client is not allowed here")));
	check_result(rc, sql);
}

/* Runs one statement. */
int
tenancy_spi_exec(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls)
{
	return check_result(SPI_execute_with_args(sql, nargs, types, values, nulls, false, 0), sql);
}

/* Runs one statement that only reads, in the caller's snapshot. */
int
tenancy_spi_query(const char *sql, int nargs, Oid *types, Datum *values)
{
	return check_result(SPI_execute_with_args(sql, nargs, types, values, NULL, true, 0), sql);
}

/* Prepares a statement; the plan lives until spi_end. */
SPIPlanPtr
tenancy_spi_prepare(const char *sql, int nargs, Oid *types)
{
	SPIPlanPtr plan = SPI_prepare(sql, nargs, types);

	if (plan == NULL)
		check_result(SPI_result, sql);
	return plan;
}

/* Opens a query that only reads, to be read row by row in the caller's snapshot. */
Portal
tenancy_spi_open(const char *sql, int nargs, Oid *types, Datum *values)
{
	return SPI_cursor_open_with_args(NULL, sql, nargs, types, values, NULL, true,
									 CURSOR_OPT_NO_SCROLL);
}

/* The same with a prepared statement. */
Portal
tenancy_spi_open_plan(SPIPlanPtr plan, Datum *values, const char *nulls)
{
	return SPI_cursor_open(NULL, plan, values, nulls, true);
}

/* Makes the next row of a query the last result; false, and the query closed, if there is none. */
bool
tenancy_spi_next(Portal portal)
{
	if (SPI_tuptable != NULL)
		SPI_freetuptable(SPI_tuptable);
	SPI_cursor_fetch(portal, true, 1);
	if (SPI_processed > 0)
		return true;
	SPI_cursor_close(portal);
	return false;
}

/* Makes the plan of a statement for the life of the process, once. */
static void
keep_plan(SPIPlanPtr *plan, const char *sql, int nargs, Oid *types)
{
	SPIPlanPtr fresh;

	if (*plan != NULL)
		return;
	fresh = SPI_prepare(sql, nargs, types);
	if (fresh == NULL)
		check_result(SPI_result, sql);
	SPI_keepplan(fresh);
	*plan = fresh;
}

/* Runs one statement whose plan is kept for the life of the process. */
int
tenancy_spi_exec_saved(SPIPlanPtr *plan, const char *sql, int nargs, Oid *types, Datum *values,
					   const char *nulls)
{
	keep_plan(plan, sql, nargs, types);
	return check_result(SPI_execute_plan(*plan, values, nulls, false, 0), sql);
}

/*
 * Likewise one that only reads, and sees what is committed now, whatever the transaction's
 * isolation level.
 */
int
tenancy_spi_query_now(SPIPlanPtr *plan, const char *sql, int nargs, Oid *types, Datum *values)
{
	int rc;

	keep_plan(plan, sql, nargs, types);
	PushActiveSnapshot(GetLatestSnapshot());
	rc = SPI_execute_plan(*plan, values, NULL, true, 0);
	PopActiveSnapshot();
	return check_result(rc, sql);
}

/* Value of the last result as text in the current context, or NULL; columns count from 1. */
char *
tenancy_spi_text(int row, int column)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
}

/* Value of the last result; it lives until spi_end. */
Datum
tenancy_spi_datum(int row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

/* A bigint of the last result; NULL is 0. */
int64
tenancy_spi_int64(int row, int column)
{
	bool  isnull;
	Datum value = tenancy_spi_datum(row, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}
