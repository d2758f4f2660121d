/*
 * sink_worker.c
 *		One sink's worker process: makes the sink agree with the tables.
 *
 * The loop never blocks: it drains the ring into the dirty set, sends what the
 * lanes have room for, and waits on its latch and the sink's sockets.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "common/compat.h"
#include "common/guc.h"
#include "common/spi.h"
#include "sync/backlog.h"
#include "sync/batch.h"
#include "sync/dead_letter.h"
#include "sync/doc_time.h"
#include "sync/hold.h"
#include "sync/index_move.h"
#include "sync/key.h"
#include "sync/pause.h"
#include "sync/reached.h"
#include "sync/resync.h"
#include "sync/shape.h"
#include "sync/sink_worker.h"
#include "sync/statistics.h"
#include "sync/statistics_shape.h"
#include "sync/sync_table.h"
#include "sync/target.h"

#define DRAIN_RECORDS 10000
#define DROP_KEYS 1000 /* at a time */
#define IDLE_MS 1000
#define PROVISION_EVERY_MS 1000

static const SinkDriver *const drivers[SINK_COUNT] = {&search_sink_driver, &cache_sink_driver,
													  &statistics_sink_driver};

static bool config_changed = true; /* since tenants without indices were looked for */

/* Everything remembered from the registry is asked for anew. */
static void
forget_config(SinkWorker *worker)
{
	config_changed = true;
	target_flush();
	dirty_review(worker->dirty, InvalidOid);
	hold_sweep();
	index_move_wake();
	pause_look();
	if (worker->driver->config_changed != NULL)
		worker->driver->config_changed();
	resync_wake();
}

/* The capture worker begins a stream: the one we wait for, or a later one. */
static void
on_start(SinkWorker *worker, const RingRecord *record)
{
	int epoch;

	if (record->relid < (Oid) worker->stream)
		return;
	worker->received = Max(worker->received, record->lsn);
	tenancy_tx_begin("pg_tenancy: starting a stream");
	epoch = sink_state_epoch();
	tenancy_tx_commit();
	if (epoch != worker->epoch) /* an alarm about versions is over, unless it shows again */
		worker->regressed = false;
	worker->epoch = epoch;
	worker->streaming = true;
	sink_state_check(worker);
	forget_config(worker);
	shape_note(InvalidOid);
	statistics_shape_note(InvalidOid);
	resync_after(GetFlushRecPtr(NULL));
}

/* Marks what a record names. */
static void
mark_record(SinkWorker *worker, const RingRecord *record, DirtyKind kind)
{
	DirtyKey key = {.kind = kind,
					.relid = record->relid,
					.schema = record->schema,
					.key = worker->key,
					.key_length = record->key_length,
					.lsn = record->lsn,
					.xid = record->xid,
					.commit_time = record->commit_time};

	if (worker->driver->configured() || !sink_state_is_off())
		dirty_mark(worker->dirty, &key);
}

/* Acts on one record of the stream. */
static void
on_record(SinkWorker *worker, const RingRecord *record)
{
	switch ((RingKind) record->kind)
	{
		case RING_START:
			on_start(worker, record);
			break;
		case RING_KEY:
			mark_record(worker, record, DIRTY_ROW);
			break;
		case RING_TABLE:
			mark_record(worker, record, DIRTY_TABLE);
			break;
		case RING_PARENTS:
			mark_record(worker, record, DIRTY_PARENTS);
			break;
		case RING_FORGET:
			if (worker->kind == SINK_CACHE)
				mark_record(worker, record, DIRTY_TENANT);
			break;
		case RING_CONFIG:
			forget_config(worker);
			break;
		case RING_RESYNC:
			resync_look();
			break;
		case RING_SHAPE:
			if (worker->kind == SINK_STATISTICS)
				statistics_shape_note(record->relid);
			else
				shape_note(record->relid);
			break;
		case RING_LSN:
			break;
	}
	if (record->kind != RING_START)
		worker->received = Max(worker->received, record->lsn);
}

/* Wakes the capture worker if it waits for room in a ring. */
static void
tell_room(SinkWorker *worker)
{
	pg_memory_barrier();
	if (pg_atomic_read_u32(&worker->database->capture_stuck) != 0 &&
		pg_atomic_exchange_u32(&worker->database->capture_stuck, 0) != 0)
		worker_wake(&worker->database->capture);
}

/* Empties the ring into the dirty set while that has room; true if there may be more. */
static bool
drain(SinkWorker *worker)
{
	RingRecord record;
	int		   n = 0;

	while (n < DRAIN_RECORDS && dirty_memory(worker->dirty) < (Size) tenancy_dirty_mem * 1024 &&
		   ring_get(worker->shared->ring, &record, &worker->key, &worker->key_room))
	{
		n++;
		if (worker->streaming || record.kind == RING_START)
			on_record(worker, &record);
	}
	if (n > 0)
		tell_room(worker);
	return n == DRAIN_RECORDS;
}

/* True if tables may be others than they were when the sink got their rows. */
static bool
shapes_pending(SinkWorker *worker)
{
	return worker->kind == SINK_STATISTICS ? statistics_shape_pending() : shape_pending();
}

