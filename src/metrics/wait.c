/*
 * wait.c
 *		tenancy.sync_wait(): until the sinks agree with everything committed so far.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/condition_variable.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "common/guc.h"
#include "common/compat.h"
#include "sync/message.h"
#include "sync/running.h"

#define POLL_MS 100

PG_FUNCTION_INFO_V1(tenancy_sync_wait);

/* Position behind everything committed so far, on disk. */
static XLogRecPtr
mark_position(void)
{
	XLogRecPtr target = compat_log_message(TENANCY_MESSAGE_PREFIX, "", 0, false);

	XLogFlush(target);
	return target;
}

/* True if the whole sink is paused, and nobody has just resumed it. */
static bool
is_paused(SinkShared *sink)
{
	return pg_atomic_read_u64(&sink->paused) != 0 &&
		   pg_atomic_read_u64(&sink->control) == pg_atomic_read_u64(&sink->control_seen);
}

/* First sink that has not come so far, or NULL; one that is paused, or off, is not waited for. */
static SinkShared *
find_behind(DatabaseShared *database, XLogRecPtr target)
{
	for (int i = 0; i < SINK_COUNT; i++)
	{
		SinkShared *sink = &database->sinks[i];

		if (is_paused(sink) || (i == SINK_STATISTICS && !tenancy_benchmarks))
			continue;
		if (pg_atomic_read_u64(&sink->acked) < target || pg_atomic_read_u64(&sink->resyncing) != 0)
			return sink;
	}
	return NULL;
}

/* Waits for a sink to move on. */
static void
wait_for(SinkShared *sink)
{
	if (sink != NULL)
	{
		ConditionVariableTimedSleep(&sink->acked_cv, POLL_MS, PG_WAIT_EXTENSION);
		return;
	}
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, POLL_MS,
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
}

/* Waits until every sink has come to target or the time is up. */
static bool
wait_until(DatabaseShared *database, XLogRecPtr target, TimestampTz deadline)
{
	for (;;)
	{
		SinkShared *behind = database ? find_behind(database, target) : NULL;

		if (database != NULL && behind == NULL)
			return true;
		if (GetCurrentTimestamp() >= deadline)
			return false;
		CHECK_FOR_INTERRUPTS();
		wait_for(behind);
		if (database == NULL)
			database = tenancy_shared_mine();
	}
}

/* tenancy.sync_wait(timeout) */
Datum
tenancy_sync_wait(PG_FUNCTION_ARGS)
{
	DatabaseShared *database = sync_require_running();
	XLogRecPtr		target = mark_position();
	TimestampTz		deadline = DatumGetTimestampTz(DirectFunctionCall2(
			timestamptz_pl_interval, TimestampTzGetDatum(GetCurrentTimestamp()), PG_GETARG_DATUM(0)));
	bool			done;

	if (database != NULL)
		worker_wake(&database->capture);
	done = wait_until(database, target, deadline);
	ConditionVariableCancelSleep();
	PG_RETURN_BOOL(done);
}
