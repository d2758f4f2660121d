/*
 * batch_builder.h
 *		A batch under construction: what the parts of batch.c share.
 */
#ifndef TENANCY_BATCH_BUILDER_H
#define TENANCY_BATCH_BUILDER_H

#include "lib/stringinfo.h"

#include "sync/sink_worker.h"

#define PARK_LOCKED_MS 100

/* What is under construction. */
typedef struct BatchBuilder
{
	SinkWorker	  *worker;
	SyncLane	  *lane;
	StringInfoData docs;
	int			  *offsets; /* of each item's document in docs */
	int			   room;	/* items that there is memory for */
	int			   ntaken;
	int			   next;   /* first of worker->taken not dealt with */
	Size		   most;   /* bytes of the request */
	Size		   around; /* bytes of it that are not in docs */
	bool		   full;
	DirtyEntry	 **over; /* need nothing sent; done when the transaction has committed */
	int			   nover;
} BatchBuilder;

/* batch.c */
extern SinkItem *batch_add_item(BatchBuilder *builder, DirtyEntry *entry, const SinkTarget *target,
								SinkAction action);
extern void		 batch_hold_back(BatchBuilder *builder, int end, const SinkTarget *target, int ms);
extern void		 batch_drop_run(BatchBuilder *builder, int end);
extern void		 batch_park_run(BatchBuilder *builder, int end, int ms);
extern bool		 batch_is_overdue(const DirtyEntry *entry);
extern bool		 batch_not_wanted(SinkWorker *worker, const SinkTarget *target);
extern Size		 batch_action_bytes(const SinkItem *item);
/* Sets full; it may take the last item back. */
extern void batch_check_room(BatchBuilder *builder);
/* places.c */
extern void batch_grow(BatchBuilder *builder);
extern void batch_spread(BatchBuilder *builder);
extern void batch_take_back(BatchBuilder *builder);
/* batch_joined.c */
extern void batch_add_documents(BatchBuilder *builder, int end, const SinkTarget *target);
extern void batch_add_parents_run(BatchBuilder *builder, int end);

#endif
