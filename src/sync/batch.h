/*
 * batch.h
 *		From dirty keys to a request, and from its outcome back to the dirty set.
 */
#ifndef TENANCY_BATCH_H
#define TENANCY_BATCH_H

#include "sync/sink_worker.h"

/* How long keys wait whose index is not there yet. */
#define PARK_NO_INDEX_MS 500
/* How long keys wait whose dead letter somebody has locked. */
#define PARK_LETTER_MS 1000

/* batch.c */
extern void batch_init_lanes(SinkWorker *worker, int nlanes);
extern bool batch_start(SinkWorker *worker, SyncLane *lane);
/* outcome.c */
extern void batch_finish(SinkWorker *worker, SyncLane *lane);
extern bool batch_all_after(SinkWorker *worker, uint64 fence);

#endif
