/*
 * slot.c
 *		The replication slot of a database: made, read, confirmed and dropped here only.
 *
 * The WAL is decoded in this process by this library's own output plugin; there is
 * no walsender and no connection.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "access/xlogutils.h"
#include "access/xlog_internal.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "replication/decode.h"
#include "replication/logical.h"
#include "replication/slot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/resowner.h"
#include "utils/varlena.h"

#include "capture/slot.h"
#include "common/array.h"
#include "common/compat.h"
#include "common/guc.h"
#include "common/spi.h"

#define PLUGIN_NAME "pg_tenancy"

/* Records decoded before the caller has a turn. */
#define READ_RECORDS 4096

static ResourceOwner decode_owner = NULL;

/*
 * Name of this database's slot, or false if it has no extension; name has room for
 * NAMEDATALEN.  An extension that is dropped and made again gets a new slot: WAL from
 * before would name tables that are no more.  Needs a transaction.
 */
bool
slot_name(char *name)
{
	Oid extension = get_extension_oid("pg_tenancy", true);

	snprintf(name, NAMEDATALEN, "tenancy_%u_%u", MyDatabaseId, extension);
	return OidIsValid(extension);
}

/* Drops this database's other slots (keep NULL: all); needs no transaction. */
void
slot_drop_others(const char *keep)
{
	char prefix[NAMEDATALEN];
	char found[NAMEDATALEN];
	bool any = true;

	snprintf(prefix, sizeof(prefix), "tenancy_%u_", MyDatabaseId);
	while (any)
	{
		any = false;
		LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
		for (int i = 0; i < max_replication_slots && !any; i++)
		{
			ReplicationSlot *slot = &ReplicationSlotCtl->replication_slots[i];

			any = slot->in_use && slot->data.database == MyDatabaseId &&
				  strncmp(NameStr(slot->data.name), prefix, strlen(prefix)) == 0 &&
				  (keep == NULL || strcmp(NameStr(slot->data.name), keep) != 0);
			if (any)
				strlcpy(found, NameStr(slot->data.name), NAMEDATALEN);
		}
		LWLockRelease(ReplicationSlotControlLock);
		if (any)
			slot_drop(found);
	}
}

/* Whether the slot is there and can be read; needs a transaction. */
SlotState
slot_state(const char *name)
{
	Oid		  types[1] = {TEXTOID};
	Datum	  values[1] = {CStringGetTextDatum(name)};
	SlotState state = SLOT_ABSENT;
	SpiScope  scope;

	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec("SELECT (wal_status IS NOT DISTINCT FROM 'lost'"
					 "        OR confirmed_flush_lsn IS NULL)::int::bigint FROM "
					 "pg_catalog.pg_replication_slots WHERE slot_name = $1",
					 1, types, values, NULL);
	if (SPI_processed > 0)
		state = tenancy_spi_int64(0, 1) ? SLOT_LOST : SLOT_USABLE;
	tenancy_spi_end(&scope);
	return state;
}

/* True if this server got the slot as a standby, as a copy of its primary's. */
bool
slot_is_synced(const char *name)
{
	ReplicationSlot *slot = SearchNamedReplicationSlot(name, true);

	return slot != NULL && compat_slot_synced(slot);
}

/* Lets standbys keep a copy of the slot, or not, as tenancy.failover_slot says now. */
void
slot_set_failover(const char *name)
{
	ReplicationSlot *slot = SearchNamedReplicationSlot(name, true);

	if (COMPAT_FAILOVER_SLOTS && slot != NULL &&
		compat_slot_failover(slot) != tenancy_failover_slot)
		compat_slot_set_failover(name, tenancy_failover_slot);
}

/* True if a list of libraries has ours. */
static bool
is_listed(const char *list)
{
	List *names = NIL;

	return SplitDirectoriesString(pstrdup(list), ',', &names) &&
		   tenancy_has_string(names, PLUGIN_NAME);
}

