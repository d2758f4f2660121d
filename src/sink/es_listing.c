/*
 * es_listing.c
 *		Keys of all documents of an index, page by page.
 *
 * A scroll: it sees the index as it was after the refresh that comes first.
 */
#include "postgres.h"

#include <jansson.h>

#include "utils/memutils.h"

#include "common/json.h"
#include "sink/doc_id.h"
#include "sink/es_listing.h"
#include "sink/es_server.h"
#include "sink/provision.h"

#define PAGE_SIZE 1000
#define REPLY_MAX (4 * 1024 * 1024)
#define SCROLL_TIME "5m"

typedef enum ListingStep
{
	LIST_REFRESH,
	LIST_FIRST,
	LIST_NEXT,
	LIST_CLEAR,
	LIST_SAMPLE
} ListingStep;

struct SinkListing
{
	MemoryContext  context;
	ListingStep	   step;
	int			   nkeys;
	int			   sample; /* documents of LIST_SAMPLE */
	char		  *index_name;
	char		  *alias;	  /* it is read by */
	char		  *part;	  /* of the place */
	char		  *scroll_id; /* NULL before the first page */
	StringInfoData path;
	StringInfoData body;
	HttpRequest	  *request; /* NULL: nothing is under way */
};

/* Starts listing a target's documents in one place. */
SinkListing *
es_listing_open(const SinkTarget *target, const SinkPlace *place)
{
	MemoryContext context =
		AllocSetContextCreate(TopMemoryContext, "search listing", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	SinkListing	 *listing = palloc0(sizeof(SinkListing));

	listing->context = context;
	listing->nkeys = target->nkeys;
	listing->index_name = pstrdup(place->index_name);
	listing->alias = pstrdup(place->alias);
	listing->part = place->part != NULL ? pstrdup(place->part) : NULL;
	initStringInfo(&listing->path);
	initStringInfo(&listing->body);
	MemoryContextSwitchTo(old);
	return listing;
}

/* Starts listing some documents chosen at random. */
SinkListing *
es_listing_sample(const SinkTarget *target, const SinkPlace *place, int most)
{
	SinkListing *listing = es_listing_open(target, place);

	listing->step = LIST_SAMPLE;
	listing->sample = Min(most, PAGE_SIZE);
	return listing;
}

/* Says in the path where the documents of a part are. */
static void
append_routing(SinkListing *listing, char separator)
{
	if (listing->part != NULL)
		appendStringInfo(&listing->path, "%crouting=%s", separator, listing->part);
}

/* Query that finds the documents of the place. */
static void
append_part_query(SinkListing *listing)
{
	if (listing->part != NULL)
		appendStringInfo(&listing->body, "{\"term\":{\"_tenancy.part\":\"%s\"}}", listing->part);
	else
		appendStringInfoString(&listing->body, "{\"match_all\":{}}");
}

/* Makes path and body of the request that comes next. */
static void
prepare(SinkListing *listing)
{
	resetStringInfo(&listing->path);
	resetStringInfo(&listing->body);
	switch (listing->step)
	{
		case LIST_REFRESH:
			appendStringInfo(&listing->path, "/%s/_refresh", listing->alias);
			break;
		case LIST_FIRST:
			appendStringInfo(&listing->path, "/%s/_search?scroll=" SCROLL_TIME, listing->alias);
			append_routing(listing, '&');
			appendStringInfo(
				&listing->body,
				"{\"size\":%d,\"_source\":false,\"sort\":[\"_doc\"],\"query\":", PAGE_SIZE);
			append_part_query(listing);
			appendStringInfoChar(&listing->body, '}');
			break;
		case LIST_NEXT:
			appendStringInfoString(&listing->path, "/_search/scroll");
			appendStringInfoString(&listing->body,
								   "{\"scroll\":\"" SCROLL_TIME "\",\"scroll_id\":");
			tenancy_json_string(&listing->body, listing->scroll_id, strlen(listing->scroll_id));
			appendStringInfoChar(&listing->body, '}');
			break;
		case LIST_CLEAR:
			appendStringInfoString(&listing->path, "/_search/scroll");
			appendStringInfoString(&listing->body, "{\"scroll_id\":");
			tenancy_json_string(&listing->body, listing->scroll_id, strlen(listing->scroll_id));
			appendStringInfoChar(&listing->body, '}');
			break;
		case LIST_SAMPLE:
			appendStringInfo(&listing->path, "/%s/_search", listing->alias);
			append_routing(listing, '?');
			appendStringInfo(&listing->body,
							 "{\"size\":%d,\"_source\":false,"
							 "\"query\":{\"function_score\":{\"random_score\":{},\"query\":",
							 listing->sample);
			append_part_query(listing);
			appendStringInfoString(&listing->body, "}}}");
			break;
	}
}

/*
 * Appends the key that a document id was made from, its length first.  An id that has
 * another number of parts than the key is no row's: it comes as what it is, and goes.
 */
static void
append_key(StringInfo keys, const char *id, int nkeys)
{
	int	  start = keys->len;
	int32 length = 0;

	appendBinaryStringInfo(keys, (char *) &length, sizeof(length));
	sink_append_doc_key(keys, id, nkeys);
	length = keys->len - start - sizeof(length);
	memcpy(keys->data + start, &length, sizeof(length));
}

/* Length of what the ids of a page need as keys, at most. */
static Size
page_room(json_t *hits)
{
	Size	room = 0;
	size_t	i;
	json_t *hit;

	json_array_foreach(hits, i, hit)
	{
		json_t *id = json_object_get(hit, "_id");

		room += json_is_string(id) ? json_string_length(id) + 1 + sizeof(int32) : 0;
	}
	return room;
}

/* Appends the keys of a page. */
static void
append_page(SinkListing *listing, json_t *hits, StringInfo keys)
{
	size_t	before = listing->part != NULL ? strlen(listing->part) + 1 : 0;
	size_t	i;
	json_t *hit;

	json_array_foreach(hits, i, hit)
	{
		const char *id = json_string_value(json_object_get(hit, "_id"));

		if (id != NULL)
			append_key(keys, id + Min(before, strlen(id)), listing->nkeys);
	}
}

/* Takes a page apart; frees the tree also when memory runs out. */
static SinkListResult
take_page(SinkListing *listing, const HttpReply *reply, StringInfo keys)
{
	json_t		  *root = json_loadb(reply->body, reply->length, 0, NULL);
	json_t		  *hits = json_object_get(json_object_get(root, "hits"), "hits");
	const char	  *scroll_id = json_string_value(json_object_get(root, "_scroll_id"));
	SinkListResult result = SINK_LIST_FAILED;

	if (json_integer_value(json_object_get(json_object_get(root, "_shards"), "failed")) > 0)
		hits = NULL; /* a part of the index is missing: that is no listing */
	PG_TRY();
	{
		if (json_is_array(hits) && listing->step == LIST_SAMPLE)
		{
			enlargeStringInfo(keys, page_room(hits));
			append_page(listing, hits, keys);
			listing->sample = 0;
			result = SINK_LIST_PAGE;
		}
		else if (json_is_array(hits) && scroll_id != NULL)
		{
			enlargeStringInfo(keys, page_room(hits));
			append_page(listing, hits, keys);
			listing->scroll_id = MemoryContextStrdup(listing->context, scroll_id);
			if (json_array_size(hits) < PAGE_SIZE)
				listing->step = LIST_CLEAR;
			result = json_array_size(hits) > 0 ? SINK_LIST_PAGE : SINK_LIST_BUSY;
		}
	}
	PG_FINALLY();
	{
		json_decref(root);
	}
	PG_END_TRY();
	return result;
}

/* The index is gone, and no row may ever have told: it is made again. */
static void
note_missing(SinkListing *listing)
{
	search_provision_missing(listing->index_name);
	es_server_recheck();
}

/* Acts on the reply to the last request. */
static SinkListResult
take_reply(SinkListing *listing, const HttpReply *reply, StringInfo keys)
{
	es_server_heed(reply);
	if (listing->step == LIST_CLEAR)
		return SINK_LIST_END; /* else the server frees it after SCROLL_TIME */
	if (reply->status == 404 && listing->step != LIST_NEXT)
		note_missing(listing);
	if (reply->status != 200 || reply->truncated)
		return SINK_LIST_FAILED;
	if (listing->step == LIST_REFRESH)
	{
		listing->step = LIST_FIRST;
		return SINK_LIST_BUSY;
	}
	if (listing->step == LIST_FIRST)
		listing->step = LIST_NEXT;
	return take_page(listing, reply, keys);
}

/* Starts the request that comes next; false if the server is away. */
static bool
start_request(SinkListing *listing)
{
	if (es_server_health(NULL) != SINK_READY)
		return false;
	prepare(listing);
	listing->request =
		es_server_call(listing->step == LIST_CLEAR ? "DELETE" : "POST", listing->path.data,
					   "application/json", listing->body.data, listing->body.len, REPLY_MAX);
	return true;
}

/* Appends the keys of the next page. */
SinkListResult
es_listing_next(SinkListing *listing, StringInfo keys)
{
	SinkListResult result = SINK_LIST_BUSY;

	if (listing->step == LIST_SAMPLE && listing->sample == 0)
		return SINK_LIST_END;
	while (result == SINK_LIST_BUSY)
	{
		const HttpReply *reply;

		if (listing->request == NULL && !start_request(listing))
			return SINK_LIST_FAILED;
		reply = http_reply(listing->request);
		if (reply == NULL)
			return SINK_LIST_BUSY;
		result = take_reply(listing, reply, keys);
		http_free(listing->request);
		listing->request = NULL;
	}
	return result;
}

/* Ends a listing; the server forgets the scroll by itself. */
void
es_listing_close(SinkListing *listing)
{
	http_free(listing->request);
	MemoryContextDelete(listing->context);
}
