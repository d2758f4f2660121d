/*
 * shared.c
 *		What the workers of one database share, and the views read.
 *
 * Only counters, states, latches and the rings live here; sockets and handles
 * never do.
 */
#include "postgres.h"

#include <sys/stat.h>

#include "access/xlog.h"
#include "catalog/pg_control.h"
#include "common/controldata_utils.h"
#include "miscadmin.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "common/guc.h"
#include "sync/shared.h"

SyncShared *tenancy_shared = NULL;

/* Bytes of one ring. */
static Size
ring_bytes(void)
{
	return MAXALIGN(offsetof(Ring, data) + (Size) tenancy_ring_size * 1024);
}

/* Bytes of all that is shared. */
Size
tenancy_shared_size(void)
{
	Size rings = mul_size(tenancy_max_databases * SINK_COUNT, ring_bytes());
	Size databases = mul_size(tenancy_max_databases, sizeof(DatabaseShared));

	return add_size(add_size(MAXALIGN(sizeof(SyncShared)), MAXALIGN(databases)), rings);
}

/* Sets a worker's part to its first state. */
static void
init_worker(WorkerShared *worker)
{
	SpinLockInit(&worker->mutex);
	pg_atomic_init_u32(&worker->state, WORKER_STOPPED);
}

/* Sets the lanes of a sink to their first state. */
static void
init_lanes(SinkShared *sink)
{
	pg_atomic_init_u32(&sink->nlanes, 0);
	pg_atomic_init_u32(&sink->lanes_allowed, 0);
	for (int i = 0; i < TENANCY_LANES_MAX; i++)
	{
		pg_atomic_init_u32(&sink->lanes[i].state, LANE_IDLE);
		pg_atomic_init_u32(&sink->lanes[i].limit_actions, 0);
		pg_atomic_init_u32(&sink->lanes[i].limit_bytes, 0);
		pg_atomic_init_u32(&sink->lanes[i].in_flight, 0);
		pg_atomic_init_u32(&sink->lanes[i].last_ms, 0);
	}
}

/* Sets a sink's part to its first state. */
static void
init_sink(SinkShared *sink, Ring *ring)
{
	init_worker(&sink->worker);
	pg_atomic_init_u64(&sink->wanted_stream, 0);
	pg_atomic_init_u64(&sink->received, 0);
	pg_atomic_init_u64(&sink->acked, 0);
	pg_atomic_init_u64(&sink->settled, 0);
	pg_atomic_init_u64(&sink->control, 0);
	pg_atomic_init_u64(&sink->control_seen, 0);
	pg_atomic_init_u64(&sink->paused, 0);
	pg_atomic_init_u64(&sink->doubtful, 1);
	pg_atomic_init_u64(&sink->held, 0);
	pg_atomic_init_u64(&sink->oldest, 0);
	pg_atomic_init_u64(&sink->resyncing, 0);
	pg_atomic_init_u64(&sink->dirty, 0);
	pg_atomic_init_u64(&sink->docs, 0);
	pg_atomic_init_u64(&sink->deletes, 0);
	pg_atomic_init_u64(&sink->retries, 0);
	pg_atomic_init_u64(&sink->conflicts, 0);
	pg_atomic_init_u64(&sink->dead, 0);
	pg_atomic_init_u64(&sink->verified_at, 0);
	pg_atomic_init_u64(&sink->verified, 0);
	pg_atomic_init_u64(&sink->missing, 0);
	pg_atomic_init_u64(&sink->stale, 0);
	pg_atomic_init_u64(&sink->ghosts, 0);
	ConditionVariableInit(&sink->acked_cv);
	init_lanes(sink);
	sink->ring = ring;
	ring_init(ring, tenancy_ring_size * 1024);
}

