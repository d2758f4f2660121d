/*
 * start.c
 *		Registers the workers with the postmaster.
 *
 * The launcher is static.  The others are dynamic, and are never started again by
 * the postmaster: the launcher does that, with back-off.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "utils/memutils.h"

#include "worker/worker.h"

/* What a dynamic worker is told in bgw_extra. */
static void
fill_worker(BackgroundWorker *worker, const char *function, const char *type)
{
	memset(worker, 0, sizeof(*worker));
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker->bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker->bgw_library_name, "pg_tenancy", BGW_MAXLEN);
	strlcpy(worker->bgw_function_name, function, BGW_MAXLEN);
	strlcpy(worker->bgw_type, type, BGW_MAXLEN);
	strlcpy(worker->bgw_name, type, BGW_MAXLEN);
}

/* Registers the launcher; called while shared_preload_libraries is processed. */
void
worker_register_launcher(void)
{
	BackgroundWorker worker;

	fill_worker(&worker, "tenancy_launcher_main", "pg_tenancy launcher");
	worker.bgw_restart_time = 1;
	RegisterBackgroundWorker(&worker);
}

/* Part of the shared memory that belongs to a role. */
WorkerShared *
worker_shared(DatabaseShared *database, WorkerRole role)
{
	switch (role)
	{
		case ROLE_CAPTURE:
			return &database->capture;
		case ROLE_SEARCH:
			return &database->sinks[SINK_SEARCH].worker;
		case ROLE_STATISTICS:
			return &database->sinks[SINK_STATISTICS].worker;
		case ROLE_VERIFY:
			return &database->verify;
		case ROLE_INSPECT:
			return &database->inspector;
		default:
			return &database->sinks[SINK_CACHE].worker;
	}
}

/* Registers a worker; the handle lives until it is freed. */
static bool
register_worker(BackgroundWorker *worker, BackgroundWorkerHandle **handle)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	bool		  registered;

	worker->bgw_notify_pid = MyProcPid;
	registered = RegisterDynamicBackgroundWorker(worker, handle);
	MemoryContextSwitchTo(old);
	return registered;
}

/* Starts one worker of a database; false if the server has no room for it. */
bool
worker_start(DatabaseShared *database, WorkerRole role, BackgroundWorkerHandle **handle)
{
	static const char *const types[] = {"pg_tenancy capture",	 "pg_tenancy search sink",
										"pg_tenancy cache sink", "pg_tenancy statistics sink",
										"pg_tenancy verify",	 "pg_tenancy cache inspector"};
	BackgroundWorker		 worker;
	int32 extra[2] = {(int32) (database - tenancy_shared->databases), (int32) role};

	StaticAssertStmt(sizeof(extra) <= BGW_EXTRALEN, "bgw_extra is too small");
	fill_worker(&worker, "tenancy_worker_main", types[role]);
	snprintf(worker.bgw_name, BGW_MAXLEN, "%s for database %u", types[role], database->dboid);
	worker.bgw_main_arg = ObjectIdGetDatum(database->dboid);
	memcpy(worker.bgw_extra, extra, sizeof(extra));
	return register_worker(&worker, handle);
}

/* Starts the worker that looks whether a database has the extension. */
bool
worker_start_probe(Oid dboid, BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker;

	fill_worker(&worker, "tenancy_probe_main", "pg_tenancy probe");
	worker.bgw_main_arg = ObjectIdGetDatum(dboid);
	return register_worker(&worker, handle);
}
