/*
 * places_outcome.c
 *		What became of a key whose document went to more than one index.
 *
 * The serving index decides what a key's end is, but a key ends only when every place has it,
 * or when it is written down that a place is filled anew or given up.  So nothing that happens
 * to an index that does not serve is a loss, and nothing of it holds the others up for long.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"

#include "common/array.h"
#include "common/spi.h"
#include "sink/doc_id.h"
#include "sync/index_move.h"
#include "sync/places.h"
#include "sync/target.h"

#define PATIENCE_MS 3000 /* after that a place that does not take all is left behind */
#define NAME_SIZE 256
#define RACE_ATTEMPTS 3

/* A place that did not take all of what was sent last. */
typedef struct Refusing
{
	char		index_name[NAME_SIZE]; /* hash key */
	TimestampTz since;
	uint64		taken;	/* last batch of which it took a document */
	uint64		failed; /* last one of which it failed to */
} Refusing;

static HTAB	 *refusing = NULL;
static uint64 folds = 0; /* batches taken apart so far */

/* A batch that is taken apart. */
typedef struct Fold
{
	SinkWorker *worker;
	SyncLane   *lane;
	int			first; /* item of the serving index */
	int			end;   /* of the key's items */
	List	   *left;  /* names of places that were left behind */
} Fold;

/* What is written down about a place. */
typedef struct Trouble
{
	const SinkPlace *place;
	const char		*reason;
	bool			 final;
	bool			 written;
} Trouble;

/* Writes it down. */
static void
write_trouble(void *arg)
{
	Trouble *trouble = arg;
	Oid		 types[3] = {TEXTOID, TEXTOID, BOOLOID};
	Datum	 values[3] = {CStringGetTextDatum(trouble->place->index_name),
						  CStringGetTextDatum(trouble->reason), BoolGetDatum(trouble->final)};
	SpiScope scope;
	bool	 isnull;

	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec("SELECT tenancy.index_move_trouble($1, $2, $3)", 3, types, values, NULL);
	trouble->written = DatumGetBool(tenancy_spi_datum(0, 1, &isnull));
	tenancy_spi_end(&scope);
}

/* The key is sent again, because of another place than the serving one. */
static void
send_again(SinkItem *serving, const SinkItem *item)
{
	serving->outcome = SINK_AGAIN;
	if (serving == item)
		return;
	serving->status = item->status;
	strlcpy(serving->reason, item->reason, SINK_REASON_MAX);
}

/* The place has taken a document: that counts if it fails to take no other of the batch. */
static void
note_taken(const SinkPlace *place)
{
	Refusing *entry =
		refusing != NULL ? hash_search(refusing, place->index_name, HASH_FIND, NULL) : NULL;

	if (entry != NULL)
		entry->taken = folds;
}

/* Forgets the places that took all of the batch. */
static void
forget_grudges(void)
{
	HASH_SEQ_STATUS status;
	Refusing	   *entry;

	if (refusing == NULL)
		return;
	hash_seq_init(&status, refusing);
	while ((entry = hash_seq_search(&status)) != NULL)
		if (entry->taken == folds && entry->failed != folds)
			(void) hash_search(refusing, entry->index_name, HASH_REMOVE, NULL);
}

/* True if the place was left behind because of an earlier key of the batch. */
static bool
was_left(const Fold *fold, const SinkPlace *place)
{
	return tenancy_has_string(fold->left, place->index_name);
}

/* Leaves a place behind; if that cannot be written down now, the key is sent again. */
static void
leave_behind(Fold *fold, const SinkItem *item, bool final)
{
	SinkItem *serving = &fold->lane->batch.items[fold->first];
	Trouble	  trouble = {.place = item->place, .final = final};

	if (was_left(fold, item->place))
		return;
	trouble.reason =
		psprintf("document \"%s\": %s", sink_doc_id(item->key, item->key_length), item->reason);
	if (!tenancy_tx_try("pg_tenancy: leaving an index behind", write_trouble, &trouble) ||
		!trouble.written)
	{
		send_again(serving, item);
		return;
	}
	worker_set_error(&fold->worker->shared->worker, trouble.reason);
	target_flush();
	fold->left = lappend(fold->left, pstrdup(item->place->index_name));
	if (refusing != NULL) /* its next life begins without a grudge */
		(void) hash_search(refusing, item->place->index_name, HASH_REMOVE, NULL);
	index_move_wake();
}

/* True if the serving index has the server's last word on the document. */
static bool
is_answered(const SinkItem *serving)
{
	return serving->outcome == SINK_DONE || serving->outcome == SINK_CONFLICT ||
		   serving->outcome == SINK_REFUSED;
}

/* Notes that a place failed to take a document; true if it has done so for too long. */
static bool
is_out_of_patience(const SinkPlace *place)
{
	HASHCTL	  ctl = {.keysize = NAME_SIZE, .entrysize = sizeof(Refusing)};
	Refusing *entry;
	bool	  found;

	if (refusing == NULL)
		refusing = hash_create("pg_tenancy refusing places", 16, &ctl, HASH_ELEM | HASH_STRINGS);
	entry = hash_search(refusing, place->index_name, HASH_ENTER, &found);
	if (!found)
	{
		entry->since = GetCurrentTimestamp();
		entry->taken = 0;
	}
	entry->failed = folds;
	return TimestampDifferenceExceeds(entry->since, GetCurrentTimestamp(), PATIENCE_MS);
}

