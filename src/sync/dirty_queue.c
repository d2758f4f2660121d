/*
 * dirty_queue.c
 *		Which waiting key is sent next.
 *
 * Each lane serves its tenants in turn, and for each tenant its relations in turn: a
 * tenant that loads millions of rows, into however many tables, has one turn like the
 * one that changes a single row.  Relations that must wait are parked: they have no turn.
 */
#include "postgres.h"

#include "utils/hsearch.h"
#include "utils/timestamp.h"

#include "sync/dirty_queue.h"

/* Waiting keys of one tenant in one lane. */
struct DirtyTenant
{
	Oid		   schema; /* hash key */
	int		   nqueues;
	dlist_head ready; /* queues that are not parked */
	dlist_node turn;  /* in the lane's list, while there is a ready one */
};

typedef struct DirtyLane
{
	HTAB	  *queues;	/* relid → DirtyQueue */
	HTAB	  *tenants; /* schema → DirtyTenant */
	dlist_head turns;	/* tenants */
	dlist_head parked;	/* queues */
} DirtyLane;

struct DirtyQueues
{
	DirtyHold hold;
	int		  nlanes;
	DirtyLane lanes[FLEXIBLE_ARRAY_MEMBER];
};

/* Makes one lane. */
static void
init_lane(DirtyLane *lane, MemoryContext context)
{
	HASHCTL ctl = {.keysize = sizeof(Oid), .hcxt = context};

	ctl.entrysize = sizeof(DirtyQueue);
	lane->queues =
		hash_create("pg_tenancy queues", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	ctl.entrysize = sizeof(DirtyTenant);
	lane->tenants =
		hash_create("pg_tenancy tenants", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	dlist_init(&lane->turns);
	dlist_init(&lane->parked);
}

/* Makes empty queues; hold says until when a relation's keys must wait. */
DirtyQueues *
dirty_queues_create(MemoryContext context, int lanes, DirtyHold hold)
{
	DirtyQueues *queues =
		MemoryContextAllocZero(context, offsetof(DirtyQueues, lanes) + lanes * sizeof(DirtyLane));

	queues->hold = hold;
	queues->nlanes = lanes;
	for (int i = 0; i < lanes; i++)
		init_lane(&queues->lanes[i], context);
	return queues;
}

/* Lane of an entry; it never changes, so a key has one request in flight. */
static inline int
lane_of(DirtyQueues *queues, const DirtyEntry *entry)
{
	return entry->hash % queues->nlanes;
}

/* Gives a queue its turn, or parks it. */
static void
line_up(DirtyLane *lane, DirtyQueue *queue, TimestampTz parked_until)
{
	DirtyTenant *tenant = queue->tenant;

	queue->parked_until = parked_until;
	if (parked_until != 0)
	{
		dlist_push_tail(&lane->parked, &queue->turn);
		return;
	}
	if (dlist_is_empty(&tenant->ready))
		dlist_push_tail(&lane->turns, &tenant->turn);
	dlist_push_tail(&tenant->ready, &queue->turn);
}

/* Takes a queue's turn away. */
static void
step_out(DirtyQueue *queue)
{
	dlist_delete(&queue->turn);
	if (queue->parked_until == 0 && dlist_is_empty(&queue->tenant->ready))
		dlist_delete(&queue->tenant->turn);
}

/* Finds or makes a tenant. */
static DirtyTenant *
find_tenant(DirtyLane *lane, Oid schema)
{
	bool		 found;
	DirtyTenant *tenant = hash_search(lane->tenants, &schema, HASH_ENTER, &found);

	if (!found)
	{
		tenant->nqueues = 0;
		dlist_init(&tenant->ready);
	}
	return tenant;
}

/* Finds or makes the queue of an entry's relation. */
static DirtyQueue *
find_queue(DirtyQueues *queues, const DirtyEntry *entry)
{
	DirtyLane  *lane = &queues->lanes[lane_of(queues, entry)];
	bool		found;
	DirtyQueue *queue = hash_search(lane->queues, &entry->relid, HASH_ENTER, &found);

	if (found)
		return queue;
	queue->lane = lane_of(queues, entry);
	queue->count = 0;
	queue->tenant = find_tenant(lane, entry->schema);
	queue->tenant->nqueues++;
	dlist_init(&queue->entries);
	line_up(lane, queue, queues->hold(entry->relid, entry->schema));
	return queue;
}

/* Lines an entry up to be taken. */
void
dirty_queues_add(DirtyQueues *queues, DirtyEntry *entry, bool front)
{
	entry->queue = find_queue(queues, entry);
	entry->queue->count++;
	if (front)
		dlist_push_head(&entry->queue->entries, &entry->in_queue);
	else
		dlist_push_tail(&entry->queue->entries, &entry->in_queue);
}

/* An empty queue goes, and its tenant if it has no other. */
static void
drop_queue(DirtyLane *lane, DirtyQueue *queue)
{
	DirtyTenant *tenant = queue->tenant;

	step_out(queue);
	hash_search(lane->queues, &queue->relid, HASH_REMOVE, NULL);
	if (--tenant->nqueues == 0)
		hash_search(lane->tenants, &tenant->schema, HASH_REMOVE, NULL);
}

/* Takes an entry out of its queue. */
void
dirty_queues_remove(DirtyQueues *queues, DirtyEntry *entry)
{
	DirtyQueue *queue = entry->queue;

	dlist_delete(&entry->in_queue);
	entry->queue = NULL;
	if (--queue->count == 0)
		drop_queue(&queues->lanes[queue->lane], queue);
}

/* The queue whose turn it is in a lane; its next turn is after all others. */
DirtyQueue *
dirty_queues_next(DirtyQueues *queues, int lane_number)
{
	DirtyLane	*lane = &queues->lanes[lane_number];
	DirtyTenant *tenant;
	DirtyQueue	*queue;

	if (dlist_is_empty(&lane->turns))
		return NULL;
	tenant = dlist_head_element(DirtyTenant, turn, &lane->turns);
	dlist_delete(&tenant->turn);
	dlist_push_tail(&lane->turns, &tenant->turn);
	queue = dlist_head_element(DirtyQueue, turn, &tenant->ready);
	dlist_delete(&queue->turn);
	dlist_push_tail(&tenant->ready, &queue->turn);
	return queue;
}

/* The queue with the most keys, parked or not. */
DirtyQueue *
dirty_queues_longest(DirtyQueues *queues)
{
	DirtyQueue *longest = NULL;

	for (int i = 0; i < queues->nlanes; i++)
	{
		HASH_SEQ_STATUS scan;
		DirtyQueue	   *queue;

		hash_seq_init(&scan, queues->lanes[i].queues);
		while ((queue = hash_seq_search(&scan)) != NULL)
			if (longest == NULL || queue->count > longest->count)
				longest = queue;
	}
	return longest;
}

/* A parked queue that the filter wants. */
DirtyQueue *
dirty_queues_held(DirtyQueues *queues, DirtyFilter wanted)
{
	for (int i = 0; i < queues->nlanes; i++)
	{
		dlist_iter iter;

		dlist_foreach (iter, &queues->lanes[i].parked)
		{
			DirtyQueue *queue = dlist_container(DirtyQueue, turn, iter.cur);

			if (wanted(queue->relid, queue->tenant->schema))
				return queue;
		}
	}
	return NULL;
}

/* Keeps a relation's keys back until a time, if they are not kept back for longer. */
void
dirty_queues_park(DirtyQueues *queues, Oid relid, TimestampTz until)
{
	for (int i = 0; i < queues->nlanes; i++)
	{
		DirtyQueue *queue = hash_search(queues->lanes[i].queues, &relid, HASH_FIND, NULL);

		if (queue == NULL || queue->parked_until >= until)
			continue;
		step_out(queue);
		line_up(&queues->lanes[i], queue, until);
	}
}

/* Parks the queues that are held, gives all others their turn again; relid: only its own. */
void
dirty_queues_review(DirtyQueues *queues, Oid relid)
{
	for (int i = 0; i < queues->nlanes; i++)
	{
		HASH_SEQ_STATUS scan;
		DirtyQueue	   *queue;

		hash_seq_init(&scan, queues->lanes[i].queues);
		while ((queue = hash_seq_search(&scan)) != NULL)
		{
			TimestampTz until;

			if (OidIsValid(relid) && queue->relid != relid)
				continue;
			until = queues->hold(queue->relid, queue->tenant->schema);
			if (until == queue->parked_until)
				continue;
			step_out(queue);
			line_up(&queues->lanes[i], queue, until);
		}
	}
}

/* Gives parked queues of a lane whose time has come their turn again. */
static void
unpark(DirtyLane *lane, TimestampTz now)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify (iter, &lane->parked)
	{
		DirtyQueue *queue = dlist_container(DirtyQueue, turn, iter.cur);

		if (queue->parked_until > now)
			continue;
		step_out(queue);
		line_up(lane, queue, 0);
	}
}

/* Gives relations whose time has come their turn again; returns the next such time, 0 if none. */
TimestampTz
dirty_queues_next_unpark(DirtyQueues *queues)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = 0;

	for (int i = 0; i < queues->nlanes; i++)
	{
		dlist_iter iter;

		if (dlist_is_empty(&queues->lanes[i].parked))
			continue;
		unpark(&queues->lanes[i], now);
		dlist_foreach (iter, &queues->lanes[i].parked)
		{
			DirtyQueue *queue = dlist_container(DirtyQueue, turn, iter.cur);

			next = next == 0 ? queue->parked_until : Min(next, queue->parked_until);
		}
	}
	return next;
}

/* True if a lane has a key to take. */
bool
dirty_queues_have_work(DirtyQueues *queues, int lane)
{
	return !dlist_is_empty(&queues->lanes[lane].turns);
}
