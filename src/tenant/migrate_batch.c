/*
 * migrate_batch.c
 *		A few tenants in one transaction, each in a subtransaction.
 *
 * What a tenant has given its locks for is held until the batch commits.  So a batch waits for no
 * lock longer than it may last, and whoever does not give one is left for later, alone.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/lock.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "common/attempt.h"
#include "common/spi.h"
#include "tenant/migrate.h"

#define FIND                                                                   \
	"SELECT t.id, t.name, t.schema_name, t.version,"                           \
	" coalesce((SELECT h.waits FROM tenancy.migration_history h"               \
	"           WHERE h.migration_id = $2 AND h.tenant_id = t.id), 0)::bigint" \
	" FROM tenancy.tenant t WHERE t.id = ANY ($1) AND t.status <> 'dropped'"   \
	" AND " MIGRATE_STAGE_HAS("t", "$3", "$4", "$5") " ORDER BY t.id"

/* A tenant and its way. */
typedef struct OneTenant
{
	MigrateWorker *worker;
	MigrateTenant *tenant;
} OneTenant;

/* Takes a tenant from the last result. */
static void
read_tenant(MigrateTenant *tenant, int row)
{
	tenant->id = tenancy_spi_int64(row, 1);
	tenant->name = tenancy_spi_text(row, 2);
	tenant->schema = tenancy_spi_text(row, 3);
	tenant->version = tenancy_spi_int64(row, 4);
	tenant->waits = (int) tenancy_spi_int64(row, 5);
	tenant->status = MIGRATE_UNTOUCHED;
	tenant->error = "";
	tenant->sqlstate = "";
	tenant->started_at = GetCurrentTimestamp();
}

/*
 * Those of the worker's tenants that the stage still is for, in the worker's memory; with lock only
 * those whose row nobody has locked.  Inside an owner's SPI scope.
 */
MigrateTenant *
migrate_find(MigrateWorker *worker, bool lock, int *count)
{
	static SPIPlanPtr	plans[2] = {NULL, NULL};
	const MigratePass  *pass = worker->pass;
	const MigrateStage *stage = &pass->stage;
	Oid					types[] = {INT8ARRAYOID, INT8OID, INT8OID, INT8OID, INT8OID};
	Datum				values[] = {migrate_id_array(worker->todo, worker->nbatch),
									Int64GetDatum(pass->migration), Int64GetDatum(stage->from),
									Int64GetDatum(stage->to), Int64GetDatum(pass->newest)};
	MigrateTenant	   *tenants;
	MemoryContext		old;

	tenancy_spi_exec_saved(&plans[lock], lock ? FIND " FOR NO KEY UPDATE OF t SKIP LOCKED" : FIND,
						   lengthof(types), types, values, NULL);
	*count = SPI_processed;
	old = MemoryContextSwitchTo(worker->context);
	tenants = palloc(sizeof(MigrateTenant) * (*count + 1));
	for (int i = 0; i < *count; i++)
		read_tenant(&tenants[i], i);
	MemoryContextSwitchTo(old);
	return tenants;
}

/* Locks a tenant's row as it was found; false if it is another one now. */
static bool
lock_tenant(const MigrateTenant *tenant)
{
	Oid	  types[] = {INT8OID, INT8OID, TEXTOID};
	Datum values[] = {Int64GetDatum(tenant->id), Int64GetDatum(tenant->version),
					  CStringGetTextDatum(tenant->schema)};

	tenancy_spi_exec("SELECT FROM tenancy.tenant WHERE id = $1 AND version = $2"
					 " AND schema_name = $3::name AND status <> 'dropped' FOR NO KEY UPDATE",
					 3, types, values, NULL);
	return SPI_processed > 0;
}

/* Runs the stage's steps for a tenant. */
static void
run_steps(void *arg)
{
	OneTenant		  *one = arg;
	MigrateTenant	  *tenant = one->tenant;
	const MigratePass *pass = one->worker->pass;

	if (pass->one_by_one && !lock_tenant(tenant))
		return;
	blueprint_migrate(one->worker->blueprint, tenant->name, tenant->schema, tenant->version,
					  pass->stage.to);
	tenant->status = MIGRATE_DONE;
}

/* True for an error that says "not now": another transaction is in the way, or the lock table is full. */
static bool
may_go_away(const MigratePass *pass, int sqlstate)
{
	return sqlstate == ERRCODE_LOCK_NOT_AVAILABLE || sqlstate == ERRCODE_T_R_DEADLOCK_DETECTED ||
		   sqlstate == ERRCODE_T_R_SERIALIZATION_FAILURE ||
		   (sqlstate == ERRCODE_OUT_OF_MEMORY && !pass->one_by_one);
}

