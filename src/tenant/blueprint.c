/*
 * blueprint.c
 *		tenant_blueprint_add, and reading a blueprint and running its steps.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/syscache.h"

#include "common/args.h"
#include "common/errors.h"
#include "common/ident.h"
#include "common/spi.h"
#include "sync/sync_table.h"
#include "tenant/blueprint.h"
#include "tenant/tenant.h"

PG_FUNCTION_INFO_V1(tenant_blueprint_add);

/* What an error in a step is reported with. */
typedef struct StepContext
{
	const char *blueprint;
	const char *tenant;
	int64		version;
} StepContext;

/* Owner of a blueprint, which cannot change until the end of the transaction. */
static Oid
existing_owner(const char *blueprint)
{
	Oid owner = tenancy_blueprint_owner(blueprint);

	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(owner)))
		ereport(ERROR, (errcode(ERRCODE_TENANCY_BLUEPRINT),
						errmsg("the owner of blueprint \"%s\" does not exist", blueprint),
						errdetail("It was the role with OID %u.", owner)));
	return owner;
}

/* Reads a blueprint. */
void
blueprint_load(const char *name, Blueprint *out)
{
	Oid	  types[] = {TEXTOID};
	Datum values[] = {CStringGetTextDatum(name)};
	bool  isnull;

	out->name = name;
	out->owner = existing_owner(name);
	tenancy_spi_exec("SELECT version, sql, checksum FROM tenancy.blueprint_step"
					 " WHERE blueprint = $1 ORDER BY version",
					 1, types, values, NULL);
	out->nsteps = SPI_processed;
	out->steps = palloc(sizeof(BlueprintStep) * (out->nsteps + 1));
	for (int i = 0; i < out->nsteps; i++)
	{
		out->steps[i].version = tenancy_spi_int64(i, 1);
		out->steps[i].sql = tenancy_spi_text(i, 2);
		out->steps[i].checksum = tenancy_spi_datum(i, 3, &isnull);
	}
}

/* Highest version, 0 if there is no step. */
int64
blueprint_version(const Blueprint *blueprint)
{
	return blueprint->nsteps == 0 ? 0 : blueprint->steps[blueprint->nsteps - 1].version;
}

/* Adds to an error which step it came from. */
static void
step_error_context(void *arg)
{
	StepContext *context = arg;

	errcontext("step " INT64_FORMAT " of blueprint \"%s\" for tenant \"%s\"", context->version,
			   context->blueprint, context->tenant);
}

/* Makes the table that records which steps a tenant has. */
static void
create_migrations_table(const char *schema)
{
	tenancy_spi_script(psprintf("CREATE TABLE %s.schema_migrations ("
								"version bigint PRIMARY KEY,"
								" checksum bytea NOT NULL,"
								" applied_at timestamptz NOT NULL DEFAULT now())",
								quote_identifier(schema)));
}

/* Records a step; the table is the blueprint owner's, so only that role may write to it. */
static void
record_step(const BlueprintStep *step, const char *schema)
{
	Oid	  types[] = {INT8OID, BYTEAOID};
	Datum values[] = {Int64GetDatum(step->version), step->checksum};

	tenancy_spi_exec(psprintf("INSERT INTO %s.schema_migrations (version, checksum)"
							  " VALUES ($1, $2)",
							  quote_identifier(schema)),
					 2, types, values, NULL);
}

/* Runs one step; pg_temp is last, lest the caller's temporary tables be mistaken for ours. */
static void
run_step(Oid owner, const BlueprintStep *step, const char *schema)
{
	SpiScope scope;

	tenancy_spi_begin_as_role(&scope, owner,
							  psprintf("%s, public, pg_temp", quote_identifier(schema)));
	tenancy_spi_script(step->sql);
	record_step(step, schema);
	tenancy_spi_end(&scope);
}

