/*
 * migrate.h
 *		Taking tenants from one version of their blueprint to another.
 *
 * A call is cut into stages, a stage into passes.  A pass is a list of tenants and the workers
 * that share it; when it has ended, what is left is looked up in the registry again.
 */
#ifndef TENANCY_MIGRATE_H
#define TENANCY_MIGRATE_H

#include "datatype/timestamp.h"
#include "port/atomics.h"

#include "common/ident.h"
#include "tenant/blueprint.h"

/* Most tenants in one transaction: more subtransactions than 64 make every snapshot of others slow. */
#define MIGRATE_BATCH_MAX 50
/* A batch takes no further tenant after this time, so that no tenant waits long for others'. */
#define MIGRATE_BATCH_MS 100

/* Steps that are run together: those of tenants whose version is from .. to, but not to. */
typedef struct MigrateStage
{
	int64 from;
	int64 to;
	bool  alone; /* one step, outside a transaction */
} MigrateStage;

/* True in SQL for the tenants that a stage is for; none that is newer than the call goes down. */
#define MIGRATE_STAGE_HAS(tenant, from, to, newest)                                                \
	"CASE WHEN " from " < " to " THEN " tenant ".version >= " from " AND " tenant ".version < " to \
	" ELSE " tenant ".version <= " from " AND " tenant ".version > " to " AND " tenant             \
	".id <= " newest " END"

/* What the workers of a pass are told, and tell each other. */
typedef struct MigratePass
{
	Oid			 dboid;
	Oid			 session; /* role of the worker's session; InvalidOid: the bootstrap superuser */
	int64		 migration;
	char		 blueprint[TENANT_NAME_MAX + 1];
	MigrateStage stage;
	int64		 target;
	int64		 newest;		   /* no tenant with a higher id goes down */
	bool		 one_by_one;	   /* each tenant is waited for, in its own transaction */
	int			 lock_timeout;	   /* ms */
	int			 retries;		   /* times that a lock may not be given before it is an error */
	int			 lock_budget;	   /* locks that one worker may hold */
	uint32		 failures_allowed; /* of this pass */
	pg_atomic_uint32 failed;
	pg_atomic_uint32 next; /* first of ids that nobody has taken */
	int				 nids;
	int64			 ids[FLEXIBLE_ARRAY_MEMBER];
} MigratePass;

#define MIGRATE_MAGIC 0x6d696772
#define MIGRATE_TOC_PASS 1
#define MIGRATE_TOC_QUEUE 2 /* and following: of each worker */

#define MIGRATE_MESSAGE_COUNTS 'D' /* MigrateCounts of a batch */
#define MIGRATE_MESSAGE_FAILED 'F' /* tenant, error */
#define MIGRATE_MESSAGE_END 'C'

typedef struct MigrateCounts
{
	int64 done;
	int64 waiting; /* gave no lock */
	int64 failed;
} MigrateCounts;

typedef enum MigrateStatus
{
	MIGRATE_UNTOUCHED, /* it is not what it was when it was found */
	MIGRATE_DONE,
	MIGRATE_WAITING,
	MIGRATE_FAILED
} MigrateStatus;

/* A tenant and what became of it; texts live as long as the batch. */
typedef struct MigrateTenant
{
	int64		  id;
	char		 *name;
	char		 *schema;
	int64		  version; /* before */
	int			  waits;   /* times before that it gave no lock */
	MigrateStatus status;
	char		 *error;	/* "": none */
	char		 *sqlstate; /* likewise */
	TimestampTz	  started_at;
} MigrateTenant;

/* What a worker knows. */
typedef struct MigrateWorker
{
	MigratePass	 *pass;
	Blueprint	 *blueprint;
	int64		  todo[MIGRATE_BATCH_MAX]; /* taken by this worker */
	int			  ntodo;
	int			  nbatch;			/* of these, to be found for a batch */
	int			  most;				/* most that a batch may have, to be done in time */
	int			  locks_per_tenant; /* most that were seen; 0: none yet */
	MemoryContext context;			/* of a batch */
} MigrateWorker;

/* A call. */
typedef struct MigrateCall
{
	MemoryContext context; /* it outlives transactions */
	char		 *blueprint;
	char		 *caller;
	Oid			  relation; /* tenancy.migration */
	Oid			  owner;
	bool		  to_highest; /* no version was given */
	int64		  target;
	Datum		  names;  /* text[], 0: all */
	Datum		  chosen; /* bigint[], their ids */
	int			  jobs;
	int			  lock_timeout; /* ms */
	int			  max_failures;
	int			  canaries;
	int			  retries;
	bool		  dry_run;
	int64		  id; /* of its row */
	int64		  newest;
	int64		  total;
	Blueprint	 *plan;
	List		 *stages;
	MigrateCounts counts; /* so far; done counts tenants that have come to the target */
	int			  warnings;
	TimestampTz	  noted_at;
} MigrateCall;

/* migrate_plan.c */
extern void	 migrate_require_owner(const Blueprint *blueprint, Oid caller);
extern List *migrate_stages(const Blueprint *blueprint, int64 lowest, int64 highest, int64 target);
extern void	 migrate_require_version(const Blueprint *blueprint, int64 version);
extern void	 migrate_require_downs(const Blueprint *blueprint, int64 highest, int64 target);
extern const char *migrate_stage_steps(const Blueprint *blueprint, const MigrateStage *stage);

/* Ids of tenants. */
typedef struct MigrateIds
{
	int	   count;
	int64 *ids;
} MigrateIds;

/* migrate_register.c; in a transaction of its own, which it ends */
extern void migrate_register(MigrateCall *call);
extern void migrate_unregister(int code, Datum call);

/* migrate_registry.c; all but the last in a transaction of their own, which they end */
extern MigrateIds migrate_canaries(MigrateCall *call);
/* among NULL: all of the call */
extern MigrateIds migrate_list(MigrateCall *call, const MigrateStage *stage,
							   const MigrateIds *among);
extern List		 *migrate_names(MigrateCall *call, const MigrateIds *tenants);
extern void		  migrate_set_phase(MigrateCall *call, const char *phase);
extern void		  migrate_finish(MigrateCall *call, const char *state);
extern Datum	  migrate_id_array(const int64 *ids, int count);
/* Inside an owner's SPI scope. */
extern void migrate_write(int64 migration, int64 version, const MigrateTenant *tenants, int count);

/* migrate_pass.c */
extern void migrate_run_pass(MigrateCall *call, const MigrateStage *stage,
							 const MigrateIds *tenants, bool one_by_one, bool canaries);

/* migrate_call.c */
extern void migrate_say_progress(MigrateCall *call);

/* migrate_batch.c */
extern MigrateCounts  migrate_batch(MigrateWorker *worker);
extern MigrateTenant *migrate_find(MigrateWorker *worker, bool lock, int *count);
extern void migrate_classify(const MigratePass *pass, MigrateTenant *tenant, ErrorData *error);
extern MigrateCounts migrate_count(const MigrateTenant *tenants, int count);

/* migrate_alone.c */
extern MigrateCounts migrate_alone(MigrateWorker *worker);

/* migrate_worker.c */
extern void				migrate_report_failure(const MigrateTenant *tenant);
extern PGDLLEXPORT void tenancy_migrate_main(Datum arg);

#endif
