/*
 * backlog.c
 *		Dirty keys in tenancy.backlog, and how they come back.
 *
 * They come back chunk by chunk, from the relations in turn; those that are held are left
 * out.  A chunk is deleted only when the sink agrees about every key of it, or the key has
 * been written again.
 */
#include "postgres.h"

#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "common/guc.h"
#include "common/spi.h"
#include "sync/backlog.h"
#include "sync/backlog_table.h"
#include "sync/hold.h"
#include "sync/pause.h"

#define CHUNK_KEYS 5000 /* at most; less where the memory is small */
#define CHUNK_RELATIONS 64
#define TRIAL_KEYS 16 /* of a relation that was refused */
#define KEY_BYTES 256 /* about what a key takes in memory */
#define RETRY_MS 1000

static HTAB		  *relations = NULL; /* relid → BacklogRelation */
static dlist_head  turns = DLIST_STATIC_INIT(turns);
static uint64	   count = 0; /* keys in the table */
static TimestampTz not_before = 0;

/* What one turn of the pump works on. */
typedef struct Chunk
{
	SinkWorker		*worker;
	int				 n;
	BacklogRelation *relations[CHUNK_RELATIONS];
	int64			 most[CHUNK_RELATIONS];
} Chunk;

static Chunk open_chunk; /* n = 0: there is none */

/* Number of keys in the table. */
uint64
backlog_count(void)
{
	return count;
}

/* Number of keys in the table, but for those of paused tenants. */
uint64
backlog_waited_for(void)
{
	uint64	   waited = count;
	dlist_iter iter;

	if (!pause_covers_any())
		return waited;
	dlist_foreach (iter, &turns)
	{
		BacklogRelation *relation = dlist_container(BacklogRelation, turn, iter.cur);

		if (pause_covers(relation->schema))
			waited -= relation->count;
	}
	return waited;
}

/* True if a relation has keys in the table. */
bool
backlog_has(Oid relid)
{
	return relations != NULL && hash_search(relations, &relid, HASH_FIND, NULL) != NULL;
}

