/*
 * sink_worker.h
 *		One sink's worker process: what its parts share.
 */
#ifndef TENANCY_SINK_WORKER_H
#define TENANCY_SINK_WORKER_H

#include "utils/hsearch.h"

#include "sink/sink.h"
#include "sync/dirty.h"
#include "sync/pace.h"
#include "sync/shared.h"

/* One request in flight at a time. */
typedef struct SyncLane
{
	int			  number;
	bool		  busy;			/* batch is in flight */
	uint64		  batch_number; /* of it */
	uint64		  age;			/* of targets when it was begun */
	int			  careful;		/* keys still to be read one by one after an error */
	Pace		  pace;			/* what it may send, adapted to the server */
	int			  docs_size;	/* of the last batch's documents: room to begin with */
	MemoryContext context;		/* of the batch */
	SinkBatch	  batch;
	DirtyEntry	**entries; /* batch.items[i] is about entries[i] */
} SyncLane;

typedef struct SinkWorker
{
	SinkKind		  kind;
	const SinkDriver *driver;
	DatabaseShared	 *database;
	SinkShared		 *shared;
	DirtySet		 *dirty;
	HTAB			 *dead; /* hashes, of 64 bits, of keys that have a dead letter */
	int				  nlanes;
	SyncLane		 *lanes;
	PaceServer		  pace;
	uint64			  batches;	 /* started so far */
	DirtyEntry		**taken;	 /* room for the keys of one batch */
	uint64			  stream;	 /* number of the stream we wait for or read */
	bool			  streaming; /* its start has come */
	uint64			  received;	 /* LSN */
	int				  epoch;
	bool			  regressed; /* the sink holds versions that were never issued */
	bool			  denied;	 /* the server refused the last request */
	bool			  paused;	 /* by tenancy.pause(): nothing is sent */
	bool			  enabled;	 /* a URL is set and tenancy.sink says so */
	char			 *key;		 /* scratch for the ring's keys */
	int				  key_room;
} SinkWorker;

extern void sink_worker_run(DatabaseShared *database, SinkKind kind);

extern void sink_state_check(SinkWorker *worker);
extern bool sink_state_is_off(void);
extern int	sink_state_epoch(void);
extern void sink_state_expect(const SinkDriver *driver);

#endif