/* Sets one database's part to its first state; rings lie behind the array. */
static void
init_database(DatabaseShared *database, char *rings)
{
	init_worker(&database->capture);
	init_worker(&database->verify);
	pg_atomic_init_u32(&database->absent, 0);
	pg_atomic_init_u32(&database->capture_asleep, 0);
	pg_atomic_init_u32(&database->committed, 0);
	pg_atomic_init_u32(&database->capture_stuck, 0);
	for (int i = 0; i < UNENDING_MAX; i++)
	{
		pg_atomic_init_u32(&database->unending[i].relid, InvalidOid);
		pg_atomic_init_u64(&database->unending[i].at, 0);
	}
	for (int i = 0; i < FORGETTING_PLACES; i++)
	{
		pg_atomic_init_u32(&database->forgetting[i].committing, 0);
		pg_atomic_init_u64(&database->forgetting[i].end, 0);
	}
	pg_atomic_init_u32(&database->next_unending, 0);
	pg_atomic_init_u32(&database->moves_to_verify, 0);
	init_worker(&database->inspector);
	SpinLockInit(&database->samples_mutex);
	for (int i = 0; i < SAMPLE_WINDOWS * SAMPLE_VERDICTS; i++)
		pg_atomic_init_u64(&database->inspected[0][0] + i, 0);
	SpinLockInit(&database->reached_mutex);
	pg_atomic_init_u64(&database->captured, 0);
	pg_atomic_init_u64(&database->confirmed, 0);
	for (int kind = 0; kind < SINK_COUNT; kind++)
		init_sink(&database->sinks[kind], (Ring *) (rings + kind * ring_bytes()));
}

/*
 * True unless the server was stopped cleanly as a primary: after a crash, or a promotion later on, it may
 * lack commits that were seen.
 */
static bool
may_lack_commits(void)
{
	bool			 is_valid;
	ControlFileData *control = get_controlfile(DataDir, &is_valid);
	struct stat		 buf;
	bool			 clean = is_valid && control->state == DB_SHUTDOWNED;

	pfree(control);
	return !clean || stat(STANDBY_SIGNAL_FILE, &buf) == 0 || stat(RECOVERY_SIGNAL_FILE, &buf) == 0;
}

/* Makes or finds the shared memory; called with AddinShmemInitLock held. */
void
tenancy_shared_init(void)
{
	bool  found;
	char *base = ShmemInitStruct("pg_tenancy", tenancy_shared_size(), &found);
	char *rings;

	tenancy_shared = (SyncShared *) base;
	if (found)
		return;
	memset(base, 0, tenancy_shared_size());
	tenancy_shared->lock = &(GetNamedLWLockTranche("pg_tenancy"))->lock;
	init_worker(&tenancy_shared->launcher);
	pg_atomic_init_u32(&tenancy_shared->rescan, 0);
	pg_atomic_init_u32(&tenancy_shared->generation, 1);
	pg_atomic_init_u32(&tenancy_shared->probe_result, PROBE_NONE);
	tenancy_shared->may_lack = may_lack_commits();
	tenancy_shared->ndatabases = tenancy_max_databases;
	tenancy_shared->databases = (DatabaseShared *) (base + MAXALIGN(sizeof(SyncShared)));
	rings = (char *) tenancy_shared->databases +
			MAXALIGN(tenancy_max_databases * sizeof(DatabaseShared));
	for (int i = 0; i < tenancy_max_databases; i++)
		init_database(&tenancy_shared->databases[i], rings + i * SINK_COUNT * ring_bytes());
}

/* Part of a database, or NULL; the caller holds SyncShared.lock. */
DatabaseShared *
tenancy_shared_find(Oid dboid)
{
	for (int i = 0; i < tenancy_shared->ndatabases; i++)
		if (tenancy_shared->databases[i].dboid == dboid)
			return &tenancy_shared->databases[i];
	return NULL;
}

/* Forgets the errors of the database that had the place before. */
static void
reset_worker(WorkerShared *worker)
{
	SpinLockAcquire(&worker->mutex);
	worker->last_error[0] = '\0';
	worker->last_error_at = 0;
	SpinLockRelease(&worker->mutex);
	worker_set_state(worker, WORKER_STOPPED);
}