/* Finds or makes a relation. */
static BacklogRelation *
find_relation(Oid relid, Oid schema)
{
	HASHCTL ctl = {
		.keysize = sizeof(Oid), .entrysize = sizeof(BacklogRelation), .hcxt = TopMemoryContext};
	BacklogRelation *relation;
	bool			 found;

	if (relations == NULL)
		relations =
			hash_create("pg_tenancy backlog", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	relation = hash_search(relations, &relid, HASH_ENTER, &found);
	if (!found)
	{
		relation->schema = schema;
		relation->count = 0;
		relation->after = relation->chunk_last = 0;
		relation->chunk_keys = -1;
		dlist_push_tail(&turns, &relation->turn);
	}
	return relation;
}

/* Counts what an earlier process left of a relation. */
static void
found_relation(Oid relid, uint64 keys)
{
	Oid schema = OidIsValid(relid) ? get_rel_namespace(relid) : InvalidOid;

	find_relation(relid, schema)->count += keys;
	count += keys;
}

/* Looks what an earlier process left, when the worker starts. */
void
backlog_load(SinkWorker *worker)
{
	tenancy_tx_begin("pg_tenancy: counting the backlog");
	backlog_table_count(worker->driver->name, found_relation);
	tenancy_tx_commit();
}

/* Deletes everything, as the sink is switched off; needs a transaction. */
void
backlog_clear(SinkWorker *worker)
{
	backlog_table_clear(worker->driver->name);
}

/* That transaction has committed. */
void
backlog_forget(void)
{
	open_chunk.n = 0;
	count = 0;
	if (relations != NULL)
		hash_destroy(relations);
	relations = NULL;
	dlist_init(&turns);
}

/* Keys were written and that has committed. */
void
backlog_added(DirtyEntry **entries, int n)
{
	for (int i = 0; i < n; i++)
		find_relation(entries[i]->relid, entries[i]->schema)->count++;
	count += n;
}

/* Chooses the relations of the next chunk, and how many keys of each. */
static void
choose(Chunk *chunk)
{
	int64	   room = Min(CHUNK_KEYS, (int64) tenancy_dirty_mem * 1024 / 8 / KEY_BYTES);
	dlist_iter iter;

	chunk->n = 0;
	dlist_foreach (iter, &turns)
	{
		BacklogRelation *relation = dlist_container(BacklogRelation, turn, iter.cur);

		if (relation->count > 0 && hold_until(relation->relid, relation->schema) == 0)
			chunk->relations[chunk->n++] = relation;
		if (chunk->n == CHUNK_RELATIONS)
			break;
	}
	for (int i = 0; i < chunk->n; i++)
	{
		chunk->most[i] = Max(room / chunk->n, 1);
		if (hold_exists(chunk->relations[i]->relid))
			chunk->most[i] = Min(chunk->most[i], TRIAL_KEYS);
	}
}

/* Deletes the open chunk, which is done. */
static void
delete_chunk(void *arg)
{
	backlog_table_delete(open_chunk.worker->driver->name, open_chunk.relations, open_chunk.n);
}

/* That has committed. */
static void
forget_chunk(void)
{
	for (int i = 0; i < open_chunk.n; i++)
	{
		BacklogRelation *relation = open_chunk.relations[i];
		uint64			 done = Min(relation->count, (uint64) relation->chunk_keys);

		relation->after = relation->chunk_last;
		relation->chunk_keys = -1;
		relation->count -= done;
		count -= done;
		if (relation->count > 0)
			continue;
		dlist_delete(&relation->turn);
		hash_search(relations, &relation->relid, HASH_REMOVE, NULL);
	}
	open_chunk.n = 0;
}

/* Reads the next chunk and marks its keys. */
static void
read_chunk(void *arg)
{
	Chunk *chunk = arg;

	backlog_table_read(chunk->worker, chunk->relations, chunk->most, chunk->n);
}

/* The chunk's keys are in memory: its relations have had their turn. */
static void
open_next(Chunk *chunk)
{
	open_chunk.worker = chunk->worker;
	for (int i = 0; i < chunk->n; i++)
	{
		BacklogRelation *relation = chunk->relations[i];

		dlist_delete(&relation->turn);
		dlist_push_tail(&turns, &relation->turn);
		if (relation->chunk_keys == 0)
		{
			/* somebody has deleted its rows */
			count -= Min(count, relation->count);
			relation->chunk_keys = relation->count = 0;
			relation->chunk_last = relation->after;
		}
		open_chunk.relations[open_chunk.n++] = relation;
	}
}

/* A lock could not be had: later. */
static bool
put_off(void)
{
	not_before = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RETRY_MS);
	return false;
}

/* True if the next chunk can be read. */
static bool
has_room(SinkWorker *worker)
{
	return dirty_memory(worker->dirty) <= (Size) tenancy_dirty_mem * 1024 / 4;
}

/* Brings keys back when the sink can take them; true: call again soon. */
bool
backlog_pump(SinkWorker *worker)
{
	Chunk chunk = {.worker = worker};

	if ((count == 0 && open_chunk.n == 0) || !worker->enabled || worker->paused ||
		dirty_chunk_open(worker->dirty) > 0 ||
		(not_before != 0 && GetCurrentTimestamp() < not_before))
		return false;
	not_before = 0;
	if (open_chunk.n > 0)
	{
		if (!tenancy_tx_try("pg_tenancy: deleting from the backlog", delete_chunk, NULL))
			return put_off();
		forget_chunk();
	}
	if (!has_room(worker))
		return false;
	choose(&chunk);
	if (chunk.n == 0)
		return false;
	if (!tenancy_tx_try("pg_tenancy: reading the backlog", read_chunk, &chunk))
		return put_off();
	open_next(&chunk);
	return true;
}
