/*
 * capture.c
 *		The capture worker: from the WAL to dirty keys.
 *
 * It never reads a user's table: while it decodes, VACUUM does not respect its
 * snapshots.  What it reads of the registry while decoding are user_catalog_tables.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "replication/slot.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "capture/capture.h"
#include "capture/identity.h"
#include "capture/slot.h"
#include "capture/standby.h"
#include "common/compat.h"
#include "common/guc.h"
#include "common/spi.h"
#include "sync/key.h"

#define SAVE_EVERY_MS 1000
#define CHECK_EVERY_MS 1000
#define IDLE_CHECK_MS 10000
#define BUSY_MS 1000 /* after WAL was read, look often for so long */
#define BUSY_WAIT_MS 10
#define IDLE_WAIT_MS 200
#define COUNT_MS 100
#define CROWD 100 /* wake-ups within COUNT_MS from which on naps are taken */
#define NAP_MS 1
#define EMPTY_NAPS 10 /* in which nothing came: the crowd is over */

Capture *capture_decoding = NULL;

/* Has so much time passed since? */
static inline bool
has_passed(TimestampTz since, int ms)
{
	return TimestampDifferenceExceeds(since, GetCurrentTimestamp(), ms);
}

/* Notices sinks that began anew: what they had in memory has to be decoded again. */
static bool
restart_wanted(void *arg)
{
	Capture *capture = arg;

	for (int i = 0; i < SINK_COUNT; i++)
		if (pg_atomic_read_u64(&capture->database->sinks[i].wanted_stream) != capture->streams[i])
			capture->restart = true;
	return capture->restart;
}

