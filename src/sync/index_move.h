/*
 * index_move.h
 *		Takes indices that are being replaced from phase to phase.
 */
#ifndef TENANCY_INDEX_MOVE_H
#define TENANCY_INDEX_MOVE_H

#include "sync/sink_worker.h"

/* tenancy.index_move may have something to do. */
extern void index_move_wake(void);
/* When it should be looked at, 0: there is no move. */
extern TimestampTz index_move_due(void);
/* Looks at it if that is due; true if it did. */
extern bool index_move_pump(SinkWorker *worker);

#endif
