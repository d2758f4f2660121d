/*
 * drop.c
 *		tenant_drop.
 *
 * The schema is moved or dropped as the registry's owner: to rename it, its own
 * owner would need CREATE on the database.  Nothing of the blueprint runs.
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
#include "common/guc.h"
#include "common/spi.h"
#include "sync/message.h"
#include "tenant/tenant.h"

PG_FUNCTION_INFO_V1(tenant_drop);

/* Locks a tenant's row; 0 and no schema if there is none. */
static int64
lock_tenant(const char *name, char **schema)
{
	Oid	  types[] = {TEXTOID};
	Datum values[] = {CStringGetTextDatum(name)};

	tenancy_spi_exec("SELECT id, schema_name FROM tenancy.tenant"
					 " WHERE name = $1 AND status <> 'dropped' FOR UPDATE",
					 1, types, values, NULL);
	if (SPI_processed == 0)
		return 0;
	*schema = tenancy_spi_text(0, 2);
	return tenancy_spi_int64(0, 1);
}

/* Waits for the transactions that use the tenant; false if its schema is gone. */
static bool
lock_schema(const char *schema)
{
	Oid oid = get_namespace_oid(schema, true);

	if (!OidIsValid(oid))
		return false;
	LockDatabaseObject(NamespaceRelationId, oid, 0, AccessExclusiveLock);
	return OidIsValid(get_namespace_oid(schema, true));
}

/* Makes the sinks forget the tenant. */
static void
forget_tenant(int64 id, const char *name)
{
	Oid	  types[] = {INT8OID};
	Datum values[] = {Int64GetDatum(id)};

	tenancy_spi_exec("UPDATE tenancy.search_index SET state = 'dropping', updated_at = now()"
					 " WHERE tenant_id = $1 AND state <> 'dropping'",
					 1, types, values, NULL);
	tenancy_spi_exec("DELETE FROM tenancy.resync WHERE tenant_id = $1", 1, types, values, NULL);
	tenancy_spi_exec("DELETE FROM tenancy.dead_letter WHERE tenant_id = $1", 1, types, values,
					 NULL);
	tenancy_message_forget_tenant(name);
}

/* Removes a tenant and all its rows. */
static void
purge_tenant(int64 id, const char *schema)
{
	Oid	  types[] = {INT8OID};
	Datum values[] = {Int64GetDatum(id)};

	(void) set_config_option("client_min_messages", "warning", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	if (lock_schema(schema))
		tenancy_spi_exec(psprintf("DROP SCHEMA %s CASCADE", quote_identifier(schema)), 0, NULL,
						 NULL, NULL);
	tenancy_spi_exec("DELETE FROM tenancy.tenant WHERE id = $1", 1, types, values, NULL);
}

/* Puts a tenant aside: its name is free, its rows stay. */
static void
set_tenant_aside(int64 id, const char *schema)
{
	char *aside = psprintf("tenancy_dropped_" INT64_FORMAT, id);
	Oid	  types[] = {INT8OID, TEXTOID};
	Datum values[] = {Int64GetDatum(id), CStringGetTextDatum(aside)};

	if (lock_schema(schema))
		tenancy_spi_exec(psprintf("ALTER SCHEMA %s RENAME TO %s", quote_identifier(schema), aside),
						 0, NULL, NULL, NULL);
	tenancy_spi_exec("UPDATE tenancy.tenant SET status = 'dropped', dropped_at = now(),"
					 " schema_name = $2::name WHERE id = $1",
					 2, types, values, NULL);
}

/* Complains that there is no such tenant, or says so. */
static void
report_missing(const char *name, bool if_exists)
{
	if (!if_exists)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_UNDEFINED_TENANT),
						errmsg("tenant \"%s\" does not exist", name)));
	ereport(NOTICE, (errcode(ERRCODE_TENANCY_UNDEFINED_TENANT),
					 errmsg("tenant \"%s\" does not exist, skipping", name)));
}

/* Drops a tenant; false if there is none. */
static bool
drop_tenant(const char *name, bool if_exists, bool purge)
{
	SpiScope scope;
	char	*schema = NULL;
	int64	 id;

	tenancy_lock_name("tenant", name);
	tenancy_spi_begin_as_owner(&scope);
	id = lock_tenant(name, &schema);
	if (id == 0)
		report_missing(name, if_exists);
	else
	{
		if (purge)
			purge_tenant(id, schema);
		else
			set_tenant_aside(id, schema);
		/* last, since the workers need these rows and all that is waited for comes before */
		forget_tenant(id, name);
	}
	tenancy_spi_end(&scope);
	return id != 0;
}

/* Drops a tenant, and ends its use by this transaction. */
Datum
tenant_drop(PG_FUNCTION_ARGS)
{
	char	   *name = tenancy_arg_text(fcinfo, 0, "name");
	bool		if_exists = tenancy_arg_bool(fcinfo, 1, "if_exists");
	bool		purge = tenancy_arg_bool(fcinfo, 2, "purge");
	const char *current = tenancy_tenant_current_name();

	if (!drop_tenant(name, if_exists, purge))
		PG_RETURN_BOOL(false);
	if (current != NULL && strcmp(current, name) == 0)
		tenancy_tenant_reset();
	PG_RETURN_BOOL(true);
}
