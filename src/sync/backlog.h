/*
 * backlog.h
 *		Dirty keys that do not fit into memory, or must not hold back the WAL.
 */
#ifndef TENANCY_BACKLOG_H
#define TENANCY_BACKLOG_H

#include "sync/sink_worker.h"

/* backlog.c */
extern void	  backlog_load(SinkWorker *worker);
extern void	  backlog_clear(SinkWorker *worker);
extern void	  backlog_forget(void);
extern bool	  backlog_pump(SinkWorker *worker);
extern void	  backlog_added(DirtyEntry **entries, int n);
extern uint64 backlog_count(void);
extern uint64 backlog_waited_for(void);
extern bool	  backlog_has(Oid relid);
/* spill.c */
extern bool backlog_spill(SinkWorker *worker);

#endif
