/*
 * ring.h
 *		Records from the capture worker to one sink worker, through shared memory.
 */
#ifndef TENANCY_RING_H
#define TENANCY_RING_H

#include "datatype/timestamp.h"
#include "port/atomics.h"

typedef enum RingKind
{
	RING_START,	  /* a decoding begins at lsn; relid = number of the stream */
	RING_KEY,	  /* row (relid, key) is dirty since commit lsn */
	RING_FORGET,  /* drop the cache of tenant `key` */
	RING_TABLE,	  /* every row of relid may be dirty */
	RING_CONFIG,  /* the registry changed */
	RING_RESYNC,  /* tenancy.resync changed */
	RING_PARENTS, /* rows of relid that a joined row was, or is, part of; key: see parents.h */
	RING_SHAPE,	  /* relation relid changed its shape, InvalidOid: any may have */
	RING_LSN	  /* everything committed up to lsn has been sent */
} RingKind;

typedef struct RingRecord
{
	uint32		kind;
	Oid			schema; /* of relid, InvalidOid if it has none */
	Oid			relid;
	int32		key_length;
	uint64		lsn;
	uint64		xid; /* of the change, with its epoch; 0: none */
	TimestampTz commit_time;
	/* key_length bytes follow */
} RingRecord;

/* One writer, one reader; each changes only its own position. */
typedef struct Ring
{
	pg_atomic_uint64 head; /* bytes ever written; the writer's */
	pg_atomic_uint64 tail; /* bytes ever read; the reader's */
	uint32			 size;
	char			 data[FLEXIBLE_ARRAY_MEMBER];
} Ring;

extern void ring_init(Ring *ring, uint32 size);
extern bool ring_put(Ring *ring, const RingRecord *record, const char *key);
extern bool ring_get(Ring *ring, RingRecord *record, char **key, int *key_room);
extern void ring_discard(Ring *ring);
extern bool ring_fits(Ring *ring, int key_length);

#endif
