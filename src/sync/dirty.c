/*
 * dirty.c
 *		The set of keys that a sink has to be made to agree about.
 *
 * Two orders run through it.  The order of commits (DirtySet.order) says how far
 * the slot may go.  The queues say what is sent next: one per relation, served in
 * turn, so that a load of millions into one table does not make others wait.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "sync/dirty.h"

/* Keys taken from one relation before it is the next one's turn. */
#define TURN_LENGTH 64

struct DirtyQueue
{
	Oid			relid; /* hash key */
	int			lane;
	TimestampTz parked_until; /* 0: not parked */
	dlist_head	entries;
	dlist_node	turn; /* in the lane's list */
};

typedef struct DirtyLane
{
	HTAB	  *queues; /* relid → DirtyQueue */
	dlist_head turns;  /* queues with entries, not parked */
	dlist_head parked; /* queues with entries, parked */
} DirtyLane;

typedef struct DirtyElement
{
	DirtyEntry *entry; /* hash key: its kind, relid and key */
	char		status;
} DirtyElement;

/* Hash of what identifies an entry. */
uint32
dirty_hash(DirtyKind kind, Oid relid, const char *key, int key_length)
{
	return hash_combine(hash_bytes((const unsigned char *) key, key_length),
						murmurhash32(relid ^ ((uint32) kind << 30)));
}

/* True if two entries stand for the same thing. */
static inline bool
same_entry(const DirtyEntry *a, const DirtyEntry *b)
{
	return a->hash == b->hash && a->relid == b->relid && a->kind == b->kind &&
		   a->key_length == b->key_length && memcmp(a->key, b->key, a->key_length) == 0;
}

#define SH_PREFIX dirtytab
#define SH_ELEMENT_TYPE DirtyElement
#define SH_KEY_TYPE DirtyEntry *
#define SH_KEY entry
#define SH_HASH_KEY(tb, key) ((key)->hash)
#define SH_EQUAL(tb, a, b) same_entry(a, b)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, element) ((element)->entry->hash)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

struct DirtySet
{
	MemoryContext  context;
	dirtytab_hash *table;
	dlist_head	   order; /* pinned marks, oldest commit first */
	Size		   memory;
	uint64		   waiting;
	int			   chunk_open;
	int			   nlanes;
	DirtyEntry	  *probe; /* scratch for look-ups */
	int			   probe_room;
	DirtyLane	   lanes[FLEXIBLE_ARRAY_MEMBER];
};

