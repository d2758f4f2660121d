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
#include "capture/standby.h"
#include "common/spi.h"
#include "sync/resync.h"
#include "sync/sync_table.h"

/* Highest epoch that a version has room for. */
#define EPOCH_MAX 2047

/* Parameters of every statement below. */
#define NPARAMS 4

static Oid types[NPARAMS] = {INT8OID, INT4OID, OIDOID, TEXTOID};

/* Runs a statement: $1 system identifier, $2 timeline, $3 database, $4 slot; true if it met a row. */
static bool
exec(const char *slot, const char *sql)
{
	Datum values[NPARAMS];

	values[0] = Int64GetDatum((int64) GetSystemIdentifier());
	values[1] = Int32GetDatum((int32) GetWALInsertionTimeLine());
	values[2] = ObjectIdGetDatum(MyDatabaseId);
	values[3] = CStringGetTextDatum(slot);
	tenancy_spi_exec(sql, NPARAMS, types, values, NULL);
	return SPI_processed > 0;
}

/* Makes the row that names this database, and fills in what it lacks. */
static void
ensure_instance(const char *slot)
{
	(void) exec(slot, "INSERT INTO tenancy.instance (system_identifier, timeline, database_oid)"
					  " SELECT $1, $2, $3 WHERE NOT EXISTS (SELECT FROM tenancy.instance)");
	(void) exec(slot, "UPDATE tenancy.instance"
					  "   SET system_identifier = $1, timeline = $2, database_oid = $3"
					  " WHERE system_identifier IS NULL");
}

/* A copy of a database must not write into the indices of the original. */
static void
leave_original(const char *slot)
{
	if (exec(slot, "UPDATE tenancy.instance SET id = DEFAULT"
				   " WHERE system_identifier = $1 AND database_oid <> $3"))
	{
		tenancy_spi_exec("DELETE FROM tenancy.search_index", 0, NULL, NULL, NULL);
		tenancy_spi_exec("DELETE FROM tenancy.index_move", 0, NULL, NULL, NULL);
	}
}

/* True if this server was promoted, has its primary's slot, and all that the sinks have. */
static bool
has_all(const char *slot)
{
	if (!slot_is_synced(slot))
		return false;
	return exec(slot, "SELECT standby_slots FROM tenancy.instance"
					  " WHERE system_identifier = $1 AND timeline < $2 AND database_oid = $3"
					  "   AND slot = $4") &&
		   standby_is_promoted(tenancy_spi_text(0, 1));
}

/* Capture goes on where the old primary was. */
static bool
take_over(const char *slot)
{
	if (!has_all(slot))
		return false;
	ereport(LOG, (errmsg("replication slot \"%s\" came along with the promotion: going on", slot)));
	return exec(slot, "UPDATE tenancy.instance SET timeline = $2");
}

/* Says in the log and in the status view why every row is sent again. */
static void
tell(WorkerShared *worker, const char *reason)
{
	ereport(LOG, (errmsg("every row is sent again: %s", reason)));
	worker_set_error(worker, psprintf("every row is sent again: %s", reason));
}

/*
 * Raises the epoch when the WAL is not the one it was, and has everything marked dirty: after a
 * restore or a failover LSNs start again, and document versions must not.  As much as the
 * timeline did: two restores of the same state must not get the same epoch.  A slot that is
 * gone may be the only sign of a restore, since base backups have none.  Returns whether it did.
 */
static bool
raise_epoch(const char *slot, SlotState state)
{
	return exec(slot, psprintf("UPDATE tenancy.instance SET"
							   "   epoch = least(%d, epoch + CASE WHEN system_identifier = $1"
							   "           THEN greatest($2 - timeline, 1) ELSE 1 END),"
							   "   system_identifier = $1, timeline = $2, database_oid = $3,"
							   "   slot = NULL"
							   " WHERE (system_identifier, timeline, database_oid)"
							   "       IS DISTINCT FROM ($1, $2, $3) OR (%s AND slot = $4)",
							   EPOCH_MAX, state == SLOT_ABSENT ? "true" : "false"));
}

/* The slot's WAL is gone; it is the same WAL, so that versions go on rising. */
static void
note_loss(const char *slot, WorkerShared *worker)
{
	tell(worker, "the replication slot was lost, its WAL is gone");
	(void) exec(slot, "UPDATE tenancy.instance SET slot = NULL");
}

/*
 * Compares this database with tenancy.instance; returns what there is of a slot that can be
 * used.  A slot of another WAL cannot: its positions may be amid a record of this one.  That
 * nothing is known since when rows are captured (slot NULL) is on disk before there is a
 * new slot, which has the old one's name.
 */
static SlotState
check_instance(const char *slot, WorkerShared *worker)
{
	SlotState state;
	SpiScope  scope;

	tenancy_tx_begin("pg_tenancy: checking the database's identity");
	state = slot_state(slot);
	tenancy_spi_begin_as_owner(&scope);
	ensure_instance(slot);
	leave_original(slot);
	if (state != SLOT_USABLE || !take_over(slot))
	{
		if (raise_epoch(slot, state))
		{
			tell(worker, "after a restore, a promotion, or as the replication slot was dropped");
			state = state == SLOT_ABSENT ? SLOT_ABSENT : SLOT_LOST;
		}
		else if (state == SLOT_LOST)
			note_loss(slot, worker);
	}
	tenancy_spi_end(&scope);
	tenancy_tx_commit();
	return state;
}

/* Makes a new slot in place of one that is lost or not there. */
static void
make_slot(const char *slot, SlotState state)
{
	if (state == SLOT_LOST)
		slot_drop(slot);
	tenancy_tx_begin("pg_tenancy: making the slot");
	slot_create(slot);
	tenancy_tx_commit();
}

/* Writes which standbys are waited for from now on; before that anything may have been sent. */
static void
record_standbys(void)
{
	Oid			text_type[1] = {TEXTOID};
	const char *names = standby_wanted();
	Datum		value[1] = {names ? CStringGetTextDatum(names) : (Datum) 0};

	tenancy_spi_exec("UPDATE tenancy.instance SET standby_slots = $1"
					 " WHERE standby_slots IS DISTINCT FROM $1",
					 1, text_type, value, names ? " " : "n");
}

/* Writes that everything is dirty since the slot was made, and has it marked, if that is news. */
static void
record_slot(const char *slot)
{
	SpiScope scope;
	bool	 news;

	tenancy_tx_begin("pg_tenancy: recording the slot");
	tenancy_spi_begin_as_owner(&scope);
	news = exec(slot, "UPDATE tenancy.instance SET slot = $4 WHERE slot IS DISTINCT FROM $4");
	record_standbys();
	tenancy_spi_end(&scope);
	if (news)
	{
		tenancy_sync_provision_missing();
		resync_request_all("search");
		resync_request_all("cache");
	}
	tenancy_tx_commit();
}

/*
 * Makes the slot usable, and everything dirty if it is new or the database another one.
 * The slot comes before the resync: what changes after it is captured, what was there before
 * is read by the resync.  A crash in between is noticed, since the slot is not recorded.
 */
void
identity_check(const char *slot, WorkerShared *worker)
{
	SlotState state;

	slot_drop_others(slot);
	state = check_instance(slot, worker);
	if (state == SLOT_USABLE)
		slot_set_failover(slot);
	else
		make_slot(slot, state);
	record_slot(slot);
}
