/*
 * index_move.c
 *		Takes indices that are being replaced from phase to phase.
 *
 * What is to be done stands in tables; a look at them takes every move as far as it can go now.
 * The new index is made by provisioning and filled by a resync, like any other; a process of its
 * own compares it; provisioning moves the alias.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/timestamp.h"

#include "common/guc.h"
#include "common/spi.h"
#include "sync/index_move.h"

#define LOOK_MS 500

static bool		   wanted = true;
static TimestampTz next_look = 0;

/* What a look found. */
typedef struct Look
{
	int64 moving;
	int64 to_verify;
} Look;

/* tenancy.index_move may have something to do. */
void
index_move_wake(void)
{
	wanted = true;
}

/* When it should be looked at, 0: there is no move. */
TimestampTz
index_move_due(void)
{
	return wanted ? next_look : 0;
}

/* Takes every move as far as it can go. */
static void
advance(void *arg)
{
	Look	*look = arg;
	Oid		 types[1] = {INT4OID};
	Datum	 values[1] = {Int32GetDatum(tenancy_reindex_grace)};
	SpiScope scope;

	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec("SELECT * FROM tenancy.index_moves_advance(make_interval(secs => $1))", 1,
					 types, values, NULL);
	look->moving = tenancy_spi_int64(0, 1);
	look->to_verify = tenancy_spi_int64(0, 2);
	tenancy_spi_end(&scope);
}

/* Has a new index compared with its table. */
static void
want_verify(DatabaseShared *database, bool want)
{
	if (pg_atomic_exchange_u32(&database->moves_to_verify, want) == 0 && want)
		worker_wake(&tenancy_shared->launcher);
}

/* Looks at the moves if that is due; true if it did. */
bool
index_move_pump(SinkWorker *worker)
{
	Look look = {0};

	if (worker->kind != SINK_SEARCH || !wanted || !worker->enabled ||
		next_look > GetCurrentTimestamp())
		return false;
	next_look = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LOOK_MS);
	if (!tenancy_tx_try("pg_tenancy: looking at moves of indices", advance, &look))
		return false;
	wanted = look.moving > 0;
	want_verify(worker->database, look.to_verify > 0);
	return true;
}
