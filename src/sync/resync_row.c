/*
 * resync_row.c
 *		One row of tenancy.resync, changed by the worker that works on it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "common/spi.h"
#include "sink/provision.h"
#include "sync/resync_row.h"
#include "sync/statistics.h"

/* Runs a statement on the row, with up to two more parameters: $5 and $6. */
void
resync_row_change(const ResyncRow *row, const char *sql, Oid type, Datum value, int64 count)
{
	Oid		 types[6] = {TEXTOID, INT8OID, NAMEOID, TIMESTAMPTZOID, type, INT8OID};
	Datum	 values[6];
	char	 nulls[6] = {' ', ' ', ' ', ' ', value ? ' ' : 'n', ' '};
	NameData table;

	namestrcpy(&table, row->table_name);
	values[0] = CStringGetTextDatum(row->sink);
	values[1] = Int64GetDatum(row->tenant_id);
	values[2] = NameGetDatum(&table);
	values[3] = TimestampTzGetDatum(row->requested_at);
	values[4] = value;
	values[5] = Int64GetDatum(count);
	tenancy_spi_exec(sql, OidIsValid(type) ? 6 : 4, types, values, nulls);
}

/* Locks the row without waiting for a user's transaction. */
RowLock
resync_row_lock(const ResyncRow *row)
{
	resync_row_change(row,
					  "SELECT FROM tenancy.resync WHERE " RESYNC_THIS_ROW " FOR UPDATE SKIP LOCKED",
					  InvalidOid, (Datum) 0, 0);
	if (SPI_processed > 0)
		return ROW_LOCKED_BY_US;
	resync_row_change(row, "SELECT FROM tenancy.resync WHERE " RESYNC_THIS_ROW, InvalidOid,
					  (Datum) 0, 0);
	return SPI_processed > 0 ? ROW_BUSY : ROW_GONE;
}

/*
 * Gives a sink's blocked tables another try, those that somebody is changing later.  True if there
 * are such.
 */
bool
resync_row_unblock(const char *sink)
{
	Oid	  types[1] = {TEXTOID};
	Datum values[1] = {CStringGetTextDatum(sink)};

	tenancy_spi_exec("UPDATE tenancy.resync r SET phase = 'rows'"
					 " FROM (SELECT sink, tenant_id, table_name FROM tenancy.resync"
					 "        WHERE sink = $1 AND phase = 'blocked' FOR UPDATE SKIP LOCKED) b"
					 " WHERE r.sink = b.sink AND r.tenant_id = b.tenant_id"
					 "   AND r.table_name = b.table_name",
					 1, types, values, NULL);
	tenancy_spi_exec("SELECT FROM tenancy.resync WHERE sink = $1 AND phase = 'blocked' LIMIT 1", 1,
					 types, values, NULL);
	return SPI_processed > 0;
}

/* True if the index cannot have documents without a row, as it was new when the resync was asked for. */
bool
resync_row_is_fresh(const ResyncRow *row)
{
	resync_row_change(row, "SELECT FROM tenancy.resync WHERE " RESYNC_THIS_ROW " AND fresh",
					  InvalidOid, (Datum) 0, 0);
	return SPI_processed > 0;
}

/*
 * Reads rows of a sink that can be worked on, all but the first few, those with unready indices last.  The relation
 * comes from the same snapshot as the schema's name: by a name of before a rename it would
 * look as if it were gone, and the resync over.
 */
