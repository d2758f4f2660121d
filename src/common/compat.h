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
#include "replication/message.h"
#include "replication/reorderbuffer.h"
#include "replication/slot.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/wait_event.h"

#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* 17 knows failover slots; 15 and 16 make a new slot after a promotion. */
#if PG_VERSION_NUM >= 170000
#define compat_slot_create(name) ReplicationSlotCreate(name, true, RS_EPHEMERAL, false, true, false)
#else
#define compat_slot_create(name) ReplicationSlotCreate(name, true, RS_EPHEMERAL, false)
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

/* 18 asks whether to instrument the index scan. */
#if PG_VERSION_NUM >= 180000
#define compat_index_beginscan(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, NULL, nkeys, 0)
#else
#define compat_index_beginscan(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, nkeys, 0)
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

/* 18 lets a library tell its version. */
#if PG_VERSION_NUM >= 180000
#define COMPAT_MODULE_MAGIC PG_MODULE_MAGIC_EXT(.name = "pg_tenancy", .version = TENANCY_VERSION)
#else
#define COMPAT_MODULE_MAGIC PG_MODULE_MAGIC
#endif

#endif
