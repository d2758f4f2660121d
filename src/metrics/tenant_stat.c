/*
 * tenant_stat.c
 *		tenancy.stat_tenants: what each tenant's statements cost, in shared memory.
 *
 * An entry is found by the schema, which a tenant keeps when it is renamed.  Whoever adds to
 * an entry holds the lock shared, whoever makes or removes one exclusively.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "common/guc.h"
#include "metrics/tenant_stat.h"

#define STAT_COLUMNS 7

typedef struct StatKey
{
	Oid database;
	Oid schema; /* InvalidOid: tenants for whom there was no room */
} StatKey;

typedef struct StatEntry
{
	StatKey			 key;
	TimestampTz		 since;
	pg_atomic_uint64 calls;
	pg_atomic_uint64 rows;
	pg_atomic_uint64 microseconds;
	pg_atomic_uint64 wal_records;
	pg_atomic_uint64 wal_bytes;
} StatEntry;

static HTAB	  *entries = NULL;
static LWLock *entries_lock;

PG_FUNCTION_INFO_V1(tenancy_tenant_statistics);
PG_FUNCTION_INFO_V1(tenancy_tenant_statistics_reset);

/* Shared memory that is needed. */
Size
tenant_stat_shmem_size(void)
{
	return hash_estimate_size(tenancy_stat_tenants_max, sizeof(StatEntry));
}

/* Makes or finds it; without room for anybody there is none. */
void
tenant_stat_shmem_init(LWLock *lock)
{
	HASHCTL control = {.keysize = sizeof(StatKey), .entrysize = sizeof(StatEntry)};

	if (tenancy_stat_tenants_max == 0)
		return;
	entries_lock = lock;
	entries = ShmemInitHash("pg_tenancy statistics", tenancy_stat_tenants_max,
							tenancy_stat_tenants_max, &control, HASH_ELEM | HASH_BLOBS);
}

/* True if statements are to be counted. */
bool
tenant_stat_is_on(void)
{
	return entries != NULL && tenancy_track_tenants;
}

/* Makes an entry of nothing, under the exclusive lock. */
static StatEntry *
make_entry(StatKey *key)
{
	bool	   found;
	StatEntry *entry = hash_search(entries, key, HASH_ENTER_NULL, &found);

	if (entry == NULL || found)
		return entry;
	entry->since = GetCurrentTimestamp();
	pg_atomic_init_u64(&entry->calls, 0);
	pg_atomic_init_u64(&entry->rows, 0);
	pg_atomic_init_u64(&entry->microseconds, 0);
	pg_atomic_init_u64(&entry->wal_records, 0);
	pg_atomic_init_u64(&entry->wal_bytes, 0);
	return entry;
}

/* True if there is only the place left that is everybody else's. */
static bool
is_full(void)
{
	return hash_get_num_entries(entries) >= tenancy_stat_tenants_max - 1;
}

/* Finds or makes an entry, and leaves the lock held; the last place is everybody else's. */
static StatEntry *
lock_entry(Oid schema)
{
	StatKey	   key = {.database = MyDatabaseId, .schema = schema};
	StatEntry *entry;

	LWLockAcquire(entries_lock, LW_SHARED);
	entry = hash_search(entries, &key, HASH_FIND, NULL);
	if (entry == NULL && is_full())
	{
		key.schema = InvalidOid;
		entry = hash_search(entries, &key, HASH_FIND, NULL);
	}
	if (entry != NULL)
		return entry;
	LWLockRelease(entries_lock);
	LWLockAcquire(entries_lock, LW_EXCLUSIVE);
	if (is_full())
		key.schema = InvalidOid;
	return make_entry(&key);
}

/* Adds what a statement cost. */
void
tenant_stat_add(Oid schema, const StatementCost *cost)
{
	StatEntry *entry = lock_entry(schema);

	if (entry != NULL)
	{
		pg_atomic_fetch_add_u64(&entry->calls, cost->calls);
		pg_atomic_fetch_add_u64(&entry->rows, cost->rows);
		pg_atomic_fetch_add_u64(&entry->microseconds, cost->microseconds);
		pg_atomic_fetch_add_u64(&entry->wal_records, cost->wal_records);
		pg_atomic_fetch_add_u64(&entry->wal_bytes, cost->wal_bytes);
	}
	LWLockRelease(entries_lock);
}

/* Removes the entry of a schema, or all of a database (schema: InvalidOid). */
static void
remove_entries(Oid database, Oid schema)
{
	HASH_SEQ_STATUS scan;
	StatEntry	   *entry;

	LWLockAcquire(entries_lock, LW_EXCLUSIVE);
	hash_seq_init(&scan, entries);
	while ((entry = hash_seq_search(&scan)) != NULL)
		if (entry->key.database == database && (!OidIsValid(schema) || entry->key.schema == schema))
			(void) hash_search(entries, &entry->key, HASH_REMOVE, NULL);
	LWLockRelease(entries_lock);
}

/* Gives back the place of a schema, or the places of a database, that is dropped. */
void
tenant_stat_forget(Oid database, Oid schema)
{
	if (entries != NULL)
		remove_entries(database, schema);
}

/* One row of the view. */
static void
put_entry(ReturnSetInfo *result, StatEntry *entry)
{
	bool  nulls[STAT_COLUMNS] = {false};
	Datum values[STAT_COLUMNS] = {
		ObjectIdGetDatum(entry->key.schema),
		Int64GetDatum(pg_atomic_read_u64(&entry->calls)),
		Int64GetDatum(pg_atomic_read_u64(&entry->rows)),
		Float8GetDatum(pg_atomic_read_u64(&entry->microseconds) / 1000.0),
		Int64GetDatum(pg_atomic_read_u64(&entry->wal_records)),
		Int64GetDatum(pg_atomic_read_u64(&entry->wal_bytes)),
		TimestampTzGetDatum(entry->since),
	};

	nulls[0] = !OidIsValid(entry->key.schema);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* Every entry of this database. */
Datum
tenancy_tenant_statistics(PG_FUNCTION_ARGS)
{
	HASH_SEQ_STATUS scan;
	StatEntry	   *entry;

	InitMaterializedSRF(fcinfo, 0);
	if (entries == NULL)
		return (Datum) 0;
	LWLockAcquire(entries_lock, LW_SHARED);
	hash_seq_init(&scan, entries);
	while ((entry = hash_seq_search(&scan)) != NULL)
		if (entry->key.database == MyDatabaseId)
			put_entry((ReturnSetInfo *) fcinfo->resultinfo, entry);
	LWLockRelease(entries_lock);
	return (Datum) 0;
}

/* Forgets one schema, or (null) all of this database. */
Datum
tenancy_tenant_statistics_reset(PG_FUNCTION_ARGS)
{
	if (entries != NULL)
		remove_entries(MyDatabaseId, PG_ARGISNULL(0) ? InvalidOid : PG_GETARG_OID(0));
	PG_RETURN_VOID();
}
