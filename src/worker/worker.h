/*
 * worker.h
 *		Background workers: what _PG_init and the postmaster call.
 */
#ifndef TENANCY_WORKER_H
#define TENANCY_WORKER_H

#include "postgres.h"

#include "postmaster/bgworker.h"

#include "sync/shared.h"

typedef enum WorkerRole
{
	ROLE_CAPTURE,
	ROLE_SEARCH,
	ROLE_CACHE,
	ROLE_STATISTICS,
	ROLE_VERIFY, /* now and then, ends by itself */
	ROLE_INSPECT /* the same */
} WorkerRole;

#define ROLE_COUNT 6

/* shmem.c */
extern void worker_shmem_init(void);

/* hooks.c */
extern void worker_hooks_init(void);

/* start.c */
extern void			 worker_register_launcher(void);
extern bool			 worker_start(DatabaseShared *database, WorkerRole role,
								  BackgroundWorkerHandle **handle);
extern bool			 worker_start_probe(Oid dboid, BackgroundWorkerHandle **handle);
extern WorkerShared *worker_shared(DatabaseShared *database, WorkerRole role);

/* launcher.c, main.c */
extern PGDLLEXPORT void tenancy_launcher_main(Datum arg);
extern PGDLLEXPORT void tenancy_probe_main(Datum arg);
extern PGDLLEXPORT void tenancy_worker_main(Datum arg);

#endif