/* Waits until a sink has made room in its ring. */
static void
wait_for_room(Capture *capture, SinkKind kind)
{
	worker_wake(&capture->database->sinks[kind].worker);
	InvalidateCatalogSnapshot(); /* it would hold back VACUUM while we sleep */
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 100,
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* Gives a sink a record; after a restart was asked for, records are dropped. */
void
capture_put(Capture *capture, SinkKind kind, RingRecord *record, const char *key)
{
	Ring *ring = capture->database->sinks[kind].ring;

	if (capture->left_out[kind])
		return;
	if (!ring_fits(ring, record->key_length))
	{
		worker_set_error(&capture->database->capture, "a key is larger than tenancy.ring_size");
		return;
	}
	while (!capture->restart && !ring_put(ring, record, key))
	{
		pg_atomic_write_u32(&capture->database->capture_stuck, 1);
		pg_memory_barrier();
		if (ring_put(ring, record, key))
			return;
		wait_for_room(capture, kind);
		(void) restart_wanted(capture);
	}
}

/* Tells a sink that everything up to lsn has been sent; skipped when there is no room. */
static void
announce(Capture *capture, SinkKind kind, uint64 lsn)
{
	RingRecord	record = {.kind = RING_LSN, .lsn = lsn};
	SinkShared *sink = &capture->database->sinks[kind];

	if (!ring_put(sink->ring, &record, NULL))
		capture->announced = 0;
	worker_wake(&sink->worker);
}

/* Tells every sink. */
static void
announce_all(Capture *capture, uint64 lsn)
{
	pg_atomic_write_u64(&capture->database->captured, lsn);
	if (lsn == capture->announced)
		return;
	capture->announced = lsn;
	capture->moved_at = GetCurrentTimestamp();
	for (int i = 0; i < SINK_COUNT; i++)
		if (!capture->left_out[i])
			announce(capture, i, lsn);
}

/* Notes how far every sink agrees; what they wrote down instead is in the WAL by then. */
static void
settle(Capture *capture)
{
	uint64 acked = PG_UINT64_MAX;

	for (int i = 0; i < SINK_COUNT; i++)
		if (!capture->left_out[i])
			acked = Min(acked, pg_atomic_read_u64(&capture->database->sinks[i].acked));
	if (acked <= capture->settled)
		return;
	capture->settled = acked;
	capture->settled_at = GetFlushRecPtr(NULL);
}

/* Lets go of the WAL that every sink agrees about, once standbys that are waited for know. */
static void
confirm(Capture *capture)
{
	if (capture->settled <= capture->confirmed)
		settle(capture);
	if (capture->settled > capture->confirmed &&
		standby_fence(&capture->database->capture) >= capture->settled_at)
	{
		slot_confirm(capture->settled);
		capture->confirmed = capture->settled;
		pg_atomic_write_u64(&capture->database->confirmed, capture->settled);
	}
	if (capture->confirmed != capture->saved && has_passed(capture->saved_at, SAVE_EVERY_MS))
	{
		slot_save();
		capture->saved = capture->confirmed;
		capture->saved_at = GetCurrentTimestamp();
	}
}

/*
 * Commits that come so fast that waking us would cost them more than short naps cost us get
 * these instead, until nothing comes any more.
 */
static void
heed_crowd(Capture *capture)
{
	bool more = pg_atomic_exchange_u32(&capture->database->committed, 0) != 0;

	if (capture->naps > 0)
		capture->naps = more ? EMPTY_NAPS : capture->naps - 1;
	else if (has_passed(capture->counted_at, COUNT_MS))
	{
		capture->naps = capture->wakes >= CROWD ? EMPTY_NAPS : 0;
		capture->counted_at = GetCurrentTimestamp();
		capture->wakes = 0;
	}
}

/* How long to sleep at the most. */
static long
sleep_time(const Capture *capture)
{
	if (capture->naps > 0)
		return NAP_MS;
	return has_passed(capture->moved_at, BUSY_MS) ? IDLE_WAIT_MS : BUSY_WAIT_MS;
}

/* Sleeps until a commit, an answer of a sink, or for a while. */
static void
wait_for_wal(Capture *capture, XLogRecPtr position)
{
	static uint32	  wait_event = 0;
	pg_atomic_uint32 *asleep = &capture->database->capture_asleep;
	bool			  nap;

	heed_crowd(capture);
	nap = capture->naps > 0;
	if (wait_event == 0)
		wait_event = compat_wait_event("TenancyCaptureMain");
	pg_atomic_write_u32(asleep, nap ? 0 : 1);
	pg_memory_barrier();
	if (nap || standby_fence(&capture->database->capture) <= position)
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 sleep_time(capture), wait_event);
	if (!nap && pg_atomic_exchange_u32(asleep, 0) == 0)
		capture->wakes++;
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* Is the extension in this database? */
static bool
extension_exists(void)
{
	bool exists;

	tenancy_tx_begin("pg_tenancy: looking for the extension");
	exists = tenancy_extension_exists();
	tenancy_tx_commit();
	return exists;
}

/* Is the extension the one that the slot was made for? */
static bool
is_current(const char *slot)
{
	char name[NAMEDATALEN];
	bool exists;

	tenancy_tx_begin("pg_tenancy: looking for the extension");
	exists = slot_name(name);
	tenancy_tx_commit();
	return exists && strcmp(name, slot) == 0;
}

/* Writes that nothing is owed to the statistics: being switched on, they get all rows anew. */
static void
leave_statistics_out(void *arg)
{
	SpiScope scope;

	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec("UPDATE tenancy.sink SET enabled = false"
					 " WHERE name = 'statistics' AND enabled",
					 0, NULL, NULL, NULL);
	tenancy_spi_end(&scope);
}

/* Statistics have no worker while they are off: they are left out when that is written down. */
static void
choose_sinks(Capture *capture)
{
	capture->left_out[SINK_STATISTICS] =
		!tenancy_benchmarks &&
		tenancy_tx_try("pg_tenancy: leaving a sink out", leave_statistics_out, NULL);
}

/* Begins a stream for every sink at the slot's confirmed position. */
static void
start_streams(Capture *capture)
{
	choose_sinks(capture);
	capture->restart = false;
	capture->identity_changed = false;
	capture->announced = 0;
	for (int i = 0; i < SINK_COUNT; i++)
	{
		SinkShared *sink = &capture->database->sinks[i];

		capture->streams[i] = pg_atomic_read_u64(&sink->wanted_stream);
		capture->skip_to[i] = pg_atomic_read_u64(&sink->acked);
	}
}

/* Puts the start of its stream into every ring. */
static void
put_starts(Capture *capture)
{
	uint64 confirmed = MyReplicationSlot->data.confirmed_flush;

	capture->settled = capture->confirmed = capture->saved = confirmed;
	/* registry changes before it are not replayed, but transactions from before may be */
	capture->registry_lsn = Max(capture->registry_lsn, confirmed);
	for (int i = 0; i < SINK_COUNT; i++)
	{
		RingRecord start = {
			.kind = RING_START, .relid = (Oid) capture->streams[i], .lsn = confirmed};

		capture_put(capture, i, &start, NULL);
		worker_wake(&capture->database->sinks[i].worker);
	}
}

/* Reads settings anew when they changed; true: the slot has to be opened again. */
static bool
reload_if_asked(void)
{
	bool failover = tenancy_failover_slot;
	bool benchmarks = tenancy_benchmarks;

	if (!ConfigReloadPending)
		return false;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	return standby_fence_changed() || failover != tenancy_failover_slot ||
		   benchmarks != tenancy_benchmarks;
}

/* Decodes until a sink wants a new stream; false: the extension is gone. */
static bool
stream(Capture *capture, const char *slot)
{
	LogicalDecodingContext *context;
	bool					exists = true;

	start_streams(capture);
	standby_fence_start();
	context = slot_open(slot, capture);
	put_starts(capture);
	worker_set_state(&capture->database->capture, WORKER_RUNNING);
	while (!restart_wanted(capture) && !capture->identity_changed && exists)
	{
		XLogRecPtr end = standby_fence(&capture->database->capture);
		XLogRecPtr position = slot_read(context, end, restart_wanted, capture);

		if (capture->restart)
			break;
		announce_all(capture, position);
		confirm(capture);
		if (reload_if_asked())
			break;
		if (has_passed(capture->checked_at, CHECK_EVERY_MS))
		{
			capture->checked_at = GetCurrentTimestamp();
			exists = is_current(slot);
		}
		wait_for_wal(capture, position);
	}
	slot_close(context);
	return exists;
}

/* This database cannot be decoded: says why, and waits until the extension is gone. */
static void
wait_without_decoding(Capture *capture, WorkerState state, const char *reason)
{
	worker_set_state(&capture->database->capture, state);
	worker_set_error(&capture->database->capture, reason);
	while (extension_exists())
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, IDLE_CHECK_MS,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* Prepares the process. */
static Capture *
make_capture(DatabaseShared *database)
{
	Capture		 *capture = MemoryContextAllocZero(TopMemoryContext, sizeof(Capture));
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	capture->database = database;
	initStringInfo(&capture->key);
	capture->change_context =
		AllocSetContextCreate(TopMemoryContext, "pg_tenancy change", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(old);
	key_pin_settings();
	capture_relation_init();
	return capture;
}

/* Decodes as long as the extension is there. */
static void
capture_while_exists(Capture *capture)
{
	char slot[NAMEDATALEN];
	bool exists;

	tenancy_tx_begin("pg_tenancy: looking for the extension");
	exists = slot_name(slot);
	tenancy_tx_commit();
	if (exists && wal_level < WAL_LEVEL_LOGICAL)
		wait_without_decoding(capture, WORKER_WAL_LEVEL,
							  "wal_level is not logical: set wal_level = logical and restart the "
							  "server");
	else if (exists && GetDatabaseEncoding() != PG_UTF8)
		wait_without_decoding(capture, WORKER_FAILED,
							  "only a database with encoding UTF8 can be synced");
	else if (exists)
	{
		do
			identity_check(slot, &capture->database->capture);
		while (stream(capture, slot) && is_current(slot));
	}
}

/* Runs until the extension is gone from the database, and takes the slot along. */
void
capture_run(DatabaseShared *database)
{
	capture_decoding = make_capture(database);
	capture_while_exists(capture_decoding);
	slot_drop_others(NULL);
	pg_atomic_write_u32(&database->absent, 1);
}
