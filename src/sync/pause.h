/*
 * pause.h
 *		What operators have paused, in a sink's worker.
 */
#ifndef TENANCY_PAUSE_H
#define TENANCY_PAUSE_H

#include "sync/sink_worker.h"

extern void pause_look(void);
extern void pause_check(SinkWorker *worker);
extern bool pause_covers(Oid schema);
extern bool pause_covers_any(void);

#endif
