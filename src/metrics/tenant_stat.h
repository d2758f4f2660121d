/*
 * tenant_stat.h
 *		What each tenant's statements cost, in shared memory.
 */
#ifndef TENANCY_TENANT_STAT_H
#define TENANCY_TENANT_STAT_H

#include "postgres.h"

#include "storage/lwlock.h"

/* Cost of a statement, or of a part of one. */
typedef struct StatementCost
{
	uint64 calls;
	uint64 rows;
	uint64 microseconds;
	uint64 wal_records;
	uint64 wal_bytes;
} StatementCost;

/* tenant_stat.c */
extern Size tenant_stat_shmem_size(void);
extern void tenant_stat_shmem_init(LWLock *lock);
extern bool tenant_stat_is_on(void);
extern void tenant_stat_add(Oid schema, const StatementCost *cost);
extern void tenant_stat_forget(Oid database, Oid schema);

/* statement_cost.c */
extern void tenant_stat_hooks_init(void);

#endif
