/*
 * resync.h
 *		Marking whole tables dirty.
 */
#ifndef TENANCY_RESYNC_H
#define TENANCY_RESYNC_H

#include "sync/sink_worker.h"

extern void resync_request_all(const char *sink);
extern void resync_request_ghosts(const SinkTarget *target);
extern void resync_wake(void);
extern bool resync_pending(void);
extern bool resync_pump(SinkWorker *worker);

#endif
