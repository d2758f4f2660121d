/*
 * launcher.c
 *		Finds the databases that have the extension and keeps their workers running.
 *
 * One database after the other is looked at by a short-lived probe.  A database
 * without the extension is not looked at again until something says that it may have
 * got it: CREATE EXTENSION wakes the launcher.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include <signal.h>

#include "common/compat.h"
#include "common/guc.h"
#include "common/spi.h"
#include "sync/samples.h"
#include "worker/worker.h"

#define SCAN_EVERY_MS 10000
#define TURN_MS 1000
#define RESTART_FIRST_MS 250
#define VERIFY_DOUBLINGS 4 /* of that, at the most, for the process that compares new indices */
#define STABLE_MS 60000	   /* a worker that ran so long starts with no back-off again */

/* One worker as the launcher knows it. */
typedef struct Managed
{
	BackgroundWorkerHandle *handle; /* NULL: not started */
	TimestampTz				started_at;
	TimestampTz				not_before;
	int						failures;
} Managed;

static Managed (*managed)[ROLE_COUNT] = NULL;  /* per database slot */
static HTAB					  *without = NULL; /* databases known not to have the extension */
static BackgroundWorkerHandle *probe = NULL;
static TimestampTz			   scanned_at = 0;
static bool					   room_warned = false;
static bool					   probe_stale = false; /* the probe's "absent" does not count */
static bool probe_failed = false; /* a probe died since all databases were looked at */

/* OIDs of the databases that can be connected to; needs a transaction. */
static List *
list_databases(MemoryContext context)
{
	Relation	  table = table_open(DatabaseRelationId, AccessShareLock);
	TableScanDesc scan = table_beginscan_catalog(table, 0, NULL);
	List		 *oids = NIL;
	HeapTuple	  tuple;

	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);
		MemoryContext	 old = MemoryContextSwitchTo(context);

		if (database->datallowconn && !database->datistemplate && database->datconnlimit != -2)
			oids = lappend_oid(oids, database->oid);
		MemoryContextSwitchTo(old);
	}
	table_endscan(scan);
	table_close(table, AccessShareLock);
	return oids;
}

