/*
 * shared.h
 *		What the workers of one database share, and the views read.
 */
#ifndef TENANCY_SHARED_H
#define TENANCY_SHARED_H

#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/spin.h"

#include "common/guc.h"
#include "sink/sink.h"
#include "sync/forgetting.h"
#include "sync/ring.h"

#define SHARED_ERROR_MAX 512
#define REACHED_MAX 2048

typedef enum WorkerState
{
	WORKER_STOPPED,
	WORKER_STARTING,
	WORKER_RUNNING,
	WORKER_DISABLED, /* no URL is set */
	WORKER_PAUSED,	 /* by tenancy.pause() */
	WORKER_UNREACHABLE,
	WORKER_UNAUTHORIZED,
	WORKER_VERSION_REGRESSED, /* the sink holds versions that were never issued */
	WORKER_WAL_LEVEL,		  /* wal_level is not logical */
	WORKER_FAILED			  /* ended by an error; started again with back-off */
} WorkerState;

/* One worker process: written by it alone, but for the latch, which others set. */
typedef struct WorkerShared
{
	slock_t			 mutex; /* guards pid, latch, last_error, last_error_at */
	pid_t			 pid;	/* 0: not running */
	Latch			*latch;
	TimestampTz		 last_error_at;
	char			 last_error[SHARED_ERROR_MAX];
	pg_atomic_uint32 state; /* WorkerState */
} WorkerShared;

/* What a lane of a sink is doing. */
typedef enum LaneState
{
	LANE_IDLE,
	LANE_IN_FLIGHT,
	LANE_BACKING_OFF, /* after a failure, or because the server asked for it */
	LANE_HELD_BACK	  /* as many requests are in flight as the server takes well */
} LaneState;

/* One lane, for tenancy.stat_sync_lanes. */
typedef struct LaneShared
{
	pg_atomic_uint32 state; /* LaneState */
	pg_atomic_uint32 limit_actions;
	pg_atomic_uint32 limit_bytes;
	pg_atomic_uint32 in_flight; /* operations */
	pg_atomic_uint32 last_ms;
} LaneShared;

/* One sink; all but the ring, wanted_stream, control and the last verify is written by its worker alone. */
typedef struct SinkShared
{
	WorkerShared	  worker;
	pg_atomic_uint64  wanted_stream; /* raised by the worker when it starts */
	pg_atomic_uint64  received;		 /* LSN: all up to it has come */
	pg_atomic_uint64  acked;		 /* LSN: all up to it is in the sink, or safe in a table */
	pg_atomic_uint64  settled;		 /* LSN: all up to it is in the sink, but for paused tenants */
	pg_atomic_uint64  oldest;		 /* commit time of the oldest key not in the sink, 0: none */
	pg_atomic_uint64  resyncing;	 /* 1: tables of tenancy.resync are still to be done */
	pg_atomic_uint64  control;		 /* raised when tenancy.sync_pause changes */
	pg_atomic_uint64  control_seen;	 /* control when the worker read the table */
	pg_atomic_uint64  paused;		 /* 1: the whole sink is paused */
	pg_atomic_uint64  doubtful;		 /* 1: tenancy.sync_pause has, or may have, rows of this sink */
	pg_atomic_uint64  held;			 /* relations that the server refuses now */
	pg_atomic_uint64  dirty;
	pg_atomic_uint64  docs;
	pg_atomic_uint64  deletes;
	pg_atomic_uint64  retries;
	pg_atomic_uint64  conflicts;
	pg_atomic_uint64  dead;
	pg_atomic_uint64  verified_at; /* time of the last sampling verify, 0: none yet */
	pg_atomic_uint64  verified;	   /* rows that it looked at */
	pg_atomic_uint64  missing;	   /* what it found */
	pg_atomic_uint64  stale;
	pg_atomic_uint64  ghosts;
	ConditionVariable acked_cv;
	pg_atomic_uint32  nlanes; /* 0: its worker has not run yet */
	pg_atomic_uint32  lanes_allowed;
	LaneShared		  lanes[TENANCY_LANES_MAX];
	Ring			 *ring;
} SinkShared;