/* Runs all steps in a tenant's new schema, as the blueprint's owner. */
void
blueprint_apply(const Blueprint *blueprint, const char *tenant, const char *schema)
{
	StepContext			 context = {blueprint->name, tenant, 0};
	ErrorContextCallback callback = {error_context_stack, step_error_context, &context};
	SpiScope			 scope;

	tenancy_spi_begin_as_role(&scope, blueprint->owner, "pg_catalog, pg_temp");
	create_migrations_table(schema);
	tenancy_spi_end(&scope);

	error_context_stack = &callback;
	for (int i = 0; i < blueprint->nsteps; i++)
	{
		CHECK_FOR_INTERRUPTS();
		context.version = blueprint->steps[i].version;
		run_step(blueprint->owner, &blueprint->steps[i], schema);
	}
	error_context_stack = callback.previous;
}

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

/* True if the step is there already; refuses another text, and a version below the highest. */
static bool
step_exists(const char *blueprint, int64 version, Datum checksum)
{
	Oid	  types[] = {TEXTOID, INT8OID, BYTEAOID};
	Datum values[] = {CStringGetTextDatum(blueprint), Int64GetDatum(version), checksum};
	bool  isnull;

	tenancy_spi_exec("SELECT max(version), bool_or(version = $2),"
					 " bool_or(version = $2 AND checksum = $3)"
					 " FROM tenancy.blueprint_step WHERE blueprint = $1",
					 3, types, values, NULL);
	if (DatumGetBool(tenancy_spi_datum(0, 3, &isnull)) && !isnull)
		return true;
	if (DatumGetBool(tenancy_spi_datum(0, 2, &isnull)) && !isnull)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_BLUEPRINT),
						errmsg("step " INT64_FORMAT " of blueprint \"%s\" exists with another text",
							   version, blueprint),
						errhint("Steps never change; add a step with a higher version.")));
	if (tenancy_spi_int64(0, 1) >= version)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_BLUEPRINT),
						errmsg("version " INT64_FORMAT " of blueprint \"%s\" is not above the "
							   "highest, " INT64_FORMAT,
							   version, blueprint, tenancy_spi_int64(0, 1))));
	return false;
}

/* Writes a step. */
static void
insert_step(const char *blueprint, int64 version, Datum sql, Datum checksum)
{
	Oid	  types[] = {TEXTOID, INT8OID, TEXTOID, BYTEAOID};
	Datum values[] = {CStringGetTextDatum(blueprint), Int64GetDatum(version), sql, checksum};

	tenancy_spi_exec("INSERT INTO tenancy.blueprint_step (blueprint, version, sql, checksum)"
					 " VALUES ($1, $2, $3, $4)",
					 4, types, values, NULL);
}

/* Adds a step to a blueprint, which the first one makes. */
Datum
tenant_blueprint_add(PG_FUNCTION_ARGS)
{
	Oid		 caller = GetUserId();
	char	*blueprint = tenancy_arg_text(fcinfo, 0, "blueprint");
	int64	 version;
	Datum	 sql, checksum;
	SpiScope scope;

	tenancy_arg_required(fcinfo, 1, "version");
	tenancy_arg_required(fcinfo, 2, "sql");
	version = PG_GETARG_INT64(1);
	sql = PointerGetDatum(PG_GETARG_TEXT_PP(2));
	tenancy_check_name("blueprint", blueprint);
	if (version < 1)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_BLUEPRINT), errmsg("version must be above 0")));
	checksum = DirectFunctionCall1(sha256_bytea, sql);

	tenancy_spi_begin_as_owner(&scope);
	ensure_blueprint(blueprint, caller);
	tenancy_blueprint_require_owner(blueprint, caller);
	if (step_exists(blueprint, version, checksum))
		ereport(NOTICE,
				(errmsg("step " INT64_FORMAT " of blueprint \"%s\" already exists, skipping",
						version, blueprint)));
	else
		insert_step(blueprint, version, sql, checksum);
	tenancy_spi_end(&scope);
	PG_RETURN_VOID();
}