/* Forgets which databases have no extension. */
static void
reset_without(void)
{
	HASHCTL ctl = {.keysize = sizeof(Oid), .entrysize = sizeof(Oid)};

	if (without != NULL)
		hash_destroy(without);
	ctl.hcxt = TopMemoryContext;
	without = hash_create("pg_tenancy databases", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* Is the worker's process gone (or was it never there)? */
static bool
has_stopped(BackgroundWorkerHandle *handle)
{
	pid_t pid;

	return handle == NULL || GetBackgroundWorkerPid(handle, &pid) == BGWH_STOPPED;
}

/*
 * True if a process that has ended is to start with no back-off: it ran long, or it had one thing to
 * do and that is done, which a new index that cannot be compared yet is not.
 */
static bool
may_be_fresh(const Managed *worker, int slot, WorkerRole role)
{
	if (role == ROLE_INSPECT)
		return true;
	if (role == ROLE_VERIFY &&
		pg_atomic_read_u32(&tenancy_shared->databases[slot].moves_to_verify) == 0)
		return true;
	return TimestampDifferenceExceeds(worker->started_at, GetCurrentTimestamp(), STABLE_MS);
}

/* Forgets a process that is gone, and puts its next start off if it failed at once. */
static void
reap(Managed *worker, int slot, WorkerRole role)
{
	WorkerShared *shared = worker_shared(&tenancy_shared->databases[slot], role);
	TimestampTz	  now = GetCurrentTimestamp();
	int			  most = role == ROLE_VERIFY ? VERIFY_DOUBLINGS : 10;

	pfree(worker->handle);
	worker->handle = NULL;
	if (pg_atomic_read_u32(&shared->state) == WORKER_STARTING)
		worker_set_state(shared, WORKER_FAILED);
	if (may_be_fresh(worker, slot, role))
		worker->failures = 0;
	worker->not_before = TimestampTzPlusMilliseconds(
		now, Min((int64) RESTART_FIRST_MS << Min(worker->failures, most), tenancy_retry_max));
	worker->failures++;
}

/* Says once that the server has no room for a worker. */
static void
warn_no_room(void)
{
	if (!room_warned)
		ereport(WARNING, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						  errmsg("out of background worker slots"),
						  errhint("Raise max_worker_processes: pg_tenancy needs one and five for "
								  "each database, six with tenancy.benchmarks.")));
	room_warned = true;
}

/*
 * True if a new index, or a sample of rows, is to be verified now: the interval is over, counted
 * from when the database was seen first, and the sink works.
 */
static bool
verify_is_due(Managed *worker, int slot)
{
	SinkShared *sink = &tenancy_shared->databases[slot].sinks[SINK_SEARCH];
	TimestampTz now = GetCurrentTimestamp();

	if (worker->started_at == 0)
		worker->started_at = now;
	if (pg_atomic_read_u32(&sink->worker.state) != WORKER_RUNNING)
		return false;
	if (pg_atomic_read_u32(&tenancy_shared->databases[slot].moves_to_verify) != 0)
		return true;
	return tenancy_verify_interval > 0 &&
		   TimestampDifferenceExceeds(worker->started_at, now, tenancy_verify_interval * 1000);
}

/* True if a role's process is to run now: those that do not always run have something to do. */
static bool
is_due(Managed *worker, int slot, WorkerRole role)
{
	bool pending;

	if (role == ROLE_VERIFY)
		return verify_is_due(worker, slot);
	return role != ROLE_INSPECT || samples_due(&tenancy_shared->databases[slot], &pending);
}

/* Starts a worker that is due. */
static void
start(Managed *worker, int slot, WorkerRole role)
{
	TimestampTz now = GetCurrentTimestamp();

	if (worker->not_before > now)
		return;
	worker->started_at = now;
	if (worker_start(&tenancy_shared->databases[slot], role, &worker->handle))
		return;
	worker->handle = NULL;
	worker->not_before = TimestampTzPlusMilliseconds(now, SCAN_EVERY_MS);
	warn_no_room();
}

/* Ends a worker; true when it is gone. */
static bool
stop_worker(int slot, WorkerRole role)
{
	Managed *worker = &managed[slot][role];
	pid_t	 pid = worker_pid(worker_shared(&tenancy_shared->databases[slot], role));

	if (worker->handle != NULL && has_stopped(worker->handle))
		reap(worker, slot, role);
	else if (worker->handle != NULL)
		TerminateBackgroundWorker(worker->handle);
	else if (pid != 0)
		(void) kill(pid, SIGTERM); /* an earlier launcher's */
	return worker->handle == NULL && pid == 0;
}

/* Ends a database's workers; true when all are gone. */
static bool
stop_workers(int slot)
{
	bool stopped = true;

	for (int role = 0; role < ROLE_COUNT; role++)
		stopped &= stop_worker(slot, role);
	return stopped;
}

/* Gives a database's place free. */
static void
release_database(int slot)
{
	DatabaseShared *database = &tenancy_shared->databases[slot];

	memset(managed[slot], 0, sizeof(managed[slot]));
	LWLockAcquire(tenancy_shared->lock, LW_EXCLUSIVE);
	database->dboid = InvalidOid;
	database->paused = false;
	pg_atomic_fetch_add_u32(&tenancy_shared->generation, 1);
	LWLockRelease(tenancy_shared->lock);
}

/* Keeps the workers of one place running, or ends them. */
static void
manage_database(int slot)
{
	DatabaseShared *database = &tenancy_shared->databases[slot];
	bool			absent = pg_atomic_read_u32(&database->absent) != 0;
	Oid				dboid = database->dboid;

	if (!OidIsValid(dboid))
		return;
	if (absent || database->paused)
	{
		if (stop_workers(slot) && absent)
		{
			release_database(slot);
			scanned_at = 0; /* it may have been made again: let the probe tell */
		}
		return;
	}
	for (int role = 0; role < ROLE_COUNT; role++)
	{
		Managed *worker = &managed[slot][role];

		if (worker->handle != NULL && has_stopped(worker->handle))
			reap(worker, slot, role);
		if (role == ROLE_STATISTICS && !tenancy_benchmarks)
			(void) stop_worker(slot, role);
		else if (worker->handle == NULL && worker_pid(worker_shared(database, role)) == 0 &&
				 is_due(worker, slot, role))
			start(worker, slot, role);
	}
}

/* Makes a place for a database that has the extension. */
static void
adopt_database(Oid dboid)
{
	DatabaseShared *database;

	LWLockAcquire(tenancy_shared->lock, LW_EXCLUSIVE);
	database = tenancy_shared_find(dboid);
	if (database == NULL)
		database = tenancy_shared_find(InvalidOid);
	if (database != NULL && !OidIsValid(database->dboid))
		tenancy_shared_reset(database, dboid);
	LWLockRelease(tenancy_shared->lock);
	if (database == NULL)
	{
		ereport(WARNING, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						  errmsg("database %u is not synced: no place for it", dboid),
						  errhint("Raise tenancy.max_databases and restart the server.")));
		(void) hash_search(without, &dboid, HASH_ENTER, NULL);
	}
}

