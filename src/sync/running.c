/*
 * running.c
 *		Whether this server can sync at all.
 */
#include "postgres.h"

#include "access/xlog.h"

#include "common/errors.h"
#include "sync/running.h"

/* Part of this database, NULL if it has none yet; an error says what is missing. */
DatabaseShared *
sync_require_running(void)
{
	if (tenancy_shared == NULL)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_NOT_RUNNING),
						errmsg("pg_tenancy is not in shared_preload_libraries"),
						errhint("Add shared_preload_libraries = 'pg_tenancy' to postgresql.conf "
								"and restart the server.")));
	if (wal_level < WAL_LEVEL_LOGICAL)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_NOT_RUNNING), errmsg("wal_level is not logical"),
						errhint("Set wal_level = logical in postgresql.conf and restart the "
								"server.")));
	if (RecoveryInProgress())
		ereport(ERROR, (errcode(ERRCODE_TENANCY_NOT_RUNNING), errmsg("a standby does not sync"),
						errhint("Call this function on the primary.")));
	return tenancy_shared_mine();
}
