/*
 * sink_wait.c
 *		Until the sink has what was committed so far.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/condition_variable.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "common/compat.h"
#include "common/spi.h"
#include "sync/message.h"
#include "verify/run.h"

#define WAIT_MS 10000
#define LOOK_EVERY_MS 100

/* Position behind everything committed so far, which capture comes to by itself. */
static uint64
mark_position(VerifyRun *run)
{
	XLogRecPtr position = compat_log_message(TENANCY_MESSAGE_PREFIX, "", 0, false);

	XLogFlush(position);
	worker_wake(&run->database->capture);
	return position;
}

/* True if keys of the table at hand wait in a table: their commits count as acked. */
static bool
has_pending_keys(VerifyRun *run)
{
	Oid		 types[3] = {INT8OID, TEXTOID, OIDOID};
	Datum	 values[3] = {Int64GetDatum(run->table->tenant_id), 0, ObjectIdGetDatum(run->relid)};
	SpiScope scope;
	bool	 pending;

	tenancy_tx_begin("pg_tenancy verify: waiting for the sink");
	tenancy_tx_bound_locks();
	values[1] = CStringGetTextDatum(run->table->name);
	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec("SELECT FROM tenancy.resync WHERE sink = 'search' AND tenant_id = $1"
					 "   AND table_name = $2 AND phase <> 'blocked'"
					 " UNION ALL (SELECT FROM tenancy.backlog WHERE sink = 'search'"
					 "   AND relid = $3 LIMIT 1)",
					 3, types, values, NULL);
	pending = SPI_processed > 0;
	tenancy_spi_end(&scope);
	tenancy_tx_commit();
	return pending;
}

/* True if the sink has come so far, with no key left aside. */
static bool
has_come(VerifyRun *run, SinkShared *sink, uint64 position)
{
	if (pg_atomic_read_u64(&sink->acked) < position)
		return false;
	return run->not_waiting || pg_atomic_read_u64(&sink->resyncing) == 0 || !has_pending_keys(run);
}

/* It took too long: what is in the way is not waited for again until it moves. */
static void
note_stuck(VerifyRun *run, SinkShared *sink, uint64 position)
{
	uint64 acked = pg_atomic_read_u64(&sink->acked);

	if (acked < position)
		run->stuck_at = acked;
	else
		run->not_waiting = true;
}

/*
 * Waits until everything committed before the call is in the sink, or that takes too
 * long; returns the position of the call.
 */
uint64
verify_sink_wait(VerifyRun *run)
{
	SinkShared *sink = &run->database->sinks[SINK_SEARCH];
	uint64		position = mark_position(run);
	TimestampTz start = GetCurrentTimestamp();

	while (!has_come(run, sink, position))
	{
		if (run->stuck_at != 0 && run->stuck_at == pg_atomic_read_u64(&sink->acked))
			break;
		if (TimestampDifferenceExceeds(start, GetCurrentTimestamp(), WAIT_MS))
		{
			note_stuck(run, sink, position);
			break;
		}
		CHECK_FOR_INTERRUPTS();
		ConditionVariableTimedSleep(&sink->acked_cv, LOOK_EVERY_MS, PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
	return position;
}
