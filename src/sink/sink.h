/*
 * sink.h
 *		What the sync worker and a sink say to each other.
 *
 * A sink turns a batch of items into requests, without blocking and without
 * opening a transaction, and later says for every item how it ended.  What to do
 * about an outcome (again, dead letter, pause) is the sync worker's business.
 */
#ifndef TENANCY_SINK_H
#define TENANCY_SINK_H

#include "lib/stringinfo.h"
#include "nodes/pg_list.h"

#include "sink/place.h"

#define SINK_REASON_MAX 512

typedef enum SinkKind
{
	SINK_SEARCH,
	SINK_CACHE,
	SINK_STATISTICS
} SinkKind;

#define SINK_COUNT 3

typedef enum SinkAction
{
	SINK_PUT,		   /* the row is there: doc is its document */
	SINK_REMOVE,	   /* the row is gone */
	SINK_FORGET_TENANT /* cache: drop every key of tenant `key` */
} SinkAction;

typedef enum SinkOutcome
{
	SINK_PENDING,	/* not answered yet */
	SINK_DONE,		/* the sink agrees with the table */
	SINK_CONFLICT,	/* 409: the sink holds version `stored_version` */
	SINK_AGAIN,		/* 429, 5xx, time-out, connection lost: send again */
	SINK_TOO_LARGE, /* 413: split, alone: dead letter */
	SINK_REFUSED,	/* 400: this document never gets in as it is */
	SINK_NO_INDEX,	/* 404 for the alias: provision it, then send again */
	SINK_BLOCKED,  /* this target takes nothing now (write block, no shard, closed): others go on */
	SINK_DENIED,   /* 401, 403: nothing gets in until somebody acts */
	SINK_ELSEWHERE /* it has it; an index that does not serve is sent it next.  No sink says this. */
} SinkOutcome;

typedef struct SinkItem
{
	const SinkTarget *target; /* NULL for SINK_FORGET_TENANT */
	const SinkPlace	 *place;  /* of target; NULL: the sink knows no places */
	SinkAction		  action;
	const char		 *key;		  /* key column values as text, each ended by a zero byte */
	int				  key_length; /* with the zero bytes */
	const char		 *doc;		  /* JSON object, SINK_PUT of a sink that wants rows */
	int				  doc_length;
	uint64			  version;
	uint64			  xid_range[2]; /* the changes'; from 0: not all known, but all have ended */
	SinkOutcome		  outcome;
	int				  status;		  /* HTTP status, 0 where there is none */
	uint64			  stored_version; /* SINK_CONFLICT, 0 if unknown */
	bool			  raced; /* SINK_REFUSED, perhaps only since the mapping changed meanwhile */
	char			  reason[SINK_REASON_MAX];
} SinkItem;

typedef struct SinkBatch
{
	int		  lane;
	int		  nitems;
	SinkItem *items;
	size_t	  bytes;				  /* of the request */
	int64	  retry_after_ms;		  /* what the server asked for, 0 if nothing */
	bool	  unreachable;			  /* the server did not answer at all */
	bool	  timed_out;			  /* unreachable: not within the time */
	char	  error[SINK_REASON_MAX]; /* of the whole request, "" if none */
	void *private;					  /* the sink's own, NULL when the batch is done */
} SinkBatch;

/* State of the connection as a whole. */
typedef enum SinkHealth
{
	SINK_CONNECTING,  /* not yet known */
	SINK_READY,		  /* submit may be called */
	SINK_UNREACHABLE, /* no answer; poll tries again by itself with back-off */
	SINK_UNAUTHORIZED /* refused: tried again with back-off too */
} SinkHealth;

/* Reading the keys of all documents of a target, page by page. */
typedef struct SinkListing SinkListing;
typedef enum SinkListResult
{
	SINK_LIST_BUSY, /* ask again after the next event */
	SINK_LIST_PAGE, /* keys were appended */
	SINK_LIST_END,
	SINK_LIST_FAILED /* start again later */
} SinkListResult;

