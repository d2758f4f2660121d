/*
 * lanes.c
 *		tenancy.stat_sync_lanes: what the lanes of the sinks may send.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "common/guc.h"
#include "sync/shared.h"

#define LANE_COLUMNS 8

PG_FUNCTION_INFO_V1(tenancy_sync_lanes);

/* Row of one lane. */
static void
put_lane(ReturnSetInfo *result, const char *name, SinkShared *sink, int number)
{
	LaneShared *lane = &sink->lanes[number];
	Datum		values[LANE_COLUMNS];
	bool		nulls[LANE_COLUMNS] = {0};

	values[0] = CStringGetTextDatum(name);
	values[1] = Int32GetDatum(number);
	values[2] = CStringGetTextDatum(worker_lane_state_name(pg_atomic_read_u32(&lane->state)));
	values[3] = Int32GetDatum((int32) pg_atomic_read_u32(&lane->limit_actions));
	values[4] = Int64GetDatum((int64) pg_atomic_read_u32(&lane->limit_bytes));
	values[5] = Int32GetDatum((int32) pg_atomic_read_u32(&lane->in_flight));
	values[6] = Int64GetDatum((int64) pg_atomic_read_u32(&lane->last_ms));
	values[7] = Int32GetDatum((int32) pg_atomic_read_u32(&sink->lanes_allowed));
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* Rows of a sink. */
static void
put_sink(ReturnSetInfo *result, const char *name, SinkShared *sink)
{
	int nlanes = Min(pg_atomic_read_u32(&sink->nlanes), TENANCY_LANES_MAX);

	for (int i = 0; i < nlanes; i++)
		put_lane(result, name, sink, i);
}

/* tenancy.sync_lanes(): nothing where no sink's worker has run. */
Datum
tenancy_sync_lanes(PG_FUNCTION_ARGS)
{
	ReturnSetInfo  *result = (ReturnSetInfo *) fcinfo->resultinfo;
	DatabaseShared *database = tenancy_shared_mine();

	InitMaterializedSRF(fcinfo, 0);
	if (database == NULL)
		return (Datum) 0;
	put_sink(result, "search", &database->sinks[SINK_SEARCH]);
	put_sink(result, "cache", &database->sinks[SINK_CACHE]);
	if (tenancy_benchmarks)
		put_sink(result, "statistics", &database->sinks[SINK_STATISTICS]);
	return (Datum) 0;
}
