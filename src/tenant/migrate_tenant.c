/*
 * migrate_tenant.c
 *		tenant_migrate_tenant(): one tenant, in the caller's transaction.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "common/args.h"
#include "common/errors.h"
#include "common/spi.h"
#include "tenant/migrate.h"
#include "tenant/tenant.h"

PG_FUNCTION_INFO_V1(tenant_migrate_tenant);

/* Name of a tenant's blueprint. */
static char *
blueprint_of(const char *name)
{
	Tenant tenant;

	if (!tenancy_tenant_find(name, &tenant))
		ereport(ERROR, (errcode(ERRCODE_TENANCY_UNDEFINED_TENANT),
						errmsg("tenant \"%s\" does not exist", name)));
	return pstrdup(tenant.blueprint);
}

/* Locks a tenant's row and reads it. */
static void
lock_tenant(const char *name, MigrateTenant *tenant)
{
	Oid	  types[] = {TEXTOID};
	Datum values[] = {CStringGetTextDatum(name)};

	tenancy_spi_exec("SELECT id, name, schema_name, version FROM tenancy.tenant"
					 " WHERE name = $1 AND status <> 'dropped' FOR NO KEY UPDATE",
					 1, types, values, NULL);
	if (SPI_processed == 0)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_UNDEFINED_TENANT),
						errmsg("tenant \"%s\" does not exist", name)));
	tenant->id = tenancy_spi_int64(0, 1);
	tenant->name = tenancy_spi_text(0, 2);
	tenant->schema = tenancy_spi_text(0, 3);
	tenant->version = tenancy_spi_int64(0, 4);
	tenant->status = MIGRATE_DONE;
	tenant->error = "";
	tenant->sqlstate = "";
	tenant->started_at = GetCurrentTimestamp();
}

/* Refuses a way with a step that cannot be in a transaction, or cannot be taken back. */
static void
check_way(const Blueprint *blueprint, const MigrateTenant *tenant, int64 target)
{
	const BlueprintStep *step;

	migrate_require_downs(blueprint, tenant->version, target);
	for (int i = 0; (step = blueprint_step_between(blueprint, tenant->version, target, i)); i++)
		if (!step->transactional)
			ereport(
				ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("step " INT64_FORMAT " of blueprint \"%s\" cannot run in a transaction",
						step->version, blueprint->name),
				 errhint("CALL tenant_migrate(%s, tenants => ARRAY[%s]).",
						 quote_literal_cstr(blueprint->name), quote_literal_cstr(tenant->name))));
}

/* Brings a tenant whose name is locked to a version, NULL being the highest; returns that. */
static int64
migrate_tenant(const char *name, const int64 *version)
{
	Blueprint	  blueprint;
	MigrateTenant tenant;
	SpiScope	  scope;
	int64		  target;

	tenancy_spi_begin_as_owner(&scope);
	blueprint_load(blueprint_of(name), &blueprint);
	migrate_require_owner(&blueprint, scope.save_userid);
	target = version != NULL ? *version : blueprint_version(&blueprint);
	migrate_require_version(&blueprint, target);
	lock_tenant(name, &tenant);
	if (tenant.version == target)
		ereport(NOTICE, (errmsg("tenant \"%s\" has version " INT64_FORMAT " already, skipping",
								name, target)));
	else
	{
		check_way(&blueprint, &tenant, target);
		blueprint_migrate(&blueprint, name, tenant.schema, tenant.version, target);
		migrate_write(0, target, &tenant, 1);
	}
	tenancy_spi_end(&scope);
	return target;
}

/* Brings one tenant to a version. */
Datum
tenant_migrate_tenant(PG_FUNCTION_ARGS)
{
	char *name = tenancy_arg_text(fcinfo, 0, "name");
	int64 version = PG_ARGISNULL(1) ? 0 : PG_GETARG_INT64(1);

	tenancy_lock_name("tenant", name);
	PG_RETURN_INT64(migrate_tenant(name, PG_ARGISNULL(1) ? NULL : &version));
}
