/*
 * shmem.c
 *		Asks for shared memory at server start.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#include "cache/counters.h"
#include "cache/hot.h"
#include "metrics/tenant_stat.h"
#include "sink/breaker.h"
#include "sync/shared.h"
#include "worker/worker.h"

static shmem_request_hook_type next_request_hook = NULL;
static shmem_startup_hook_type next_startup_hook = NULL;

/* Says how much is needed. */
static void
on_shmem_request(void)
{
	if (next_request_hook)
		next_request_hook();
	RequestAddinShmemSpace(add_size(tenancy_shared_size(), breaker_shmem_size()));
	RequestAddinShmemSpace(tenant_stat_shmem_size());
	RequestAddinShmemSpace(add_size(cache_counters_shmem_size(), hot_shmem_size()));
	RequestNamedLWLockTranche("pg_tenancy", 2);
	RequestNamedLWLockTranche("pg_tenancy_cache", 1);
}

/* Makes or finds it. */
static void
on_shmem_startup(void)
{
	if (next_startup_hook)
		next_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	tenancy_shared_init();
	breaker_shmem_init();
	tenant_stat_shmem_init(&GetNamedLWLockTranche("pg_tenancy")[1].lock);
	cache_counters_shmem_init();
	hot_shmem_init();
	LWLockRelease(AddinShmemInitLock);
}

/* Installs the hooks; called while shared_preload_libraries is processed. */
void
worker_shmem_init(void)
{
	next_request_hook = shmem_request_hook;
	shmem_request_hook = on_shmem_request;
	next_startup_hook = shmem_startup_hook;
	shmem_startup_hook = on_shmem_startup;
}
