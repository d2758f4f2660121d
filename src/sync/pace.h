/*
 * pace.h
 *		How much a sink is asked to take: operations and bytes per request, requests at a time.
 */
#ifndef TENANCY_PACE_H
#define TENANCY_PACE_H

#include "datatype/timestamp.h"
#include "portability/instr_time.h"

#include "sink/sink.h"

struct SinkWorker;
struct SyncLane;

/* What a lane may send. */
typedef struct Pace
{
	int			actions;	/* operations per request */
	Size		bytes;		/* per request */
	int			failures;	/* in a row */
	TimestampTz not_before; /* back-off, 0: none */
	instr_time	started;	/* of the request in flight */
	int			slow;		/* requests in a row that took much longer than they could */
	uint32		last_ms;	/* of the last request */
} Pace;

/* What was learned about the server as a whole. */
typedef struct PaceServer
{
	double		lanes;		 /* that may be in flight, at least 1 */
	int			turn;		 /* lane that is asked first */
	Size		too_large;	 /* smallest request that was refused for its size, 0: none */
	int			good;		 /* requests since too_large or lanes was changed by a refusal */
	int			probe_after; /* good requests until too_large is raised a little */
	double		best[2];	 /* least time per byte in the window before and in this one, 0: none */
	int			window;		 /* requests in this one */
	TimestampTz not_before;	 /* the server asked for it, 0: no */
} PaceServer;

extern void pace_init(struct SinkWorker *worker);
/* What the next request of a lane may have. */
extern int	pace_actions(const struct SyncLane *lane);
extern Size pace_bytes(const struct SinkWorker *worker, const struct SyncLane *lane);
/* True once requests were refused for their size: they should stay below pace_bytes. */
extern bool pace_is_strict(const struct SinkWorker *worker);

/* Ends back-offs whose time has come; once in each turn, before lanes are asked. */
extern void pace_tick(struct SinkWorker *worker);
extern bool pace_may_start(const struct SinkWorker *worker, const struct SyncLane *lane);
extern void pace_started(struct SyncLane *lane);
/* Takes an answered batch into account; faults: failed items that no relation is held for. */
extern void pace_ended(struct SinkWorker *worker, struct SyncLane *lane, int faults);
/* Rows of a lane could not be read. */
extern void pace_read_failed(struct SyncLane *lane);
/* Settings were read again: whoever did that does not want to wait. */
extern void pace_stop_waiting(struct SinkWorker *worker);
/* When a lane that waits may go on, 0: none waits. */
extern TimestampTz pace_due(const struct SinkWorker *worker);
/* Shows it in tenancy.stat_sync_lanes. */
extern void pace_publish(struct SinkWorker *worker);

#endif
