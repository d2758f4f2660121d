/*
 * migrate_pass.c
 *		Starts the workers of a pass and waits for them.
 *
 * The caller has neither snapshot nor lock meanwhile but its session's lock on its own number:
 * CREATE INDEX CONCURRENTLY would wait for it without an end.
 */
#include "postgres.h"

#include "access/twophase.h"
#include "libpq/pqformat.h"
#include "libpq/pqmq.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "storage/shm_mq.h"
#include "storage/shm_toc.h"

#include "common/call_worker.h"
#include "common/compat.h"
#include "common/errors.h"
#include "tenant/migrate.h"

#define QUEUE_SIZE 16384
#define WARNINGS_MAX 10
#define SAY_EVERY_MS 2000

/* A worker and the way from it. */
typedef struct PassWorker
{
	shm_mq_handle		   *queue;
	BackgroundWorkerHandle *handle; /* NULL: not started, or ended */
} PassWorker;

typedef struct PassRun
{
	MigrateCall *call;
	MigratePass *pass;
	dsm_segment *segment;
	int			 nworkers;
	PassWorker	*workers;
} PassRun;

/* Locks that one worker may hold: the workers together a quarter of what the server has. */
static int
lock_budget(int nworkers)
{
	int64 all = (int64) max_locks_per_xact * (MaxBackends + max_prepared_xacts);

	return (int) Min(INT_MAX, all / 4 / nworkers);
}

/* Tells the workers what to do. */
static void
fill_pass(PassRun *run, const MigrateStage *stage, const MigrateIds *tenants)
{
	MigratePass		  *pass = run->pass;
	const MigrateCall *call = run->call;

	memset(pass, 0, offsetof(MigratePass, ids));
	pass->dboid = MyDatabaseId;
	pass->session = stage->alone ? call->owner : InvalidOid;
	pass->migration = call->id;
	strlcpy(pass->blueprint, call->blueprint, sizeof(pass->blueprint));
	pass->stage = *stage;
	pass->newest = call->newest;
	pass->lock_timeout = call->lock_timeout;
	pass->retries = call->retries;
	pass->lock_budget = lock_budget(run->nworkers);
	pg_atomic_init_u32(&pass->failed, 0);
	pg_atomic_init_u32(&pass->next, 0);
	pass->nids = tenants->count;
	memcpy(pass->ids, tenants->ids, sizeof(int64) * tenants->count);
}

/* Makes the shared memory of a pass, with a queue from each worker. */
static void
make_segment(PassRun *run, int nids)
{
	Size			  pass_size = offsetof(MigratePass, ids) + sizeof(int64) * nids;
	shm_toc_estimator estimator;
	shm_toc			 *toc;
	Size			  size;

	shm_toc_initialize_estimator(&estimator);
	shm_toc_estimate_chunk(&estimator, pass_size);
	for (int i = 0; i < run->nworkers; i++)
		shm_toc_estimate_chunk(&estimator, QUEUE_SIZE);
	shm_toc_estimate_keys(&estimator, 1 + run->nworkers);
	size = shm_toc_estimate(&estimator);
	run->segment = dsm_create(size, 0);
	toc = shm_toc_create(MIGRATE_MAGIC, dsm_segment_address(run->segment), size);
	run->pass = shm_toc_allocate(toc, pass_size);
	shm_toc_insert(toc, MIGRATE_TOC_PASS, run->pass);
	for (int i = 0; i < run->nworkers; i++)
	{
		shm_mq *queue = shm_mq_create(shm_toc_allocate(toc, QUEUE_SIZE), QUEUE_SIZE);

		shm_toc_insert(toc, MIGRATE_TOC_QUEUE + i, queue);
		shm_mq_set_receiver(queue, MyProc);
		run->workers[i].queue = shm_mq_attach(queue, run->segment, NULL);
	}
}

/* Starts one worker; false if the server has no room for it. */
static bool
start_worker(PassRun *run, int32 number)
{
	PassWorker *worker = &run->workers[number];

	return call_worker_start("pg_tenancy migrate", "tenancy_migrate_main", run->segment, number,
							 worker->queue, &worker->handle);
}

