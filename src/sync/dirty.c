/*
 * dirty.c
 *		The set of keys that a sink has to be made to agree about.
 *
 * Two orders run through it.  The order of commits (DirtySet.order) says how far
 * the slot may go.  The queues (dirty_queue.c) say what is sent next.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "sync/dirty.h"
#include "sync/dirty_queue.h"

/* Keys taken from one tenant before it is the next one's turn. */
#define TURN_LENGTH 64

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
	DirtyEntry	  *probe; /* scratch for look-ups */
	int			   probe_room;
	DirtyQueues	  *queues;
};

/* Makes an empty set that lives as long as the process. */
DirtySet *
dirty_create(int lanes, DirtyHold hold)
{
	MemoryContext context =
		AllocSetContextCreate(TopMemoryContext, "pg_tenancy dirty set", ALLOCSET_DEFAULT_SIZES);
	DirtySet *set = MemoryContextAllocZero(context, sizeof(DirtySet));

	set->context = context;
	set->table = dirtytab_create(context, 1024, NULL);
	set->probe_room = 256;
	set->probe = MemoryContextAlloc(context, offsetof(DirtyEntry, key) + set->probe_room);
	set->queues = dirty_queues_create(context, lanes, hold);
	dlist_init(&set->order);
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
	entry->schema = key->schema;
	entry->marks[1].number = 1;
	entry->kind = probe->kind;
	entry->hash = probe->hash;
	entry->xid_low = PG_UINT64_MAX;
	entry->key_length = probe->key_length;
	memcpy(entry->key, probe->key, probe->key_length);
	(void) dirtytab_insert(set->table, entry, &found);
	set->memory += entry_size(entry);
	return entry;
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

/* Lines an entry up for a mark that it has got, if it is not waiting already. */
static void
await_turn(DirtySet *set, DirtyEntry *entry)
{
	if (entry->is_waiting)
		return;
	entry->is_waiting = true;
	set->waiting++;
	if (!entry->is_in_flight)
		dirty_queues_add(set->queues, entry, false);
}

/* Takes transactions into the range of those that changed a key. */
static inline void
widen(DirtyEntry *entry, uint64 low, uint64 high)
{
	entry->xid_low = Min(entry->xid_low, low);
	entry->xid_high = Max(entry->xid_high, high);
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
	widen(entry, key->xid, key->xid);
	await_turn(set, entry);
}

/*
 * Makes a key dirty because of an entry that is in flight, and holds what that one holds:
 * its place in the order of commits, and its scan's chunk.  key->lsn is not used.
 */
void
dirty_mark_because(DirtySet *set, const DirtyEntry *cause, const DirtyKey *key)
{
	const DirtyMark *held = &cause->marks[!cause->waiting];
	DirtyEntry		*entry = find_entry(set, key);
	DirtyMark		*mark = &entry->marks[entry->waiting];

	if (held->chunk && !mark->chunk)
	{
		mark->chunk = true;
		set->chunk_open++;
		if (!mark->pinned)
			mark->commit_time = held->commit_time;
	}
	if (held->pinned && !mark->pinned)
	{
		mark->pinned = true;
		mark->lsn = held->lsn;
		mark->commit_time = held->commit_time;
		dlist_insert_after((dlist_node *) &held->order, &mark->order);
	}
	entry->version_lsn = Max(entry->version_lsn, cause->version_lsn);
	widen(entry, cause->xid_low, cause->xid_high);
	await_turn(set, entry);
}

/* Moves one entry from waiting to in flight. */
static void
take_entry(DirtySet *set, DirtyEntry *entry)
{
	dirty_queues_remove(set->queues, entry);
	entry->is_waiting = false;
	entry->is_in_flight = true;
	entry->waiting = !entry->waiting;
	set->waiting--;
}

/* Takes up to most keys of a queue, which may be gone then; returns how many. */
static int
take_from(DirtySet *set, DirtyQueue *queue, int most, DirtyEntry **entries)
{
	int taken = Min(most, queue->count);

	for (int i = 0; i < taken; i++)
	{
		entries[i] = dlist_head_element(DirtyEntry, in_queue, &queue->entries);
		take_entry(set, entries[i]);
	}
	return taken;
}

/* Takes keys of a lane, tenant by tenant in turn. */
int
dirty_take(DirtySet *set, int lane, int most, DirtyEntry **entries)
{
	int			taken = 0;
	DirtyQueue *queue;

	while (taken < most && (queue = dirty_queues_next(set->queues, lane)) != NULL)
		taken += take_from(set, queue, Min(TURN_LENGTH, most - taken), entries + taken);
	return taken;
}

/* Takes keys of the relations that have most of them, parked ones too. */
int
dirty_take_longest(DirtySet *set, int most, DirtyEntry **entries)
{
	int			taken = 0;
	DirtyQueue *queue;

	while (taken < most && (queue = dirty_queues_longest(set->queues)) != NULL)
		taken += take_from(set, queue, most - taken, entries + taken);
	return taken;
}

/* Takes keys of parked relations that the filter wants. */
int
dirty_take_held(DirtySet *set, DirtyFilter wanted, int most, DirtyEntry **entries)
{
	int			taken = 0;
	DirtyQueue *queue;

	while (taken < most && (queue = dirty_queues_held(set->queues, wanted)) != NULL)
		taken += take_from(set, queue, most - taken, entries + taken);
	return taken;
}

/* Entry of a mark. */
static inline DirtyEntry *
entry_of(DirtyMark *mark)
{
	return (DirtyEntry *) ((char *) (mark - mark->number) - offsetof(DirtyEntry, marks));
}

/* Takes the keys that hold the slot at lsn or before, but for those that are in flight. */
int
dirty_take_old(DirtySet *set, uint64 lsn, int most, DirtyEntry **entries)
{
	dlist_iter iter;
	int		   taken = 0;

	dlist_foreach (iter, &set->order)
	{
		DirtyMark  *mark = dlist_container(DirtyMark, order, iter.cur);
		DirtyEntry *entry = entry_of(mark);

		if (taken == most || mark->lsn > lsn)
			break;
		if (entry->queue == NULL)
			continue;
		entries[taken++] = entry;
		take_entry(set, entry);
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
		dirty_queues_add(set->queues, entry, false);
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
	dirty_queues_add(set->queues, entry, !failed);
}

/* Keeps a relation's keys back until a time. */
void
dirty_park(DirtySet *set, Oid relid, TimestampTz until)
{
	dirty_queues_park(set->queues, relid, until);
}

/* What holds relations back has changed: of one, or of any. */
void
dirty_review(DirtySet *set, Oid relid)
{
	dirty_queues_review(set->queues, relid);
}

/* Gives relations whose time has come their turn again; returns the next such time, 0 if none. */
TimestampTz
dirty_next_unpark(DirtySet *set)
{
	return dirty_queues_next_unpark(set->queues);
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
	return dirty_queues_have_work(set->queues, lane);
}
