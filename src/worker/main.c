/*
 * main.c
 *		Entry points of the workers of one database.
 *
 * An error ends the process: what it held in memory is made again from the slot.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "replication/slot.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"

#include "cache/inspect.h"
#include "capture/capture.h"
#include "capture/slot.h"
#include "common/spi.h"
#include "sync/doc_time.h"
#include "sync/key.h"
#include "sync/sink_worker.h"
#include "verify/verify.h"
#include "worker/worker.h"

/* Handlers that let CHECK_FOR_INTERRUPTS do its work. */
static void
set_signals(void)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
}

/* The process goes: others must not set its latch any more. */
static void
on_exit_detach(int code, Datum arg)
{
	WorkerShared *shared = (WorkerShared *) DatumGetPointer(arg);

	if (code != 0 && !ProcDiePending)
		worker_set_state(shared, WORKER_FAILED);
	else if (pg_atomic_read_u32(&shared->state) != WORKER_FAILED)
		worker_set_state(shared, WORKER_STOPPED);
	worker_detach(shared);
}

/* Shows the error that ends the process in the status view. */
static void
record_error(WorkerShared *shared)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	ErrorData	 *error = CopyErrorData();

	worker_set_error(shared, error->message);
	FreeErrorData(error);
	MemoryContextSwitchTo(old);
}

/* Compares new indices, if there are any that wait for it: a sample is taken all the same when it is due. */
static void
run_verify(DatabaseShared *database)
{
	bool moves = pg_atomic_read_u32(&database->moves_to_verify) != 0;

	if (moves)
		verify_moves_run(database);
	if (!moves || verify_sample_is_due(database))
		verify_sample_run(database);
}

/* Runs the role's loop. */
static void
run(DatabaseShared *database, WorkerRole role)
{
	if (role == ROLE_CAPTURE)
		capture_run(database);
	else if (role == ROLE_VERIFY)
		run_verify(database);
	else if (role == ROLE_INSPECT)
		cache_inspect_run(database);
	else
		sink_worker_run(database, role == ROLE_SEARCH  ? SINK_SEARCH
								  : role == ROLE_CACHE ? SINK_CACHE
													   : SINK_STATISTICS);
}

/* Entry point of capture and sink workers. */
void
tenancy_worker_main(Datum arg)
{
	int32			extra[2];
	DatabaseShared *database;
	WorkerShared   *shared;

	memcpy(extra, MyBgworkerEntry->bgw_extra, sizeof(extra));
	database = &tenancy_shared->databases[extra[0]];
	shared = worker_shared(database, extra[1]);
	set_signals();
	if (!worker_attach(shared))
		proc_exit(0); /* it has one already */
	before_shmem_exit(on_exit_detach, PointerGetDatum(shared));
	if (database->dboid != DatumGetObjectId(arg) || database->paused)
		proc_exit(0);
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), InvalidOid, 0);
	PG_TRY();
	{
		key_pin_settings();
		doc_time_init();
		run(database, extra[1]);
	}
	PG_CATCH();
	{
		record_error(shared);
		PG_RE_THROW();
	}
	PG_END_TRY();
}

/* Entry point of the probe: says whether the database has the extension. */
void
tenancy_probe_main(Datum arg)
{
	bool exists;

	set_signals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), InvalidOid, 0);
	key_pin_settings();
	tenancy_tx_begin("pg_tenancy: looking for the extension");
	exists = tenancy_extension_exists();
	tenancy_tx_commit();
	if (!exists)
		slot_drop_others(NULL); /* it would hold back the WAL for ever */
	pg_atomic_write_u32(&tenancy_shared->probe_result, exists ? PROBE_FOUND : PROBE_ABSENT);
}
