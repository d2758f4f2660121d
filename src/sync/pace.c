/*
 * pace.c
 *		How much a sink is asked to take: operations and bytes per request, requests at a time.
 *
 * Additive increase, multiplicative decrease.  Halved when the server says that it is
 * overloaded or does not answer in time; a refused size is remembered for the server as
 * a whole, stayed below, and tried again now and then, more and more rarely.  Fewer lanes
 * may be in flight when requests take much longer than they did: they only queue then.
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "utils/timestamp.h"

#include "common/guc.h"
#include "sync/dirty.h"
#include "sync/pace.h"
#include "sync/sink_worker.h"

#define RETRY_FIRST_MS 100
#define RETRY_AFTER_MAX_MS 3600000
#define BYTES_MIN (16 * 1024)
#define PROBE_FIRST 50
#define PROBE_LAST 3200
#define WINDOW 64		   /* requests over which the best time is kept */
#define REQUEST_COST 65536 /* bytes whose time stands for a request's own */
#define SLOW_FACTOR 4
#define SLOW_MS 200
#define SLOW_IN_A_ROW 3

/* What an answer says about the pace. */
typedef enum PaceVerdict
{
	PACE_WELL,
	PACE_TOO_LARGE, /* split and send again at once */
	PACE_OVERLOAD,	/* less, later */
	PACE_LATER		/* later, but for a reason that size has nothing to do with */
} PaceVerdict;

/* Most bytes per request that the settings allow. */
static Size
most_bytes(void)
{
	return (Size) tenancy_bulk_bytes * 1024;
}

/* Every lane starts with what the settings allow. */
void
pace_init(SinkWorker *worker)
{
	memset(&worker->pace, 0, sizeof(worker->pace));
	worker->pace.lanes = worker->nlanes;
	worker->pace.probe_after = PROBE_FIRST;
	for (int i = 0; i < worker->nlanes; i++)
	{
		worker->lanes[i].pace.actions = tenancy_bulk_actions;
		worker->lanes[i].pace.bytes = most_bytes();
	}
}

/* Operations that the next request of a lane may have; the setting may have been lowered. */
int
pace_actions(const SyncLane *lane)
{
	return Min(lane->pace.actions, tenancy_bulk_actions);
}

/* Bytes that the next request of a lane may have: a little less than what was refused. */
Size
pace_bytes(const SinkWorker *worker, const SyncLane *lane)
{
	Size bytes = Min(lane->pace.bytes, most_bytes());

	if (worker->pace.too_large != 0)
		bytes = Min(bytes, worker->pace.too_large - worker->pace.too_large / 16);
	return Max(bytes, BYTES_MIN);
}

/* True once requests were refused for their size. */
bool
pace_is_strict(const SinkWorker *worker)
{
	return worker->pace.too_large != 0;
}

/* Lanes in flight. */
static int
lanes_busy(const SinkWorker *worker)
{
	int busy = 0;

	for (int i = 0; i < worker->nlanes; i++)
		busy += worker->lanes[i].busy ? 1 : 0;
	return busy;
}

/* True if a time has come. */
static bool
is_past(TimestampTz time)
{
	return time == 0 || time <= GetCurrentTimestamp();
}

/* Ends back-offs whose time has come. */
void
pace_tick(SinkWorker *worker)
{
	if (is_past(worker->pace.not_before))
		worker->pace.not_before = 0;
	for (int i = 0; i < worker->nlanes; i++)
		if (is_past(worker->lanes[i].pace.not_before))
			worker->lanes[i].pace.not_before = 0;
}

/* True if a lane may send a request now. */
bool
pace_may_start(const SinkWorker *worker, const SyncLane *lane)
{
	return !lane->busy && lanes_busy(worker) < (int) worker->pace.lanes &&
		   lane->pace.not_before == 0 && worker->pace.not_before == 0;
}

/* The request of a lane was sent. */
void
pace_started(SyncLane *lane)
{
	INSTR_TIME_SET_CURRENT(lane->pace.started);
}

/* When to try again: exponentially later, not before the server asked, never all at once. */
static TimestampTz
retry_at(const Pace *pace, int64 retry_after_ms)
{
	int64 wait = (int64) RETRY_FIRST_MS << Min(pace->failures, 16);

	wait = Min(wait, tenancy_retry_max);
	wait = Max(wait, Min(retry_after_ms, RETRY_AFTER_MAX_MS));
	wait += (int64) (pg_prng_double(&pg_global_prng_state) * wait / 4);
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), wait);
}

