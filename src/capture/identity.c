/*
 * identity.c
 *		Is the WAL the one it was, and is the slot there?  If not, everything is dirty.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"

#include "capture/identity.h"
#include "capture/slot.h"
#include "common/spi.h"
#include "sync/resync.h"
#include "sync/sync_table.h"

/* Makes the index rows of tenants that have none: a dump does not carry them. */
static void
provision_tenants(void)
{
	SpiScope scope;
	int64	*ids;
	uint64	 n;

	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec("SELECT id FROM tenancy.tenant t WHERE status <> 'dropped' AND NOT EXISTS"
					 " (SELECT FROM tenancy.search_index i WHERE i.tenant_id = t.id)",
					 0, NULL, NULL, NULL);
	n = SPI_processed;
	ids = palloc((n + 1) * sizeof(int64));
	for (uint64 i = 0; i < n; i++)
		ids[i] = tenancy_spi_int64(i, 1);
	for (uint64 i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		tenancy_sync_provision(ids[i]);
	}
	tenancy_spi_end(&scope);
}

/*
 * Raises the epoch when system identifier or timeline are not the stored ones: after a
 * restore or a failover LSNs start again, and document versions must not.
 */
static bool
check_instance(void)
{
	Oid		 types[2] = {INT8OID, INT4OID};
	Datum	 values[2] = {Int64GetDatum((int64) GetSystemIdentifier()),
						  Int32GetDatum((int32) GetWALInsertionTimeLine())};
	SpiScope scope;
	bool	 changed;

	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec("INSERT INTO tenancy.instance (system_identifier, timeline) VALUES ($1, $2)"
					 " ON CONFLICT (singleton) DO NOTHING",
					 2, types, values, NULL);
	tenancy_spi_exec("UPDATE tenancy.instance SET system_identifier = $1, timeline = $2"
					 " WHERE system_identifier IS NULL",
					 2, types, values, NULL);
	tenancy_spi_exec("UPDATE tenancy.instance"
					 "   SET epoch = epoch + 1, system_identifier = $1, timeline = $2"
					 " WHERE system_identifier <> $1 OR timeline <> $2",
					 2, types, values, NULL);
	changed = SPI_processed > 0;
	tenancy_spi_end(&scope);
	return changed;
}

/*
 * Makes the slot usable.  That everything is dirty is committed before the slot is
 * made: a crash in between only does it again.
 */
void
identity_check(const char *slot)
{
	SlotState state;
	bool	  changed;

	tenancy_tx_begin("pg_tenancy: checking the slot");
	state = slot_state(slot);
	changed = check_instance();
	if (changed || state != SLOT_USABLE)
	{
		provision_tenants();
		resync_request_all("search");
		resync_request_all("cache");
	}
	tenancy_tx_commit();
	if (state == SLOT_LOST)
	{
		ereport(LOG, (errmsg("replication slot \"%s\" is lost: making a new one", slot)));
		slot_drop(slot);
	}
	if (state == SLOT_USABLE)
		return;
	tenancy_tx_begin("pg_tenancy: making the slot");
	slot_create(slot);
	tenancy_tx_commit();
}
