/*
 * resync.h
 *		Marking whole tables dirty.
 */
#ifndef TENANCY_RESYNC_H
#define TENANCY_RESYNC_H

#include "sync/sink_worker.h"

/* resync_request.c; each needs a transaction */
extern void resync_request_all(const char *sink);
extern void resync_request_rows(const SinkTarget *target, const char *sink);
extern void resync_request_ghosts(const SinkTarget *target, const char *sink);
extern void resync_request_ghosts_of(int64 tenant_id, const char *table_name, const char *sink);
extern void resync_block(const SinkTarget *target, const char *sink, const char *reason);

/* resync.c */
extern bool		   resync_may_be_blocked;
extern void		   resync_wake(void);
extern void		   resync_look(void);
extern void		   resync_after(uint64 lsn);
extern TimestampTz resync_due(void);
extern void		   resync_unblock(void);
extern bool		   resync_pending(void);
extern bool		   resync_pump(SinkWorker *worker);

#endif
