/*
 * migrate_call.c
 *		tenant_migrate().
 *
 * The registry is all the state there is: who calls again goes on where the last call ended,
 * whatever ended it.
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "common/args.h"
#include "common/compat.h"
#include "common/errors.h"
#include "common/spi.h"
#include "tenant/migrate.h"

#define JOBS_MAX 64
#define SAY_EVERY_MS 2000
#define PAUSE_MAX_MS 2000

PG_FUNCTION_INFO_V1(tenant_migrate);

/* An integer argument that must be in a range. */
static int
int_arg(FunctionCallInfo fcinfo, int n, const char *name, int least, int most)
{
	int value;

	tenancy_arg_required(fcinfo, n, name);
	value = PG_GETARG_INT32(n);
	if (value < least || value > most)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"%s\" must be between %d and %d", name, least, most)));
	return value;
}

/* An interval as milliseconds. */
static int
milliseconds_arg(FunctionCallInfo fcinfo, int n, const char *name)
{
	const Interval *interval;
	double			ms;

	tenancy_arg_required(fcinfo, n, name);
	interval = PG_GETARG_INTERVAL_P(n);
	ms = (interval->month * (double) DAYS_PER_MONTH + interval->day) * SECS_PER_DAY * 1000.0 +
		 interval->time / 1000.0;
	if (ms < 0 || ms > INT_MAX)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"%s\" is out of range", name)));
	return (int) ceil(ms);
}

/* Names of tenants; 0: all. */
static Datum
names_arg(FunctionCallInfo fcinfo, int n)
{
	ArrayType *names;

	if (PG_ARGISNULL(n))
		return (Datum) 0;
	names = PG_GETARG_ARRAYTYPE_P(n);
	if (array_contains_nulls(names))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("argument \"%s\" must not contain nulls", "tenants")));
	return PointerGetDatum(names);
}

/* Reads the arguments. */
static MigrateCall *
read_call(FunctionCallInfo fcinfo)
{
	MigrateCall *call = palloc0(sizeof(MigrateCall));

	call->context = CurrentMemoryContext;
	call->blueprint = tenancy_arg_text(fcinfo, 0, "blueprint");
	call->to_highest = PG_ARGISNULL(1);
	call->target = call->to_highest ? 0 : PG_GETARG_INT64(1);
	call->names = names_arg(fcinfo, 2);
	call->jobs = int_arg(fcinfo, 3, "jobs", 1, JOBS_MAX);
	call->lock_timeout = milliseconds_arg(fcinfo, 4, "lock_timeout");
	call->max_failures = int_arg(fcinfo, 5, "max_failures", 0, INT_MAX);
	call->dry_run = tenancy_arg_bool(fcinfo, 6, "dry_run");
	call->canaries = int_arg(fcinfo, 7, "canaries", 0, INT_MAX);
	call->retries = int_arg(fcinfo, 8, "retries", 0, INT_MAX);
	call->caller = GetUserNameFromId(GetUserId(), false);
	call->noted_at = GetCurrentTimestamp();
	return call;
}

/* Refuses what cannot commit between batches. */
static void
require_no_block(FunctionCallInfo fcinfo)
{
	if (fcinfo->context == NULL || !IsA(fcinfo->context, CallContext) ||
		castNode(CallContext, fcinfo->context)->atomic)
		ereport(ERROR, (errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
						errmsg("tenant_migrate() cannot run inside a transaction block"),
						errhint("It commits each batch by itself; tenant_migrate_tenant() migrates "
								"one tenant in a transaction.")));
}

/* Says now and then how far the call is. */
void
migrate_say_progress(MigrateCall *call)
{
	if (!TimestampDifferenceExceeds(call->noted_at, GetCurrentTimestamp(), SAY_EVERY_MS))
		return;
	call->noted_at = GetCurrentTimestamp();
	ereport(NOTICE, (errmsg(INT64_FORMAT " of " INT64_FORMAT " tenants have version " INT64_FORMAT
										 ", " INT64_FORMAT " failed",
							call->counts.done, call->total, call->target, call->counts.failed)));
}

/* Ends the call if too many tenants have failed. */
static void
check_failures(MigrateCall *call, bool canaries)
{
	if (call->counts.failed <= (canaries ? 0 : call->max_failures))
		return;
	migrate_finish(call, "failed");
	ereport(
		ERROR,
		(errcode(ERRCODE_TENANCY_BLUEPRINT),
		 errmsg("the migration of blueprint \"%s\" to version " INT64_FORMAT " was stopped",
				call->blueprint, call->target),
		 errdetail(INT64_FORMAT " of " INT64_FORMAT " tenants have it, " INT64_FORMAT " failed%s.",
				   call->counts.done, call->total, call->counts.failed,
				   canaries ? ", and those were canaries" : ""),
		 errhint("tenancy.migration_history tells why, with migration_id = " INT64_FORMAT ".",
				 call->id)));
}

