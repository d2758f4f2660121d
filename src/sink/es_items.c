/*
 * es_items.c
 *		What the reply of _bulk says of each item.
 *
 * Items are matched by position, and their _id is checked.  An item is ended only
 * when its answer was read to its end.
 */
#include "postgres.h"

#include "sink/doc_id.h"
#include "sink/es_items.h"
#include "sink/json_scan.h"
#include "sink/text.h"

/* Causes of causes that are looked through. */
#define CAUSES_MAX 8

/* How one item ended, as the reply says it; missing parts are "". */
typedef struct ItemReply
{
	int	 status;
	char id[DOC_ID_MAX + 8];
	char index[300]; /* concrete name, of deletes only */
	char type[128];	 /* of the error */
	char reason[2 * SINK_REASON_MAX + DOC_ID_MAX];
	char cause[SINK_REASON_MAX]; /* of the reason */
	int	 cause_depth;
} ItemReply;

/* Version in "... current version [5] is higher or equal to the one provided [3]". */
static uint64
stored_version(const char *reason)
{
	const char *found = strstr(reason, "current version [");

	return found != NULL ? strtoull(found + strlen("current version ["), NULL, 10) : 0;
}

/* True if the error says that there is no index to write to. */
static bool
lacks_index(const ItemReply *answer)
{
	return strcmp(answer->type, "index_not_found_exception") == 0 ||
		   strstr(answer->reason, "require_alias") != NULL ||
		   strstr(answer->reason, "no write index is defined") != NULL;
}

/* True if the error says that the index as a whole takes nothing now. */
static bool
is_blocked(const ItemReply *answer)
{
	static const char *const types[] = {"cluster_block_exception", "index_closed_exception",
										"unavailable_shards_exception",
										"no_shard_available_action_exception"};

	for (int i = 0; i < lengthof(types); i++)
		if (strcmp(answer->type, types[i]) == 0)
			return true;
	return false;
}

/* What a delete of nothing means: done, unless the server made an index for it. */
static SinkOutcome
delete_outcome(const SinkItem *item, const ItemReply *answer)
{
	return strcmp(answer->index, item->place->alias) == 0 ? SINK_NO_INDEX : SINK_DONE;
}

/*
 * True if the document brought a field that had just got another type: it is looked at with that
 * one when it is sent again.  A put that the server had begun before is answered too early.
 */
static bool
is_raced(const ItemReply *answer)
{
	return strstr(answer->reason, "cannot be changed from type") != NULL ||
		   strstr(answer->reason, "of different type, current_type") != NULL;
}

/* What an item's answer means. */
static SinkOutcome
item_outcome(const SinkItem *item, const ItemReply *answer)
{
	int	 status = answer->status;
	bool failed = answer->type[0] != '\0';

	if (!failed && item->action == SINK_REMOVE && (status == 404 || status / 100 == 2))
		return delete_outcome(item, answer);
	if (status / 100 == 2)
		return SINK_DONE;
	if (status == 409)
		return SINK_CONFLICT;
	if (is_blocked(answer))
		return SINK_BLOCKED;
	if (status == 429 || status == 408 || status / 100 == 5 || status == 0)
		return SINK_AGAIN;
	if (lacks_index(answer))
		return SINK_NO_INDEX;
	if (status == 413)
		return SINK_TOO_LARGE;
	if (status == 401 || status == 403)
		return SINK_DENIED;
	return SINK_REFUSED;
}

/* Reads the caused_by of an error down to the innermost, which says what it is about. */
static void
read_cause(JsonScan *scan, ItemReply *answer, int depth)
{
	char name[16];

	json_scan_enter(scan, '{');
	while (json_scan_member(scan, name, sizeof(name)))
	{
		if (strcmp(name, "reason") == 0 && json_scan_peek(scan, '"') &&
			answer->cause_depth <= depth)
		{
			json_scan_string(scan, answer->cause, sizeof(answer->cause));
			answer->cause_depth = depth;
		}
		else if (strcmp(name, "caused_by") == 0 && json_scan_peek(scan, '{') && depth < CAUSES_MAX)
			read_cause(scan, answer, depth + 1);
		else
			json_scan_skip(scan);
	}
}

