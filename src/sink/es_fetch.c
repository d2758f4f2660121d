/*
 * es_fetch.c
 *		Documents of an index, by key: one _mget request.
 *
 * It is answered from what was written, refreshed or not.  The reply is read where it
 * lies: a tree would turn the documents' numbers into doubles.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "common/json.h"
#include "sink/doc_id.h"
#include "sink/es_fetch.h"
#include "sink/es_reply.h"
#include "sink/es_server.h"
#include "sink/json_scan.h"
#include "sink/text.h"

/* Room for what stands around a document. */
#define REPLY_PER_DOCUMENT 2048

struct SinkFetch
{
	MemoryContext  context;
	int			   n;
	char		  *part;	  /* of the place */
	bool		   monthly;	  /* the place is: each document has an alias */
	SinkDocument **documents; /* those whose id can be asked for come first */
	int			   asked;
	StringInfoData path;
	StringInfoData body;
	HttpRequest	  *request;
	char		   error[SINK_REASON_MAX];
};

/* What the reply says of one document. */
typedef struct DocumentReply
{
	bool		found;
	uint64		version;
	const char *source;
	size_t		length;
	char		id[DOC_ID_MAX + 8];
	char		type[128]; /* of the error, "" if there is none */
} DocumentReply;

/* Appends what is asked for: an id, with the index where that is not the same for all. */
static void
append_id(SinkFetch *fetch, const SinkDocument *document, const StringInfoData *id)
{
	if (document->alias != NULL)
	{
		appendStringInfoString(&fetch->body, "{\"_index\":");
		tenancy_json_string(&fetch->body, document->alias, strlen(document->alias));
		appendStringInfoString(&fetch->body, ",\"_id\":");
	}
	tenancy_json_string(&fetch->body, id->data, id->len);
	if (document->alias != NULL)
		appendStringInfoChar(&fetch->body, '}');
}

/* Writes the ids; a document whose id no server takes is not there, and not asked for. */
static void
write_ids(SinkFetch *fetch, SinkDocument **documents)
{
	StringInfoData id;

	initStringInfo(&id);
	appendStringInfo(&fetch->body, "{\"%s\":[", fetch->monthly ? "docs" : "ids");
	for (int i = 0; i < fetch->n; i++)
	{
		SinkDocument *document = documents[i];
		bool		  empty;

		document->found = document->too_large = false;
		document->version = 0;
		document->doc = NULL;
		document->doc_length = 0;
		resetStringInfo(&id);
		sink_append_doc_id(&id, document->key, document->key_length);
		empty = id.len == 0;
		resetStringInfo(&id);
		sink_append_part(&id, fetch->part);
		sink_append_doc_id(&id, document->key, document->key_length);
		if (empty || id.len > DOC_ID_MAX)
			continue;
		if (fetch->asked > 0)
			appendStringInfoChar(&fetch->body, ',');
		append_id(fetch, document, &id);
		fetch->documents[fetch->asked++] = document;
	}
	appendStringInfoString(&fetch->body, "]}");
	pfree(id.data);
}

