/*
 * dead_letter.h
 *		Rows that a sink refused.
 */
#ifndef TENANCY_DEAD_LETTER_H
#define TENANCY_DEAD_LETTER_H

#include "sync/sink_worker.h"

extern void dead_letter_load(SinkWorker *worker);
extern void dead_letter_write(SinkWorker *worker, const DirtyEntry *entry, int64 tenant_id,
							  int status, const char *reason, uint64 version);
extern bool dead_letter_known(SinkWorker *worker, const DirtyEntry *entry);
extern bool dead_letter_remove(SinkWorker *worker, const DirtyEntry *entry);
extern void dead_letter_forget(SinkWorker *worker, const DirtyEntry *entry);

#endif
