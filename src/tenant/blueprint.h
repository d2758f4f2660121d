/*
 * blueprint.h
 *		Reading a blueprint and running its steps.
 */
#ifndef TENANCY_BLUEPRINT_H
#define TENANCY_BLUEPRINT_H

typedef struct BlueprintStep
{
	int64 version;
	char *sql;
	char *down; /* takes it back; NULL: there is no way back */
	bool  transactional;
	Datum checksum; /* bytea */
} BlueprintStep;

/* Its steps are in the order of version. */
typedef struct Blueprint
{
	const char	  *name;
	Oid			   owner;
	int			   nsteps;
	BlueprintStep *steps;
} Blueprint;

/* Both want to be called inside an owner's SPI scope; steps live until it ends. */
extern void blueprint_load(const char *name, Blueprint *out);
extern void blueprint_apply(const Blueprint *blueprint, const char *tenant, const char *schema);
/* A copy in the current memory context. */
extern Blueprint *blueprint_copy(const Blueprint *from);
/* Steps of a living tenant, up or down; inside an owner's SPI scope. */
extern void blueprint_migrate(const Blueprint *blueprint, const char *tenant, const char *schema,
							  int64 from, int64 to);
extern const BlueprintStep *blueprint_step_between(const Blueprint *blueprint, int64 from, int64 to,
												   int n);
extern void	 blueprint_note_step(const Blueprint *blueprint, const BlueprintStep *step,
								 const char *schema, bool down);
extern char *blueprint_search_path(const char *schema);
/* Highest version, 0 if there is no step. */
extern int64 blueprint_version(const Blueprint *blueprint);

#endif
