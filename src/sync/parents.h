/*
 * parents.h
 *		Rows of a synced table that a row of a joined table is part of.
 *
 * The key of such a mark is the joined table's name, ended by a zero byte, and a part for
 * each column that tenancy.sync_dependency names.
 */
#ifndef TENANCY_PARENTS_H
#define TENANCY_PARENTS_H

#include "sync/sink_worker.h"

/* Key of a RING_TABLE that is about rows too, not just about documents without one. */
#define PARENTS_ALL_ROWS "rows"

extern void parents_append_value(StringInfo key, const char *text);
extern int	parents_mark(SinkWorker *worker, const SinkTarget *target, DirtyEntry **entries, int n,
						 bool *locked);
extern void parents_mark_all(SinkWorker *worker, const DirtyEntry *entry);

#endif
