/*
 * migrate_plan.c
 *		Which steps are run together.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/acl.h"

#include "common/errors.h"
#include "tenant/migrate.h"

/* Adds a step to the last stage, or begins one with it. */
static List *
add_step(List *stages, int64 from, int64 to, bool transactional)
{
	MigrateStage *last = stages == NIL ? NULL : llast(stages);

	if (last == NULL || last->alone || !transactional)
	{
		last = palloc0(sizeof(MigrateStage));
		last->from = from;
		last->alone = !transactional;
		stages = lappend(stages, last);
	}
	last->to = to;
	return stages;
}

/* Version below a step: what a tenant has when the step is taken back. */
static int64
version_below(const Blueprint *blueprint, int i)
{
	return i == 0 ? 0 : blueprint->steps[i - 1].version;
}

/*
 * Stages that bring tenants of all versions from lowest to highest to the target: those below it up,
 * then those above it down.  A step outside a transaction is a stage by itself.
 */
List *
migrate_stages(const Blueprint *blueprint, int64 lowest, int64 highest, int64 target)
{
	List *up = NIL, *down = NIL;

	for (int i = 0; i < blueprint->nsteps; i++)
	{
		const BlueprintStep *step = &blueprint->steps[i];

		if (step->version > lowest && step->version <= target)
			up = add_step(up, version_below(blueprint, i), step->version, step->transactional);
	}
	for (int i = blueprint->nsteps - 1; i >= 0; i--)
	{
		const BlueprintStep *step = &blueprint->steps[i];

		if (step->version > target && step->version <= highest)
			down = add_step(down, step->version, version_below(blueprint, i), step->transactional);
	}
	return list_concat(up, down);
}

/* Refuses a caller who does not own the blueprint. */
void
migrate_require_owner(const Blueprint *blueprint, Oid caller)
{
	if (!has_privs_of_role(caller, blueprint->owner))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("must be owner of blueprint \"%s\"", blueprint->name)));
}

/* Refuses a version that no step has; 0 is a tenant without any. */
void
migrate_require_version(const Blueprint *blueprint, int64 version)
{
	for (int i = 0; i < blueprint->nsteps; i++)
		if (blueprint->steps[i].version == version)
			return;
	if (version != 0)
		ereport(ERROR,
				(errcode(ERRCODE_TENANCY_BLUEPRINT),
				 errmsg("blueprint \"%s\" has no step " INT64_FORMAT, blueprint->name, version)));
}

/* Refuses a way down on which a step cannot be taken back. */
void
migrate_require_downs(const Blueprint *blueprint, int64 highest, int64 target)
{
	for (int i = 0; i < blueprint->nsteps; i++)
	{
		const BlueprintStep *step = &blueprint->steps[i];

		if (step->version > target && step->version <= highest && step->down == NULL)
			ereport(ERROR, (errcode(ERRCODE_TENANCY_BLUEPRINT),
							errmsg("step " INT64_FORMAT " of blueprint \"%s\" has no down",
								   step->version, blueprint->name)));
	}
}

/* The stage's steps for a person: "2, 3". */
const char *
migrate_stage_steps(const Blueprint *blueprint, const MigrateStage *stage)
{
	StringInfoData		 text;
	const BlueprintStep *step;

	initStringInfo(&text);
	for (int i = 0; (step = blueprint_step_between(blueprint, stage->from, stage->to, i)); i++)
		appendStringInfo(&text, "%s" INT64_FORMAT, i > 0 ? ", " : "", step->version);
	return text.data;
}
