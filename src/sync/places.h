/*
 * places.h
 *		Keys whose documents go to more than one index.
 */
#ifndef TENANCY_PLACES_H
#define TENANCY_PLACES_H

#include "sync/sink_worker.h"

/* places_outcome.c: leaves one item for each key of an answered batch. */
extern void places_fold(SinkWorker *worker, SyncLane *lane);

#endif
