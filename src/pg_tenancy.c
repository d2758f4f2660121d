/*
 * pg_tenancy.c
 *		_PG_init and nothing else.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "common/compat.h"
#include "common/guc.h"
#include "isolation/isolation.h"
#include "metrics/tenant_stat.h"
#include "worker/worker.h"

COMPAT_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

/* Without preload everything works but the workers. */
void
_PG_init(void)
{
	tenancy_guc_init();
	isolation_table_init();
	isolation_path_init();
	if (!process_shared_preload_libraries_in_progress)
		return;
	worker_shmem_init();
	worker_hooks_init();
	tenant_stat_hooks_init();
	if (!IsBinaryUpgrade)
		worker_register_launcher();
}
