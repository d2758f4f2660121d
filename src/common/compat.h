/*
 * compat.h
 *		Differences between PostgreSQL 15, 16, 17 and 18, and nothing else.
 *
 * No other file tests PG_VERSION_NUM.
 */
#ifndef TENANCY_COMPAT_H
#define TENANCY_COMPAT_H

#include "postgres.h"

#if PG_VERSION_NUM < 150000 || PG_VERSION_NUM >= 190000
#error "pg_tenancy supports PostgreSQL 15 to 18"
#endif

#include "access/genam.h"
#include "catalog/pg_database.h"
#include "catalog/pg_namespace.h"
#include "parser/parse_relation.h"
#include "replication/message.h"
#include "replication/reorderbuffer.h"
#include "replication/slot.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/guc_tables.h"
#include "utils/wait_event.h"

#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/*
 * 17 knows failover slots: standbys keep a copy (synced), and changes may be held back until
 * the standbys of synchronized_standby_slots have them.  On 15 and 16 none of this happens.
 */
#if PG_VERSION_NUM >= 170000
#define COMPAT_FAILOVER_SLOTS true
#define compat_slot_create(name, failover) \
	ReplicationSlotCreate(name, true, RS_EPHEMERAL, false, failover, false)
#define compat_slot_failover(slot) ((slot)->data.failover)
#define compat_slot_synced(slot) ((slot)->data.synced)
#define compat_standby_slots() (synchronized_standby_slots)
#define compat_standbys_have(lsn, elevel) StandbySlotsHaveCaughtup(lsn, elevel)
#else
#define COMPAT_FAILOVER_SLOTS false
#define compat_slot_create(name, failover) ReplicationSlotCreate(name, true, RS_EPHEMERAL, false)
#define compat_slot_failover(slot) false
#define compat_slot_synced(slot) false
#define compat_standby_slots() NULL
#define compat_standbys_have(lsn, elevel) true
#endif

/* 18 can change two_phase too. */
#if PG_VERSION_NUM >= 180000
#define compat_slot_set_failover(name, failover) ReplicationSlotAlter(name, &(failover), NULL)
#elif PG_VERSION_NUM >= 170000
#define compat_slot_set_failover(name, failover) ReplicationSlotAlter(name, failover)
#else
#define compat_slot_set_failover(name, failover) ((void) 0)
#endif

/* 18 adds error_if_invalid. */
#if PG_VERSION_NUM >= 180000
#define compat_slot_acquire(name) ReplicationSlotAcquire(name, false, true)
#else
#define compat_slot_acquire(name) ReplicationSlotAcquire(name, false)
#endif

/* Before 17 a decoded tuple is wrapped in a ReorderBufferTupleBuf. */
#if PG_VERSION_NUM >= 170000
#define compat_change_tuple(buf) (buf)
#else
#define compat_change_tuple(buf) ((buf) ? &(buf)->tuple : NULL)
#endif

#define compat_commit_time(txn) ((txn)->xact_time.commit_time)

/* 16 unified the ownership checks. */
#if PG_VERSION_NUM >= 160000
#define compat_database_ownercheck(dboid, roleid) \
	object_ownercheck(DatabaseRelationId, dboid, roleid)
#else
#define compat_database_ownercheck(dboid, roleid) pg_database_ownercheck(dboid, roleid)
#endif

#if PG_VERSION_NUM >= 160000
#define compat_schema_aclcheck(nspoid, roleid, mode) \
	object_aclcheck(NamespaceRelationId, nspoid, roleid, mode)
#else
#define compat_schema_aclcheck(nspoid, roleid, mode) pg_namespace_aclcheck(nspoid, roleid, mode)
#endif

/* 18 asks whether to instrument the index scan. */
#if PG_VERSION_NUM >= 180000
#define compat_index_beginscan(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, NULL, nkeys, 0)
#else
#define compat_index_beginscan(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, nkeys, 0)
#endif

/* 17 lets a worker be one of a role that cannot log in. */
#if PG_VERSION_NUM >= 170000
#define COMPAT_WORKER_OF_ANY_ROLE BGWORKER_BYPASS_ROLELOGINCHECK
#else
#define COMPAT_WORKER_OF_ANY_ROLE 0
#endif

/* 17 names an extension's wait events in pg_stat_activity. */
#if PG_VERSION_NUM >= 170000
#define compat_wait_event(name) WaitEventExtensionNew(name)
#else
#define compat_wait_event(name) PG_WAIT_EXTENSION
#endif

/* 17 can flush the message too. */
#if PG_VERSION_NUM >= 170000
#define compat_log_message(prefix, data, length, transactional) \
	LogLogicalMessage(prefix, data, length, transactional, false)
#else
#define compat_log_message(prefix, data, length, transactional) \
	LogLogicalMessage(prefix, data, length, transactional)
#endif

/* 16 keeps privileges apart from the range table. */
#if PG_VERSION_NUM >= 160000
#define COMPAT_CHECK_PERMS_ARGUMENTS List *range_table, List *privileges, bool raise
#define COMPAT_CHECK_PERMS_PASS range_table, privileges, raise
#define COMPAT_PRIVILEGES List *privileges
#define COMPAT_PRIVILEGES_PASS privileges
#define compat_required_privileges(entry) \
	((entry)->perminfoindex != 0 ? getRTEPermissionInfo(privileges, entry)->requiredPerms : 0)
#define compat_updated_columns(entry) \
	((entry)->perminfoindex != 0 ? getRTEPermissionInfo(privileges, entry)->updatedCols : NULL)
#else
#define COMPAT_CHECK_PERMS_ARGUMENTS List *range_table, bool raise
#define COMPAT_CHECK_PERMS_PASS range_table, raise
#define COMPAT_PRIVILEGES const void *privileges
#define COMPAT_PRIVILEGES_PASS NULL
#define compat_required_privileges(entry) ((entry)->requiredPerms)
#define compat_updated_columns(entry) ((entry)->updatedCols)
#endif

/* 18 runs no plan twice, so that nobody has to say so. */
#if PG_VERSION_NUM >= 180000
#define COMPAT_RUN_ARGUMENTS QueryDesc *query, ScanDirection direction, uint64 count
#define COMPAT_RUN_PASS query, direction, count
#else
#define COMPAT_RUN_ARGUMENTS \
	QueryDesc *query, ScanDirection direction, uint64 count, bool execute_once
#define COMPAT_RUN_PASS query, direction, count, execute_once
#endif

/* 16 finds the record of a setting; it has to exist. */
#if PG_VERSION_NUM >= 160000
#define compat_find_setting(name) find_option(name, false, false, ERROR)
#else
static inline struct config_generic *
compat_find_setting(const char *name)
{
	struct config_generic **settings = get_guc_variables();
	int						n = 0;

	while (strcmp(settings[n]->name, name) != 0)
		n++;
	return settings[n];
}
#endif

/* Number of this backend's transaction. */
#if PG_VERSION_NUM >= 170000
#define compat_local_xid() (MyProc->vxid.lxid)
#else
#define compat_local_xid() (MyProc->lxid)
#endif

/* 18 lets a library tell its version. */
#if PG_VERSION_NUM >= 180000
#define COMPAT_MODULE_MAGIC PG_MODULE_MAGIC_EXT(.name = "pg_tenancy", .version = TENANCY_VERSION)
#else
#define COMPAT_MODULE_MAGIC PG_MODULE_MAGIC
#endif

#endif
