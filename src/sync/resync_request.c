/*
 * resync_request.c
 *		Asking for a table to be looked at again: rows of tenancy.resync.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "common/spi.h"
#include "sync/resync.h"

/* Asks for every synced table of every tenant. */
void
resync_request_all(const char *sink)
{
	Oid		 types[1] = {TEXTOID};
	Datum	 values[1] = {CStringGetTextDatum(sink)};
	SpiScope scope;

	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec("SELECT tenancy.request_resync($1, NULL, NULL, NULL)", 1, types, values, NULL);
	tenancy_spi_end(&scope);
}

/* Runs a statement about a tenant's table: $1 tenant, $2 table, $3 sink, $4 text. */
static void
exec_for_name(int64 tenant_id, const char *table_name, const char *sink, const char *text,
			  const char *sql)
{
	Oid		 types[4] = {INT8OID, TEXTOID, TEXTOID, TEXTOID};
	Datum	 values[4] = {Int64GetDatum(tenant_id), CStringGetTextDatum(table_name),
						  CStringGetTextDatum(sink), CStringGetTextDatum(text)};
	SpiScope scope;

	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec(sql, 4, types, values, NULL);
	tenancy_spi_end(&scope);
}

/* Runs a statement about a target's table. */
static void
exec_for_table(const SinkTarget *target, const char *sink, const char *text, const char *sql)
{
	char *table = get_rel_name(target->relid);

	if (table != NULL)
		exec_for_name(target->tenant_id, table, sink, text, sql);
}

/*
 * Asks a sink for every row and every document of a target's table.  A scan that is
 * under way goes on to its end and is done again after: it would never end if it began anew at
 * each request.
 */
void
resync_request_rows(const SinkTarget *target, const char *sink)
{
	exec_for_table(target, sink, "rows",
				   "INSERT INTO tenancy.resync AS r (sink, tenant_id, table_name, phase)"
				   " VALUES ($3, $1, $2::name, $4)"
				   " ON CONFLICT (sink, tenant_id, table_name) DO UPDATE"
				   " SET fresh = false, again = CASE WHEN r.phase = 'ghosts' OR r.phase = 'rows'"
				   "    AND r.started_at IS NOT NULL THEN $4 ELSE r.again END,"
				   "  phase = CASE r.phase WHEN 'blocked' THEN 'rows' ELSE r.phase END,"
				   "  requested_at = CASE r.phase WHEN 'blocked'"
				   "    THEN pg_catalog.clock_timestamp() ELSE r.requested_at END");
	resync_wake();
}

/* Asks a sink for the documents of a tenant's table that have no row. */
void
resync_request_ghosts_of(int64 tenant_id, const char *table_name, const char *sink)
{
	exec_for_name(tenant_id, table_name, sink, "ghosts",
				  "INSERT INTO tenancy.resync AS r (sink, tenant_id, table_name, phase)"
				  " VALUES ($3, $1, $2::name, $4)"
				  " ON CONFLICT (sink, tenant_id, table_name) DO UPDATE"
				  " SET fresh = false, again = CASE r.phase WHEN 'ghosts'"
				  "   THEN coalesce(r.again, $4) ELSE r.again END"
				  " WHERE r.phase = 'ghosts' OR r.fresh");
	resync_wake();
}

/* Likewise of a target's table. */
void
resync_request_ghosts(const SinkTarget *target, const char *sink)
{
	char *table = get_rel_name(target->relid);

	if (table != NULL)
		resync_request_ghosts_of(target->tenant_id, table, sink);
}

/* A table cannot be synced now: it is done when its shape has changed. */
void
resync_block(const SinkTarget *target, const char *sink, const char *reason)
{
	exec_for_table(
		target, sink, reason,
		"INSERT INTO tenancy.resync AS r (sink, tenant_id, table_name, phase, last_error)"
		" VALUES ($3, $1, $2::name, 'blocked', $4)"
		" ON CONFLICT (sink, tenant_id, table_name) DO UPDATE"
		" SET phase = 'blocked', fresh = false, last_key = NULL, last_error = excluded.last_error,"
		"     requested_at = pg_catalog.clock_timestamp()"
		" WHERE r.phase <> 'blocked'");
	resync_may_be_blocked = true;
}
