/*
 * dirty.h
 *		The set of keys that a sink has to be made to agree about.
 *
 * A key is in it once, however often its row changed.  It may be dirty and in
 * flight at the same time: then it is taken again after the answer.
 */
#ifndef TENANCY_DIRTY_H
#define TENANCY_DIRTY_H

#include "datatype/timestamp.h"
#include "lib/ilist.h"

typedef struct DirtySet	  DirtySet;
typedef struct DirtyQueue DirtyQueue;

/* Until when the keys of a relation in a schema must wait; 0: they need not. */
typedef TimestampTz (*DirtyHold)(Oid relid, Oid schema);
/* True for relations whose keys are wanted. */
typedef bool (*DirtyFilter)(Oid relid, Oid schema);

typedef enum DirtyKind
{
	DIRTY_ROW,
	DIRTY_TABLE,  /* every row of relid, after a TRUNCATE */
	DIRTY_TENANT, /* key is a tenant's name */
	DIRTY_PARENTS /* rows of relid that a row of a joined table is part of; key: see parents.h */
} DirtyKind;

/* Why a key is dirty, and since when. */
typedef struct DirtyMark
{
	dlist_node	order;	/* in DirtySet.order while pinned */
	bool		pinned; /* from the WAL: the slot must not pass lsn */
	bool		chunk;	/* from a scan, whose progress waits for it */
	uint8		number; /* which of its entry's marks it is */
	uint64		lsn;
	TimestampTz commit_time;
} DirtyMark;

typedef struct DirtyEntry
{
	Oid			relid;
	Oid			schema;	 /* of relid, InvalidOid if not known: who its turn is shared with */
	uint8		kind;	 /* DirtyKind */
	uint8		waiting; /* which of marks is the waiting one; the other is in flight */
	bool		is_waiting;
	bool		is_in_flight;
	uint16		attempts;
	uint8		apart;	   /* place that it is sent to next, from 1; 0: to all together */
	uint8		apart_age; /* of the targets that apart is about, its lowest byte */
	uint32		hash;
	uint64		version_lsn; /* newest commit that touched the row */
	uint64		xid_low;	 /* the changes' transactions are within these; low 0: not all known */
	uint64		xid_high;
	DirtyMark	marks[2];
	DirtyQueue *queue; /* while waiting and not in flight */
	dlist_node	in_queue;
	int			key_length;
	char		key[FLEXIBLE_ARRAY_MEMBER];
} DirtyEntry;

/* One thing to mark. */
typedef struct DirtyKey
{
	DirtyKind	kind;
	Oid			relid;
	Oid			schema;
	const char *key;
	int			key_length;
	uint64		lsn;
	uint64		xid; /* of the change, 0: not known */
	TimestampTz commit_time;
	bool		chunk;
} DirtyKey;

extern DirtySet *dirty_create(int lanes, DirtyHold hold);
extern void		 dirty_mark(DirtySet *set, const DirtyKey *key);
extern void		 dirty_mark_because(DirtySet *set, const DirtyEntry *cause, const DirtyKey *key);
extern void		 dirty_done(DirtySet *set, DirtyEntry *entry);
extern void		 dirty_again(DirtySet *set, DirtyEntry *entry, bool failed);
extern uint32	 dirty_hash(DirtyKind kind, Oid relid, const char *key, int key_length);

/* Each moves up to most waiting keys into flight and returns how many. */
extern int dirty_take(DirtySet *set, int lane, int most, DirtyEntry **entries);
extern int dirty_take_longest(DirtySet *set, int most, DirtyEntry **entries);
extern int dirty_take_held(DirtySet *set, DirtyFilter wanted, int most, DirtyEntry **entries);
extern int dirty_take_old(DirtySet *set, uint64 lsn, int most, DirtyEntry **entries);

extern void		   dirty_park(DirtySet *set, Oid relid, TimestampTz until);
extern void		   dirty_review(DirtySet *set, Oid relid);
extern TimestampTz dirty_next_unpark(DirtySet *set);

extern bool	  dirty_oldest(DirtySet *set, uint64 *lsn, TimestampTz *commit_time);
extern uint64 dirty_count(DirtySet *set);
extern Size	  dirty_memory(DirtySet *set);
extern int	  dirty_chunk_open(DirtySet *set);
extern bool	  dirty_has_work(DirtySet *set, int lane);

#endif