/* Says what an error makes of a tenant; throws again what is no fault of the tenant's. */
void
migrate_classify(const MigratePass *pass, MigrateTenant *tenant, ErrorData *error)
{
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		ReThrowError(error);
	tenant->error = error->message;
	tenant->sqlstate = pstrdup(unpack_sql_state(error->sqlerrcode));
	tenant->status = may_go_away(pass, error->sqlerrcode) && tenant->waits < pass->retries
						 ? MIGRATE_WAITING
						 : MIGRATE_FAILED;
}

/* Tries one tenant. */
static void
try_tenant(MigrateWorker *worker, MigrateTenant *tenant)
{
	OneTenant	  one = {worker, tenant};
	MemoryContext old = MemoryContextSwitchTo(worker->context);
	ErrorData	 *error;

	pgstat_report_activity(STATE_RUNNING, psprintf("pg_tenancy migrate: tenant %s", tenant->name));
	tenant->started_at = GetCurrentTimestamp();
	error = tenancy_try(run_steps, &one, false);
	if (error != NULL)
		migrate_classify(worker->pass, tenant, error);
	MemoryContextSwitchTo(old);
}

/* Counts what became of tenants. */
MigrateCounts
migrate_count(const MigrateTenant *tenants, int count)
{
	MigrateCounts counts = {0};

	for (int i = 0; i < count; i++)
	{
		counts.done += tenants[i].status == MIGRATE_DONE;
		counts.waiting += tenants[i].status == MIGRATE_WAITING;
		counts.failed += tenants[i].status == MIGRATE_FAILED;
	}
	return counts;
}

/* What is left to be done: those of the batch that were not tried, and those that were not in it. */
static void
keep_rest(MigrateWorker *worker, const MigrateTenant *tenants, int tried, int count)
{
	int kept = 0;

	for (int i = tried; i < count; i++)
		worker->todo[kept++] = tenants[i].id;
	for (int i = worker->nbatch; i < worker->ntodo; i++)
		worker->todo[kept++] = worker->todo[i];
	worker->ntodo = kept;
}

/* Tries tenants until there are enough; returns how many were tried. */
static int
try_tenants(MigrateWorker *worker, MigrateTenant *tenants, int count)
{
	TimestampTz start = GetCurrentTimestamp();
	bool		late = false;
	int			tried = 0;

	while (tried < count && !late)
	{
		CHECK_FOR_INTERRUPTS();
		try_tenant(worker, &tenants[tried++]);
		if (tenants[tried - 1].status == MIGRATE_FAILED)
			break;
		late = TimestampDifferenceExceeds(start, GetCurrentTimestamp(), MIGRATE_BATCH_MS);
	}
	worker->most = late ? tried : Min(MIGRATE_BATCH_MAX, worker->most * 2);
	keep_rest(worker, tenants, tried, count);
	return tried;
}

/* Locks that this transaction has in the shared table. */
static int
locks_held(void)
{
	LockData *locks = GetLockStatusData();
	int		  held = 0;

	for (int i = 0; i < locks->nelements; i++)
		held += locks->locks[i].pid == MyProcPid && !locks->locks[i].fastpath;
	return held;
}

/* How long this transaction waits for a lock. */
static int
lock_timeout(const MigratePass *pass)
{
	if (pass->one_by_one || (pass->lock_timeout > 0 && pass->lock_timeout < MIGRATE_BATCH_MS))
		return pass->lock_timeout;
	return MIGRATE_BATCH_MS;
}

/* How many tenants a batch may have: as many as have their locks in the budget, and are done in time. */
static int
batch_size(const MigrateWorker *worker)
{
	int locks = Max(1, worker->locks_per_tenant);

	return worker->pass->one_by_one ? 1
									: Max(1, Min(worker->most, worker->pass->lock_budget / locks));
}

/* Runs the stage for those of the worker's tenants that give their locks, in one transaction. */
MigrateCounts
migrate_batch(MigrateWorker *worker)
{
	const MigratePass *pass = worker->pass;
	MigrateTenant	  *tenants;
	MigrateCounts	   counts;
	SpiScope		   scope;
	int				   count;

	MemoryContextReset(worker->context);
	worker->nbatch = Min(worker->ntodo, batch_size(worker));
	tenancy_tx_begin("pg_tenancy migrate");
	tenancy_tx_lock_timeout(lock_timeout(pass));
	tenancy_spi_begin_as_owner(&scope);
	tenants = migrate_find(worker, !pass->one_by_one, &count);
	count = try_tenants(worker, tenants, count);
	counts = migrate_count(tenants, count);
	migrate_write(pass->migration, pass->stage.to, tenants, count);
	if (counts.done > 0)
		worker->locks_per_tenant =
			Max(worker->locks_per_tenant, (locks_held() + counts.done - 1) / counts.done);
	tenancy_spi_end(&scope);
	tenancy_tx_commit();
	for (int i = 0; i < count; i++)
		if (tenants[i].status == MIGRATE_FAILED)
			migrate_report_failure(&tenants[i]);
	return counts;
}
