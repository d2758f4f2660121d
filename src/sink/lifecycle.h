/*
 * lifecycle.h
 *		Does to indices what the phases of their lifecycle policy say.
 */
#ifndef TENANCY_LIFECYCLE_H
#define TENANCY_LIFECYCLE_H

#include "sink/sink.h"

/* One turn of the work; opens its own transactions.  True: call again. */
extern bool lifecycle_housekeep(void);
/* Milliseconds after which that has something to do without an event, -1: never. */
extern long lifecycle_timeout(void);
/* Policies may have changed. */
extern void lifecycle_wake(void);
/* Forgets what is under way; the table still has it. */
extern void lifecycle_reset(void);
/* Lifts the readonly of indices that refused a late change, with the next turn. */
extern void lifecycle_note_blocked(const SinkBatch *batch);

#endif
