/*
 * migrate_register.c
 *		The beginning of a call of tenant_migrate(): may it run, where to, and its row.
 *
 * A call that runs holds a lock on its number for its session: it is gone as soon as the call is,
 * whatever ended it, and what still says "running" without a lock does not run.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "common/errors.h"
#include "common/spi.h"
#include "tenant/migrate.h"
#include "tenant/tenant.h"

/* Lock of a call. */
static void
call_locktag(LOCKTAG *tag, int64 id)
{
	SET_LOCKTAG_OBJECT(*tag, MyDatabaseId,
					   get_relname_relid("migration", tenancy_schema_oid(false)), (uint32) id, 1);
}

/* Refuses names that are not of the blueprint's tenants; keeps the ids of those that are. */
static void
choose_tenants(MigrateCall *call)
{
	Oid			  types[] = {TEXTOID, TEXTARRAYOID};
	Datum		  values[] = {CStringGetTextDatum(call->blueprint), call->names};
	MemoryContext old;
	bool		  isnull;

	if (call->names == (Datum) 0)
		return;
	tenancy_spi_exec("SELECT n.name FROM unnest($2) n (name) WHERE NOT EXISTS"
					 " (SELECT FROM tenancy.tenant t WHERE t.name = n.name AND t.blueprint = $1"
					 "   AND t.status <> 'dropped')",
					 2, types, values, NULL);
	if (SPI_processed > 0)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_UNDEFINED_TENANT),
						errmsg("tenant \"%s\" of blueprint \"%s\" does not exist",
							   tenancy_spi_text(0, 1), call->blueprint)));
	tenancy_spi_exec("SELECT coalesce(array_agg(id), '{}') FROM tenancy.tenant"
					 " WHERE blueprint = $1 AND name = ANY ($2) AND status <> 'dropped'",
					 2, types, values, NULL);
	old = MemoryContextSwitchTo(call->context);
	call->chosen = PointerGetDatum(DatumGetArrayTypePCopy(tenancy_spi_datum(0, 1, &isnull)));
	MemoryContextSwitchTo(old);
}

/* Looks what there is to do, and refuses what cannot be done. */
static void
plan_call(MigrateCall *call, const Blueprint *blueprint)
{
	Oid			  types[] = {TEXTOID, INT8ARRAYOID, INT8OID, BOOLOID};
	Datum		  values[] = {CStringGetTextDatum(call->blueprint), call->chosen, 0,
							  BoolGetDatum(call->to_highest)};
	int64		  highest;
	MemoryContext old;

	if (call->to_highest)
		call->target = blueprint_version(blueprint);
	migrate_require_version(blueprint, call->target);
	values[2] = Int64GetDatum(call->target);
	tenancy_spi_exec("SELECT min(version), max(version), max(id), count(*) FROM tenancy.tenant"
					 " WHERE blueprint = $1 AND status <> 'dropped' AND version <> $3"
					 "   AND ($2 IS NULL OR id = ANY ($2)) AND NOT ($4 AND version > $3)",
					 4, types, values, call->chosen == (Datum) 0 ? " n  " : NULL);
	call->newest = tenancy_spi_int64(0, 3);
	call->total = tenancy_spi_int64(0, 4);
	highest = Max(tenancy_spi_int64(0, 2), call->target);
	migrate_require_downs(blueprint, highest, call->target);
	old = MemoryContextSwitchTo(call->context);
	call->plan = blueprint_copy(blueprint);
	if (call->total > 0)
		call->stages = migrate_stages(blueprint, tenancy_spi_int64(0, 1), highest, call->target);
	MemoryContextSwitchTo(old);
}

/* True if a call runs; one that does not is noted as interrupted. */
static bool
is_running(int64 id)
{
	Oid		types[] = {INT8OID};
	Datum	values[] = {Int64GetDatum(id)};
	LOCKTAG tag;

	call_locktag(&tag, id);
	if (LockAcquire(&tag, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return true;
	tenancy_spi_exec("UPDATE tenancy.migration SET state = 'interrupted',"
					 " finished_at = clock_timestamp() WHERE id = $1 AND state = 'running'",
					 1, types, values, NULL);
	return false;
}

/* Refuses to begin while another call brings the blueprint's tenants elsewhere. */
static void
check_other_calls(MigrateCall *call)
{
	Oid	   types[] = {TEXTOID};
	Datum  values[] = {CStringGetTextDatum(call->blueprint)};
	int	   n;
	int64 *calls;

	tenancy_lock_name("migration", call->blueprint);
	tenancy_spi_exec("SELECT id, to_version FROM tenancy.migration"
					 " WHERE blueprint = $1 AND state = 'running'",
					 1, types, values, NULL);
	n = SPI_processed;
	calls = palloc(sizeof(int64) * 2 * (n + 1));
	for (int i = 0; i < 2 * n; i++)
		calls[i] = tenancy_spi_int64(i / 2, i % 2 + 1);
	for (int i = 0; i < n; i++)
		if (is_running(calls[2 * i]) && calls[2 * i + 1] != call->target)
			ereport(
				ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg(
					 "the tenants of blueprint \"%s\" are being brought to version " INT64_FORMAT,
					 call->blueprint, calls[2 * i + 1]),
				 errhint("tenancy.stat_progress_migrate shows how far that is.")));
}

/* Writes the call's row and locks it for the session. */
static void
insert_call(MigrateCall *call)
{
	Oid		types[] = {TEXTOID, INT8OID, TEXTOID, INT4OID, INT8OID};
	Datum	values[] = {CStringGetTextDatum(call->blueprint), Int64GetDatum(call->target),
						CStringGetTextDatum(call->caller), Int32GetDatum(MyProcPid),
						Int64GetDatum(call->total)};
	LOCKTAG tag;

	check_other_calls(call);
	tenancy_spi_exec("INSERT INTO tenancy.migration (blueprint, to_version, called_by, pid, total)"
					 " VALUES ($1, $2, $3, $4, $5) RETURNING id",
					 5, types, values, NULL);
	call->id = tenancy_spi_int64(0, 1);
	call_locktag(&tag, call->id);
	(void) LockAcquire(&tag, ExclusiveLock, true, false);
	call->relation = tag.locktag_field2;
}

/* Lets the call's number go; what it has done has been written before. */
void
migrate_unregister(int code, Datum arg)
{
	MigrateCall *call = (MigrateCall *) DatumGetPointer(arg);
	LOCKTAG		 tag;

	if (call->relation == InvalidOid)
		return;
	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, call->relation, (uint32) call->id, 1);
	(void) LockRelease(&tag, ExclusiveLock, true);
	call->relation = InvalidOid;
}

/* Begins a call. */
void
migrate_register(MigrateCall *call)
{
	Blueprint blueprint;
	SpiScope  scope;

	PushActiveSnapshot(GetTransactionSnapshot());
	tenancy_spi_begin_as_owner(&scope);
	blueprint_load(call->blueprint, &blueprint);
	call->owner = blueprint.owner;
	migrate_require_owner(&blueprint, scope.save_userid);
	choose_tenants(call);
	plan_call(call, &blueprint);
	if (!call->dry_run)
		insert_call(call);
	tenancy_spi_end(&scope);
	PopActiveSnapshot();
	tenancy_spi_commit_procedure();
}
