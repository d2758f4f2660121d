/*
 * control.c
 *		tenancy.pause and tenancy.resume, and what a backend has to know of them.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "common/args.h"
#include "common/errors.h"
#include "common/spi.h"
#include "sync/control.h"

PG_FUNCTION_INFO_V1(tenancy_pause);
PG_FUNCTION_INFO_V1(tenancy_resume);

static bool changed = false; /* in this transaction */

/* Makes the workers look at once; capture tells them too, when it comes there. */
static void
on_xact(XactEvent event, void *arg)
{
	DatabaseShared *database;

	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	database = changed && event == XACT_EVENT_COMMIT ? tenancy_shared_mine() : NULL;
	changed = false;
	for (int i = 0; database != NULL && i < SINK_COUNT; i++)
	{
		pg_atomic_fetch_add_u64(&database->sinks[i].control, 1);
		worker_wake(&database->sinks[i].worker);
	}
}

/* Tells the workers when this transaction commits. */
static void
tell_at_commit(void)
{
	static bool registered = false;

	if (!registered)
		RegisterXactCallback(on_xact, NULL);
	registered = true;
	changed = true;
}

/* Name of a sink. */
static char *
sink_arg(FunctionCallInfo fcinfo)
{
	char *sink = tenancy_arg_text(fcinfo, 0, "sink");

	if (strcmp(sink, "search") != 0 && strcmp(sink, "cache") != 0 &&
		strcmp(sink, "statistics") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("sink must be \"search\", \"cache\" or \"statistics\"")));
	return sink;
}

/* Id of the tenant that an argument names, *is_null: the whole sink; inside an SPI scope. */
static Datum
tenant_arg(FunctionCallInfo fcinfo, char *is_null)
{
	Oid	  types[1] = {TEXTOID};
	Datum values[1];

	*is_null = 'n';
	if (PG_ARGISNULL(1))
		return (Datum) 0;
	*is_null = ' ';
	values[0] = PG_GETARG_DATUM(1);
	tenancy_spi_exec("SELECT id FROM tenancy.tenant WHERE name = $1 AND status <> 'dropped'", 1,
					 types, values, NULL);
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_TENANCY_UNDEFINED_TENANT),
				 errmsg("tenant \"%s\" does not exist", text_to_cstring(PG_GETARG_TEXT_PP(1)))));
	return Int64GetDatum(tenancy_spi_int64(0, 1));
}

/* Runs a statement about $1 sink, $2 tenant or null, $3 caller; true if it changed something. */
static Datum
change(FunctionCallInfo fcinfo, const char *sql)
{
	Oid		 types[3] = {TEXTOID, INT8OID, TEXTOID};
	Datum	 values[3];
	char	 nulls[3] = {' ', ' ', ' '};
	char	*sink = sink_arg(fcinfo);
	SpiScope scope;
	bool	 done;

	values[0] = CStringGetTextDatum(sink);
	values[2] = CStringGetTextDatum(GetUserNameFromId(GetUserId(), false));
	tenancy_spi_begin_as_owner(&scope);
	values[1] = tenant_arg(fcinfo, &nulls[1]);
	tenancy_spi_exec(sql, 3, types, values, nulls);
	done = SPI_processed > 0;
	tenancy_spi_end(&scope);
	if (done)
		tell_at_commit();
	PG_RETURN_BOOL(done);
}

/* tenancy.pause(sink, tenant) */
Datum
tenancy_pause(PG_FUNCTION_ARGS)
{
	return change(fcinfo,
				  "INSERT INTO tenancy.sync_pause AS p (sink, tenant_id, paused_by)"
				  " VALUES ($1, $2, $3) ON CONFLICT (sink, tenant_id) DO UPDATE"
				  " SET resuming = false, version = p.version + 1, paused_by = excluded.paused_by,"
				  "     paused_at = now() WHERE p.resuming");
}

/* tenancy.resume(sink, tenant) */
Datum
tenancy_resume(PG_FUNCTION_ARGS)
{
	return change(fcinfo, "UPDATE tenancy.sync_pause SET resuming = true, version = version + 1"
						  " WHERE sink = $1 AND tenant_id IS NOT DISTINCT FROM $2 AND NOT resuming"
						  "   AND $3 IS NOT NULL");
}

/* True if tenancy.sync_pause has nothing about a tenant of a sink. */
static bool
is_free(SinkKind kind, int64 tenant_id)
{
	static SPIPlanPtr plan = NULL;
	Oid				  types[2] = {TEXTOID, INT8OID};
	Datum			  values[2];
	SpiScope		  scope;
	bool			  found;

	values[0] = CStringGetTextDatum(kind == SINK_SEARCH ? "search" : "cache");
	values[1] = Int64GetDatum(tenant_id);
	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec_saved(&plan,
						   "SELECT FROM tenancy.sync_pause"
						   " WHERE sink = $1 AND (tenant_id IS NULL OR tenant_id = $2) LIMIT 1",
						   2, types, values, NULL);
	found = SPI_processed > 0;
	tenancy_spi_end(&scope);
	return !found;
}

/* Asks the table only if the worker says that there is something in it, or there is no worker. */
bool
control_is_followed(SinkKind kind, int64 tenant_id)
{
	DatabaseShared *database;

	if (tenancy_shared == NULL || wal_level < WAL_LEVEL_LOGICAL)
		return true;
	database = tenancy_shared_mine();
	if (database != NULL && !RecoveryInProgress() &&
		pg_atomic_read_u64(&database->sinks[kind].doubtful) == 0)
		return true;
	return is_free(kind, tenant_id);
}
