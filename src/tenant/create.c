/*
 * create.c
 *		tenant_create.
 *
 * Everything happens in the caller's transaction; the lock on the name makes
 * creators and droppers of one name wait for each other.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "common/args.h"
#include "common/errors.h"
#include "common/ident.h"
#include "common/spi.h"
#include "sync/sync_table.h"
#include "tenant/blueprint.h"
#include "tenant/tenant.h"

PG_FUNCTION_INFO_V1(tenant_create);

/* Inserts the registry row. */
static int64
register_tenant(const char *name, const Blueprint *blueprint, Jsonb *settings)
{
	Oid	  types[] = {TEXTOID, TEXTOID, TEXTOID, INT8OID, JSONBOID};
	Datum values[] = {CStringGetTextDatum(name), CStringGetTextDatum(tenancy_tenant_schema(name)),
					  CStringGetTextDatum(blueprint->name),
					  Int64GetDatum(blueprint_version(blueprint)), JsonbPGetDatum(settings)};

	tenancy_spi_exec("INSERT INTO tenancy.tenant (name, schema_name, blueprint, version, settings)"
					 " VALUES ($1, $2::name, $3, $4, $5) RETURNING id",
					 5, types, values, NULL);
	return tenancy_spi_int64(0, 1);
}

/* Makes the tenant's schema, which belongs to whom its tables will belong to. */
static void
create_schema(const char *schema, Oid owner)
{
	if (OidIsValid(get_namespace_oid(schema, true)))
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_SCHEMA),
						errmsg("schema \"%s\" already exists, but belongs to no tenant", schema),
						errhint("Rename or drop the schema first.")));
	tenancy_spi_exec(psprintf("CREATE SCHEMA %s AUTHORIZATION %s", quote_identifier(schema),
							  quote_identifier(GetUserNameFromId(owner, false))),
					 0, NULL, NULL, NULL);
}

/* Says that there is nothing to do, or that the name is taken. */
static void
report_duplicate(const char *name, bool if_not_exists)
{
	if (!if_not_exists)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_DUPLICATE_TENANT),
						errmsg("tenant \"%s\" already exists", name)));
	ereport(NOTICE, (errcode(ERRCODE_TENANCY_DUPLICATE_TENANT),
					 errmsg("tenant \"%s\" already exists, skipping", name)));
}

/* Makes a tenant whose name is locked and free; returns its id. */
static int64
make_tenant(const char *name, const char *blueprint_name, Jsonb *settings)
{
	char	 *schema = tenancy_tenant_schema(name);
	Blueprint blueprint;
	SpiScope  scope;
	int64	  id;

	tenancy_spi_begin_as_owner(&scope);
	blueprint_load(blueprint_name, &blueprint);
	id = register_tenant(name, &blueprint, settings);
	create_schema(schema, blueprint.owner);
	blueprint_apply(&blueprint, name, schema);
	tenancy_sync_provision(id);
	tenancy_spi_end(&scope);
	return id;
}

/* Makes a tenant. */
Datum
tenant_create(PG_FUNCTION_ARGS)
{
	char  *name = tenancy_arg_text(fcinfo, 0, "name");
	char  *blueprint = tenancy_arg_text(fcinfo, 1, "blueprint");
	bool   if_not_exists = tenancy_arg_bool(fcinfo, 3, "if_not_exists");
	Jsonb *settings;
	Tenant existing;

	tenancy_arg_required(fcinfo, 2, "settings");
	settings = PG_GETARG_JSONB_P(2);
	tenancy_check_tenant_name(name);
	if (!JB_ROOT_IS_OBJECT(settings))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("settings must be a JSON object")));
	tenancy_lock_name("tenant", name);
	if (tenancy_tenant_find(name, &existing))
	{
		report_duplicate(name, if_not_exists);
		PG_RETURN_INT64(existing.id);
	}
	PG_RETURN_INT64(make_tenant(name, blueprint, settings));
}
