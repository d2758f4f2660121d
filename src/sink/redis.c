/*
 * redis.c
 *		The cache sink: unlinks a row's cache keys and invalidates its tags.
 *
 * Both can be done any number of times, so that a batch whose replies did not all
 * come, or were not all good, is simply sent again as a whole.
 */
#include "postgres.h"

#include "access/transam.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "common/guc.h"
#include "sink/redis_keys.h"
#include "sink/redis_mark.h"
#include "sink/redis_scripts.h"
#include "sink/redis_server.h"
#include "sink/template.h"
#include "sink/text.h"

#define KEYS_PER_SCRIPT 100
#define TAGS_PER_SCRIPT 50
#define TAG_BUDGET 250	/* members that one script drops: others wait for it */
#define FLOORS_MOST 500 /* of one tenant in a batch: with more, the tenant has one for all */

/* A key to unlink or a tag to drop, and the transactions because of which. */
typedef struct Victim
{
	char	   *name; /* in Redis; NULL: only the tenant's floor is raised */
	const char *tenant;
	uint64		low;
	uint64		high; /* 0: no floor */
} Victim;

typedef struct Victims
{
	int		n;
	int		room;
	int		next; /* first that is not done */
	Victim *all;
} Victims;

/* A batch: its keys, then its tags, a few in each script, one script at a time. */
typedef struct CacheBatch
{
	dlist_node	  node;
	MemoryContext context; /* holds this and what it points to */
	MemoryContext command; /* of the script being made */
	SinkBatch	 *batch;
	Victims		  keys;
	Victims		  tags;
	Victims		 *sent;		   /* whose script is under way */
	int			  nsent;	   /* of them */
	bool		  awaited;	   /* its reply is */
	bool		  script_lost; /* the server did not know it */
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

	redis_mark_lost();
	dlist_foreach (iter, &batches)
	{
		CacheBatch *cache = dlist_container(CacheBatch, node, iter.cur);

		if (!cache->awaited)
			continue;
		cache->awaited = false;
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

/* The server: one that is started again, or another one, may have values that were unlinked. */
static const char *
cache_identity(void)
{
	return redis_server_health(NULL) == SINK_READY ? redis_server_info()->identity : NULL;
}

/* True if there was nothing in it when it said so. */
static bool
cache_is_empty(void)
{
	return redis_server_health(NULL) == SINK_READY && redis_server_info()->is_empty;
}

/* True if a script may have done that many: of the keys all, of the tags as far as it got. */
static bool
is_possible(const CacheBatch *cache, int64 done)
{
	return cache->sent == &cache->keys ? done == cache->nsent : done >= 0 && done <= cache->nsent;
}

/* Takes the reply to a script: how many it has done. */
static void
took_reply(void *arg, int index, RedisReplyType type, int64 integer, const char *text,
		   size_t length)
{
	CacheBatch *cache = arg;

	cache->awaited = false;
	redis_server_progress();
	if (type == REDIS_INTEGER && is_possible(cache, integer))
	{
		cache->sent->next += integer;
		return;
	}
	if (type != REDIS_ERROR)
	{
		cache->outcome = SINK_AGAIN;
		strlcpy(cache->batch->error, "unexpected reply to a script", SINK_REASON_MAX);
		return;
	}
	if (strncmp(text, "NOSCRIPT", 8) == 0)
	{
		cache->script_lost = true;
		return;
	}
	redis_server_refused(text);
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

/* Adds a key or a tag's set. */
static void
add_victim(Victims *victims, char *name, const char *tenant, uint64 low, uint64 high)
{
	if (victims->n == victims->room)
	{
		victims->room = victims->room > 0 ? victims->room * 2 : 64;
		victims->all = victims->all == NULL
						   ? palloc(victims->room * sizeof(Victim))
						   : repalloc_huge(victims->all, victims->room * sizeof(Victim));
	}
	victims->all[victims->n++] = (Victim){.name = name, .tenant = tenant, .low = low, .high = high};
}

/* Adds what each template gives for the item, as a key or as a tag's set. */
static void
expand_all(Victims *victims, SinkItem *item, int ntemplates, char **templates,
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
			add_victim(victims, name(item->target->tenant, text.data), item->target->tenant,
					   item->xid_range[0], item->xid_range[1]);
	}
	pfree(text.data);
}

/* All values of a tenant go. */
static void
forget_tenant(CacheBatch *cache, const SinkItem *item, const char *tenant)
{
	add_victim(&cache->tags, redis_tag_key(tenant, ""), tenant, item->xid_range[0],
			   item->xid_range[1]);
}

/* Collects the keys and tags of one item. */
static void
collect_item(CacheBatch *cache, SinkItem *item)
{
	const SinkTarget *target = item->target;

	if (item->xid_range[0] == 0) /* not known: whatever has ended by now */
		item->xid_range[1] = U64FromFullTransactionId(ReadNextFullTransactionId()) - 1;
	if (item->action == SINK_FORGET_TENANT)
	{
		forget_tenant(cache, item, item->key);
		return;
	}
	if (!sink_key_fits(target, item->key, item->key_length))
	{
		forget_tenant(cache, item, target->tenant); /* nobody knows which row it was */
		return;
	}
	expand_all(&cache->keys, item, target->ncache_keys, target->cache_keys, redis_tenant_key);
	expand_all(&cache->tags, item, target->ncache_tags, target->cache_tags, redis_tag_key);
}

/* Order by name, which begins with the tenant's. */
static int
compare_victims(const void *a, const void *b)
{
	return strcmp(((const Victim *) a)->name, ((const Victim *) b)->name);
}

/* Takes one range of transactions into another. */
static void
widen(Victim *victim, const Victim *other)
{
	victim->low = Min(victim->low, other->low);
	victim->high = Max(victim->high, other->high);
}

/* Leaves each name once. */
static void
make_distinct(Victims *victims)
{
	int n = 0;

	if (victims->n > 1)
		qsort(victims->all, victims->n, sizeof(Victim), compare_victims);
	for (int i = 0; i < victims->n; i++)
		if (n > 0 && strcmp(victims->all[n - 1].name, victims->all[i].name) == 0)
			widen(&victims->all[n - 1], &victims->all[i]);
		else
			victims->all[n++] = victims->all[i];
	victims->n = n;
}

/* Gives the keys from..to, of one tenant, one floor instead of many; it is raised before them. */
static void
share_floor(Victims *result, const Victims *keys, int from, int to)
{
	bool   share = to - from > FLOORS_MOST;
	Victim floor = keys->all[from];

	for (int i = from; share && i < to; i++)
		widen(&floor, &keys->all[i]);
	if (share)
		add_victim(result, NULL, floor.tenant, floor.low, floor.high);
	for (int i = from; i < to; i++)
		add_victim(result, keys->all[i].name, floor.tenant, keys->all[i].low,
				   share ? 0 : keys->all[i].high);
}

/* A load of many rows must not leave a floor for each in Redis. */
static void
share_floors(Victims *keys)
{
	Victims result = {0};
	int		from = 0;

	if (keys->n <= FLOORS_MOST)
		return;
	for (int i = 1; i <= keys->n; i++)
		if (i == keys->n || strcmp(keys->all[i].tenant, keys->all[from].tenant) != 0)
		{
			share_floor(&result, keys, from, i);
			from = i;
		}
	pfree(keys->all);
	*keys = result;
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
	cache->command = AllocSetContextCreate(context, "cache command", ALLOCSET_DEFAULT_SIZES);
	cache->batch = batch;
	cache->outcome = SINK_DONE;
	for (int i = 0; i < batch->nitems; i++)
		if (batch->items[i].outcome == SINK_PENDING)
			collect_item(cache, &batch->items[i]);
	make_distinct(&cache->keys);
	make_distinct(&cache->tags);
	share_floors(&cache->keys);
	MemoryContextSwitchTo(old);
	return cache;
}

/* A script's words, under construction. */
typedef struct Call
{
	int			argc;
	const char *argv[4 + KEYS_PER_SCRIPT * 7 + TAGS_PER_SCRIPT * 7];
} Call;

/* Begins a call of a script with that many keys. */
static void
begin_call(Call *call, RedisScript *script, bool by_text, int nkeys)
{
	call->argc = 0;
	call->argv[call->argc++] = by_text ? "EVAL" : "EVALSHA";
	call->argv[call->argc++] = by_text ? script->text : redis_script_sha(script);
	call->argv[call->argc++] = psprintf("%d", nkeys);
}

/* Adds the ranges of the victims. */
static void
add_ranges(Call *call, const Victim *victims, int n)
{
	for (int i = 0; i < n; i++)
	{
		call->argv[call->argc++] = psprintf(UINT64_FORMAT, victims[i].low);
		call->argv[call->argc++] = psprintf(UINT64_FORMAT, victims[i].high);
	}
}

/* Adds the names that a key's script needs. */
static void
add_key(Call *call, const Victim *victim)
{
	char *all = redis_tag_key(victim->tenant, "");
	char *name = victim->name != NULL ? victim->name : all;
	char *floor = redis_beside(victim->tenant, "floor", name);

	call->argv[call->argc++] = victim->name != NULL ? name : floor;
	call->argv[call->argc++] = floor;
	call->argv[call->argc++] = redis_beside(victim->tenant, "lease", name);
	call->argv[call->argc++] = all;
	call->argv[call->argc++] = redis_size_key(victim->tenant);
}

/* Adds the names that a tag's script needs. */
static void
add_tag(Call *call, const Victim *victim)
{
	call->argv[call->argc++] = victim->name;
	call->argv[call->argc++] = redis_beside(victim->tenant, "floor", victim->name);
	call->argv[call->argc++] = redis_tag_key(victim->tenant, "");
	call->argv[call->argc++] = redis_size_key(victim->tenant);
	call->argv[call->argc++] = redis_owner_key(victim->tenant);
}

/* Makes the call for the next keys, or tags. */
static void
make_call(CacheBatch *cache, Call *call, bool by_text)
{
	Victims *victims = cache->sent;
	bool	 keys = victims == &cache->keys;
	Victim	*first = &victims->all[victims->next];
	int		 n = Min(victims->n - victims->next, keys ? KEYS_PER_SCRIPT : TAGS_PER_SCRIPT);

	begin_call(call, keys ? &redis_unlink_script : &redis_drop_tags_script, by_text, n * 5);
	for (int i = 0; i < n; i++)
		keys ? add_key(call, &first[i]) : add_tag(call, &first[i]);
	call->argv[call->argc++] = psprintf("%d", tenancy_cache_guard_time * 1000);
	if (!keys)
		call->argv[call->argc++] = psprintf("%d", TAG_BUDGET);
	add_ranges(call, first, n);
	cache->nsent = n;
}

/* Sends the next script; by its text to a server that forgot it. */
static void
send_next(CacheBatch *cache)
{
	RedisConn	 *conn = redis_server_conn();
	MemoryContext old;
	Call		  call;

	if (conn == NULL)
	{
		cache->outcome = SINK_AGAIN;
		cache->batch->unreachable = true;
		return;
	}
	cache->sent = cache->keys.next < cache->keys.n ? &cache->keys : &cache->tags;
	MemoryContextReset(cache->command);
	old = MemoryContextSwitchTo(cache->command);
	make_call(cache, &call, cache->script_lost);
	MemoryContextSwitchTo(old);
	cache->script_lost = false;
	cache->awaited = true;
	redis_expect(conn, took_reply, cache);
	redis_command(conn, call.argc, call.argv, NULL);
	redis_server_poll();
}

/* True if there is something to send. */
static bool
has_more(const CacheBatch *cache)
{
	return cache->outcome == SINK_DONE &&
		   (cache->keys.next < cache->keys.n || cache->tags.next < cache->tags.n);
}

/* Sends a batch. */
static void
cache_submit(SinkBatch *batch)
{
	CacheBatch *cache = make_cache_batch(batch);
	const char *error;

	batch->private = cache;
	dlist_push_tail(&batches, &cache->node);
	if (has_more(cache))
		send_next(cache);
	if (cache->outcome == SINK_DONE || cache->awaited)
		return;
	redis_server_health(&error);
	if (batch->error[0] == '\0')
		strlcpy(batch->error, error[0] != '\0' ? error : "there is no connection", SINK_REASON_MAX);
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
	while (!cache->awaited && has_more(cache)) /* a reply may come while it is being sent */
	{
		CHECK_FOR_INTERRUPTS();
		send_next(cache);
	}
	if (cache->awaited)
		return false;
	settle(cache);
	return true;
}

/* Keeps the mark that backends store values by. */
static bool
cache_housekeep(void)
{
	redis_mark_keep();
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
	.is_empty = cache_is_empty,
	.submit = cache_submit,
	.finished = cache_finished,
	.event_fd = redis_server_event_fd,
	.timeout = redis_server_timeout,
	.housekeep = cache_housekeep,
	.trouble = redis_mark_trouble,
};
