/*
 * blueprint_add.c
 *		tenant_blueprint_add.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "common/args.h"
#include "common/errors.h"
#include "common/ident.h"
#include "common/spi.h"
#include "sync/sync_table.h"
#include "tenant/blueprint.h"
#include "tenant/tenant.h"

PG_FUNCTION_INFO_V1(tenant_blueprint_add);

/* A step to be: $1 blueprint, $2 version, $3 sql, $4 checksum, $5 down or null, $6 transactional. */
#define STEP_ARGS 6

typedef struct NewStep
{
	const char *blueprint;
	int64		version;
	Datum		values[STEP_ARGS];
	char		nulls[STEP_ARGS + 1];
} NewStep;

/* Makes a blueprint that is not there yet. */
static void
ensure_blueprint(const char *name, Oid owner)
{
	Oid	  types[] = {TEXTOID, OIDOID};
	Datum values[] = {CStringGetTextDatum(name), ObjectIdGetDatum(owner)};

	tenancy_lock_name("blueprint", name);
	tenancy_spi_exec("INSERT INTO tenancy.blueprint (name, owner)"
					 " SELECT $1, $2 WHERE NOT EXISTS"
					 " (SELECT FROM tenancy.blueprint WHERE name = $1)",
					 2, types, values, NULL);
}

/* Runs a statement with the step's values as its parameters. */
static void
exec_with_step(const char *sql, NewStep *step)
{
	Oid types[STEP_ARGS] = {TEXTOID, INT8OID, TEXTOID, BYTEAOID, TEXTOID, BOOLOID};

	tenancy_spi_exec(sql, STEP_ARGS, types, step->values, step->nulls);
}

/* True if the step is there already; refuses another text, and a version below the highest. */
static bool
step_exists(NewStep *step)
{
	bool isnull;

	exec_with_step("SELECT max(version), bool_or(version = $2),"
				   " bool_or(version = $2 AND checksum = $4 AND sql = $3"
				   "         AND down IS NOT DISTINCT FROM $5 AND transactional = $6)"
				   " FROM tenancy.blueprint_step WHERE blueprint = $1",
				   step);
	if (DatumGetBool(tenancy_spi_datum(0, 3, &isnull)) && !isnull)
		return true;
	if (DatumGetBool(tenancy_spi_datum(0, 2, &isnull)) && !isnull)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_BLUEPRINT),
						errmsg("step " INT64_FORMAT " of blueprint \"%s\" exists with another text",
							   step->version, step->blueprint),
						errhint("Steps never change; add a step with a higher version.")));
	if (tenancy_spi_int64(0, 1) >= step->version)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_BLUEPRINT),
						errmsg("version " INT64_FORMAT " of blueprint \"%s\" is not above the "
							   "highest, " INT64_FORMAT,
							   step->version, step->blueprint, tenancy_spi_int64(0, 1))));
	return false;
}

/* Reads the arguments. */
static void
read_step(FunctionCallInfo fcinfo, NewStep *step)
{
	char *blueprint = tenancy_arg_text(fcinfo, 0, "blueprint");

	tenancy_arg_required(fcinfo, 1, "version");
	tenancy_arg_required(fcinfo, 2, "sql");
	tenancy_check_name("blueprint", blueprint);
	step->blueprint = blueprint;
	step->version = PG_GETARG_INT64(1);
	if (step->version < 1)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_BLUEPRINT), errmsg("version must be above 0")));
	strcpy(step->nulls, PG_ARGISNULL(3) ? "    n " : "      ");
	step->values[0] = CStringGetTextDatum(blueprint);
	step->values[1] = Int64GetDatum(step->version);
	step->values[2] = PointerGetDatum(PG_GETARG_TEXT_PP(2));
	step->values[3] = DirectFunctionCall1(sha256_bytea, step->values[2]);
	step->values[4] = PG_ARGISNULL(3) ? (Datum) 0 : PointerGetDatum(PG_GETARG_TEXT_PP(3));
	step->values[5] = BoolGetDatum(tenancy_arg_bool(fcinfo, 4, "transactional"));
}

/* Adds a step to a blueprint, which the first one makes. */
Datum
tenant_blueprint_add(PG_FUNCTION_ARGS)
{
	Oid		 caller = GetUserId();
	NewStep	 step;
	SpiScope scope;

	read_step(fcinfo, &step);
	tenancy_spi_begin_as_owner(&scope);
	ensure_blueprint(step.blueprint, caller);
	tenancy_blueprint_require_owner(step.blueprint, caller);
	if (step_exists(&step))
		ereport(NOTICE,
				(errmsg("step " INT64_FORMAT " of blueprint \"%s\" already exists, skipping",
						step.version, step.blueprint)));
	else
		exec_with_step("INSERT INTO tenancy.blueprint_step"
					   " (blueprint, version, sql, checksum, down, transactional)"
					   " VALUES ($1, $2, $3, $4, $5, $6)",
					   &step);
	tenancy_spi_end(&scope);
	PG_RETURN_VOID();
}
