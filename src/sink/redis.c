/*
 * redis.c
 *		The cache sink: unlinks a row's cache keys and invalidates its tags.
 *
 * Both can be done any number of times, so that a batch whose replies did not all
 * come, or were not all good, is simply sent again as a whole.
 */
#include "postgres.h"

#include "lib/ilist.h"
#include "utils/memutils.h"

#include "common/guc.h"
#include "sink/redis_keys.h"
#include "sink/redis_server.h"
#include "sink/template.h"
#include "sink/text.h"

#define KEYS_PER_UNLINK 500

/* A batch whose replies are awaited. */
typedef struct CacheBatch
{
	dlist_node	  node;
	MemoryContext context; /* holds this and what it points to */
	SinkBatch	 *batch;
	List		 *keys;		   /* to unlink */
	List		 *tags;		   /* sets to run the script on, each once */
	int			  awaited;	   /* replies */
	bool		  script_lost; /* the server did not know the script */
	SinkOutcome	  outcome;
} CacheBatch;

static dlist_head batches = DLIST_STATIC_INIT(batches);

/* True if a URL is set. */
static bool
cache_configured(void)
{
	return tenancy_redis_url[0] != '\0';
}

/* The connection of every batch is gone. */
static void
lost_connection(const char *error)
{
	dlist_iter iter;

	dlist_foreach (iter, &batches)
	{
		CacheBatch *cache = dlist_container(CacheBatch, node, iter.cur);

		if (cache->awaited == 0)
			continue;
		cache->awaited = 0;
		cache->script_lost = false;
		cache->outcome = SINK_AGAIN;
		cache->batch->unreachable = true;
		strlcpy(cache->batch->error, error, SINK_REASON_MAX);
	}
}

/* Reads the settings and starts connecting, if there is something to connect to. */
static void
cache_open(void)
{
	redis_server_close();
	if (cache_configured())
		redis_server_open(lost_connection);
}

/* Redis tells no identity of its data, and does not need to: what it lost is no stale value. */
static const char *
cache_identity(void)
{
	return NULL;
}

/* Takes a reply; the worst one decides. */
static void
took_reply(void *arg, int index, RedisReplyType type, int64 integer, const char *text,
		   size_t length)
{
	CacheBatch *cache = arg;

	cache->awaited--;
	redis_server_progress();
	if (type != REDIS_ERROR)
		return;
	if (strncmp(text, "NOSCRIPT", 8) == 0)
	{
		cache->script_lost = true;
		return;
	}
	if (cache->outcome != SINK_DENIED)
		cache->outcome = redis_is_denial(text) ? SINK_DENIED : SINK_AGAIN;
	sink_set_text(cache->batch->error, SINK_REASON_MAX, text, length);
}

/* Ends one item at once: its templates do not fit its key. */
static void
refuse(SinkItem *item, const char *tmpl)
{
	item->outcome = SINK_REFUSED;
	sink_set_textf(item->reason, SINK_REASON_MAX,
				   "template \"%s\" has a column that is not in the key", tmpl);
}

/* Appends what each template gives for the item, as a key or as a tag's set. */
static List *
expand_all(List *list, SinkItem *item, int ntemplates, char **templates,
		   char *(*name)(const char *tenant, const char *key))
{
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; i < ntemplates; i++)
	{
		resetStringInfo(&text);
		if (!sink_expand_template(&text, templates[i], item->target, item->key))
		{
			refuse(item, templates[i]);
			break;
		}
		/* no cached value has a key with # in front: such names are the tags' own */
		if (name != redis_tenant_key || text.data[0] != '#')
			list = lappend(list, name(item->target->tenant, text.data));
	}
	pfree(text.data);
	return list;
}

/* Collects the keys and tags of one item. */
static void
collect_item(CacheBatch *cache, SinkItem *item)
{
	const SinkTarget *target = item->target;

	if (item->action == SINK_FORGET_TENANT)
	{
		cache->tags = lappend(cache->tags, redis_tag_key(item->key, ""));
		return;
	}
	cache->keys =
		expand_all(cache->keys, item, target->ncache_keys, target->cache_keys, redis_tenant_key);
	cache->tags =
		expand_all(cache->tags, item, target->ncache_tags, target->cache_tags, redis_tag_key);
}

/* Order of two strings in a list. */
static int
compare_cells(const ListCell *a, const ListCell *b)
{
	return strcmp(lfirst(a), lfirst(b));
}

/* Leaves each string once. */
static List *
distinct(List *list)
{
	List	 *result = NIL;
	ListCell *cell;

	list_sort(list, compare_cells);
	foreach (cell, list)
		if (result == NIL || strcmp(llast(result), lfirst(cell)) != 0)
			result = lappend(result, lfirst(cell));
	return result;
}