/* Says how far the sink agrees, and wakes who waits for that; capture looks by itself, often enough. */
static void
publish(SinkWorker *worker)
{
	uint64		acked = worker->received;
	uint64		oldest = 0;
	TimestampTz commit_time = 0;

	pace_publish(worker);
	if (!worker->streaming)
		return;
	if (dirty_oldest(worker->dirty, &oldest, &commit_time))
		acked = Min(acked, oldest);
	pg_atomic_write_u64(
		&worker->shared->resyncing,
		worker->driver->configured() &&
			(resync_pending() || shapes_pending(worker) || backlog_waited_for() > 0));
	pg_atomic_write_u64(&worker->shared->received, worker->received);
	pg_atomic_write_u64(&worker->shared->oldest, (uint64) commit_time);
	pg_atomic_write_u64(&worker->shared->held, hold_count());
	if (backlog_waited_for() == 0)
		pg_atomic_write_u64(&worker->shared->settled, acked);
	pg_atomic_write_u64(&worker->shared->dirty, dirty_count(worker->dirty) + backlog_count());
	if (acked <= pg_atomic_read_u64(&worker->shared->acked))
		return;
	pg_atomic_write_u64(&worker->shared->acked, acked);
	ConditionVariableBroadcast(&worker->shared->acked_cv);
}

/* Shows in the status view what the sink's connection is like. */
static void
show_health(SinkWorker *worker)
{
	const char *error = NULL;
	SinkHealth	health;
	WorkerState state = WORKER_RUNNING;
	WorkerState before = pg_atomic_read_u32(&worker->shared->worker.state);

	if (!worker->driver->configured())
	{
		worker_set_state(&worker->shared->worker, WORKER_DISABLED);
		return;
	}
	health = worker->driver->health(&error);
	if (health == SINK_UNREACHABLE)
		state = WORKER_UNREACHABLE;
	else if (health == SINK_UNAUTHORIZED || worker->denied)
		state = WORKER_UNAUTHORIZED;
	else if (worker->paused)
		state = WORKER_PAUSED;
	else if (health == SINK_CONNECTING || !worker->streaming)
		state = WORKER_STARTING;
	else if (worker->regressed)
		state = WORKER_VERSION_REGRESSED;
	if (state != before && error != NULL && health != SINK_READY)
		worker_set_error(&worker->shared->worker, error);
	worker_set_state(&worker->shared->worker, state);
}

/* The sink has no URL: forgets what waits for it, so that the WAL is let go. */
static void
drop_keys(SinkWorker *worker)
{
	DirtyEntry *entries[DROP_KEYS];
	int			n;

	while ((n = dirty_take_longest(worker->dirty, DROP_KEYS, entries)) > 0)
	{
		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < n; i++)
			dirty_done(worker->dirty, entries[i]);
	}
}

/* Ends batches that were answered and starts new ones; true if anything moved. */
static bool
run_lanes(SinkWorker *worker)
{
	const char *error = NULL;
	bool ready = worker->enabled && !worker->paused && worker->driver->health(&error) == SINK_READY;
	bool moved = false;
	uint64 oldest = target_age() + 1;
	int	   first = worker->pace.turn;

	pace_tick(worker);
	for (int i = 0; i < worker->nlanes; i++)
	{
		SyncLane *lane = &worker->lanes[(first + i) % worker->nlanes];

		if (lane->busy && worker->driver->finished(&lane->batch))
		{
			batch_finish(worker, lane);
			moved = true;
		}
		if (ready && dirty_has_work(worker->dirty, lane->number) && pace_may_start(worker, lane))
			moved |= batch_start(worker, lane);
		if (lane->busy)
			oldest = Min(oldest, lane->age);
	}
	target_sweep(oldest);
	if (!worker->driver->configured() && sink_state_is_off() && dirty_count(worker->dirty) > 0)
		drop_keys(worker);
	return moved;
}

/* The sooner of two times, 0 being never. */
static inline TimestampTz
sooner(TimestampTz a, TimestampTz b)
{
	return a == 0 ? b : b == 0 ? a : Min(a, b);
}

/* Milliseconds until something has to be looked at without an event. */
static long
wait_time(SinkWorker *worker)
{
	TimestampTz next = dirty_next_unpark(worker->dirty);
	long		wait = IDLE_MS;
	long		driver_wait = worker->driver->timeout();

	next = sooner(next, resync_due());
	next = sooner(next, pace_due(worker));
	if (worker->enabled)
		next = sooner(next, index_move_due());
	if (worker->enabled)
		next = sooner(next, shape_due());
	if (next != 0)
		wait = Min(wait, TimestampDifferenceMilliseconds(GetCurrentTimestamp(), next) + 1);
	if (driver_wait >= 0)
		wait = Min(wait, driver_wait);
	return wait;
}