/* Acts on what became of a key in another place than the serving one. */
static void
settle_item(Fold *fold, const SinkItem *item)
{
	SinkItem *serving = &fold->lane->batch.items[fold->first];
	int		  attempts = fold->lane->entries[fold->first]->attempts;

	if (item->outcome == SINK_DONE || item->outcome == SINK_CONFLICT)
		note_taken(item->place);
	if (item->outcome == SINK_DONE || item->outcome == SINK_CONFLICT || !is_answered(serving) ||
		was_left(fold, item->place))
		return;
	if (item->outcome == SINK_NO_INDEX)
	{
		send_again(serving, item);
		serving->outcome = SINK_NO_INDEX;
		serving->place = item->place;
	}
	else if (item->outcome == SINK_REFUSED || item->outcome == SINK_TOO_LARGE)
	{
		if (serving->outcome == SINK_REFUSED)
			return;
		if (item->raced && attempts < RACE_ATTEMPTS)
			send_again(serving, item);
		else
			leave_behind(fold, item, true);
	}
	else if (!is_out_of_patience(item->place))
		send_again(serving, item);
	else
		leave_behind(fold, item, false);
}

/*
 * True if one key's documents are together too large for the server, or it did not take that request
 * for whatever else: they are sent one by one then, to the serving index first.
 */
static bool
is_too_large_together(const Fold *fold)
{
	return fold->end - fold->first > 1 && fold->end - fold->first == fold->lane->batch.nitems &&
		   fold->lane->batch.items[fold->first].outcome == SINK_TOO_LARGE;
}

/* Has the key sent to its places one by one. */
static void
take_apart(Fold *fold)
{
	DirtyEntry *entry = fold->lane->entries[fold->first];

	entry->apart = 1;
	entry->apart_age = (uint8) fold->lane->age;
	fold->lane->batch.items[fold->first].outcome = SINK_ELSEWHERE;
}

/* Acts on what became of a key in a place that does not serve, and to which it was sent alone. */
static void
settle_other(Fold *fold, SinkItem *item)
{
	bool final = item->outcome == SINK_REFUSED || item->outcome == SINK_TOO_LARGE;

	if (item->outcome == SINK_NO_INDEX)
		return;
	if (item->outcome == SINK_DONE || item->outcome == SINK_CONFLICT)
		note_taken(item->place);
	else if (final ? item->raced && fold->lane->entries[fold->first]->attempts < RACE_ATTEMPTS
				   : !is_out_of_patience(item->place))
	{
		item->outcome = SINK_AGAIN;
		return;
	}
	else
	{
		item->outcome = SINK_DONE;
		leave_behind(fold, item, final);
		return;
	}
	item->outcome = SINK_DONE;
}

/* Acts on what became of a key that is sent to its places one by one. */
static void
settle_apart(Fold *fold)
{
	SinkItem   *item = &fold->lane->batch.items[fold->first];
	DirtyEntry *entry = fold->lane->entries[fold->first];

	if (item->outcome == SINK_TOO_LARGE && fold->lane->batch.nitems > 1)
		return;
	if (item->place != NULL && item->place->role != SINK_SERVING)
		settle_other(fold, item);
	if (item->outcome == SINK_DONE && entry->apart < item->target->nplaces)
	{
		entry->apart++;
		item->outcome = SINK_ELSEWHERE;
	}
	else if (is_answered(item) || item->outcome == SINK_TOO_LARGE)
		entry->apart = 0; /* that was the last one, or the serving index's last word */
}

/* Makes the serving index's item tell what becomes of the key. */
static void
settle_key(Fold *fold)
{
	if (is_too_large_together(fold))
		take_apart(fold);
	else if (fold->lane->entries[fold->first]->apart != 0)
		settle_apart(fold);
	else
		for (int i = fold->first + 1; i < fold->end; i++)
			settle_item(fold, &fold->lane->batch.items[i]);
}

/* Leaves one item for each key of an answered batch. */
void
places_fold(SinkWorker *worker, SyncLane *lane)
{
	Fold	   fold = {.worker = worker, .lane = lane};
	SinkBatch *batch = &lane->batch;
	int		   kept = 0;

	folds++;
	for (; fold.first < batch->nitems; fold.first = fold.end)
	{
		fold.end = fold.first + 1;
		while (fold.end < batch->nitems && lane->entries[fold.end] == lane->entries[fold.first])
			fold.end++;
		settle_key(&fold);
		if (kept != fold.first)
		{
			batch->items[kept] = batch->items[fold.first];
			lane->entries[kept] = lane->entries[fold.first];
		}
		kept++;
	}
	batch->nitems = kept;
	list_free_deep(fold.left);
	forget_grudges();
}
