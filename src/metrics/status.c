/*
 * status.c
 *		tenancy.stat_sync: how capture and the sinks are.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "common/guc.h"
#include "sync/shared.h"

#define STATUS_COLUMNS 20

PG_FUNCTION_INFO_V1(tenancy_sync_status);

/* One row under construction. */
typedef struct StatusRow
{
	Datum values[STATUS_COLUMNS];
	bool  nulls[STATUS_COLUMNS];
} StatusRow;

/* Newest WAL there is. */
static uint64
wal_position(void)
{
	return RecoveryInProgress() ? GetXLogReplayRecPtr(NULL) : GetFlushRecPtr(NULL);
}

/* An LSN column; 0 is NULL. */
static void
set_lsn(StatusRow *row, int column, uint64 lsn)
{
	row->nulls[column] = lsn == 0;
	row->values[column] = LSNGetDatum(lsn);
}

/* Columns that a worker's part fills. */
static void
set_worker(StatusRow *row, const char *name, WorkerShared *worker)
{
	char		error[SHARED_ERROR_MAX];
	TimestampTz error_at;

	SpinLockAcquire(&worker->mutex);
	strlcpy(error, worker->last_error, sizeof(error));
	error_at = worker->last_error_at;
	SpinLockRelease(&worker->mutex);
	row->values[0] = CStringGetTextDatum(name);
	row->values[1] = CStringGetTextDatum(worker_state_name(pg_atomic_read_u32(&worker->state)));
	row->values[12] = CStringGetTextDatum(error);
	row->nulls[12] = error[0] == '\0';
	row->values[13] = TimestampTzGetDatum(error_at);
	row->nulls[13] = error_at == 0;
}

/* Columns for how far it is. */
static void
set_progress(StatusRow *row, uint64 received, uint64 acked, TimestampTz oldest)
{
	uint64 now = wal_position();
	double seconds = 0;

	set_lsn(row, 2, received);
	set_lsn(row, 3, acked);
	row->values[4] = Int64GetDatum(acked != 0 && now > acked ? now - acked : 0);
	row->nulls[4] = acked == 0;
	if (oldest != 0)
		seconds = Max(0, (GetCurrentTimestamp() - oldest) / 1000000.0);
	row->values[5] = Float8GetDatum(seconds);
}

/* Columns for what a sink did. */
static void
set_counters(StatusRow *row, SinkShared *sink)
{
	pg_atomic_uint64 *counters[] = {&sink->dirty,	&sink->docs,	  &sink->deletes,
									&sink->retries, &sink->conflicts, &sink->dead};

	for (int i = 0; i < lengthof(counters); i++)
		row->values[6 + i] = Int64GetDatum((int64) pg_atomic_read_u64(counters[i]));
}

/* Columns for what the last sampling verify found; none of the cache's. */
static void
set_verified(StatusRow *row, SinkShared *sink)
{
	pg_atomic_uint64 *counters[] = {&sink->verified, &sink->missing, &sink->stale, &sink->ghosts};
	TimestampTz		  at = (TimestampTz) pg_atomic_read_u64(&sink->verified_at);

	memset(&row->nulls[15], at == 0, 5);
	if (at == 0)
		return;
	row->values[15] = TimestampTzGetDatum(at);
	for (int i = 0; i < lengthof(counters); i++)
		row->values[16 + i] = Int64GetDatum((int64) pg_atomic_read_u64(counters[i]));
}

/* Adds a row. */
static void
put_row(ReturnSetInfo *result, StatusRow *row)
{
	tuplestore_putvalues(result->setResult, result->setDesc, row->values, row->nulls);
}

/* Row of the capture worker; it has no counters. */
static void
put_capture(ReturnSetInfo *result, DatabaseShared *database)
{
	StatusRow row = {0};

	set_worker(&row, "capture", &database->capture);
	set_progress(&row, pg_atomic_read_u64(&database->captured),
				 pg_atomic_read_u64(&database->confirmed), 0);
	row.nulls[5] = row.nulls[14] = true;
	memset(&row.nulls[6], true, 6);
	memset(&row.nulls[15], true, 5);
	put_row(result, &row);
}

/* Row of a sink. */
static void
put_sink(ReturnSetInfo *result, const char *name, SinkShared *sink)
{
	StatusRow row = {0};

	set_worker(&row, name, &sink->worker);
	set_progress(&row, pg_atomic_read_u64(&sink->received), pg_atomic_read_u64(&sink->acked),
				 (TimestampTz) pg_atomic_read_u64(&sink->oldest));
	set_counters(&row, sink);
	row.values[14] = Int64GetDatum((int64) pg_atomic_read_u64(&sink->held));
	set_verified(&row, sink);
	put_row(result, &row);
}

/* Rows that say why there is nothing to show. */
static void
put_absent(ReturnSetInfo *result, const char *state, const char *error)
{
	static const char *const names[] = {"capture", "search", "cache"};

	for (int i = 0; i < lengthof(names); i++)
	{
		StatusRow row;

		memset(row.nulls, true, sizeof(row.nulls));
		row.nulls[0] = row.nulls[1] = false;
		row.values[0] = CStringGetTextDatum(names[i]);
		row.values[1] = CStringGetTextDatum(state);
		row.nulls[12] = error == NULL;
		row.values[12] = error ? CStringGetTextDatum(error) : (Datum) 0;
		put_row(result, &row);
	}
}

/* tenancy.sync_status() */
Datum
tenancy_sync_status(PG_FUNCTION_ARGS)
{
	ReturnSetInfo  *result = (ReturnSetInfo *) fcinfo->resultinfo;
	DatabaseShared *database = tenancy_shared_mine();

	InitMaterializedSRF(fcinfo, 0);
	if (tenancy_shared == NULL)
		put_absent(result, "not preloaded",
				   "add shared_preload_libraries = 'pg_tenancy' to postgresql.conf and restart "
				   "the server");
	else if (database == NULL)
		put_absent(result, "starting", NULL);
	else
	{
		put_capture(result, database);
		put_sink(result, "search", &database->sinks[SINK_SEARCH]);
		put_sink(result, "cache", &database->sinks[SINK_CACHE]);
		if (tenancy_benchmarks)
			put_sink(result, "statistics", &database->sinks[SINK_STATISTICS]);
	}
	return (Datum) 0;
}