/* Keeps a lane back for a while. */
static void
wait_longer(Pace *pace, int64 retry_after_ms)
{
	pace->not_before = retry_at(pace, retry_after_ms);
	pace->failures++;
}

/* Rows could not be read: the next requests are smaller, and later. */
void
pace_read_failed(SyncLane *lane)
{
	wait_longer(&lane->pace, 0);
	lane->pace.actions = Max(lane->pace.actions / 2, 1);
}

/* Half of what the lane's requests may have. */
static void
halve(Pace *pace)
{
	pace->actions = Max(Min(pace->actions, tenancy_bulk_actions) / 2, 1);
	pace->bytes = Max(Min(pace->bytes, most_bytes()) / 2, BYTES_MIN);
}

/* Fewer requests at a time. */
static void
fewer_lanes(PaceServer *server)
{
	server->lanes = Max(server->lanes / 2, 1);
	server->good = 0;
}

/* The server has enough to do. */
static void
on_overload(SinkWorker *worker, SyncLane *lane)
{
	halve(&lane->pace);
	fewer_lanes(&worker->pace);
	wait_longer(&lane->pace, lane->batch.retry_after_ms);
	if (lane->batch.retry_after_ms > 0)
		worker->pace.not_before = lane->pace.not_before;
}

/* True if it was the size, and not one of the items, that the server did not take. */
static bool
refused_for_size(const SinkBatch *batch)
{
	for (int i = 0; i < batch->nitems; i++)
		if (batch->items[i].outcome == SINK_TOO_LARGE)
			return batch->items[i].status == 413;
	return false;
}

/* A request was refused for its size, or as a whole, for one of its items nobody knows which. */
static void
on_too_large(SinkWorker *worker, SyncLane *lane)
{
	PaceServer *server = &worker->pace;
	Pace	   *pace = &lane->pace;

	pace->actions = Max(lane->batch.nitems / 2, 1);
	if (!refused_for_size(&lane->batch))
		return;
	pace->bytes = Max(lane->batch.bytes / 2, BYTES_MIN);
	if (server->too_large == 0 || lane->batch.bytes < server->too_large)
		server->too_large = lane->batch.bytes;
	server->probe_after = Min(server->probe_after * 2, PROBE_LAST);
	server->good = 0;
}

/* Raises what is thought to be too large, after many requests that went well. */
static void
probe_up(PaceServer *server)
{
	if (server->too_large == 0 || server->good < server->probe_after)
		return;
	server->good = 0;
	server->probe_after = Max(server->probe_after / 2, PROBE_FIRST);
	server->too_large += server->too_large / 4;
	if (server->too_large > 2 * most_bytes())
		server->too_large = 0;
}

/* True if a request took much longer than the best of late; keeps the best. */
static bool
is_slow(PaceServer *server, double ms, Size bytes)
{
	double cost = ms / (bytes + REQUEST_COST);
	double best = server->best[0];

	if (best == 0 || (server->best[1] != 0 && server->best[1] < best))
		best = server->best[1];
	if (server->best[1] == 0 || cost < server->best[1])
		server->best[1] = cost;
	if (++server->window >= WINDOW)
	{
		server->best[0] = server->best[1];
		server->best[1] = 0;
		server->window = 0;
	}
	return best != 0 && ms > SLOW_MS && cost > SLOW_FACTOR * best;
}

/*
 * Looks at the time that a request took.  One that used half of the time-out would soon
 * run into it; several slow ones mean that requests wait for each other.
 */
static void
heed_time(SinkWorker *worker, SyncLane *lane)
{
	Pace *pace = &lane->pace;

	if (pace->last_ms > tenancy_search_timeout / 2)
		halve(pace);
	if (!is_slow(&worker->pace, pace->last_ms, lane->batch.bytes))
		pace->slow = 0;
	else if (++pace->slow >= SLOW_IN_A_ROW)
	{
		fewer_lanes(&worker->pace);
		pace->slow = 0;
	}
}

/* A little more of everything. */
static void
on_well(SinkWorker *worker, SyncLane *lane)
{
	PaceServer *server = &worker->pace;
	Pace	   *pace = &lane->pace;

	pace->failures = 0;
	server->good++;
	pace->actions = Min(tenancy_bulk_actions, pace->actions + Max(tenancy_bulk_actions / 10, 1));
	pace->bytes = Min(most_bytes(), pace->bytes + Max(most_bytes() / 20, 1));
	server->lanes = Min(worker->nlanes, server->lanes + 1 / server->lanes);
	probe_up(server);
	heed_time(worker, lane);
}