/* One document asked for by its key. */
typedef struct SinkDocument
{
	const char *key; /* as SinkItem.key */
	int			key_length;
	const char *alias; /* by which it is read, NULL: by that of the place */
	bool		found;
	bool		too_large; /* found, but longer than was allowed for: doc is not set */
	uint64		version;
	const char *doc; /* JSON as the sink has it, not ended by a zero byte */
	int			doc_length;
} SinkDocument;

/* Reading documents by key. */
typedef struct SinkFetch SinkFetch;

typedef enum SinkFetchResult
{
	SINK_FETCH_BUSY, /* ask again after the next event */
	SINK_FETCH_DONE,
	SINK_FETCH_TOO_LARGE, /* ask for fewer */
	SINK_FETCH_NO_INDEX,
	SINK_FETCH_FAILED /* may go well later */
} SinkFetchResult;

/*
 * A sink.  None of these throws for what the server does; they may throw for
 * out of memory.  poll and submit never wait.
 */
typedef struct SinkDriver
{
	const char *name;		/* "search", "cache", "statistics" */
	bool		wants_rows; /* needs doc, else keys are enough */

	/* True if a URL is set. */
	bool (*configured)(void);
	/* (Re)reads the settings, drops connections, starts connecting. */
	void (*open)(void);
	void (*close)(void);
	/* Drives everything that is under way; cheap when there is nothing. */
	void (*poll)(void);
	SinkHealth (*health)(const char **error);
	/* Identity of the server's data (cluster_uuid); NULL where it has none or is not known yet. */
	const char *(*identity)(void);
	/* True if another server than before has nothing that could be old; NULL: never known. */
	bool (*is_empty)(void);
	/* The identity it had before, NULL: not known; before the first open.  NULL: has none. */
	void (*expect)(const char *identity);
	/* Starts a batch; the batch and what it points to live until finished says true. */
	void (*submit)(SinkBatch *batch);
	/* True when every item has an outcome. */
	bool (*finished)(SinkBatch *batch);
	/* Readable when poll has something to do; PGINVALID_SOCKET: none.  A new one after open. */
	pgsocket (*event_fd)(void);
	/* Milliseconds after which poll and housekeep want to run without an event, -1: never. */
	long (*timeout)(void);
	/*
	 * Work on the sink's own tables and indices, called after each poll; opens its
	 * own transactions.  True: call again.
	 */
	bool (*housekeep)(void);
	/* What went wrong in housekeep since the last call, NULL: nothing. */
	const char *(*trouble)(void);
	/* The registry changed; NULL: the sink does not care. */
	void (*config_changed)(void);
	/* True if items of the target may be sent now, to all of its places; NULL: always. */
	bool (*target_ready)(const SinkTarget *target);
	/* An item for the place came back with SINK_NO_INDEX; NULL: never happens. */
	void (*place_missing)(const SinkPlace *place);
	/* Keys of all documents that a place has of a target; all three NULL: the sink cannot tell. */
	SinkListing *(*list_open)(const SinkTarget *target, const SinkPlace *place);
	/* Appends the keys of the next page: for each its length (int32) and what SinkItem.key is. */
	SinkListResult (*list_next)(SinkListing *listing, StringInfo keys);
	void (*list_close)(SinkListing *listing);
	/* The same for about `most` documents chosen at random, in one page; NULL: it cannot. */
	SinkListing *(*list_sample)(const SinkTarget *target, const SinkPlace *place, int most);
	/*
	 * Reads the newest state of documents, one not yet visible to searches too; NULL: it cannot.
	 * The array lives until fetch_close, and what doc points to until then.
	 */
	SinkFetch *(*fetch_open)(const SinkPlace *place, SinkDocument **documents, int n,
							 size_t most_bytes);
	/* error is set where the result is NO_INDEX or FAILED. */
	SinkFetchResult (*fetch_poll)(SinkFetch *fetch, const char **error);
	void (*fetch_close)(SinkFetch *fetch);
} SinkDriver;

extern const SinkDriver search_sink_driver;
extern const SinkDriver cache_sink_driver;

#endif
