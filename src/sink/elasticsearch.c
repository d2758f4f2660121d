/*
 * elasticsearch.c
 *		The search sink: Elasticsearch and OpenSearch.
 */
#include "postgres.h"

#include "lib/ilist.h"
#include "utils/memutils.h"

#include "common/guc.h"
#include "sink/es_bulk.h"
#include "sink/es_fetch.h"
#include "sink/es_listing.h"
#include "sink/es_reply.h"
#include "sink/es_server.h"
#include "sink/lifecycle.h"
#include "sink/provision.h"

/* Room for an answer: most is per item, an error's reason being the largest. */
#define REPLY_MAX_BASE (1024 * 1024)
#define REPLY_MAX_ITEM 4096

/* A batch's request. */
typedef struct EsBulk
{
	dlist_node	   node;
	uint64		   number;
	MemoryContext  context; /* holds this and the body */
	HttpRequest	  *request; /* NULL: it was dropped, or there was nothing to send */
	StringInfoData body;
} EsBulk;

static dlist_head bulks = DLIST_STATIC_INIT(bulks);
static uint64	  begun = 0;

/* True if a URL is set. */
static bool
search_configured(void)
{
	return tenancy_search_url[0] != '\0';
}

/* Drops every connection; batches that are under way end with "again". */
static void
search_close(void)
{
	dlist_iter iter;

	search_provision_reset();
	lifecycle_reset();
	dlist_foreach (iter, &bulks)
	{
		EsBulk *bulk = dlist_container(EsBulk, node, iter.cur);

		http_free(bulk->request);
		bulk->request = NULL;
	}
	es_server_close();
}

/* Reads the settings and starts connecting, if there is something to connect to. */
static void
search_open(void)
{
	search_close();
	if (search_configured())
		es_server_open();
	search_provision_wake();
}

/* cluster_uuid. */
static const char *
search_identity(void)
{
	const EsServer *server = es_server_info();

	return server->uuid[0] != '\0' ? server->uuid : NULL;
}

/* Makes the request's state, with its own memory. */
static EsBulk *
make_bulk(void)
{
	MemoryContext context =
		AllocSetContextCreate(TopMemoryContext, "search bulk", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	EsBulk		 *bulk = palloc0(sizeof(EsBulk));

	bulk->context = context;
	bulk->number = ++begun;
	initStringInfo(&bulk->body);
	MemoryContextSwitchTo(old);
	return bulk;
}

/* Number of the last request begun. */
uint64
es_bulk_begun(void)
{
	return begun;
}

/* True if every request up to a number has ended. */
bool
es_bulk_ended(uint64 number)
{
	dlist_iter iter;

	dlist_foreach (iter, &bulks)
		if (dlist_container(EsBulk, node, iter.cur)->number <= number)
			return false;
	return true;
}

/* Ends the request and frees its memory. */
static void
drop_bulk(SinkBatch *batch)
{
	EsBulk *bulk = batch->private;

	batch->private = NULL;
	http_free(bulk->request);
	dlist_delete(&bulk->node);
	MemoryContextDelete(bulk->context);
}

/* Starts the _bulk request of a batch. */
static void
search_submit(SinkBatch *batch)
{
	const EsServer *server = es_server_info();
	EsBulk		   *bulk = make_bulk();

	batch->private = bulk;
	dlist_push_tail(&bulks, &bulk->node);
	if (es_server_health(NULL) != SINK_READY || es_bulk_build(&bulk->body, batch, server) == 0)
		return;
	batch->bytes = bulk->body.len;
	bulk->request =
		es_server_call("POST", es_bulk_path(server), "application/x-ndjson", bulk->body.data,
					   bulk->body.len, REPLY_MAX_BASE + (size_t) batch->nitems * REPLY_MAX_ITEM);
}

/* Ends what is open of a batch whose request does not exist. */
static void
settle_unsent(SinkBatch *batch)
{
	HttpReply	none = {0};
	const char *error;

	es_server_health(&error);
	strlcpy(none.error, error[0] != '\0' ? error : "the connection was closed", HTTP_ERROR_MAX);
	for (int i = 0; i < batch->nitems; i++)
		if (batch->items[i].outcome == SINK_PENDING)
		{
			es_reply_apply(batch, &none);
			return;
		}
}

/* True when every item has an outcome. */
static bool
search_finished(SinkBatch *batch)
{
	EsBulk			*bulk = batch->private;
	const HttpReply *reply;

	if (bulk == NULL)
		return true;
	if (bulk->request == NULL)
		settle_unsent(batch);
	else if ((reply = http_reply(bulk->request)) == NULL)
		return false;
	else
	{
		es_reply_apply(batch, reply);
		es_server_heed(reply);
		lifecycle_note_blocked(batch);
	}
	drop_bulk(batch);
	return true;
}

/* Descriptor of all requests; it changes with open. */
static pgsocket
search_event_fd(void)
{
	HttpClient *client = es_server_client();

	return client != NULL ? http_client_fd(client) : PGINVALID_SOCKET;
}

/* The sooner of two times, -1 being never. */
static long
sooner(long a, long b)
{
	if (a < 0 || b < 0)
		return Max(a, b);
	return Min(a, b);
}

/* The soonest of the server's, the provisioning's and the lifecycle's time. */
static long
search_timeout(void)
{
	return sooner(es_server_timeout(), sooner(search_provision_timeout(), lifecycle_timeout()));
}

/* Work on indices: first that they are there, then what their age says. */
static bool
search_housekeep(void)
{
	return search_provision_housekeep() || lifecycle_housekeep();
}

/* The registry changed. */
static void
search_config_changed(void)
{
	search_provision_wake();
	lifecycle_wake();
}

/* True if every month of a place is known to be there; one that does not serve can do without. */
static bool
months_ready(const SinkPlace *place, const char *alias)
{
	for (int i = 0; i < place->nmonths; i++)
		if ((place->months[i].there || place->role == SINK_SERVING) &&
			!search_provision_ready(place->months[i].place.index_name, alias))
			return false;
	return true;
}

/* True if the target's indices are known to be there; it has no alias before it is provisioned. */
static bool
search_target_ready(const SinkTarget *target)
{
	bool ready = target->nplaces > 0;

	for (int i = 0; i < target->nplaces; i++)
		ready &= search_provision_ready(target->places[i].index_name, target->alias) &&
				 months_ready(&target->places[i], target->alias);
	return ready;
}

/* The index of a place is gone: it is made again. */
static void
search_place_missing(const SinkPlace *place)
{
	search_provision_missing(place->index_name);
	es_server_recheck();
}

/* A host that was left out, or an index that could not be made. */
static const char *
search_trouble(void)
{
	const char *text = es_server_trouble();

	return text != NULL ? text : search_provision_trouble();
}

const SinkDriver search_sink_driver = {
	.name = "search",
	.wants_rows = true,
	.configured = search_configured,
	.open = search_open,
	.close = search_close,
	.poll = es_server_poll,
	.health = es_server_health,
	.identity = search_identity,
	.expect = es_server_expect,
	.submit = search_submit,
	.finished = search_finished,
	.event_fd = search_event_fd,
	.timeout = search_timeout,
	.housekeep = search_housekeep,
	.trouble = search_trouble,
	.config_changed = search_config_changed,
	.target_ready = search_target_ready,
	.place_missing = search_place_missing,
	.list_open = es_listing_open,
	.list_next = es_listing_next,
	.list_close = es_listing_close,
	.list_sample = es_listing_sample,
	.fetch_open = es_fetch_open,
	.fetch_poll = es_fetch_poll,
	.fetch_close = es_fetch_close,
};
