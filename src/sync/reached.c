/*
 * reached.c
 *		A snapshot whose every change the search server has.
 *
 * An answer that was made of an index is as old as the index, not as the transaction that asked.
 * So every second a snapshot is taken, and the position of the WAL after it; when all up
 * to there is on the server, the snapshot is one that the server has reached.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "common/guc.h"
#include "common/spi.h"
#include "common/xid.h"
#include "sync/reached.h"

#define TAKE_EVERY_MS 1000

/* The snapshot that the server is still to reach. */
static char		  *awaited = NULL;
static uint64	   awaited_lsn = 0;
static TimestampTz taken_at = 0;

/* Shows the snapshot to backends; one of very many transactions is left out. */
static void
publish(DatabaseShared *database)
{
	SpinLockAcquire(&database->reached_mutex);
	if (strlen(awaited) < REACHED_MAX)
		strcpy(database->reached, awaited);
	SpinLockRelease(&database->reached_mutex);
	pfree(awaited);
	awaited = NULL;
}

/* Takes a snapshot, and then the position that every commit it sees is before. */
static void
take(void)
{
	char *text;

	tenancy_tx_begin("pg_tenancy: looking what is committed");
	text = tenancy_snapshot_text(GetTransactionSnapshot(), false);
	awaited = MemoryContextStrdup(TopMemoryContext, text);
	tenancy_tx_commit();
	awaited_lsn = GetXLogInsertRecPtr();
	taken_at = GetCurrentTimestamp();
}

/* Moves on; costs nothing where no answers are kept. */
void
reached_look(SinkWorker *worker)
{
	if (worker->kind != SINK_SEARCH || !worker->enabled || !worker->streaming ||
		tenancy_redis_url[0] == '\0')
		return;
	if (awaited != NULL && pg_atomic_read_u64(&worker->shared->settled) >= awaited_lsn)
		publish(worker->database);
	if (awaited == NULL &&
		TimestampDifferenceExceeds(taken_at, GetCurrentTimestamp(), TAKE_EVERY_MS))
		take();
}

/* The newest one. */
char *
reached_snapshot(void)
{
	DatabaseShared *database = tenancy_shared_mine();
	char			text[REACHED_MAX];

	if (database == NULL)
		return NULL;
	SpinLockAcquire(&database->reached_mutex);
	strcpy(text, database->reached);
	SpinLockRelease(&database->reached_mutex);
	return text[0] != '\0' ? pstrdup(text) : NULL;
}
