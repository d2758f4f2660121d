/*
 * blueprint.c
 *		Reading a blueprint and running its steps.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/syscache.h"

#include "common/errors.h"
#include "common/spi.h"
#include "sync/sync_table.h"
#include "tenant/blueprint.h"
#include "tenant/statement.h"

/* What an error in a step is reported with. */
typedef struct StepContext
{
	const char *blueprint;
	const char *tenant;
	int64		version;
	bool		down;
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
	tenancy_spi_exec("SELECT version, sql, checksum, down, transactional"
					 " FROM tenancy.blueprint_step WHERE blueprint = $1 ORDER BY version",
					 1, types, values, NULL);
	out->nsteps = SPI_processed;
	out->steps = palloc(sizeof(BlueprintStep) * (out->nsteps + 1));
	for (int i = 0; i < out->nsteps; i++)
	{
		out->steps[i].version = tenancy_spi_int64(i, 1);
		out->steps[i].sql = tenancy_spi_text(i, 2);
		out->steps[i].checksum = tenancy_spi_datum(i, 3, &isnull);
		out->steps[i].down = tenancy_spi_text(i, 4);
		out->steps[i].transactional = DatumGetBool(tenancy_spi_datum(i, 5, &isnull));
	}
}

/* A blueprint that lives on in the current memory context. */
Blueprint *
blueprint_copy(const Blueprint *from)
{
	Blueprint *to = palloc(sizeof(Blueprint));

	to->name = pstrdup(from->name);
	to->owner = from->owner;
	to->nsteps = from->nsteps;
	to->steps = palloc(sizeof(BlueprintStep) * (from->nsteps + 1));
	for (int i = 0; i < from->nsteps; i++)
	{
		const BlueprintStep *step = &from->steps[i];

		to->steps[i] = *step;
		to->steps[i].sql = pstrdup(step->sql);
		to->steps[i].down = step->down ? pstrdup(step->down) : NULL;
		to->steps[i].checksum = datumCopy(step->checksum, false, -1);
	}
	return to;
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

	if (context->down)
		errcontext("down of step " INT64_FORMAT " of blueprint \"%s\" for tenant \"%s\"",
				   context->version, context->blueprint, context->tenant);
	else
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

/* Notes that a step was run; the table is the blueprint owner's, so only that role may write to it. */
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

/* Notes that a step was taken back. */
static void
unrecord_step(const BlueprintStep *step, const char *schema)
{
	Oid	  types[] = {INT8OID};
	Datum values[] = {Int64GetDatum(step->version)};

	tenancy_spi_exec(
		psprintf("DELETE FROM %s.schema_migrations WHERE version = $1", quote_identifier(schema)),
		1, types, values, NULL);
}

/* Notes that a step was run or taken back, as the blueprint's owner. */
void
blueprint_note_step(const Blueprint *blueprint, const BlueprintStep *step, const char *schema,
					bool down)
{
	SpiScope scope;

	tenancy_spi_begin_as_role(&scope, blueprint->owner, "pg_catalog, pg_temp");
	if (down)
		unrecord_step(step, schema);
	else
		record_step(step, schema);
	tenancy_spi_end(&scope);
}

/* search_path of a step; pg_temp is last, lest the caller's temporary tables be mistaken for ours. */
char *
blueprint_search_path(const char *schema)
{
	return psprintf("%s, public, pg_temp", quote_identifier(schema));
}

/* Runs one step, or what takes it back. */
static void
run_step(const Blueprint *blueprint, const BlueprintStep *step, const char *schema, bool down)
{
	const char *sql = down ? step->down : step->sql;
	SpiScope	scope;

	if (sql == NULL)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_BLUEPRINT),
						errmsg("step " INT64_FORMAT " of blueprint \"%s\" has no down",
							   step->version, blueprint->name)));
	tenancy_spi_begin_as_role(&scope, blueprint->owner, blueprint_search_path(schema));
	if (step->transactional)
		tenancy_spi_script(sql);
	else
		statement_run_inside(sql);
	tenancy_spi_end(&scope);
	blueprint_note_step(blueprint, step, schema, down);
}

/* The step that is the n-th to be run, or taken back, from one version to another; NULL if there is none. */
const BlueprintStep *
blueprint_step_between(const Blueprint *blueprint, int64 from, int64 to, int n)
{
	bool down = to < from;
	int	 seen = 0;

	for (int i = 0; i < blueprint->nsteps; i++)
	{
		const BlueprintStep *step = &blueprint->steps[down ? blueprint->nsteps - 1 - i : i];

		if (step->version > Min(from, to) && step->version <= Max(from, to) && seen++ == n)
			return step;
	}
	return NULL;
}

/* Takes a tenant from one version to another, up or down, as the blueprint's owner. */
void
blueprint_migrate(const Blueprint *blueprint, const char *tenant, const char *schema, int64 from,
				  int64 to)
{
	StepContext			 context = {blueprint->name, tenant, 0, to < from};
	ErrorContextCallback callback = {error_context_stack, step_error_context, &context};
	const BlueprintStep *step;

	error_context_stack = &callback;
	for (int i = 0; (step = blueprint_step_between(blueprint, from, to, i)) != NULL; i++)
	{
		CHECK_FOR_INTERRUPTS();
		context.version = step->version;
		run_step(blueprint, step, schema, context.down);
	}
	error_context_stack = callback.previous;
}

/* Runs all steps in a tenant's new schema, as the blueprint's owner. */
void
blueprint_apply(const Blueprint *blueprint, const char *tenant, const char *schema)
{
	SpiScope scope;

	tenancy_spi_begin_as_role(&scope, blueprint->owner, "pg_catalog, pg_temp");
	create_migrations_table(schema);
	tenancy_spi_end(&scope);
	blueprint_migrate(blueprint, tenant, schema, 0, blueprint_version(blueprint));
}
