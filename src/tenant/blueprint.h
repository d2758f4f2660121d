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
/* Highest version, 0 if there is no step. */
extern int64 blueprint_version(const Blueprint *blueprint);

#endif
