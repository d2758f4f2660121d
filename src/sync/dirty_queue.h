/*
 * dirty_queue.h
 *		Which waiting key is sent next; only dirty.c uses it.
 */
#ifndef TENANCY_DIRTY_QUEUE_H
#define TENANCY_DIRTY_QUEUE_H

#include "sync/dirty.h"

typedef struct DirtyQueues DirtyQueues;
typedef struct DirtyTenant DirtyTenant;

/* Waiting keys of one relation in one lane. */
struct DirtyQueue
{
	Oid			 relid; /* hash key */
	int			 lane;
	uint32		 count;
	TimestampTz	 parked_until; /* 0: not parked */
	DirtyTenant *tenant;
	dlist_head	 entries;
	dlist_node	 turn; /* in the tenant's list, or in the lane's list of parked ones */
};

extern DirtyQueues *dirty_queues_create(MemoryContext context, int lanes, DirtyHold hold);
extern void			dirty_queues_add(DirtyQueues *queues, DirtyEntry *entry, bool front);
extern void			dirty_queues_remove(DirtyQueues *queues, DirtyEntry *entry);

/* Each returns NULL if there is none. */
extern DirtyQueue *dirty_queues_next(DirtyQueues *queues, int lane);
extern DirtyQueue *dirty_queues_longest(DirtyQueues *queues);
extern DirtyQueue *dirty_queues_held(DirtyQueues *queues, DirtyFilter wanted);

extern void		   dirty_queues_park(DirtyQueues *queues, Oid relid, TimestampTz until);
extern void		   dirty_queues_review(DirtyQueues *queues, Oid relid);
extern TimestampTz dirty_queues_next_unpark(DirtyQueues *queues);
extern bool		   dirty_queues_have_work(DirtyQueues *queues, int lane);

#endif
