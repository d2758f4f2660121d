/*
 * forgetting.h
 *		Names of tenants whose values the cache is still to forget.
 */
#ifndef TENANCY_FORGETTING_H
#define TENANCY_FORGETTING_H

#include "port/atomics.h"

#define FORGETTING_PLACES 64

/* Tenants' names that hash to one place, in shared memory. */
typedef struct Forgetting
{
	pg_atomic_uint32 committing; /* transactions that are at it */
	pg_atomic_uint64 end;		 /* LSN that the cache sink has to come to */
} Forgetting;

/* When this transaction commits, the cache forgets a tenant. */
extern void forgetting_note(const char *tenant);
/* True if the cache has forgotten all that was to be forgotten of a name by commits on this server since its start. */
extern bool forgetting_is_over(const char *tenant);

#endif
