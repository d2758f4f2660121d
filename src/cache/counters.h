/*
 * counters.h
 *		Shared memory of what is counted for each tenant.
 */
#ifndef TENANCY_CACHE_COUNTERS_H
#define TENANCY_CACHE_COUNTERS_H

extern Size cache_counters_shmem_size(void);
/* Called with AddinShmemInitLock held; without it nothing is counted. */
extern void cache_counters_shmem_init(void);

#endif
