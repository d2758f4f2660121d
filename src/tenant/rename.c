/*
 * rename.c
 *		tenant_rename.
 *
 * The id stays, and with it indices, documents and what is still to be sent.  The aliases are
 * moved by the search sink, which hears of it by the rows of tenancy.search_index.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"

#include "common/args.h"
#include "common/errors.h"
#include "common/spi.h"
#include "sync/message.h"
#include "tenant/tenant.h"

PG_FUNCTION_INFO_V1(tenant_rename);

/* Locks both names, always in the same order. */
static void
lock_names(const char *old_name, const char *new_name)
{
	bool ascending = strcmp(old_name, new_name) < 0;

	tenancy_lock_name("tenant", ascending ? old_name : new_name);
	tenancy_lock_name("tenant", ascending ? new_name : old_name);
}

/* Refuses an unknown tenant and a name that is taken; the tenant's row is locked then. */
static void
find_tenant(const char *old_name, const char *new_name, Tenant *tenant)
{
	Oid	   types[] = {TEXTOID};
	Datum  values[] = {CStringGetTextDatum(old_name)};
	Tenant other;

	tenancy_spi_exec("SELECT FROM tenancy.tenant WHERE name = $1 AND status <> 'dropped'"
					 " FOR UPDATE",
					 1, types, values, NULL);
	if (!tenancy_tenant_find(old_name, tenant))
		ereport(ERROR, (errcode(ERRCODE_TENANCY_UNDEFINED_TENANT),
						errmsg("tenant \"%s\" does not exist", old_name)));
	if (tenancy_tenant_find(new_name, &other))
		ereport(ERROR, (errcode(ERRCODE_TENANCY_DUPLICATE_TENANT),
						errmsg("tenant \"%s\" already exists", new_name)));
}

/* Waits for the transactions that use the tenant, then renames its schema. */
static void
rename_schema(const Tenant *tenant, const char *schema)
{
	const char *old_schema = NameStr(tenant->schema);
	Oid			oid = get_namespace_oid(old_schema, true);

	if (OidIsValid(get_namespace_oid(schema, true)))
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_SCHEMA),
						errmsg("schema \"%s\" already exists, but belongs to no tenant", schema),
						errhint("Rename or drop the schema first.")));
	if (OidIsValid(oid))
		LockDatabaseObject(NamespaceRelationId, oid, 0, AccessExclusiveLock);
	if (!OidIsValid(get_namespace_oid(old_schema, true)))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_SCHEMA),
						errmsg("schema \"%s\" of tenant \"%s\" does not exist", old_schema,
							   tenant->name)));
	tenancy_spi_exec(psprintf("ALTER SCHEMA %s RENAME TO %s", quote_identifier(old_schema),
							  quote_identifier(schema)),
					 0, NULL, NULL, NULL);
}

/*
 * Gives the tenant's row its new names.  What an earlier tenant of the new name has left in the
 * cache must be gone before the cache is used.
 */
static void
rename_row(const Tenant *tenant, const char *new_name, const char *schema)
{
	Oid	  types[] = {INT8OID, TEXTOID, TEXTOID};
	Datum values[] = {Int64GetDatum(tenant->id), CStringGetTextDatum(new_name),
					  CStringGetTextDatum(schema)};

	tenancy_spi_exec("UPDATE tenancy.tenant SET name = $2, schema_name = $3::name,"
					 " cache_from = pg_current_wal_insert_lsn() WHERE id = $1",
					 3, types, values, NULL);
}

/* Has the sinks follow: the aliases move, and the cache forgets the old name. */
static void
rename_in_sinks(const Tenant *tenant, const char *new_name)
{
	Oid	  types[] = {INT8OID, TEXTOID, TEXTOID};
	Datum values[] = {Int64GetDatum(tenant->id), CStringGetTextDatum(tenant->name),
					  CStringGetTextDatum(new_name)};

	tenancy_spi_exec("UPDATE tenancy.search_index SET old_aliases = old_aliases || alias,"
					 " alias = left(alias, -length($2)) || $3, revision = revision + 1,"
					 " attempts = 0, updated_at = now(),"
					 " state = CASE state WHEN 'ready' THEN 'altered' ELSE state END"
					 " WHERE tenant_id = $1 AND state <> 'dropping'",
					 3, types, values, NULL);
	tenancy_message_forget_tenant(tenant->name);
}

/* Renames a tenant; a transaction that uses it uses it under its new name. */
Datum
tenant_rename(PG_FUNCTION_ARGS)
{
	char	   *old_name = tenancy_arg_text(fcinfo, 0, "old");
	char	   *new_name = tenancy_arg_text(fcinfo, 1, "new");
	const char *current = tenancy_tenant_current_name();
	char	   *schema;
	Tenant		tenant;
	SpiScope	scope;

	tenancy_check_tenant_name(new_name);
	schema = tenancy_tenant_schema(new_name);
	lock_names(old_name, new_name);
	tenancy_spi_begin_as_owner(&scope);
	find_tenant(old_name, new_name, &tenant);
	rename_schema(&tenant, schema);
	rename_row(&tenant, new_name, schema);
	/* last, since the workers need these rows and all that is waited for comes before */
	rename_in_sinks(&tenant, new_name);
	tenancy_spi_end(&scope);
	if (current != NULL && strcmp(current, old_name) == 0)
		tenancy_tenant_set_current(new_name, schema);
	PG_RETURN_VOID();
}
