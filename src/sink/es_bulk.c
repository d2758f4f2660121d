/*
 * es_bulk.c
 *		The body of a _bulk request.
 *
 * Only whole documents and deletes, both with our own version: the update API and
 * anything that lets the server count versions would break the order.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/memutils.h"

#include "common/json.h"
#include "sink/doc_id.h"
#include "sink/es_bulk.h"
#include "sink/json_scan.h"
#include "sink/text.h"

/* Bytes of an item's first line without the id, usually. */
#define ACTION_SIZE 192
/* Bytes of what a document has more in a shared index, at most. */
#define PART_SIZE 128

/* A document in a shared index has this member from us; dots make it a path. */
#define PART_MEMBER "_tenancy"

/* An index without a primary shard must not make the whole request wait for it. */
#define REPLY_PARTS                                                                     \
	"timeout=2s&filter_path=took,errors,items.*._id,items.*.status,items.*.error.type," \
	"items.*.error.reason,items.*.error.caused_by,items.delete._index"

/* True from 7.10 on, and in every OpenSearch. */
static bool
knows_require_alias(const EsServer *server)
{
	return server->opensearch || server->major > 7 || (server->major == 7 && server->minor >= 10);
}

/* Path of the request; _index is asked for only where es_reply.c needs it. */
const char *
es_bulk_path(const EsServer *server)
{
	return knows_require_alias(server) ? "/_bulk?require_alias=true&" REPLY_PARTS
									   : "/_bulk?" REPLY_PARTS;
}

/* Refuses an item whose id the server would refuse, with it the whole request. */
static bool
id_fits(SinkItem *item, const StringInfoData *id)
{
	int least = item->place->part != NULL ? (int) strlen(item->place->part) + 1 : 0;

	if (id->len > least && id->len <= DOC_ID_MAX)
		return true;
	item->outcome = SINK_REFUSED;
	item->status = 400;
	if (id->len == least)
		sink_set_textf(item->reason, SINK_REASON_MAX, "the document id would be empty");
	else
		sink_set_textf(item->reason, SINK_REASON_MAX,
					   "the document id would have %d bytes, the limit is %d", id->len, DOC_ID_MAX);
	return false;
}

/* True if a document has a top-level member that the server could take for what is ours. */
static bool
names_part(const SinkItem *item)
{
	JsonScan scan = {.at = item->doc};
	char	 name[sizeof(PART_MEMBER)]; /* longer ones are cut, which leaves how they begin */

	if (strstr(item->doc, "tenancy") == NULL && strstr(item->doc, "\\u") == NULL)
		return false;
	(void) json_scan_enter(&scan, '{');
	while (json_scan_member(&scan, name, sizeof(name)))
	{
		if (strcmp(name, PART_MEMBER) == 0)
			return true;
		json_scan_skip(&scan);
	}
	return scan.bad;
}

/* Refuses a document that would be taken for another tenant's in a shared index. */
static bool
doc_fits(SinkItem *item)
{
	if (item->action != SINK_PUT || item->place->part == NULL || !names_part(item))
		return true;
	item->outcome = SINK_REFUSED;
	item->status = 400;
	sink_set_textf(item->reason, SINK_REASON_MAX,
				   "no field of a document in a shared index may have a name that begins with "
				   "\"" PART_MEMBER "\"");
	return false;
}

/* First line of an item. */
static void
append_action(StringInfo body, const SinkItem *item, const StringInfoData *id, bool typed)
{
	char version[32];

	appendStringInfoString(body, item->action == SINK_PUT ? "{\"index\":{\"_index\":"
														  : "{\"delete\":{\"_index\":");
	tenancy_json_string(body, item->place->alias, strlen(item->place->alias));
	appendStringInfoString(body, typed ? ",\"_type\":\"_doc\",\"_id\":" : ",\"_id\":");
	tenancy_json_string(body, id->data, id->len);
	if (item->place->part != NULL)
		appendStringInfo(body, ",\"routing\":\"%s\"", item->place->part);
	appendStringInfoString(body, ",\"version\":");
	appendBinaryStringInfo(body, version, pg_ulltoa_n(item->version, version));
	appendStringInfoString(body, ",\"version_type\":\"external_gte\"}}\n");
}

/* Makes room for the whole body at once, if nothing in it needs an escape. */
static void
reserve_body(StringInfo body, const SinkBatch *batch)
{
	Size size = 0;

	for (int i = 0; i < batch->nitems; i++)
		size += ACTION_SIZE + batch->items[i].key_length + batch->items[i].doc_length +
				(batch->items[i].place->part != NULL ? PART_SIZE : 0);
	if (size < MaxAllocSize / 2)
		enlargeStringInfo(body, (int) size);
}

/* The document with what tells whose it is, in an index that tenants share. */
static void
append_part_document(StringInfo body, const SinkItem *item)
{
	const char *inside = memchr(item->doc, '{', item->doc_length);
	int			left = (int) (item->doc + item->doc_length - ++inside);

	appendStringInfo(body, ES_PART_OBJECT, item->target->tenant_id, item->place->part);
	while (left > 0 && isspace((unsigned char) *inside))
	{
		inside++;
		left--;
	}
	if (*inside != '}')
		appendStringInfoChar(body, ',');
	appendBinaryStringInfo(body, inside, left);
}

/* The document on one line: a line feed in valid JSON is only white space. */
static void
append_document(StringInfo body, const SinkItem *item)
{
	int	  start = body->len;
	char *end;
	char *c;

	if (item->place->part != NULL)
		append_part_document(body, item);
	else
		appendBinaryStringInfo(body, item->doc, item->doc_length);
	end = body->data + body->len;
	c = body->data + start;
	while ((c = memchr(c, '\n', end - c)) != NULL)
		*c++ = ' ';
	appendStringInfoChar(body, '\n');
}

/* Appends the items without an outcome, refuses those whose id can't be; returns how many. */
int
es_bulk_build(StringInfo body, SinkBatch *batch, const EsServer *server)
{
	bool		   typed = !server->opensearch && server->major < 7;
	StringInfoData id;
	int			   taken = 0;

	initStringInfo(&id);
	reserve_body(body, batch);
	for (int i = 0; i < batch->nitems; i++)
	{
		SinkItem *item = &batch->items[i];

		if (item->outcome != SINK_PENDING)
			continue;
		resetStringInfo(&id);
		sink_append_part(&id, item->place->part);
		sink_append_doc_id(&id, item->key, item->key_length);
		if (!id_fits(item, &id) || !doc_fits(item))
			continue;
		append_action(body, item, &id, typed);
		if (item->action == SINK_PUT)
			append_document(body, item);
		taken++;
	}
	pfree(id.data);
	return taken;
}
