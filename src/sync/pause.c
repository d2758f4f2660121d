/*
 * pause.c
 *		What operators have paused, in a sink's worker.
 *
 * tenancy.sync_pause says it.  A row that is to be resumed stays there until the sink has
 * all that was committed before: until then the cache's values are not to be trusted.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "common/compat.h"
#include "common/spi.h"
#include "sync/backlog.h"
#include "sync/hold.h"
#include "sync/message.h"
#include "sync/pause.h"

#define RETRY_MS 1000

/* Rows of tenancy.sync_pause that are to go when the sink has come to the fence. */
typedef struct Resuming
{
	int	   n;
	Datum *ids;
	Datum *versions;
	uint64 fence; /* LSN, 0: not taken yet */
} Resuming;

static MemoryContext context = NULL; /* of what follows */
static Oid			*schemas = NULL; /* of paused tenants, sorted */
static int			 nschemas = 0;
static Resuming		 resuming;
static uint64		 seen = 0;	   /* SinkShared.control when the table was read */
static bool			 stale = true; /* the table may have changed */
static TimestampTz	 not_before = 0;

/* The registry changed: read the table again. */
void
pause_look(void)
{
	stale = true;
}

/* True if a schema's tenant is paused. */
bool
pause_covers(Oid schema)
{
	return nschemas > 0 && bsearch(&schema, schemas, nschemas, sizeof(Oid), oid_cmp) != NULL;
}

/* True if any tenant is paused. */
bool
pause_covers_any(void)
{
	return nschemas > 0;
}

/* Notes a row that is to go. */
static void
note_resuming(int row)
{
	resuming.ids[resuming.n] = Int64GetDatum(tenancy_spi_int64(row, 1));
	resuming.versions[resuming.n++] = Int64GetDatum(tenancy_spi_int64(row, 2));
}

/* Takes the rows of the query below; true: the whole sink is paused. */
static bool
take_rows(void)
{
	bool whole = false;

	for (uint64 row = 0; row < SPI_processed; row++)
	{
		if (tenancy_spi_int64(row, 3) != 0)
			note_resuming(row);
		else if (tenancy_spi_int64(row, 4) == 0)
			whole = true;
		else if (tenancy_spi_int64(row, 5) != 0)
			schemas[nschemas++] = (Oid) tenancy_spi_int64(row, 5);
	}
	qsort(schemas, nschemas, sizeof(Oid), oid_cmp);
	return whole;
}

/* Makes room for n rows. */
static void
make_room(uint64 n)
{
	if (context == NULL)
		context = AllocSetContextCreate(TopMemoryContext, "pg_tenancy pause", ALLOCSET_SMALL_SIZES);
	MemoryContextReset(context);
	nschemas = resuming.n = 0;
	schemas = MemoryContextAlloc(context, (n + 1) * sizeof(Oid));
	resuming.ids = MemoryContextAlloc(context, (n + 1) * sizeof(Datum));
	resuming.versions = MemoryContextAlloc(context, (n + 1) * sizeof(Datum));
}

/* Reads the table. */
static void
load(void *arg)
{
	SinkWorker *worker = arg;
	Oid			types[1] = {TEXTOID};
	Datum		values[1] = {CStringGetTextDatum(worker->driver->name)};
	SpiScope	scope;
	bool		whole;

	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec("SELECT p.id, p.version, p.resuming::int::bigint, p.tenant_id, n.oid::bigint"
					 "  FROM tenancy.sync_pause p"
					 "  LEFT JOIN tenancy.tenant t ON t.id = p.tenant_id AND t.status <> 'dropped'"
					 "  LEFT JOIN pg_namespace n ON n.nspname = t.schema_name WHERE p.sink = $1",
					 1, types, values, NULL);
	make_room(SPI_processed);
	/* before anything stops: who reads cached values must know first */
	pg_atomic_write_u64(&worker->shared->doubtful, SPI_processed > 0);
	whole = take_rows();
	tenancy_spi_end(&scope);
	worker->paused = whole;
	pg_atomic_write_u64(&worker->shared->paused, whole);
}

/* A position behind everything committed so far, and on disk. */
static uint64
make_fence(void)
{
	XLogRecPtr fence = compat_log_message(TENANCY_MESSAGE_PREFIX, "", 0, false);

	XLogFlush(fence);
	return fence;
}

/* Reads the table again if it may have changed. */
static void
refresh(SinkWorker *worker)
{
	uint64 control = pg_atomic_read_u64(&worker->shared->control);

	if (!stale && control == seen)
		return;
	if (!tenancy_tx_try("pg_tenancy: looking at what is paused", load, worker))
	{
		not_before = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RETRY_MS);
		return;
	}
	stale = false;
	seen = control;
	pg_atomic_write_u64(&worker->shared->control_seen, control);
	resuming.fence = resuming.n > 0 ? make_fence() : 0;
	dirty_review(worker->dirty, InvalidOid);
}

/* Removes the rows that are to go. */
static void
remove_rows(void *arg)
{
	Oid		 types[2] = {INT8ARRAYOID, INT8ARRAYOID};
	Datum	 values[2];
	SpiScope scope;

	values[0] = PointerGetDatum(
		construct_array(resuming.ids, resuming.n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	values[1] = PointerGetDatum(construct_array(resuming.versions, resuming.n, INT8OID, 8,
												FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec("DELETE FROM tenancy.sync_pause p USING unnest($1, $2) r(id, version)"
					 " WHERE p.id = r.id AND p.version = r.version AND p.resuming",
					 2, types, values, NULL);
	tenancy_spi_end(&scope);
}

/* Ends what is to be resumed when the sink has all that was committed before. */
static void
end_resuming(SinkWorker *worker)
{
	if (resuming.n == 0 || pg_atomic_read_u64(&worker->shared->settled) < resuming.fence)
		return;
	if (!tenancy_tx_try("pg_tenancy: ending a pause", remove_rows, NULL))
		not_before = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RETRY_MS);
	else
		stale = true;
}

/* Called at every turn. */
void
pause_check(SinkWorker *worker)
{
	if (not_before != 0 && GetCurrentTimestamp() < not_before)
		return;
	not_before = 0;
	refresh(worker);
	end_resuming(worker);
}