/* Reads {"type": ..., "reason": ..., "caused_by": ...}. */
static void
read_error(JsonScan *scan, ItemReply *answer)
{
	char name[16];

	strlcpy(answer->type, "error", sizeof(answer->type));
	if (!json_scan_peek(scan, '{'))
	{
		json_scan_skip(scan);
		return;
	}
	json_scan_enter(scan, '{');
	while (json_scan_member(scan, name, sizeof(name)))
	{
		if (strcmp(name, "type") == 0)
			json_scan_string(scan, answer->type, sizeof(answer->type));
		else if (strcmp(name, "reason") == 0 && json_scan_peek(scan, '"'))
			json_scan_string(scan, answer->reason, sizeof(answer->reason));
		else if (strcmp(name, "caused_by") == 0 && json_scan_peek(scan, '{'))
			read_cause(scan, answer, 1);
		else
			json_scan_skip(scan);
	}
}

/* Reads what is inside {"index": ...} or {"delete": ...}. */
static void
read_result(JsonScan *scan, ItemReply *answer)
{
	char name[16];

	json_scan_enter(scan, '{');
	while (json_scan_member(scan, name, sizeof(name)))
	{
		if (strcmp(name, "_id") == 0 && json_scan_peek(scan, '"'))
			json_scan_string(scan, answer->id, sizeof(answer->id));
		else if (strcmp(name, "_index") == 0)
			json_scan_string(scan, answer->index, sizeof(answer->index));
		else if (strcmp(name, "status") == 0)
			answer->status = json_scan_int(scan);
		else if (strcmp(name, "error") == 0)
			read_error(scan, answer);
		else
			json_scan_skip(scan);
	}
}

/* Reads one element of items; false if it is not understood. */
static bool
read_item(JsonScan *scan, ItemReply *answer)
{
	char name[16];

	answer->status = 0;
	answer->id[0] = answer->index[0] = answer->type[0] = answer->reason[0] = '\0';
	answer->cause[0] = '\0';
	answer->cause_depth = 0;
	json_scan_enter(scan, '{');
	while (json_scan_member(scan, name, sizeof(name)))
		read_result(scan, answer);
	return !scan->bad;
}

/* Ends one item; id is the one that it was sent with. */
static void
settle_item(SinkItem *item, const char *id, const ItemReply *answer)
{
	item->status = answer->status;
	if (answer->id[0] != '\0' && strcmp(answer->id, id) != 0)
	{
		item->outcome = SINK_AGAIN;
		sink_set_textf(item->reason, SINK_REASON_MAX,
					   "the reply names another document in this place: \"%s\"", answer->id);
		return;
	}
	item->outcome = item_outcome(item, answer);
	item->raced = item->outcome == SINK_REFUSED && is_raced(answer);
	if (item->outcome == SINK_CONFLICT)
		item->stored_version = stored_version(answer->reason);
	if (answer->type[0] != '\0')
		sink_set_textf(item->reason, SINK_REASON_MAX, "%s: %s%s%s", answer->type, answer->reason,
					   answer->cause[0] != '\0' ? ": " : "", answer->cause);
	else if (item->outcome == SINK_NO_INDEX)
		sink_set_textf(item->reason, SINK_REASON_MAX, "\"%s\" is not an alias", answer->index);
}

/* Position of the next item without an outcome. */
static int
next_open(const SinkBatch *batch, int position)
{
	while (position < batch->nitems && batch->items[position].outcome != SINK_PENDING)
		position++;
	return position;
}

/* Ends the items in the order of the array; true if there were as many as were sent. */
static bool
settle_items(SinkBatch *batch, JsonScan *scan)
{
	ItemReply	   answer;
	StringInfoData id;
	int			   i = next_open(batch, 0);

	initStringInfo(&id);
	json_scan_enter(scan, '[');
	while (json_scan_element(scan) && i < batch->nitems && read_item(scan, &answer))
	{
		SinkItem *item = &batch->items[i];

		resetStringInfo(&id);
		sink_append_part(&id, item->place->part);
		sink_append_doc_id(&id, item->key, item->key_length);
		settle_item(item, id.data, &answer);
		i = next_open(batch, i + 1);
	}
	pfree(id.data);
	return i == batch->nitems;
}

/* Gives the items without an outcome one, by position; false if some are left without. */
bool
es_items_apply(SinkBatch *batch, const char *body)
{
	JsonScan scan = {body, false};
	char	 name[16];

	json_scan_enter(&scan, '{');
	while (json_scan_member(&scan, name, sizeof(name)))
	{
		if (strcmp(name, "items") == 0)
			return settle_items(batch, &scan);
		json_scan_skip(&scan);
	}
	return false;
}