/* Makes one lane. */
static void
init_lane(DirtyLane *lane, MemoryContext context)
{
	HASHCTL ctl = {.keysize = sizeof(Oid), .entrysize = sizeof(DirtyQueue), .hcxt = context};

	lane->queues =
		hash_create("pg_tenancy queues", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	dlist_init(&lane->turns);
	dlist_init(&lane->parked);
}

/* Makes an empty set that lives as long as the process. */
DirtySet *
dirty_create(int lanes)
{
	MemoryContext context =
		AllocSetContextCreate(TopMemoryContext, "pg_tenancy dirty set", ALLOCSET_DEFAULT_SIZES);
	DirtySet *set =
		MemoryContextAllocZero(context, offsetof(DirtySet, lanes) + lanes * sizeof(DirtyLane));

	set->context = context;
	set->table = dirtytab_create(context, 1024, NULL);
	set->nlanes = lanes;
	set->probe_room = 256;
	set->probe = MemoryContextAlloc(context, offsetof(DirtyEntry, key) + set->probe_room);
	dlist_init(&set->order);
	for (int i = 0; i < lanes; i++)
		init_lane(&set->lanes[i], context);
	return set;
}

/* Bytes an entry is counted with. */
static inline Size
entry_size(const DirtyEntry *entry)
{
	return offsetof(DirtyEntry, key) + entry->key_length + 2 * sizeof(DirtyElement) +
		   2 * sizeof(void *);
}

/* Fills the scratch entry with a key to look for. */
static DirtyEntry *
probe_for(DirtySet *set, const DirtyKey *key)
{
	DirtyEntry *probe;

	if (key->key_length > set->probe_room)
	{
		set->probe = repalloc(set->probe, offsetof(DirtyEntry, key) + key->key_length);
		set->probe_room = key->key_length;
	}
	probe = set->probe;
	probe->relid = key->relid;
	probe->kind = key->kind;
	probe->key_length = key->key_length;
	memcpy(probe->key, key->key, key->key_length);
	probe->hash = dirty_hash(key->kind, key->relid, key->key, key->key_length);
	return probe;
}

/* Finds or makes the entry of a key. */
static DirtyEntry *
find_entry(DirtySet *set, const DirtyKey *key)
{
	DirtyEntry	 *probe = probe_for(set, key);
	DirtyElement *element = dirtytab_lookup(set->table, probe);
	DirtyEntry	 *entry;
	bool		  found;

	if (element != NULL)
		return element->entry;
	entry = MemoryContextAllocZero(set->context, offsetof(DirtyEntry, key) + key->key_length);
	entry->relid = probe->relid;
	entry->kind = probe->kind;
	entry->hash = probe->hash;
	entry->key_length = probe->key_length;
	memcpy(entry->key, probe->key, probe->key_length);
	(void) dirtytab_insert(set->table, entry, &found);
	set->memory += entry_size(entry);
	return entry;
}

/* Lane of an entry; it never changes, so a key has one request in flight. */
static inline int
entry_lane(DirtySet *set, const DirtyEntry *entry)
{
	return entry->hash % set->nlanes;
}

/* Finds or makes the queue of an entry's relation. */
static DirtyQueue *
find_queue(DirtySet *set, const DirtyEntry *entry)
{
	DirtyLane  *lane = &set->lanes[entry_lane(set, entry)];
	bool		found;
	DirtyQueue *queue = hash_search(lane->queues, &entry->relid, HASH_ENTER, &found);

	if (!found)
	{
		queue->lane = entry_lane(set, entry);
		queue->parked_until = 0;
		dlist_init(&queue->entries);
		dlist_push_tail(&lane->turns, &queue->turn);
	}
	return queue;
}

/* Lines an entry up to be taken. */
static void
enqueue(DirtySet *set, DirtyEntry *entry, bool front)
{
	entry->queue = find_queue(set, entry);
	if (front)
		dlist_push_head(&entry->queue->entries, &entry->in_queue);
	else
		dlist_push_tail(&entry->queue->entries, &entry->in_queue);
}

/* Takes an entry out of its queue; an empty queue goes. */
static void
dequeue(DirtySet *set, DirtyEntry *entry)
{
	DirtyQueue *queue = entry->queue;

	dlist_delete(&entry->in_queue);
	entry->queue = NULL;
	if (dlist_is_empty(&queue->entries))
	{
		dlist_delete(&queue->turn);
		hash_search(set->lanes[queue->lane].queues, &queue->relid, HASH_REMOVE, NULL);
	}
}

/* Lets the slot go past a mark. */
static inline void
unpin(DirtyMark *mark)
{
	if (mark->pinned)
		dlist_delete(&mark->order);
	mark->pinned = false;
}

/* Holds the slot at a mark's commit; commits come in the order of their LSN. */
static inline void
pin(DirtySet *set, DirtyMark *mark, const DirtyKey *key)
{
	if (mark->pinned)
		return;
	mark->pinned = true;
	mark->lsn = key->lsn;
	mark->commit_time = key->commit_time;
	dlist_push_tail(&set->order, &mark->order);
}

/* Makes a key dirty. */
void
dirty_mark(DirtySet *set, const DirtyKey *key)
{
	DirtyEntry *entry = find_entry(set, key);
	DirtyMark  *mark = &entry->marks[entry->waiting];

	if (key->chunk && !mark->chunk)
	{
		mark->chunk = true;
		set->chunk_open++;
		if (!mark->pinned)
			mark->commit_time = key->commit_time;
	}
	if (!key->chunk)
		pin(set, mark, key);
	entry->version_lsn = Max(entry->version_lsn, key->lsn);
	if (entry->is_waiting)
		return;
	entry->is_waiting = true;
	set->waiting++;
	if (!entry->is_in_flight)
		enqueue(set, entry, false);
}

/* Moves one entry from waiting to in flight. */
static void
take_entry(DirtySet *set, DirtyEntry *entry)
{
	dequeue(set, entry);
	entry->is_waiting = false;
	entry->is_in_flight = true;
	entry->waiting = !entry->waiting;
	set->waiting--;
}

/* Takes up to most keys of a lane, relation by relation in turn; returns how many. */
int
dirty_take(DirtySet *set, int lane_number, int most, DirtyEntry **entries)
{
	DirtyLane *lane = &set->lanes[lane_number];
	int		   taken = 0;

	while (taken < most && !dlist_is_empty(&lane->turns))
	{
		DirtyQueue *queue = dlist_head_element(DirtyQueue, turn, &lane->turns);
		int			turn = Min(TURN_LENGTH, most - taken);
		bool		more = true;

		dlist_delete(&queue->turn);
		dlist_push_tail(&lane->turns, &queue->turn);
		while (turn-- > 0 && more)
		{
			DirtyEntry *entry = dlist_head_element(DirtyEntry, in_queue, &queue->entries);

			more = dlist_has_next(&queue->entries, &entry->in_queue);
			take_entry(set, entry);
			entries[taken++] = entry;
		}
	}
	return taken;
}

/* Forgets the in-flight mark of an entry. */
static void
close_in_flight(DirtySet *set, DirtyEntry *entry)
{
	DirtyMark *mark = &entry->marks[!entry->waiting];

	unpin(mark);
	if (mark->chunk)
	{
		mark->chunk = false;
		set->chunk_open--;
	}
	entry->is_in_flight = false;
}

/* The sink agrees about an entry that was in flight. */
void
dirty_done(DirtySet *set, DirtyEntry *entry)
{
	close_in_flight(set, entry);
	entry->attempts = 0;
	if (entry->is_waiting)
	{
		enqueue(set, entry, false);
		return;
	}
	(void) dirtytab_delete(set->table, entry);
	set->memory -= entry_size(entry);
	pfree(entry);
}

/* Lets the mark of a failed attempt stand for the one that came meanwhile too. */
static void
merge_marks(DirtySet *set, DirtyMark *old, DirtyMark *newer)
{
	if (newer->pinned && !old->pinned)
	{
		/* the old one came from a scan and holds nothing: take the newer one's place */
		old->pinned = true;
		old->lsn = newer->lsn;
		old->commit_time = newer->commit_time;
		dlist_insert_after(&newer->order, &old->order);
	}
	unpin(newer);
	if (newer->chunk && old->chunk)
		set->chunk_open--;
	old->chunk |= newer->chunk;
	newer->chunk = false;
}

/*
 * An entry that was in flight has to be sent again.  Its older mark stays; a
 * waiting one that came meanwhile is covered by it.  failed: counts the attempt, and
 * lets the relation's other keys go first.
 */
void
dirty_again(DirtySet *set, DirtyEntry *entry, bool failed)
{
	DirtyMark *old = &entry->marks[!entry->waiting];
	DirtyMark *newer = &entry->marks[entry->waiting];

	if (entry->is_waiting)
		merge_marks(set, old, newer);
	else
		set->waiting++;
	entry->waiting = !entry->waiting;
	entry->is_waiting = true;
	entry->is_in_flight = false;
	if (failed && entry->attempts < PG_UINT16_MAX)
		entry->attempts++;
	enqueue(set, entry, !failed);
}

/* Keeps a relation's keys back until a time. */
void
dirty_park(DirtySet *set, Oid relid, TimestampTz until)
{
	for (int i = 0; i < set->nlanes; i++)
	{
		DirtyQueue *queue = hash_search(set->lanes[i].queues, &relid, HASH_FIND, NULL);

		if (queue == NULL)
			continue;
		queue->parked_until = until;
		dlist_delete(&queue->turn);
		dlist_push_tail(&set->lanes[i].parked, &queue->turn);
	}
}

/* Gives parked queues of a lane their turn again: all, or those whose time has come. */
static void
unpark(DirtyLane *lane, TimestampTz now, bool all)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify (iter, &lane->parked)
	{
		DirtyQueue *queue = dlist_container(DirtyQueue, turn, iter.cur);

		if (!all && queue->parked_until > now)
			continue;
		queue->parked_until = 0;
		dlist_delete(&queue->turn);
		dlist_push_tail(&lane->turns, &queue->turn);
	}
}