/* What one item says about the pace. */
static PaceVerdict
judge_item(const SinkBatch *batch, const SinkItem *item)
{
	switch (item->outcome)
	{
		case SINK_TOO_LARGE:
			return PACE_TOO_LARGE;
		case SINK_DENIED:
			return PACE_LATER;
		case SINK_AGAIN:
			if (batch->unreachable)
				return batch->timed_out ? PACE_OVERLOAD : PACE_LATER;
			/* 403 is only sent again where it stands for 429 */
			return item->status == 429 || item->status == 503 || item->status == 403 ||
						   item->status == 408 || item->status == 504
					   ? PACE_OVERLOAD
					   : PACE_LATER;
		default:
			return PACE_WELL; /* an index that is missing is waited for by its keys alone */
	}
}

/*
 * What the items together say: overload wins.  Where each failed item is of a relation
 * that is held back by itself, only "too many requests" is the whole server's.
 */
static PaceVerdict
judge(const SinkBatch *batch, int faults)
{
	PaceVerdict verdict = PACE_WELL;

	for (int i = 0; i < batch->nitems && verdict != PACE_OVERLOAD; i++)
	{
		PaceVerdict one = judge_item(batch, &batch->items[i]);

		if (faults == 0 && batch->items[i].status != 429)
			one = PACE_WELL;
		if (one == PACE_OVERLOAD || verdict == PACE_WELL)
			verdict = one;
	}
	return verdict;
}

/* Takes an answered batch into account. */
void
pace_ended(SinkWorker *worker, SyncLane *lane, int faults)
{
	instr_time now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, lane->pace.started);
	lane->pace.last_ms = (uint32) INSTR_TIME_GET_MILLISEC(now);
	switch (judge(&lane->batch, faults))
	{
		case PACE_WELL:
			on_well(worker, lane);
			break;
		case PACE_TOO_LARGE:
			on_too_large(worker, lane);
			break;
		case PACE_OVERLOAD:
			on_overload(worker, lane);
			break;
		case PACE_LATER:
			wait_longer(&lane->pace, lane->batch.retry_after_ms);
			break;
	}
	worker->pace.turn = (lane->number + 1) % worker->nlanes;
}

/* Ends every back-off. */
void
pace_stop_waiting(SinkWorker *worker)
{
	worker->pace.not_before = 0;
	for (int i = 0; i < worker->nlanes; i++)
		worker->lanes[i].pace.not_before = 0;
}

/* When a lane that waits may go on, 0: none waits. */
TimestampTz
pace_due(const SinkWorker *worker)
{
	TimestampTz due = 0;

	for (int i = 0; i < worker->nlanes; i++)
	{
		TimestampTz one = Max(worker->lanes[i].pace.not_before, worker->pace.not_before);

		if (one != 0 && (due == 0 || one < due))
			due = one;
	}
	return due;
}

/* What a lane is doing. */
static LaneState
lane_state(const SinkWorker *worker, const SyncLane *lane)
{
	if (lane->busy)
		return LANE_IN_FLIGHT;
	if (lane->pace.not_before != 0 || worker->pace.not_before != 0)
		return LANE_BACKING_OFF;
	if (dirty_has_work(worker->dirty, lane->number) && !pace_may_start(worker, lane))
		return LANE_HELD_BACK;
	return LANE_IDLE;
}

/* Shows it in tenancy.stat_sync_lanes. */
void
pace_publish(SinkWorker *worker)
{
	for (int i = 0; i < worker->nlanes; i++)
	{
		SyncLane   *lane = &worker->lanes[i];
		LaneShared *shown = &worker->shared->lanes[i];

		pg_atomic_write_u32(&shown->state, lane_state(worker, lane));
		pg_atomic_write_u32(&shown->limit_actions, pace_actions(lane));
		pg_atomic_write_u32(&shown->limit_bytes, (uint32) pace_bytes(worker, lane));
		pg_atomic_write_u32(&shown->in_flight, lane->busy ? lane->batch.nitems : 0);
		pg_atomic_write_u32(&shown->last_ms, lane->pace.last_ms);
	}
	pg_atomic_write_u32(&worker->shared->lanes_allowed, (uint32) worker->pace.lanes);
	pg_atomic_write_u32(&worker->shared->nlanes, worker->nlanes);
}