/* Queues a command whose reply the batch waits for. */
static void
send(CacheBatch *cache, RedisConn *conn, int argc, const char **argv)
{
	cache->awaited++;
	redis_command(conn, argc, argv, NULL);
}

/* Queues UNLINKs of all keys. */
static void
send_keys(CacheBatch *cache, RedisConn *conn)
{
	const char *argv[KEYS_PER_UNLINK + 1] = {"UNLINK"};
	int			argc = 1;
	ListCell   *cell;

	foreach (cell, cache->keys)
	{
		argv[argc++] = lfirst(cell);
		if (argc <= KEYS_PER_UNLINK)
			continue;
		send(cache, conn, argc, argv);
		argc = 1;
	}
	if (argc > 1)
		send(cache, conn, argc, argv);
}

/* Queues the script for all tags: by its SHA, or the text of it. */
static void
send_tags(CacheBatch *cache, RedisConn *conn, bool by_sha)
{
	ListCell *cell;

	foreach (cell, cache->tags)
	{
		const char *argv[] = {by_sha ? "EVALSHA" : "EVAL",
							  by_sha ? redis_server_script_sha() : redis_invalidate_tag_script, "1",
							  lfirst(cell)};

		send(cache, conn, lengthof(argv), argv);
	}
}

/* Makes the batch's state, with its own memory. */
static CacheBatch *
make_cache_batch(SinkBatch *batch)
{
	MemoryContext context =
		AllocSetContextCreate(TopMemoryContext, "cache batch", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	CacheBatch	 *cache = palloc0(sizeof(CacheBatch));

	cache->context = context;
	cache->batch = batch;
	cache->outcome = SINK_DONE;
	for (int i = 0; i < batch->nitems; i++)
		if (batch->items[i].outcome == SINK_PENDING)
			collect_item(cache, &batch->items[i]);
	cache->tags = distinct(cache->tags);
	MemoryContextSwitchTo(old);
	return cache;
}

/* Sends a batch. */
static void
cache_submit(SinkBatch *batch)
{
	CacheBatch *cache = make_cache_batch(batch);
	RedisConn  *conn = redis_server_conn();
	const char *error;

	batch->private = cache;
	dlist_push_tail(&batches, &cache->node);
	if (conn == NULL)
	{
		redis_server_health(&error);
		cache->outcome = SINK_AGAIN;
		batch->unreachable = true;
		strlcpy(batch->error, error[0] != '\0' ? error : "there is no connection", SINK_REASON_MAX);
		return;
	}
	redis_expect(conn, took_reply, cache);
	send_keys(cache, conn);
	send_tags(cache, conn, true);
	redis_server_poll();
}

/* Sends the script itself to a server that forgot it. */
static void
resend_tags(CacheBatch *cache)
{
	RedisConn *conn = redis_server_conn();

	cache->script_lost = false;
	if (conn == NULL)
	{
		cache->outcome = SINK_AGAIN;
		return;
	}
	redis_expect(conn, took_reply, cache);
	send_tags(cache, conn, false);
	redis_server_poll();
}

/* Ends the open items and frees the batch's state. */
static void
settle(CacheBatch *cache)
{
	SinkBatch *batch = cache->batch;

	for (int i = 0; i < batch->nitems; i++)
	{
		SinkItem *item = &batch->items[i];

		if (item->outcome != SINK_PENDING)
			continue;
		item->outcome = cache->outcome;
		if (cache->outcome != SINK_DONE)
			strlcpy(item->reason, batch->error, SINK_REASON_MAX);
	}
	batch->private = NULL;
	dlist_delete(&cache->node);
	MemoryContextDelete(cache->context);
}

/* True when every item has an outcome. */
static bool
cache_finished(SinkBatch *batch)
{
	CacheBatch *cache = batch->private;

	if (cache == NULL)
		return true;
	if (cache->awaited == 0 && cache->script_lost)
		resend_tags(cache);
	if (cache->awaited > 0)
		return false;
	settle(cache);
	return true;
}

/* Redis needs no upkeep. */
static bool
cache_housekeep(void)
{
	return false;
}

const SinkDriver cache_sink_driver = {
	.name = "cache",
	.wants_rows = false,
	.configured = cache_configured,
	.open = cache_open,
	.close = redis_server_close,
	.poll = redis_server_poll,
	.health = redis_server_health,
	.identity = cache_identity,
	.submit = cache_submit,
	.finished = cache_finished,
	.event_fd = redis_server_event_fd,
	.timeout = redis_server_timeout,
	.housekeep = cache_housekeep,
};
