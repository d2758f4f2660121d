/*
 * counters.c
 *		What is counted for each tenant: reads of the cache, and what was stored.
 *
 * In shared memory, of as many tenants as it has room for; of more, the one that was
 * counted least recently is forgotten.  A call takes a shared lock and adds to one word.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"

#include "cache/cache.h"
#include "cache/counters.h"
#include "common/guc.h"

#define TENANTS_PER_DATABASE 2500

typedef struct CountersKey
{
	uint64 dboid;
	int64  tenant_id;
} CountersKey;

typedef struct Counters
{
	CountersKey		 key;
	pg_atomic_uint64 used; /* TimestampTz */
	pg_atomic_uint64 counts[CACHE_COUNTERS];
} Counters;

typedef struct CountersShared
{
	LWLock	   *lock;
	TimestampTz since;
} CountersShared;

static CountersShared *shared = NULL;
static HTAB			  *tenants = NULL;

/* Tenants that there is room for. */
static long
room(void)
{
	return (long) tenancy_max_databases * TENANTS_PER_DATABASE;
}

/* Shared memory it needs. */
Size
cache_counters_shmem_size(void)
{
	return add_size(MAXALIGN(sizeof(CountersShared)), hash_estimate_size(room(), sizeof(Counters)));
}

/* Finds or makes the shared memory. */
void
cache_counters_shmem_init(void)
{
	HASHCTL ctl = {.keysize = sizeof(CountersKey), .entrysize = sizeof(Counters)};
	bool	found;

	shared = ShmemInitStruct("pg_tenancy cache counters", sizeof(CountersShared), &found);
	if (!found)
	{
		shared->lock = &(GetNamedLWLockTranche("pg_tenancy_cache"))->lock;
		shared->since = GetCurrentTimestamp();
	}
	tenants = ShmemInitHash("pg_tenancy cache counters of tenants", room(), room(), &ctl,
							HASH_ELEM | HASH_BLOBS | HASH_FIXED_SIZE);
}

/* Forgets the tenant that was counted least recently. */
static void
forget_oldest(void)
{
	HASH_SEQ_STATUS scan;
	Counters	   *entry;
	Counters	   *oldest = NULL;

	hash_seq_init(&scan, tenants);
	while ((entry = hash_seq_search(&scan)) != NULL)
		if (oldest == NULL || pg_atomic_read_u64(&entry->used) < pg_atomic_read_u64(&oldest->used))
			oldest = entry;
	if (oldest != NULL)
		hash_search(tenants, &oldest->key, HASH_REMOVE, NULL);
}

/* Makes the counters of a tenant, unless somebody else has. */
static void
make_counters(const CountersKey *key)
{
	Counters *entry;
	bool	  found;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	if (hash_get_num_entries(tenants) >= room() &&
		hash_search(tenants, key, HASH_FIND, NULL) == NULL)
		forget_oldest();
	entry = hash_search(tenants, key, HASH_ENTER_NULL, &found);
	if (entry != NULL && !found)
	{
		pg_atomic_init_u64(&entry->used, (uint64) GetCurrentStatementStartTimestamp());
		for (int i = 0; i < CACHE_COUNTERS; i++)
			pg_atomic_init_u64(&entry->counts[i], 0);
	}
	LWLockRelease(shared->lock);
}

/* Adds one; false: the tenant has no counters yet. */
static bool
try_count(const CountersKey *key, CacheCounter counter)
{
	Counters *entry;

	LWLockAcquire(shared->lock, LW_SHARED);
	entry = hash_search(tenants, key, HASH_FIND, NULL);
	if (entry != NULL)
	{
		pg_atomic_fetch_add_u64(&entry->counts[counter], 1);
		pg_atomic_write_u64(&entry->used, (uint64) GetCurrentStatementStartTimestamp());
	}
	LWLockRelease(shared->lock);
	return entry != NULL;
}

/* Counts something that happened to a tenant's cache. */
void
cache_count(const Tenant *tenant, CacheCounter counter)
{
	CountersKey key = {MyDatabaseId, tenant->id};

	if (shared == NULL || try_count(&key, counter))
		return;
	make_counters(&key);
	(void) try_count(&key, counter);
}

/* What was counted for a tenant. */
bool
cache_counters_read(int64 tenant_id, uint64 *counts, TimestampTz *since)
{
	CountersKey key = {MyDatabaseId, tenant_id};
	Counters   *entry;

	memset(counts, 0, sizeof(uint64) * CACHE_COUNTERS);
	if (shared == NULL)
		return false;
	LWLockAcquire(shared->lock, LW_SHARED);
	entry = hash_search(tenants, &key, HASH_FIND, NULL);
	for (int i = 0; entry != NULL && i < CACHE_COUNTERS; i++)
		counts[i] = pg_atomic_read_u64(&entry->counts[i]);
	LWLockRelease(shared->lock);
	*since = shared->since;
	return true;
}
