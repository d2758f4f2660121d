/*
 * backlog.h
 *		Dirty keys that do not fit into memory.
 */
#ifndef TENANCY_BACKLOG_H
#define TENANCY_BACKLOG_H

#include "sync/sink_worker.h"

extern void	  backlog_load(SinkWorker *worker);
extern void	  backlog_spill(SinkWorker *worker);
extern bool	  backlog_pump(SinkWorker *worker);
extern void	  backlog_clear(SinkWorker *worker);
extern uint64 backlog_count(void);

#endif
