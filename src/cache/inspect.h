/*
 * inspect.h
 *		The inspector: are cached values what the rows say, some time after a change?
 */
#ifndef TENANCY_CACHE_INSPECT_H
#define TENANCY_CACHE_INSPECT_H

#include "sync/shared.h"

/* Runs until there is nothing to look at any more. */
extern void cache_inspect_run(DatabaseShared *database);

#endif