/* Waits between two rounds. */
static void
pause_before(int round)
{
	long		left = Min(PAUSE_MAX_MS, 100L << Min(round, 10));
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), left);

	while ((left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until)) > 0)
	{
		CHECK_FOR_INTERRUPTS();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, left,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}

/* Runs a stage in rounds, until every tenant has it or has failed. */
static void
run_stage(MigrateCall *call, const MigrateStage *stage, const MigrateIds *canaries)
{
	for (int round = 0;; round++)
	{
		MigrateIds left = migrate_list(call, stage, canaries);

		if (left.count == 0)
			return;
		if (round > 0)
		{
			migrate_set_phase(call, "retrying those that gave no lock");
			pause_before(round);
		}
		migrate_run_pass(call, stage, &left, round > 0, canaries != NULL);
		pfree(left.ids);
		check_failures(call, canaries != NULL);
	}
}

/* Runs all stages. */
static void
run_stages(MigrateCall *call, const char *phase, const MigrateIds *canaries)
{
	ListCell *cell;

	foreach (cell, call->stages)
	{
		migrate_set_phase(call, phase);
		run_stage(call, lfirst(cell), canaries);
	}
}

/* Says what was done. */
static void
say_end(const MigrateCall *call)
{
	int64 others = call->total - call->counts.done - call->counts.failed;

	if (call->counts.failed > 0)
		ereport(
			WARNING,
			(errcode(ERRCODE_TENANCY_BLUEPRINT),
			 errmsg(INT64_FORMAT " tenants were not migrated", call->counts.failed),
			 errhint("tenancy.migration_history tells why, with migration_id = " INT64_FORMAT ".",
					 call->id)));
	ereport(NOTICE, (errmsg(INT64_FORMAT
							" tenants of blueprint \"%s\" were brought to version " INT64_FORMAT,
							call->counts.done, call->blueprint, call->target)));
	if (others > 0)
		ereport(NOTICE, (errmsg(INT64_FORMAT " by other calls, or dropped", others)));
}

/* Migrates the tenants. */
static void
run_call(MigrateCall *call)
{
	MigrateIds canaries = migrate_canaries(call);

	if (canaries.count > 0)
	{
		run_stages(call, "canaries", &canaries);
		if (canaries.count < call->total)
			ereport(NOTICE, (errmsg("the canaries, %d of " INT64_FORMAT
									" tenants, have version " INT64_FORMAT,
									canaries.count, call->total, call->target)));
	}
	run_stages(call, "tenants", NULL);
	migrate_finish(call, "done");
	say_end(call);
}

/* Says what one stage would do. */
static void
say_stage(MigrateCall *call, const MigrateStage *stage)
{
	bool		 up = stage->from < stage->to;
	MigrateStage whole = {up ? 0 : PG_INT64_MAX, stage->to, stage->alone};
	MigrateIds	 tenants = migrate_list(call, &whole, NULL);

	ereport(NOTICE,
			(errmsg("%s %s in %d tenants%s", up ? "would run steps" : "would take back steps",
					migrate_stage_steps(call->plan, stage), tenants.count,
					stage->alone ? ", outside a transaction" : "")));
}

/* Says what a call would do. */
static void
say_plan(MigrateCall *call)
{
	MigrateIds	   canaries = migrate_canaries(call);
	List		  *names = migrate_names(call, &canaries);
	StringInfoData text;
	ListCell	  *cell;

	foreach (cell, call->stages)
		say_stage(call, lfirst(cell));
	initStringInfo(&text);
	foreach (cell, names)
		appendStringInfo(&text, "%s%s", text.len > 0 ? ", " : "", (char *) lfirst(cell));
	if (names != NIL)
		ereport(NOTICE, (errmsg("canaries: %s", text.data)));
	ereport(NOTICE,
			(errmsg(INT64_FORMAT
					" tenants of blueprint \"%s\" would be brought to version " INT64_FORMAT,
					call->total, call->blueprint, call->target)));
}

/* Brings tenants to a version. */
Datum
tenant_migrate(PG_FUNCTION_ARGS)
{
	MigrateCall *call;

	require_no_block(fcinfo);
	call = read_call(fcinfo);
	tenancy_spi_begin_procedure();
	PG_ENSURE_ERROR_CLEANUP(migrate_unregister, PointerGetDatum(call));
	{
		migrate_register(call);
		if (call->dry_run)
			say_plan(call);
		else
			run_call(call);
	}
	PG_END_ENSURE_ERROR_CLEANUP(migrate_unregister, PointerGetDatum(call));
	migrate_unregister(0, PointerGetDatum(call));
	tenancy_spi_end_procedure();
	PG_RETURN_VOID();
}