/* Gives every parked relation its turn again. */
void
dirty_unpark_all(DirtySet *set)
{
	for (int i = 0; i < set->nlanes; i++)
		unpark(&set->lanes[i], 0, true);
}

/* Gives relations whose time has come their turn again; returns the next such time, 0 if none. */
TimestampTz
dirty_next_unpark(DirtySet *set)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = 0;

	for (int i = 0; i < set->nlanes; i++)
	{
		dlist_iter iter;

		if (dlist_is_empty(&set->lanes[i].parked))
			continue;
		unpark(&set->lanes[i], now, false);
		dlist_foreach (iter, &set->lanes[i].parked)
		{
			DirtyQueue *queue = dlist_container(DirtyQueue, turn, iter.cur);

			next = next == 0 ? queue->parked_until : Min(next, queue->parked_until);
		}
	}
	return next;
}

/* Oldest commit that the sink does not agree about; false if there is none. */
bool
dirty_oldest(DirtySet *set, uint64 *lsn, TimestampTz *commit_time)
{
	DirtyMark *oldest;

	if (dlist_is_empty(&set->order))
		return false;
	oldest = dlist_head_element(DirtyMark, order, &set->order);
	*lsn = oldest->lsn;
	*commit_time = oldest->commit_time;
	return true;
}

/* Number of keys, waiting and in flight. */
uint64
dirty_count(DirtySet *set)
{
	return set->table->members;
}

/* Bytes used, about. */
Size
dirty_memory(DirtySet *set)
{
	return set->memory;
}

/* Number of keys of a scan's chunk that are not done. */
int
dirty_chunk_open(DirtySet *set)
{
	return set->chunk_open;
}

/* True if a lane has a key to take. */
bool
dirty_has_work(DirtySet *set, int lane)
{
	return !dlist_is_empty(&set->lanes[lane].turns);
}
