/*
 * places.c
 *		A key whose document goes to more than one index.
 *
 * While an index is being replaced every row is written to the old one and to the new one, in
 * one request.  The items of a key stand together, the one for the serving index first.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "sync/batch_builder.h"
#include "sync/months.h"
#include "sync/target.h"

/* Makes room for more items. */
void
batch_grow(BatchBuilder *builder)
{
	SyncLane *lane = builder->lane;

	builder->room *= 2;
	lane->batch.items = repalloc_huge(lane->batch.items, builder->room * sizeof(SinkItem));
	lane->entries = repalloc(lane->entries, builder->room * sizeof(DirtyEntry *));
	builder->offsets = repalloc(builder->offsets, builder->room * sizeof(int));
}

/* Adds the last item again, for another place. */
static void
add_copy(BatchBuilder *builder, const SinkPlace *place)
{
	SyncLane  *lane = builder->lane;
	SinkBatch *batch = &lane->batch;
	int		   n = batch->nitems;

	if (n == builder->room)
		batch_grow(builder);
	memcpy(&batch->items[n], &batch->items[n - 1], offsetof(SinkItem, reason) + 1);
	batch->items[n].place = place;
	lane->entries[n] = lane->entries[n - 1];
	builder->offsets[n] = builder->offsets[n - 1];
	builder->around += batch_action_bytes(&batch->items[n]) + batch->items[n].doc_length;
	batch->nitems++;
}

/* Sends the last item to one place: it is too large to go to all in one request. */
static void
send_apart(BatchBuilder *builder, DirtyEntry *entry)
{
	SinkBatch		 *batch = &builder->lane->batch;
	SinkItem		 *item = &batch->items[batch->nitems - 1];
	const SinkTarget *target = item->target;
	const SinkPlace	 *place = NULL;

	if (entry->apart_age != (uint8) target_age())
	{
		entry->apart = 1; /* its places may be others now */
		entry->apart_age = (uint8) target_age();
	}
	for (; entry->apart <= target->nplaces && place == NULL; entry->apart++)
		place = months_place(&target->places[entry->apart - 1], item->key, item->key_length);
	entry->apart--;
	if (place != NULL) /* else the last ones have no index for it: the serving one is told again */
		item->place = place;
}

/* Adds the last item once more for each further place of its target. */
void
batch_spread(BatchBuilder *builder)
{
	SinkBatch		 *batch = &builder->lane->batch;
	SinkItem		 *item = &batch->items[batch->nitems - 1];
	DirtyEntry		 *entry = builder->lane->entries[batch->nitems - 1];
	const SinkTarget *target = item->target;

	if (target == NULL || target->nplaces < 2 || item->outcome != SINK_PENDING)
		return;
	if (entry->apart != 0)
	{
		send_apart(builder, entry);
		return;
	}
	for (int i = 1; i < target->nplaces; i++)
	{
		const SinkPlace *place = months_place(&target->places[i], item->key, item->key_length);

		if (place != NULL)
			add_copy(builder, place);
		item = &batch->items[batch->nitems - 1]; /* they may have moved */
	}
}

/* Takes the last row out of the batch again: the next request begins with it. */
void
batch_take_back(BatchBuilder *builder)
{
	SyncLane   *lane = builder->lane;
	SinkBatch  *batch = &lane->batch;
	DirtyEntry *entry = lane->entries[batch->nitems - 1];

	while (batch->nitems > 0 && lane->entries[batch->nitems - 1] == entry)
	{
		SinkItem *item = &batch->items[--batch->nitems];

		builder->around -= batch_action_bytes(item);
		if (item->place != NULL && item->place->role != SINK_SERVING && entry->apart == 0)
			builder->around -= item->doc_length;
	}
	builder->next--;
	builder->docs.len = builder->offsets[batch->nitems];
}
