/*
 * verify.h
 *		Comparing tables with their indices.
 */
#ifndef TENANCY_VERIFY_H
#define TENANCY_VERIFY_H

#include "sync/shared.h"

/* worker.c: what the postmaster starts for a call of tenancy.verify(). */
extern PGDLLEXPORT void tenancy_verify_main(Datum arg);

/* sample.c: one sample of rows and documents, its result into the status view. */
extern void verify_sample_run(DatabaseShared *database);
extern void verify_moves_run(DatabaseShared *database);
/* True if the interval since the last sample is over. */
extern bool verify_sample_is_due(DatabaseShared *database);

#endif
