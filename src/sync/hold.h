/*
 * hold.h
 *		Relations that are held back, so that the others go on.
 */
#ifndef TENANCY_HOLD_H
#define TENANCY_HOLD_H

#include "sync/sink_worker.h"

/* After an answered batch: holds relations and lets go; returns the failed items that are the whole sink's. */
extern int hold_judge(SinkWorker *worker, SyncLane *lane);

extern TimestampTz hold_until(Oid relid, Oid schema);
extern bool		   hold_is_long(Oid relid, Oid schema);
extern bool		   hold_exists(Oid relid);
extern bool		   hold_keeps_scan(Oid relid, Oid schema);
extern uint64	   hold_count(void);
extern void		   hold_sweep(void);

#endif
