/*
 * statistics_shape.c
 *		Notices that a benchmark table is not what it was when its rows were counted.
 *
 * Partitions that come or go, a rewrite, another column of the same name, another table: the WAL
 * does not tell of these row by row, so all rows are looked at again.  That is asked for in the
 * transaction that records the new shape.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "common/spi.h"
#include "sync/resync.h"
#include "sync/statistics_shape.h"

#define REST_MS 200
#define AGAIN_MS 1000
#define NOTED_MAX 1000 /* more are all */

static Oid		   noted[NOTED_MAX];
static int		   nnoted = 0;
static bool		   note_all = false;
static TimestampTz not_before = 0;

/* A relation's shape may have changed; InvalidOid: any relation's. */
void
statistics_shape_note(Oid relid)
{
	note_all |= !OidIsValid(relid) || nnoted == NOTED_MAX;
	if (!note_all)
		noted[nnoted++] = relid;
}

/* True if something was noted and not looked at yet. */
bool
statistics_shape_pending(void)
{
	return note_all || nnoted > 0;
}

/* Compares what was noted with what was recorded, and asks for what has changed. */
static void
look(void *arg)
{
	Oid		 types[1] = {OIDARRAYOID};
	Datum	 values[1] = {(Datum) 0};
	char	 nulls[1] = {note_all ? 'n' : ' '};
	Datum	 oids[NOTED_MAX];
	SpiScope scope;

	for (int i = 0; i < nnoted; i++)
		oids[i] = ObjectIdGetDatum(noted[i]);
	if (!note_all)
		values[0] =
			PointerGetDatum(construct_array(oids, nnoted, OIDOID, sizeof(Oid), true, TYPALIGN_INT));
	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec("SELECT tenancy.benchmark_look($1)", 1, types, values, nulls);
	tenancy_spi_end(&scope);
}

/* Looks at what was noted; true if it did. */
bool
statistics_shape_pump(SinkWorker *worker)
{
	TimestampTz now = GetCurrentTimestamp();

	if (!statistics_shape_pending() || !worker->enabled || not_before > now)
		return false;
	if (!tenancy_tx_try("pg_tenancy: comparing benchmark tables", look, NULL))
	{
		not_before = TimestampTzPlusMilliseconds(now, AGAIN_MS);
		return false;
	}
	note_all = false;
	nnoted = 0;
	not_before = TimestampTzPlusMilliseconds(now, REST_MS);
	resync_wake();
	return true;
}
