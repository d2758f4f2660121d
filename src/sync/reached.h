/*
 * reached.h
 *		A snapshot whose every change the search server has.
 */
#ifndef TENANCY_REACHED_H
#define TENANCY_REACHED_H

#include "sync/sink_worker.h"

/* Called at every turn of the search sink's worker. */
extern void reached_look(SinkWorker *worker);
/*
 * For backends: what was written by the transactions that it sees is on the search server, though
 * searches may find it only after a refresh; but for tables that tenancy.resync has, and paused
 * tenants.  NULL: not known.
 */
extern char *reached_snapshot(void);

#endif
