/*
 * es_reply.c
 *		What the search server's answers mean.
 *
 * Nothing here throws or uses PostgreSQL's memory while a JSON tree is alive.
 */
#include "postgres.h"

#include <jansson.h>

#include "sink/es_items.h"
#include "sink/es_reply.h"
#include "sink/text.h"

/* A string member, "" if there is none. */
static const char *
member(json_t *object, const char *name)
{
	const char *value = json_string_value(json_object_get(object, name));

	return value != NULL ? value : "";
}

/* Writes "type: reason" of an error object, or an error string; false if it is neither. */
static bool
describe_error(json_t *error, char *buffer, size_t size)
{
	if (json_is_string(error))
		sink_set_textf(buffer, size, "%s", json_string_value(error));
	else if (json_is_object(error))
		sink_set_textf(buffer, size, "%s: %s", member(error, "type"), member(error, "reason"));
	else
		return false;
	return true;
}

/* True if it may be the body's encoding that the server does not take. */
bool
es_reply_refuses_gzip(const HttpReply *reply)
{
	return reply->compressed && (reply->status == 400 || reply->status == 415);
}

/* Error of any reply as one line. */
void
es_reply_error(const HttpReply *reply, char *buffer, size_t size)
{
	json_t *root;

	if (reply->status == 0 || reply->truncated)
	{
		sink_set_text(buffer, size, reply->error, strlen(reply->error));
		return;
	}
	root = json_loadb(reply->body, reply->length, JSON_ALLOW_NUL, NULL);
	if (!describe_error(json_object_get(root, "error"), buffer, size))
		sink_set_textf(buffer, size, "HTTP status %d: %.200s", reply->status, reply->body);
	json_decref(root);
}

/* Ends every open item in the same way. */
static void
settle_all(SinkBatch *batch, SinkOutcome outcome, int status)
{
	for (int i = 0; i < batch->nitems; i++)
	{
		SinkItem *item = &batch->items[i];

		if (item->outcome != SINK_PENDING)
			continue;
		item->outcome = outcome;
		item->status = status;
		strlcpy(item->reason, batch->error, SINK_REASON_MAX);
	}
}

/* True if a 403 is what a managed service says instead of 429. */
static bool
is_throttle(const char *error)
{
	return strstr(error, "hrottl") != NULL || strstr(error, "oo many requests") != NULL ||
		   strstr(error, "Too Many Requests") != NULL;
}

/* What a request's status other than 200 means for its items. */
static SinkOutcome
whole_outcome(const SinkBatch *batch, const HttpReply *reply)
{
	if (es_reply_refuses_gzip(reply))
		return SINK_AGAIN;
	switch (reply->status)
	{
		case 400:
			/* Half of it tells more; alone it is the culprit. */
			return batch->nitems > 1 ? SINK_TOO_LARGE : SINK_REFUSED;
		case 413:
			return SINK_TOO_LARGE;
		case 401:
			return SINK_DENIED;
		case 403:
			return is_throttle(batch->error) ? SINK_AGAIN : SINK_DENIED;
		default:
			return SINK_AGAIN;
	}
}

/* Gives every item without an outcome one. */
void
es_reply_apply(SinkBatch *batch, const HttpReply *reply)
{
	batch->retry_after_ms = (int64) reply->retry_after * 1000;
	batch->unreachable = reply->status == 0;
	batch->timed_out = reply->timed_out;
	if (reply->status == 200 && !reply->truncated)
	{
		if (es_items_apply(batch, reply->body))
			return;
		strlcpy(batch->error, "the reply is not that of a bulk request", SINK_REASON_MAX);
		settle_all(batch, SINK_AGAIN, reply->status);
		return;
	}
	if (reply->status == 413)
		sink_set_textf(batch->error, SINK_REASON_MAX,
					   "the server does not take a request of %zu bytes (HTTP status 413)",
					   batch->bytes);
	else
		es_reply_error(reply, batch->error, SINK_REASON_MAX);
	if (reply->truncated)
		settle_all(batch, batch->nitems > 1 ? SINK_TOO_LARGE : SINK_AGAIN, reply->status);
	else
		settle_all(batch, whole_outcome(batch, reply), reply->status);
}