/* Starts the workers, or as many as there is room for. */
static void
start_workers(PassRun *run)
{
	int started = 0;

	while (started < run->nworkers && start_worker(run, started))
		started++;
	if (started == 0)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("out of background worker slots"),
				 errhint("Raise max_worker_processes, or wait until other workers have ended.")));
}

/* Shows which tenant failed, of the first few. */
static void
show_failure(MigrateCall *call, StringInfo message)
{
	const char *tenant = pq_getmsgrawstring(message);
	const char *error = pq_getmsgrawstring(message);

	if (call->warnings++ < WARNINGS_MAX)
		ereport(WARNING, (errcode(ERRCODE_TENANCY_BLUEPRINT),
						  errmsg("tenant \"%s\" was not migrated: %s", tenant, error)));
}

/* Adds what a batch has done. */
static void
add_counts(PassRun *run, StringInfo message)
{
	MigrateCall *call = run->call;
	int64		 done = pq_getmsgint64(message);

	if (run->pass->stage.to == call->target)
		call->counts.done += done;
	(void) pq_getmsgint64(message);
	call->counts.failed += pq_getmsgint64(message);
}

/* Acts on one message; false after the last one of a worker. */
static bool
on_message(PassRun *run, void *data, Size length)
{
	StringInfoData message;
	char		   kind;

	initStringInfo(&message);
	appendBinaryStringInfo(&message, data, (int) length);
	kind = pq_getmsgbyte(&message);
	if (kind == 'E' || kind == 'N')
		call_worker_pass_on(&message);
	else if (kind == MIGRATE_MESSAGE_FAILED)
		show_failure(run->call, &message);
	else if (kind == MIGRATE_MESSAGE_COUNTS)
		add_counts(run, &message);
	pfree(message.data);
	return kind != MIGRATE_MESSAGE_END;
}

/* Takes what a worker has sent; false if it is done. */
static bool
receive(PassRun *run, PassWorker *worker)
{
	shm_mq_result result;
	Size		  length;
	void		 *data;

	while ((result = shm_mq_receive(worker->queue, &length, &data, true)) == SHM_MQ_SUCCESS)
		if (!on_message(run, data, length))
			return false;
	if (result == SHM_MQ_DETACHED)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_NOT_RUNNING),
						errmsg("a migrate worker ended before it was done"),
						errhint("Call tenant_migrate() again: it goes on where this ended.")));
	return true;
}

/* Waits until every worker is done. */
static void
wait_for_workers(PassRun *run)
{
	for (;;)
	{
		int running = 0;

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < run->nworkers; i++)
		{
			PassWorker *worker = &run->workers[i];

			if (worker->handle == NULL)
				continue;
			if (receive(run, worker))
				running++;
			else
			{
				(void) WaitForBackgroundWorkerShutdown(worker->handle);
				worker->handle = NULL;
			}
		}
		migrate_say_progress(run->call);
		if (running == 0)
			return;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, SAY_EVERY_MS,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}

/* Ends the workers that are still there. */
static void
end_workers(int code, Datum arg)
{
	PassRun *run = (PassRun *) DatumGetPointer(arg);

	for (int i = 0; i < run->nworkers; i++)
		if (run->workers[i].handle != NULL)
			TerminateBackgroundWorker(run->workers[i].handle);
}

/* Runs a stage for a list of tenants; those that are left are still not at its end afterwards. */
void
migrate_run_pass(MigrateCall *call, const MigrateStage *stage, const MigrateIds *tenants,
				 bool one_by_one, bool canaries)
{
	PassRun *run = palloc0(sizeof(PassRun));

	run->call = call;
	run->nworkers = Min(call->jobs, tenants->count);
	run->workers = palloc0(sizeof(PassWorker) * run->nworkers);
	make_segment(run, tenants->count);
	fill_pass(run, stage, tenants);
	run->pass->one_by_one = one_by_one;
	run->pass->failures_allowed = canaries ? 0 : call->max_failures - call->counts.failed;
	PG_ENSURE_ERROR_CLEANUP(end_workers, PointerGetDatum(run));
	{
		start_workers(run);
		wait_for_workers(run);
	}
	PG_END_ENSURE_ERROR_CLEANUP(end_workers, PointerGetDatum(run));
	dsm_detach(run->segment);
}
