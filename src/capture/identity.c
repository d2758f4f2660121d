/*
 * identity.c
 *		Is the WAL the one it was, and is the slot there?  If not, everything is dirty.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "capture/identity.h"
#include "capture/slot.h"
#include "common/spi.h"
#include "sync/resync.h"
#include "sync/sync_table.h"

/* Makes the row that names this database, and fills in what it lacks. */
static void
ensure_instance(Oid *types, Datum *values)
{
	tenancy_spi_exec("INSERT INTO tenancy.instance (system_identifier, timeline, database_oid)"
					 " SELECT $1, $2, $3 WHERE NOT EXISTS (SELECT FROM tenancy.instance)",
					 3, types, values, NULL);
	tenancy_spi_exec("UPDATE tenancy.instance"
					 "   SET system_identifier = $1, timeline = $2, database_oid = $3"
					 " WHERE system_identifier IS NULL",
					 3, types, values, NULL);
}

/* A copy of a database must not write into the indices of the original. */
static void
leave_original(Oid *types, Datum *values)
{
	tenancy_spi_exec("UPDATE tenancy.instance SET id = DEFAULT"
					 " WHERE system_identifier = $1 AND database_oid <> $3 AND $2 IS NOT NULL",
					 3, types, values, NULL);
	if (SPI_processed > 0)
		tenancy_spi_exec("DELETE FROM tenancy.search_index", 0, NULL, NULL, NULL);
}

/*
 * Raises the epoch when the WAL is not the one it was: after a restore or a failover LSNs
 * start again, and document versions must not.  Returns whether it did.
 */
static bool
raise_epoch(Oid *types, Datum *values)
{
	tenancy_spi_exec("UPDATE tenancy.instance SET epoch = epoch + 1,"
					 "       system_identifier = $1, timeline = $2, database_oid = $3"
					 " WHERE (system_identifier, timeline, database_oid)"
					 "       IS DISTINCT FROM ($1, $2, $3)",
					 3, types, values, NULL);
	return SPI_processed > 0;
}

/* Compares this database with tenancy.instance; true if it is another one. */
static bool
check_instance(void)
{
	Oid		 types[3] = {INT8OID, INT4OID, OIDOID};
	Datum	 values[3] = {Int64GetDatum((int64) GetSystemIdentifier()),
						  Int32GetDatum((int32) GetWALInsertionTimeLine()),
						  ObjectIdGetDatum(MyDatabaseId)};
	SpiScope scope;
	bool	 changed;

	tenancy_spi_begin_as_owner(&scope);
	ensure_instance(types, values);
	leave_original(types, values);
	changed = raise_epoch(types, values);
	tenancy_spi_end(&scope);
	return changed;
}

/* Writes that everything is dirty since the slot was made; true if that was news. */
static bool
record_slot(const char *slot)
{
	Oid		 types[1] = {TEXTOID};
	Datum	 values[1] = {CStringGetTextDatum(slot)};
	SpiScope scope;
	bool	 news;

	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec("UPDATE tenancy.instance SET slot = $1 WHERE slot IS DISTINCT FROM $1", 1,
					 types, values, NULL);
	news = SPI_processed > 0;
	tenancy_spi_end(&scope);
	return news;
}

/* Makes the slot if there is none that can be read; true if it did. */
static bool
ensure_slot(const char *slot)
{
	SlotState state;

	tenancy_tx_begin("pg_tenancy: checking the slot");
	state = slot_state(slot);
	tenancy_tx_commit();
	if (state == SLOT_LOST)
	{
		ereport(LOG, (errmsg("replication slot \"%s\" is lost: making a new one", slot)));
		slot_drop(slot);
	}
	if (state == SLOT_USABLE)
		return false;
	tenancy_tx_begin("pg_tenancy: making the slot");
	slot_create(slot);
	tenancy_tx_commit();
	return true;
}

/*
 * Makes the slot usable, and everything dirty if it is new or the database another one.
 * The slot comes first: what changes after it is captured, what was there before is
 * read by the resync.  A crash in between is noticed, since the slot is not recorded.
 */
void
identity_check(const char *slot)
{
	bool made;
	bool news;

	slot_drop_others(slot);
	made = ensure_slot(slot);
	tenancy_tx_begin("pg_tenancy: checking the database's identity");
	news = check_instance();
	news = record_slot(slot) || news || made;
	if (news)
	{
		tenancy_sync_provision_missing();
		resync_request_all("search");
		resync_request_all("cache");
	}
	tenancy_tx_commit();
}
