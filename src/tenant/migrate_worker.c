/*
 * migrate_worker.c
 *		A worker of a pass: takes tenants from the list until there are none.
 */
#include "postgres.h"

#include "libpq/pqformat.h"
#include "libpq/pqmq.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shm_toc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"

#include "common/call_worker.h"
#include "common/compat.h"
#include "common/spi.h"
#include "tenant/migrate.h"

/* Tenants after which the caches are emptied: a backend never gives them back by itself. */
#define FORGET_EVERY 500

/* Attaches to what the caller prepared; errors go there from now on. */
static MigratePass *
attach(Datum arg)
{
	dsm_segment *segment;
	shm_toc		*toc =
		call_worker_attach(arg, "pg_tenancy migrate", "a migration", MIGRATE_MAGIC, &segment);

	call_worker_send_to(segment, toc, MIGRATE_TOC_QUEUE + call_worker_number());
	return shm_toc_lookup(toc, MIGRATE_TOC_PASS, false);
}

/* Reads the blueprint, once: steps never change. */
static Blueprint *
read_blueprint(const char *name)
{
	Blueprint	  blueprint, *copy;
	SpiScope	  scope;
	MemoryContext old;

	tenancy_tx_begin("pg_tenancy migrate");
	tenancy_spi_begin_as_owner(&scope);
	blueprint_load(name, &blueprint);
	old = MemoryContextSwitchTo(TopMemoryContext);
	copy = blueprint_copy(&blueprint);
	MemoryContextSwitchTo(old);
	tenancy_spi_end(&scope);
	tenancy_tx_commit();
	return copy;
}

/* Takes tenants that nobody has taken; false if there are none, or too many have failed. */
static bool
take_tenants(MigrateWorker *worker)
{
	MigratePass *pass = worker->pass;
	uint32		 want, first;

	if (pg_atomic_read_u32(&pass->failed) > pass->failures_allowed)
		return false;
	if (worker->ntodo > 0)
		return true;
	want = pass->one_by_one || pass->stage.alone ? 1 : worker->most;
	first = pg_atomic_fetch_add_u32(&pass->next, want);
	while (worker->ntodo < want && first + worker->ntodo < pass->nids)
	{
		worker->todo[worker->ntodo] = pass->ids[first + worker->ntodo];
		worker->ntodo++;
	}
	return worker->ntodo > 0;
}

/* Tells the caller which tenant failed, and why. */
void
migrate_report_failure(const MigrateTenant *tenant)
{
	StringInfoData message;

	pq_beginmessage(&message, MIGRATE_MESSAGE_FAILED);
	pq_sendstring(&message, tenant->name);
	pq_sendstring(&message, tenant->error);
	pq_endmessage(&message);
}

/* Tells the caller what a batch has done. */
static void
report_counts(const MigrateCounts *counts)
{
	StringInfoData message;

	pq_beginmessage(&message, MIGRATE_MESSAGE_COUNTS);
	pq_sendint64(&message, counts->done);
	pq_sendint64(&message, counts->waiting);
	pq_sendint64(&message, counts->failed);
	pq_endmessage(&message);
}

/* Empties the caches now and then. */
static void
forget(int64 done, int64 *forgotten)
{
	if (done - *forgotten < FORGET_EVERY)
		return;
	tenancy_tx_begin("pg_tenancy migrate");
	InvalidateSystemCaches();
	tenancy_tx_commit();
	*forgotten = done;
}

/* Takes tenants until there are none. */
static void
serve(MigrateWorker *worker)
{
	int64 done = 0, forgotten = 0;

	while (take_tenants(worker))
	{
		MigrateCounts counts;

		CHECK_FOR_INTERRUPTS();
		counts = worker->pass->stage.alone ? migrate_alone(worker) : migrate_batch(worker);
		pg_atomic_fetch_add_u32(&worker->pass->failed, (int32) counts.failed);
		report_counts(&counts);
		done += counts.done;
		forget(done, &forgotten);
	}
	pq_putemptymessage(MIGRATE_MESSAGE_END);
}

/* Entry point. */
void
tenancy_migrate_main(Datum arg)
{
	MigrateWorker worker = {0};

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	worker.pass = attach(arg);
	BackgroundWorkerInitializeConnectionByOid(worker.pass->dboid, worker.pass->session,
											  COMPAT_WORKER_OF_ANY_ROLE);
	SetClientEncoding(GetDatabaseEncoding());
	SetConfigOption("client_min_messages", "error", PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("default_transaction_isolation", "read committed", PGC_USERSET, PGC_S_SESSION);
	worker.context =
		AllocSetContextCreate(TopMemoryContext, "pg_tenancy migrate", ALLOCSET_DEFAULT_SIZES);
	worker.blueprint = read_blueprint(worker.pass->blueprint);
	worker.most = 1;
	serve(&worker);
}