/* A relation whose documents a worker could not be kept from making but by its end. */
typedef struct Unending
{
	pg_atomic_uint32 relid; /* InvalidOid: none */
	pg_atomic_uint64 at;	/* time of that */
} Unending;

#define UNENDING_MAX 8

#define SAMPLES_MAX 512
#define SAMPLE_KEY_MAX 160
#define SAMPLE_WINDOWS 3

/* A row whose cache keys were unlinked; see samples.h. */
typedef struct CacheSample
{
	Oid			relid; /* InvalidOid: free */
	int			key_length;
	char		key[SAMPLE_KEY_MAX]; /* as SinkItem.key */
	TimestampTz at;
	int			looked; /* so many times */
} CacheSample;

/* What a look at a key's value came to. */
typedef enum SampleVerdict
{
	SAMPLE_RIGHT,
	SAMPLE_STALE,
	SAMPLE_ABSENT,
	SAMPLE_UNKNOWN /* not a value that can be judged by its row */
} SampleVerdict;

#define SAMPLE_VERDICTS (SAMPLE_UNKNOWN + 1)

typedef struct DatabaseShared
{
	Oid				 dboid;	 /* InvalidOid: free; guarded by SyncShared.lock */
	bool			 paused; /* workers must not run; guarded by SyncShared.lock */
	WorkerShared	 capture;
	pg_atomic_uint32 absent;		 /* capture found that the extension is gone */
	pg_atomic_uint32 capture_asleep; /* a commit must set its latch */
	pg_atomic_uint32
		committed; /* a transaction that wrote has committed since capture cleared it */
	pg_atomic_uint32 capture_stuck; /* a sink that makes room in its ring must set its latch */
	pg_atomic_uint64 captured;		/* LSN decoded so far */
	pg_atomic_uint64 confirmed;		/* LSN the slot has been confirmed at */
	SinkShared		 sinks[SINK_COUNT];
	bool			 lack_told; /* the cache has been told to forget what may be of such commits */
	Forgetting		 forgetting[FORGETTING_PLACES];
	Unending		 unending[UNENDING_MAX];
	pg_atomic_uint32 next_unending;
	WorkerShared	 verify; /* the sampling one */
	pg_atomic_uint32
				 moves_to_verify; /* 1: an index that is to replace another one is to be compared */
	WorkerShared inspector;
	slock_t		 samples_mutex;
	CacheSample	 samples[SAMPLES_MAX]; /* guarded by samples_mutex */
	pg_atomic_uint64 inspected[SAMPLE_WINDOWS][SAMPLE_VERDICTS];
	slock_t			 reached_mutex;
	char reached[REACHED_MAX]; /* see reached.h; "": not known; guarded by reached_mutex */
} DatabaseShared;

typedef struct SyncShared
{
	LWLock			*lock;
	WorkerShared	 launcher;
	pg_atomic_uint32 rescan;	   /* a database may have got the extension */
	pg_atomic_uint32 generation;   /* raised when a database comes or goes */
	Oid				 probe_dboid;  /* database being looked at, set by the launcher */
	pg_atomic_uint32 probe_result; /* ProbeResult */
	bool			 may_lack;	   /* commits that were seen; set at start */
	int				 ndatabases;
	DatabaseShared	*databases;
} SyncShared;

typedef enum ProbeResult
{
	PROBE_NONE,
	PROBE_FOUND,
	PROBE_ABSENT
} ProbeResult;

/* NULL when the library is not in shared_preload_libraries. */
extern SyncShared *tenancy_shared;

extern Size			   tenancy_shared_size(void);
extern void			   tenancy_shared_init(void);
extern DatabaseShared *tenancy_shared_find(Oid dboid);
extern DatabaseShared *tenancy_shared_mine(void);
extern void			   tenancy_shared_reset(DatabaseShared *database, Oid dboid);

extern bool		   worker_attach(WorkerShared *worker);
extern pid_t	   worker_pid(WorkerShared *worker);
extern void		   worker_detach(WorkerShared *worker);
extern void		   worker_set_state(WorkerShared *worker, WorkerState state);
extern void		   worker_set_error(WorkerShared *worker, const char *text);
extern void		   worker_wake(WorkerShared *worker);
extern const char *worker_state_name(WorkerState state);
extern const char *worker_lane_state_name(LaneState state);

#endif