void
resync_row_list(const char *sink, int64 skip)
{
	Oid	  types[3] = {TEXTOID, INT8OID, INT8OID};
	Datum values[3] = {CStringGetTextDatum(sink), Int64GetDatum(RESYNC_LIST_MOST),
					   Int64GetDatum(skip)};

	tenancy_spi_exec(
		"SELECT r.tenant_id, r.table_name, r.phase, r.last_key, c.oid::bigint, r.requested_at"
		"  FROM tenancy.resync r LEFT JOIN tenancy.tenant t ON t.id = r.tenant_id"
		"  LEFT JOIN pg_namespace n ON n.nspname = t.schema_name"
		"  LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = r.table_name"
		" WHERE r.sink = $1 AND r.phase <> 'blocked'"
		"   AND NOT EXISTS (SELECT FROM tenancy.sync_pause p WHERE p.sink = r.sink"
		"                      AND p.tenant_id = r.tenant_id AND NOT p.resuming)"
		" ORDER BY r.sink = 'search' AND EXISTS (SELECT FROM tenancy.search_index i"
		"    WHERE i.tenant_id = r.tenant_id AND i.state <> 'ready'),"
		"  greatest(r.requested_at, r.postponed_at)"
		" LIMIT $2 OFFSET $3",
		3, types, values, NULL);
}

/* Runs a statement about the row's table: $1 tenant, $2 table. */
static void
exec_for_table(const ResyncRow *row, const char *sql)
{
	Oid		 types[2] = {INT8OID, NAMEOID};
	Datum	 values[2];
	NameData table;

	namestrcpy(&table, row->table_name);
	values[0] = Int64GetDatum(row->tenant_id);
	values[1] = NameGetDatum(&table);
	tenancy_spi_exec(sql, 2, types, values, NULL);
}

/* The index has had every row of the table: searches may use it. */
void
resync_row_filled(const ResyncRow *row)
{
	exec_for_table(row, "UPDATE tenancy.index_move m SET rows_done = r.rows_done"
						" FROM tenancy.resync r JOIN tenancy.tenant t ON t.id = r.tenant_id"
						"   JOIN tenancy.sync_table s ON s.blueprint = t.blueprint"
						"    AND s.table_name = r.table_name"
						" WHERE r.sink = 'search' AND r.tenant_id = $1 AND r.table_name = $2"
						"   AND m.tenant_id = $1 AND m.index_type = s.index_type");
	exec_for_table(row, "UPDATE tenancy.search_index SET filled = true WHERE index_name IN"
						" (SELECT i.index_name FROM tenancy.search_index i"
						"    LEFT JOIN tenancy.search_index w ON w.index_name = i.month_of"
						"    JOIN tenancy.tenant t ON t.id = coalesce(w.tenant_id, i.tenant_id)"
						"    JOIN tenancy.sync_table s ON s.blueprint = t.blueprint"
						"     AND s.index_type = i.index_type"
						"   WHERE t.id = $1 AND s.table_name = $2 AND i.state = 'ready'"
						"     AND NOT i.filled AND (NOT i.monthly"
						"      OR tenancy.monthly_refusal(i.tenant_id, i.index_type) IS NULL)"
						"   FOR UPDATE OF i SKIP LOCKED)");
}

/* The index is made again without documents, if no table took the place of the one that is gone. */
static void
empty_index(const ResyncRow *row)
{
	exec_for_table(row,
				   "UPDATE tenancy.search_index i SET state = 'emptying', filled = false,"
				   " revision = revision + 1, attempts = 0, updated_at = now()"
				   " FROM tenancy.tenant t JOIN tenancy.sync_table s ON s.blueprint = t.blueprint"
				   " WHERE t.id = $1 AND s.table_name = $2 AND i.tenant_id = t.id"
				   " AND i.index_type = s.index_type AND i.relation IS NULL"
				   " AND i.state IN ('ready', 'altered') RETURNING i.index_name");
	for (uint64 row = 0; row < SPI_processed; row++)
		search_provision_altered(tenancy_spi_text(row, 1));
}

/* The table is gone: so is what the sink had of it. */
void
resync_row_table_gone(const ResyncRow *row)
{
	if (strcmp(row->sink, search_sink_driver.name) == 0)
		empty_index(row);
	else if (strcmp(row->sink, statistics_sink_driver.name) == 0)
		statistics_table_gone(row->tenant_id, row->table_name);
}
