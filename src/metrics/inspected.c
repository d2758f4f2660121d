/*
 * inspected.c
 *		tenancy.stat_cache: what the inspector has found.
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "funcapi.h"
#include "utils/tuplestore.h"

#include "sync/shared.h"

#define INSPECTED_COLUMNS 6

PG_FUNCTION_INFO_V1(tenancy_cache_inspected);

/* Row of one window. */
static void
put_window(ReturnSetInfo *result, DatabaseShared *database, int window)
{
	static const int  seconds[SAMPLE_WINDOWS] = {1, 10, 60};
	pg_atomic_uint64 *counts = database->inspected[window];
	uint64			  right = pg_atomic_read_u64(&counts[SAMPLE_RIGHT]);
	uint64			  stale = pg_atomic_read_u64(&counts[SAMPLE_STALE]);
	uint64			  absent = pg_atomic_read_u64(&counts[SAMPLE_ABSENT]);
	uint64			  unknown = pg_atomic_read_u64(&counts[SAMPLE_UNKNOWN]);
	uint64			  checked = right + stale + absent;
	Datum			  values[INSPECTED_COLUMNS];
	bool			  nulls[INSPECTED_COLUMNS] = {0};

	values[0] = Int32GetDatum(seconds[window]);
	values[1] = Int64GetDatum((int64) checked);
	values[2] = Int64GetDatum((int64) absent);
	values[3] = Int64GetDatum((int64) stale);
	values[4] = Int64GetDatum((int64) unknown);
	nulls[5] = checked == 0;
	values[5] = Float8GetDatum(checked > 0 ? log10((double) checked / Max(stale, 1)) : 0);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* tenancy.cache_inspected(): nothing without preload. */
Datum
tenancy_cache_inspected(PG_FUNCTION_ARGS)
{
	DatabaseShared *database = tenancy_shared_mine();

	InitMaterializedSRF(fcinfo, 0);
	for (int window = 0; database != NULL && window < SAMPLE_WINDOWS; window++)
		put_window((ReturnSetInfo *) fcinfo->resultinfo, database, window);
	return (Datum) 0;
}
