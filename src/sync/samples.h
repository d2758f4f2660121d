/*
 * samples.h
 *		Rows whose cache keys were unlinked a moment ago, for the inspector to look at again.
 */
#ifndef TENANCY_SAMPLES_H
#define TENANCY_SAMPLES_H

#include "sync/shared.h"

/* Called by the cache sink's worker for each row whose keys were unlinked. */
extern void samples_note(DatabaseShared *database, const SinkItem *item);
/* True if one is to be looked at now; *pending: there are any. */
extern bool samples_due(DatabaseShared *database, bool *pending);
/* Takes one that is due: its copy, and the number of the window it is due in; false: there is none. */
extern bool samples_take(DatabaseShared *database, CacheSample *sample, int *window);

#endif
