/*
 * statistics_shape.h
 *		Notices that a benchmark table is not what it was when its rows were counted.
 */
#ifndef TENANCY_STATISTICS_SHAPE_H
#define TENANCY_STATISTICS_SHAPE_H

#include "sync/sink_worker.h"

/* A relation's shape may have changed; InvalidOid: any relation's. */
extern void statistics_shape_note(Oid relid);
extern bool statistics_shape_pending(void);
/* Looks at what was noted; true if it did. */
extern bool statistics_shape_pump(SinkWorker *worker);

#endif