/* Asks for documents; the answer may have most_bytes and what stands around the documents. */
SinkFetch *
es_fetch_open(const SinkPlace *place, SinkDocument **documents, int n, size_t most_bytes)
{
	MemoryContext context =
		AllocSetContextCreate(TopMemoryContext, "search fetch", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	SinkFetch	 *fetch = palloc0(sizeof(SinkFetch));

	fetch->context = context;
	fetch->n = n;
	fetch->monthly = place->monthly;
	fetch->documents = palloc(n * sizeof(SinkDocument *));
	initStringInfo(&fetch->path);
	initStringInfo(&fetch->body);
	if (!place->monthly)
		appendStringInfo(&fetch->path, "/%s", place->alias);
	appendStringInfoString(&fetch->path, "/_mget");
	if (place->part != NULL)
	{
		fetch->part = pstrdup(place->part);
		appendStringInfo(&fetch->path, "?routing=%s", place->part);
	}
	write_ids(fetch, documents);
	if (fetch->asked > 0 && es_server_health(NULL) == SINK_READY)
		fetch->request =
			es_server_call("POST", fetch->path.data, "application/json", fetch->body.data,
						   fetch->body.len, most_bytes + (size_t) n * REPLY_PER_DOCUMENT);
	MemoryContextSwitchTo(old);
	return fetch;
}

/* Reads the type of {"type": ...}. */
static void
read_error(JsonScan *scan, DocumentReply *reply)
{
	char name[16];

	strlcpy(reply->type, "error", sizeof(reply->type));
	json_scan_enter(scan, '{');
	while (json_scan_member(scan, name, sizeof(name)))
	{
		if (strcmp(name, "type") == 0)
			json_scan_string(scan, reply->type, sizeof(reply->type));
		else
			json_scan_skip(scan);
	}
}

/* Reads one element of docs; false if it is not understood. */
static bool
read_document(JsonScan *scan, DocumentReply *reply)
{
	char name[16];

	memset(reply, 0, sizeof(*reply));
	json_scan_enter(scan, '{');
	while (json_scan_member(scan, name, sizeof(name)))
	{
		if (strcmp(name, "_id") == 0)
			json_scan_string(scan, reply->id, sizeof(reply->id));
		else if (strcmp(name, "found") == 0)
			reply->found = json_scan_bool(scan);
		else if (strcmp(name, "_version") == 0)
			reply->version = json_scan_uint64(scan);
		else if (strcmp(name, "_source") == 0)
			reply->source = json_scan_raw(scan, &reply->length);
		else if (strcmp(name, "error") == 0)
			read_error(scan, reply);
		else
			json_scan_skip(scan);
	}
	return !scan->bad;
}

/* True if a document is the one that was asked for. */
static bool
is_document(const SinkFetch *fetch, const SinkDocument *document, const DocumentReply *reply)
{
	StringInfoData id;
	bool		   same;

	initStringInfo(&id);
	sink_append_part(&id, fetch->part);
	sink_append_doc_id(&id, document->key, document->key_length);
	same = strcmp(id.data, reply->id) == 0;
	pfree(id.data);
	return same;
}

/*
 * Takes away what a document has more in a shared index, which is its first member: the brace
 * moves to where the next one starts.  The reply is ours alone.
 */
static void
strip_part(SinkDocument *document)
{
	JsonScan scan = {document->doc, false};
	char	 name[16];
	char	*next;

	json_scan_enter(&scan, '{');
	if (!json_scan_member(&scan, name, sizeof(name)) || strcmp(name, "_tenancy") != 0)
		return;
	json_scan_skip(&scan);
	if (scan.bad)
		return;
	next = (char *) scan.at;
	while (isspace((unsigned char) *next))
		next++;
	if (*next == ',')
		*next = '{';
	else
		*--next = '{'; /* it was the only one */
	document->doc_length -= (int) (next - document->doc);
	document->doc = next;
}

/* Takes one document's answer over. */
static SinkFetchResult
take_document(SinkFetch *fetch, SinkDocument *document, const DocumentReply *reply)
{
	if (strcmp(reply->type, "index_not_found_exception") == 0)
	{
		strlcpy(fetch->error, "the index is not there", SINK_REASON_MAX);
		return SINK_FETCH_NO_INDEX;
	}
	if (reply->type[0] != '\0')
	{
		sink_set_textf(fetch->error, SINK_REASON_MAX, "a document could not be read: %s",
					   reply->type);
		return SINK_FETCH_FAILED;
	}
	if (!is_document(fetch, document, reply))
	{
		strlcpy(fetch->error, "the reply names another document", SINK_REASON_MAX);
		return SINK_FETCH_FAILED;
	}
	document->found = reply->found;
	document->version = reply->version;
	document->doc = reply->source;
	document->doc_length = (int) reply->length;
	if (fetch->part != NULL && document->doc != NULL)
		strip_part(document);
	return SINK_FETCH_DONE;
}

/* Takes the documents in the order they were asked for. */
static SinkFetchResult
take_documents(SinkFetch *fetch, JsonScan *scan)
{
	DocumentReply	reply;
	SinkFetchResult result = SINK_FETCH_DONE;
	int				i = 0;

	json_scan_enter(scan, '[');
	while (result == SINK_FETCH_DONE && i < fetch->asked && json_scan_element(scan) &&
		   read_document(scan, &reply))
		result = take_document(fetch, fetch->documents[i++], &reply);
	if (result == SINK_FETCH_DONE && i < fetch->asked)
	{
		strlcpy(fetch->error, "the reply is not that of a multi get request", SINK_REASON_MAX);
		result = SINK_FETCH_FAILED;
	}
	return result;
}

/* Finds the documents in the reply. */
static SinkFetchResult
take_body(SinkFetch *fetch, const char *body)
{
	JsonScan scan = {body, false};
	char	 name[16];

	json_scan_enter(&scan, '{');
	while (json_scan_member(&scan, name, sizeof(name)))
	{
		if (strcmp(name, "docs") == 0)
			return take_documents(fetch, &scan);
		json_scan_skip(&scan);
	}
	strlcpy(fetch->error, "the reply is not that of a multi get request", SINK_REASON_MAX);
	return SINK_FETCH_FAILED;
}

/* A single document that is longer than allowed is there: that is all there is to say. */
static SinkFetchResult
take_truncated(SinkFetch *fetch)
{
	if (fetch->n > 1)
		return SINK_FETCH_TOO_LARGE;
	fetch->documents[0]->found = fetch->documents[0]->too_large = true;
	return SINK_FETCH_DONE;
}

/* Acts on the reply. */
static SinkFetchResult
take_reply(SinkFetch *fetch, const HttpReply *reply)
{
	es_server_heed(reply);
	if (reply->truncated)
		return take_truncated(fetch);
	if (reply->status == 200)
		return take_body(fetch, reply->body);
	es_reply_error(reply, fetch->error, SINK_REASON_MAX);
	return reply->status == 404 ? SINK_FETCH_NO_INDEX : SINK_FETCH_FAILED;
}

/* Looks for the answer. */
SinkFetchResult
es_fetch_poll(SinkFetch *fetch, const char **error)
{
	const HttpReply *reply;

	*error = fetch->error;
	if (fetch->asked == 0)
		return SINK_FETCH_DONE;
	if (fetch->request == NULL)
	{
		(void) es_server_health(error);
		return SINK_FETCH_FAILED;
	}
	reply = http_reply(fetch->request);
	return reply != NULL ? take_reply(fetch, reply) : SINK_FETCH_BUSY;
}

/* Ends the request. */
void
es_fetch_close(SinkFetch *fetch)
{
	http_free(fetch->request);
	MemoryContextDelete(fetch->context);
}