/*
 * Since 15.19, 16.15, 17.11 and 18.6 a server loads only output plugins that are on
 * a list.  Adds ours to the list of this process alone: nobody else gains anything.
 */
static void
allow_plugin(void)
{
	const char *list = GetConfigOption("output_plugin_libraries", true, false);

	if (list == NULL || !tenancy_extend_plugin_list || is_listed(list))
		return;
	SetConfigOption("output_plugin_libraries",
					*list ? psprintf("%s, %s", list, PLUGIN_NAME) : PLUGIN_NAME, PGC_SUSET,
					PGC_S_SESSION);
}

/* The plugin gives its result by its callbacks, not by writing. */
static void
ignore_write(LogicalDecodingContext *context, XLogRecPtr lsn, TransactionId xid, bool last)
{
}

/* Makes the slot; waits for the transactions that are running.  Needs a transaction. */
void
slot_create(const char *name)
{
	LogicalDecodingContext *context;

	allow_plugin();
	CheckLogicalDecodingRequirements();
	compat_slot_create(name, tenancy_failover_slot);
	context = CreateInitDecodingContext(PLUGIN_NAME, NIL, false, InvalidXLogRecPtr,
										XL_ROUTINE(.page_read = read_local_xlog_page,
												   .segment_open = wal_segment_open,
												   .segment_close = wal_segment_close),
										ignore_write, ignore_write, NULL);
	DecodingContextFindStartpoint(context);
	FreeDecodingContext(context);
	ReplicationSlotPersist(); /* until here an error or a crash takes it away again */
	ReplicationSlotRelease();
}

/* Drops a slot that nobody reads. */
void
slot_drop(const char *name)
{
	ReplicationSlotDrop(name, true);
}

/* Starts reading where the slot was confirmed. */
LogicalDecodingContext *
slot_open(const char *name, void *plugin_private)
{
	LogicalDecodingContext *context;

	allow_plugin();
	compat_slot_acquire(name);
	context = CreateDecodingContext(InvalidXLogRecPtr, NIL, false,
									XL_ROUTINE(.page_read = read_local_xlog_page,
											   .segment_open = wal_segment_open,
											   .segment_close = wal_segment_close),
									ignore_write, ignore_write, NULL);
	context->output_writer_private = plugin_private;
	if (decode_owner == NULL)
		decode_owner = ResourceOwnerCreate(NULL, "pg_tenancy decoding");
	CurrentResourceOwner = decode_owner;
	XLogBeginRead(context->reader, MyReplicationSlot->data.restart_lsn);
	InvalidateSystemCaches();
	return context;
}

/* Decodes one record. */
static void
read_record(LogicalDecodingContext *context)
{
	char	   *error = NULL;
	XLogRecord *record = XLogReadRecord(context->reader, &error);

	if (error != NULL)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("could not read WAL: %s", error)));
	if (record != NULL)
		LogicalDecodingProcessRecord(context, context->reader);
}

/*
 * Decodes up to end, which has been flushed, until stop says so or the caller should have
 * a turn again; returns the position reached.
 */
XLogRecPtr
slot_read(LogicalDecodingContext *context, XLogRecPtr end, bool (*stop)(void *), void *arg)
{
	CurrentResourceOwner = decode_owner;
	for (int n = 0; n < READ_RECORDS && context->reader->EndRecPtr < end && !stop(arg); n++)
	{
		read_record(context);
		CHECK_FOR_INTERRUPTS();
	}
	return context->reader->EndRecPtr;
}

/* Lets go of WAL before lsn; survives a crash only after slot_save. */
void
slot_confirm(XLogRecPtr lsn)
{
	LogicalConfirmReceivedLocation(lsn);
	ReplicationSlotMarkDirty();
}

/* Writes the slot's position to disk. */
void
slot_save(void)
{
	ReplicationSlotMarkDirty();
	ReplicationSlotSave();
}

/* Stops reading. */
void
slot_close(LogicalDecodingContext *context)
{
	FreeDecodingContext(context);
	ReplicationSlotRelease();
	InvalidateSystemCaches();
}