/* Sets what the last database left behind back; the caller holds SyncShared.lock. */
void
tenancy_shared_reset(DatabaseShared *database, Oid dboid)
{
	reset_worker(&database->capture);
	reset_worker(&database->verify);
	reset_worker(&database->inspector);
	memset(database->samples, 0, sizeof(database->samples));
	for (int i = 0; i < SAMPLE_WINDOWS * SAMPLE_VERDICTS; i++)
		pg_atomic_write_u64(&database->inspected[0][0] + i, 0);
	database->lack_told = false;
	pg_atomic_write_u32(&database->absent, 0);
	pg_atomic_write_u64(&database->captured, 0);
	pg_atomic_write_u64(&database->confirmed, 0);
	for (int kind = 0; kind < SINK_COUNT; kind++)
	{
		SinkShared *sink = &database->sinks[kind];

		reset_worker(&sink->worker);
		pg_atomic_write_u64(&sink->received, 0);
		pg_atomic_write_u64(&sink->acked, 0);
		pg_atomic_write_u64(&sink->settled, 0);
		pg_atomic_write_u64(&sink->paused, 0);
		pg_atomic_write_u64(&sink->doubtful, 1);
		pg_atomic_write_u64(&sink->held, 0);
		pg_atomic_write_u64(&sink->oldest, 0);
		pg_atomic_write_u64(&sink->resyncing, 0);
		pg_atomic_write_u64(&sink->dirty, 0);
		pg_atomic_write_u64(&sink->docs, 0);
		pg_atomic_write_u64(&sink->deletes, 0);
		pg_atomic_write_u64(&sink->retries, 0);
		pg_atomic_write_u64(&sink->conflicts, 0);
		pg_atomic_write_u64(&sink->dead, 0);
		pg_atomic_write_u32(&sink->nlanes, 0);
		pg_atomic_write_u64(&sink->verified_at, 0);
	}
	SpinLockAcquire(&database->reached_mutex);
	database->reached[0] = '\0';
	SpinLockRelease(&database->reached_mutex);
	database->paused = false;
	database->dboid = dboid;
	pg_atomic_fetch_add_u32(&tenancy_shared->generation, 1);
}

/* Part of the current database, or NULL if it has none (yet). */
DatabaseShared *
tenancy_shared_mine(void)
{
	DatabaseShared *mine;

	if (tenancy_shared == NULL)
		return NULL;
	LWLockAcquire(tenancy_shared->lock, LW_SHARED);
	mine = tenancy_shared_find(MyDatabaseId);
	LWLockRelease(tenancy_shared->lock);
	return mine;
}

/* This process is the worker from now on; false if another one is. */
bool
worker_attach(WorkerShared *worker)
{
	bool is_free;

	SpinLockAcquire(&worker->mutex);
	is_free = worker->pid == 0;
	if (is_free)
	{
		worker->pid = MyProcPid;
		worker->latch = MyLatch;
	}
	SpinLockRelease(&worker->mutex);
	if (is_free)
		worker_set_state(worker, WORKER_STARTING);
	return is_free;
}

/* Process of the worker, 0: none. */
pid_t
worker_pid(WorkerShared *worker)
{
	pid_t pid;

	SpinLockAcquire(&worker->mutex);
	pid = worker->pid;
	SpinLockRelease(&worker->mutex);
	return pid;
}

/* This process is the worker no more. */
void
worker_detach(WorkerShared *worker)
{
	SpinLockAcquire(&worker->mutex);
	if (worker->pid == MyProcPid)
	{
		worker->pid = 0;
		worker->latch = NULL;
	}
	SpinLockRelease(&worker->mutex);
}

/* Shows a state in tenancy.stat_sync. */
void
worker_set_state(WorkerShared *worker, WorkerState state)
{
	pg_atomic_write_u32(&worker->state, state);
}

/* Shows an error in tenancy.stat_sync. */
void
worker_set_error(WorkerShared *worker, const char *text)
{
	TimestampTz now = GetCurrentTimestamp();

	SpinLockAcquire(&worker->mutex);
	strlcpy(worker->last_error, text, SHARED_ERROR_MAX);
	worker->last_error_at = now;
	SpinLockRelease(&worker->mutex);
}

/* Makes a worker look at once. */
void
worker_wake(WorkerShared *worker)
{
	Latch *latch;

	SpinLockAcquire(&worker->mutex);
	latch = worker->latch;
	SpinLockRelease(&worker->mutex);
	if (latch != NULL)
		SetLatch(latch);
}

/* Word that the views show. */
const char *
worker_state_name(WorkerState state)
{
	static const char *const names[] = {
		"stopped",	   "starting",	   "running",			"disabled",			 "paused",
		"unreachable", "unauthorized", "version_regressed", "wal_level too low", "failed",
	};

	return state < lengthof(names) ? names[state] : "unknown";
}

/* Word that the views show. */
const char *
worker_lane_state_name(LaneState state)
{
	static const char *const names[] = {"idle", "in flight", "backing off", "held back"};

	return state < lengthof(names) ? names[state] : "unknown";
}