/* Waits for the latch, the sink's sockets or the time. */
static void
wait_for_work(SinkWorker *worker)
{
	static uint32 wait_event = 0;
	pgsocket	  fd = worker->driver->event_fd();
	int			  events = WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH;

	if (wait_event == 0)
		wait_event = compat_wait_event("TenancySinkMain");
	if (fd != PGINVALID_SOCKET)
		events |= WL_SOCKET_READABLE;
	(void) WaitLatchOrSocket(MyLatch, events, fd, wait_time(worker), wait_event);
	ResetLatch(MyLatch);
}

/* Settings may have changed: the driver connects anew if its own did. */
static void
reload(SinkWorker *worker)
{
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	worker->driver->open();
	pace_stop_waiting(worker);
	if (worker->driver->configured())
		worker->enabled = false; /* until it is known whether it is the same server */
	sink_state_check(worker);
}

/* Makes the index rows that tenants lack. */
static void
provision(void *arg)
{
	tenancy_sync_provision_missing();
}

/* Tenants may have come without index rows, from a dump: makes these, once in a while. */
static void
provision_missing(SinkWorker *worker)
{
	static TimestampTz done_at = 0;

	if (!config_changed || worker->kind != SINK_SEARCH ||
		!TimestampDifferenceExceeds(done_at, GetCurrentTimestamp(), PROVISION_EVERY_MS))
		return;
	done_at = GetCurrentTimestamp();
	config_changed =
		!tenancy_tx_try("pg_tenancy: looking for tenants without indices", provision, NULL);
}

/* Shows what the sink's own work met. */
static void
show_trouble(SinkWorker *worker)
{
	const char *text = worker->driver->trouble != NULL ? worker->driver->trouble() : NULL;

	if (text != NULL)
		worker_set_error(&worker->shared->worker, text);
}

/* One chunk is open at a time: the backlog and the resyncs take turns, as either may go on for hours. */
static bool
pump_chunks(SinkWorker *worker)
{
	static bool resync_first = false;
	bool		moved = false;

	resync_first = !resync_first;
	if (resync_first)
		moved = resync_pump(worker);
	moved |= backlog_pump(worker);
	if (!resync_first)
		moved |= resync_pump(worker);
	return moved;
}

/* Things to do at every turn besides the lanes; true if anything moved. */
static bool
chores(SinkWorker *worker)
{
	bool moved = false;

	if (ConfigReloadPending)
		reload(worker);
	worker->driver->poll();
	if (worker->streaming)
		sink_state_check(worker);
	pause_check(worker);
	provision_missing(worker);
	if (worker->enabled && !worker->paused && worker->driver->housekeep())
	{
		moved = true;
		target_flush(); /* an index that is there now is written to from now on */
		resync_wake();	/* an index made again asks for its rows */
		index_move_wake();
	}
	if (worker->kind == SINK_SEARCH && doc_time_expire())
		resync_unblock();
	show_trouble(worker);
	moved |= backlog_spill(worker);
	if (worker->kind == SINK_STATISTICS)
		moved |= statistics_shape_pump(worker);
	else
		moved |= shape_pump(worker);
	moved |= index_move_pump(worker);
	moved |= pump_chunks(worker);
	show_health(worker);
	return moved;
}

/* Asks the capture worker for a stream from the last confirmed position. */
static void
request_stream(SinkWorker *worker)
{
	ring_discard(worker->shared->ring);
	worker->stream = pg_atomic_add_fetch_u64(&worker->shared->wanted_stream, 1);
	worker->received = pg_atomic_read_u64(&worker->shared->acked);
	worker_wake(&worker->database->capture);
}

/* Prepares the process. */
static SinkWorker *
make_worker(DatabaseShared *database, SinkKind kind)
{
	SinkWorker *worker = MemoryContextAllocZero(TopMemoryContext, sizeof(SinkWorker));

	worker->kind = kind;
	worker->driver = drivers[kind];
	worker->database = database;
	worker->shared = &database->sinks[kind];
	worker->key_room = 1024;
	worker->key = MemoryContextAlloc(TopMemoryContext, worker->key_room);
	batch_init_lanes(worker, kind == SINK_SEARCH ? tenancy_search_lanes : 1);
	pace_init(worker);
	worker->dirty = dirty_create(worker->nlanes, hold_until);
	return worker;
}

/* Runs until the process is told to end. */
void
sink_worker_run(DatabaseShared *database, SinkKind kind)
{
	SinkWorker	 *worker = make_worker(database, kind);
	MemoryContext loop_context =
		AllocSetContextCreate(TopMemoryContext, "pg_tenancy sink loop", ALLOCSET_DEFAULT_SIZES);

	target_init(kind);
	shape_init();
	request_stream(worker); /* first: capture must not wait for a worker that fails below */
	dead_letter_load(worker);
	backlog_load(worker);
	sink_state_expect(worker->driver);
	worker->driver->open();
	for (;;)
	{
		bool moved;

		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(loop_context);
		MemoryContextReset(loop_context);
		moved = drain(worker);
		moved |= chores(worker);
		moved |= run_lanes(worker);
		publish(worker);
		reached_look(worker);
		if (!moved)
			wait_for_work(worker);
	}
}
