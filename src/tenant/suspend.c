/*
 * suspend.c
 *		tenant_suspend, tenant_resume: what may be done with a tenant for now.
 *
 * The status is a column of the registry's row; sessions hear of a change before their next
 * statement (schema_map.c), where src/isolation refuses it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "common/args.h"
#include "common/errors.h"
#include "common/spi.h"
#include "tenant/schema_map.h"
#include "tenant/tenant.h"

PG_FUNCTION_INFO_V1(tenant_suspend);
PG_FUNCTION_INFO_V1(tenant_resume);
PG_FUNCTION_INFO_V1(tenancy_tenant_access_changed);

/* Gives a tenant another status; the reason of an active one is none. */
static void
set_status(const char *name, const char *status, const char *reason)
{
	Oid		 types[] = {TEXTOID, TEXTOID, TEXTOID};
	Datum	 values[] = {CStringGetTextDatum(name), CStringGetTextDatum(status),
						 reason ? CStringGetTextDatum(reason) : (Datum) 0};
	SpiScope scope;

	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec("UPDATE tenancy.tenant SET status = $2, suspended_reason = $3,"
					 " suspended_at = CASE WHEN $2 <> 'active' THEN pg_catalog.now() END"
					 " WHERE name = $1 AND status <> 'dropped'",
					 3, types, values, reason ? NULL : "  n");
	if (SPI_processed == 0)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_UNDEFINED_TENANT),
						errmsg("tenant \"%s\" does not exist", name)));
	tenancy_spi_end(&scope);
}

/* Status that a mode means. */
static const char *
status_of_mode(const char *mode)
{
	if (strcmp(mode, "blocked") == 0)
		return "suspended";
	if (strcmp(mode, "read_only") == 0)
		return "read_only";
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unknown mode \"%s\"", mode),
					errhint("It is \"blocked\" or \"read_only\".")));
}

/* Blocks a tenant, or makes it read-only. */
Datum
tenant_suspend(PG_FUNCTION_ARGS)
{
	char *name = tenancy_arg_text(fcinfo, 0, "name");
	char *mode = tenancy_arg_text(fcinfo, 1, "mode");
	char *reason = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));

	set_status(name, status_of_mode(mode), reason);
	PG_RETURN_VOID();
}

/* Ends that. */
Datum
tenant_resume(PG_FUNCTION_ARGS)
{
	set_status(tenancy_arg_text(fcinfo, 0, "name"), "active", NULL);
	PG_RETURN_VOID();
}

/* Trigger of the registry: what may be done with a tenant has changed. */
Datum
tenancy_tenant_access_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("function \"%s\" was not called by a trigger",
							   "tenancy.tenant_access_changed")));
	tenancy_access_changed();
	PG_RETURN_POINTER(NULL);
}