/* True if nothing has to be found out about a database. */
static bool
is_known(Oid dboid)
{
	bool known;

	LWLockAcquire(tenancy_shared->lock, LW_SHARED);
	known = tenancy_shared_find(dboid) != NULL;
	LWLockRelease(tenancy_shared->lock);
	return known || hash_search(without, &dboid, HASH_FIND, NULL) != NULL;
}

/* Takes the result of the probe; true if none is running now. */
static bool
end_probe(void)
{
	Oid dboid = tenancy_shared->probe_dboid;

	if (probe == NULL)
		return true;
	if (!has_stopped(probe))
		return false;
	pfree(probe);
	probe = NULL;
	switch (pg_atomic_read_u32(&tenancy_shared->probe_result))
	{
		case PROBE_FOUND:
			adopt_database(dboid);
			break;
		case PROBE_ABSENT:
			if (!probe_stale)
				(void) hash_search(without, &dboid, HASH_ENTER, NULL);
			break;
		default: /* it died: others first, then again */
			(void) hash_search(without, &dboid, HASH_ENTER, NULL);
			probe_failed = true;
			break;
	}
	probe_stale = false;
	return true;
}

/* Sends the probe to the first database of a list that is not known; false: all are. */
static bool
start_probe(List *oids)
{
	ListCell *cell;

	foreach (cell, oids)
	{
		if (is_known(lfirst_oid(cell)))
			continue;
		tenancy_shared->probe_dboid = lfirst_oid(cell);
		pg_atomic_write_u32(&tenancy_shared->probe_result, PROBE_NONE);
		if (!worker_start_probe(lfirst_oid(cell), &probe))
		{
			probe = NULL;
			warn_no_room();
			scanned_at = GetCurrentTimestamp();
		}
		return true;
	}
	return false;
}

/* Frees the places of databases that are no more. */
static void
release_dropped(List *oids)
{
	for (int slot = 0; slot < tenancy_shared->ndatabases; slot++)
	{
		Oid dboid = tenancy_shared->databases[slot].dboid;

		if (OidIsValid(dboid) && !list_member_oid(oids, dboid) && stop_workers(slot))
			release_database(slot);
	}
}

/* Looks for databases that came or went. */
static void
scan_databases(void)
{
	List		 *oids;
	MemoryContext context = CurrentMemoryContext;

	tenancy_tx_begin("pg_tenancy: looking for databases");
	oids = list_databases(context);
	tenancy_tx_commit();
	MemoryContextSwitchTo(context);
	release_dropped(oids);
	if (start_probe(oids))
		return;
	scanned_at = GetCurrentTimestamp();
	if (probe_failed)
		reset_without();
	probe_failed = false;
}

/* One turn of the launcher. */
static void
turn(void)
{
	if (pg_atomic_exchange_u32(&tenancy_shared->rescan, 0) != 0)
	{
		reset_without();
		scanned_at = 0;
		probe_stale = probe != NULL; /* it may have looked too early */
	}
	if (end_probe() && TimestampDifferenceExceeds(scanned_at, GetCurrentTimestamp(), SCAN_EVERY_MS))
		scan_databases();
	for (int slot = 0; slot < tenancy_shared->ndatabases; slot++)
		manage_database(slot);
}

/* The launcher goes. */
static void
on_exit_detach(int code, Datum arg)
{
	worker_detach(&tenancy_shared->launcher);
}

/* Prepares the process. */
static void
prepare(void)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	(void) worker_attach(&tenancy_shared->launcher);
	before_shmem_exit(on_exit_detach, (Datum) 0);
	managed =
		MemoryContextAllocZero(TopMemoryContext, tenancy_shared->ndatabases * sizeof(*managed));
	reset_without();
}

/* Entry point of the launcher. */
void
tenancy_launcher_main(Datum arg)
{
	MemoryContext loop_context;

	prepare();
	loop_context =
		AllocSetContextCreate(TopMemoryContext, "pg_tenancy launcher loop", ALLOCSET_DEFAULT_SIZES);
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		MemoryContextSwitchTo(loop_context);
		turn();
		MemoryContextSwitchTo(TopMemoryContext);
		MemoryContextReset(loop_context);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 probe ? TURN_MS / 10 : TURN_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}
