/*
 * migrate_registry.c
 *		What a migration reads from the registry and writes to it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "common/array.h"
#include "common/spi.h"
#include "tenant/migrate.h"

/* Begins a short transaction of a call. */
static void
begin(SpiScope *scope)
{
	PushActiveSnapshot(GetTransactionSnapshot());
	tenancy_spi_begin_as_owner(scope);
}

/* Ends it: the call has no snapshot while it waits, which a worker might have to wait for. */
static void
end(SpiScope *scope)
{
	tenancy_spi_end(scope);
	PopActiveSnapshot();
	tenancy_spi_commit_procedure();
}

/* Ids as bigint[]. */
Datum
migrate_id_array(const int64 *ids, int count)
{
	Datum *elements = palloc(sizeof(Datum) * (count + 1));

	for (int i = 0; i < count; i++)
		elements[i] = Int64GetDatum(ids[i]);
	return PointerGetDatum(
		construct_array(elements, count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* Ids of the last result, in the call's memory. */
static MigrateIds
take_ids(MigrateCall *call)
{
	MigrateIds found = {SPI_processed, NULL};

	found.ids = MemoryContextAllocHuge(call->context, sizeof(int64) * (found.count + 1));
	for (int i = 0; i < found.count; i++)
		found.ids[i] = tenancy_spi_int64(i, 1);
	return found;
}

/*
 * Tenants that go first: those that are marked, or the first few; of these, one that failed before
 * does not keep the others waiting.
 */
MigrateIds
migrate_canaries(MigrateCall *call)
{
	Oid		   types[] = {TEXTOID, INT8ARRAYOID, INT8OID, BOOLOID, INT4OID};
	Datum	   values[] = {CStringGetTextDatum(call->blueprint), call->chosen,
						   Int64GetDatum(call->target), BoolGetDatum(call->to_highest),
						   Int32GetDatum(call->canaries)};
	SpiScope   scope;
	MigrateIds canaries;

	begin(&scope);
	tenancy_spi_exec("WITH chosen AS (SELECT id, settings -> 'canary' = 'true' AS marked"
					 "  FROM tenancy.tenant"
					 "  WHERE blueprint = $1 AND status <> 'dropped' AND version <> $3"
					 "    AND ($2 IS NULL OR id = ANY ($2)) AND NOT ($4 AND version > $3)),"
					 " first AS (SELECT id FROM chosen c ORDER BY EXISTS"
					 "  (SELECT FROM tenancy.migration_history h"
					 "    WHERE h.tenant_id = c.id AND h.status = 'failed'), id LIMIT $5)"
					 " SELECT id FROM chosen WHERE marked"
					 " UNION ALL SELECT id FROM first"
					 " WHERE NOT EXISTS (SELECT FROM chosen WHERE marked) ORDER BY id",
					 5, types, values, call->chosen == (Datum) 0 ? " n   " : NULL);
	canaries = take_ids(call);
	end(&scope);
	return canaries;
}

/* Tenants that a stage still has to be run for. */
MigrateIds
migrate_list(MigrateCall *call, const MigrateStage *stage, const MigrateIds *among)
{
	Oid		   types[] = {TEXTOID, INT8ARRAYOID, INT8ARRAYOID, INT8OID, INT8OID, INT8OID, INT8OID};
	Datum	   values[] = {CStringGetTextDatum(call->blueprint),
						   call->chosen,
					   among ? migrate_id_array(among->ids, among->count) : (Datum) 0,
						   Int64GetDatum(stage->from),
						   Int64GetDatum(stage->to),
						   Int64GetDatum(call->newest),
						   Int64GetDatum(call->id)};
	char	   nulls[] = "       ";
	SpiScope   scope;
	MigrateIds found;

	nulls[1] = call->chosen == (Datum) 0 ? 'n' : ' ';
	nulls[2] = among == NULL ? 'n' : ' ';
	begin(&scope);
	tenancy_spi_exec(
		"SELECT t.id FROM tenancy.tenant t"
		" WHERE t.blueprint = $1 AND t.status <> 'dropped'"
		"   AND ($2 IS NULL OR t.id = ANY ($2)) AND ($3 IS NULL OR t.id = ANY ($3))"
		"   AND " MIGRATE_STAGE_HAS(
			"t", "$4", "$5",
			"$6") "   AND NOT EXISTS (SELECT FROM tenancy.migration_history h"
				  "     WHERE h.migration_id = $7 AND h.tenant_id = t.id AND h.status = 'failed')"
				  " ORDER BY t.id",
		7, types, values, nulls);
	found = take_ids(call);
	end(&scope);
	return found;
}

/* Names of tenants, in the call's memory. */
List *
migrate_names(MigrateCall *call, const MigrateIds *tenants)
{
	Oid			  types[] = {INT8ARRAYOID};
	Datum		  values[] = {migrate_id_array(tenants->ids, tenants->count)};
	List		 *names = NIL;
	SpiScope	  scope;
	MemoryContext old;

	begin(&scope);
	tenancy_spi_exec("SELECT name FROM tenancy.tenant WHERE id = ANY ($1) ORDER BY id", 1, types,
					 values, NULL);
	old = MemoryContextSwitchTo(call->context);
	for (int i = 0; i < SPI_processed; i++)
		names = lappend(names, tenancy_spi_text(i, 1));
	MemoryContextSwitchTo(old);
	end(&scope);
	return names;
}

/* Says what the call is doing. */
void
migrate_set_phase(MigrateCall *call, const char *phase)
{
	Oid		 types[] = {INT8OID, TEXTOID};
	Datum	 values[] = {Int64GetDatum(call->id), CStringGetTextDatum(phase)};
	SpiScope scope;

	begin(&scope);
	tenancy_spi_exec("UPDATE tenancy.migration SET phase = $2 WHERE id = $1 AND phase <> $2", 2,
					 types, values, NULL);
	end(&scope);
}

/* Says how the call ended. */
void
migrate_finish(MigrateCall *call, const char *state)
{
	Oid		 types[] = {INT8OID, TEXTOID};
	Datum	 values[] = {Int64GetDatum(call->id), CStringGetTextDatum(state)};
	SpiScope scope;

	begin(&scope);
	tenancy_spi_exec("UPDATE tenancy.migration SET state = $2, finished_at = clock_timestamp()"
					 " WHERE id = $1",
					 2, types, values, NULL);
	end(&scope);
}

/* Gives the tenants that are done their new version. */
static void
write_versions(int64 version, const MigrateTenant *tenants, int count)
{
	static SPIPlanPtr plan = NULL;
	Oid				  types[] = {INT8ARRAYOID, INT8OID};
	Datum			  values[] = {(Datum) 0, Int64GetDatum(version)};
	int64			 *done = palloc(sizeof(int64) * (count + 1));
	int				  n = 0;

	for (int i = 0; i < count; i++)
		if (tenants[i].status == MIGRATE_DONE)
			done[n++] = tenants[i].id;
	values[0] = migrate_id_array(done, n);
	if (n > 0)
		tenancy_spi_exec_saved(&plan, "UPDATE tenancy.tenant SET version = $2 WHERE id = ANY ($1)",
							   2, types, values, NULL);
}

/* Columns of history rows, as arrays. */
typedef struct HistoryRows
{
	int	   count;
	int64 *ids;
	int64 *from_versions;
	int64 *versions;
	int64 *started;
	List  *names;
	List  *status;
	List  *sqlstates;
	List  *errors;
} HistoryRows;

/* Takes the tenants that something became of. */
static void
make_rows(HistoryRows *rows, int64 version, const MigrateTenant *tenants, int count)
{
	static char *const statuses[] = {"", "done", "waiting", "failed"};

	rows->ids = palloc(sizeof(int64) * 4 * (count + 1));
	rows->from_versions = rows->ids + count;
	rows->versions = rows->from_versions + count;
	rows->started = rows->versions + count;
	for (int i = 0; i < count; i++)
	{
		const MigrateTenant *tenant = &tenants[i];

		if (tenant->status == MIGRATE_UNTOUCHED)
			continue;
		rows->ids[rows->count] = tenant->id;
		rows->from_versions[rows->count] = tenant->version;
		rows->versions[rows->count] = tenant->status == MIGRATE_DONE ? version : tenant->version;
		rows->started[rows->count++] = tenant->started_at;
		rows->names = lappend(rows->names, tenant->name);
		rows->status = lappend(rows->status, statuses[tenant->status]);
		rows->sqlstates = lappend(rows->sqlstates, tenant->sqlstate);
		rows->errors = lappend(rows->errors, tenant->error);
	}
}

/* Writes what became of tenants. */
static void
write_history(int64 migration, const HistoryRows *rows)
{
	static SPIPlanPtr plan = NULL;
	Oid	  types[] = {INT8OID,	   INT8ARRAYOID, TEXTARRAYOID, INT8ARRAYOID, INT8ARRAYOID,
					 TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT8ARRAYOID};
	Datum values[] = {Int64GetDatum(migration),
					  migrate_id_array(rows->ids, rows->count),
					  tenancy_text_array(rows->names),
					  migrate_id_array(rows->from_versions, rows->count),
					  migrate_id_array(rows->versions, rows->count),
					  tenancy_text_array(rows->status),
					  tenancy_text_array(rows->sqlstates),
					  tenancy_text_array(rows->errors),
					  migrate_id_array(rows->started, rows->count)};

	tenancy_spi_exec_saved(
		&plan,
		"INSERT INTO tenancy.migration_history AS h (migration_id, tenant_id, tenant, from_version,"
		"   version, status, waits, sqlstate, error, started_at, finished_at)"
		" SELECT nullif($1, 0), r.id, r.name, r.from_version, r.version, r.status,"
		"   (r.status = 'waiting' OR r.sqlstate = '55P03')::integer, nullif(r.sqlstate, ''),"
		"   nullif(r.error, ''), timestamptz '2000-01-01 00:00+00' + r.started * interval '1 us',"
		"   clock_timestamp()"
		" FROM unnest($2, $3, $4, $5, $6, $7, $8, $9)"
		"   r (id, name, from_version, version, status, sqlstate, error, started)"
		" ON CONFLICT (migration_id, tenant_id) DO UPDATE SET version = excluded.version,"
		"   status = excluded.status, attempts = h.attempts + 1, waits = h.waits + excluded.waits,"
		"   sqlstate = excluded.sqlstate, error = excluded.error,"
		"   finished_at = excluded.finished_at, pid = excluded.pid",
		lengthof(types), types, values, NULL);
}

/* Writes what became of tenants that were to get a version. */
void
migrate_write(int64 migration, int64 version, const MigrateTenant *tenants, int count)
{
	HistoryRows rows = {0};

	write_versions(version, tenants, count);
	make_rows(&rows, version, tenants, count);
	if (rows.count > 0)
		write_history(migration, &rows);
}
