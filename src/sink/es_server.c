/*
 * es_server.c
 *		The search server as a whole: is it there, and what is it.
 *
 * CONNECTING asks GET /; its answer makes READY.  A request without an answer
 * makes UNREACHABLE, a 401 makes UNAUTHORIZED; both ask again after a back-off.
 * The back-off starts anew only when a real request went well: a server that
 * answers GET / and nothing else is not asked ever faster.
 */
#include "postgres.h"

#include <jansson.h>

#include "common/guc.h"
#include "sink/backoff.h"
#include "sink/es_reply.h"
#include "sink/es_server.h"
#include "sink/text.h"

#define PROBE_REPLY_MAX (64 * 1024)

static HttpClient  *client = NULL;
static HttpRequest *probe = NULL;
static Backoff		backoff;
static EsServer		info;
static SinkHealth	health = SINK_CONNECTING;
static char			last_error[SINK_REASON_MAX];

/* Goes into a state of failure and logs that once, not at each try. */
static void
become(SinkHealth state, const char *error)
{
	if (health != state)
		ereport(LOG,
				(errmsg("search server \"%s\" is %s: %s", tenancy_search_url,
						state == SINK_UNAUTHORIZED ? "not accessible" : "unreachable", error)));
	health = state;
	sink_set_text(last_error, sizeof(last_error), error, strlen(error));
	sink_backoff_failed(&backoff);
}

/* Takes "7.17.15" apart. */
static void
read_version(json_t *version)
{
	const char *number = json_string_value(json_object_get(version, "number"));
	const char *flavour = json_string_value(json_object_get(version, "distribution"));

	info.opensearch = flavour != NULL && strcmp(flavour, "opensearch") == 0;
	info.major = info.minor = 0;
	if (number != NULL)
		(void) sscanf(number, "%d.%d", &info.major, &info.minor);
}

/* Reads the answer to GET /; false if it is no search server's, or has no cluster yet. */
static bool
read_info(const HttpReply *reply)
{
	json_t	   *root = json_loadb(reply->body, reply->length, 0, NULL);
	const char *uuid = json_string_value(json_object_get(root, "cluster_uuid"));
	bool		ok = uuid != NULL && strcmp(uuid, "_na_") != 0;

	if (ok)
	{
		read_version(json_object_get(root, "version"));
		strlcpy(info.uuid, uuid, sizeof(info.uuid));
	}
	json_decref(root);
	return ok && info.major > 0;
}

/* Acts on the answer to GET /. */
static void
end_probe(const HttpReply *reply)
{
	char error[SINK_REASON_MAX];

	if (reply->status == 200 && read_info(reply))
	{
		if (health != SINK_READY)
			ereport(LOG, (errmsg("search server \"%s\" is ready: %s %d.%d", tenancy_search_url,
								 info.opensearch ? "OpenSearch" : "Elasticsearch", info.major,
								 info.minor)));
		health = SINK_READY;
		last_error[0] = '\0';
		return;
	}
	if (reply->status == 200)
		strlcpy(error, "the answer is not that of a search server that is ready", sizeof(error));
	else
		es_reply_error(reply, error, sizeof(error));
	become(reply->status == 401 || reply->status == 403 ? SINK_UNAUTHORIZED : SINK_UNREACHABLE,
		   error);
}

/* Asks GET / when that is due. */
static void
ask(void)
{
	if (health == SINK_READY || probe != NULL || sink_backoff_left(&backoff) > 0)
		return;
	probe = es_server_call("GET", "/", NULL, NULL, 0, PROBE_REPLY_MAX);
}

/* Reads the settings and starts connecting. */
void
es_server_open(void)
{
	es_server_close();
	client = http_client_open(tenancy_search_auth_file, tenancy_search_ca_file);
	sink_backoff_reset(&backoff);
	ask();
}

/* Drops every connection; the requests of others end with an error. */
void
es_server_close(void)
{
	http_free(probe);
	probe = NULL;
	http_client_close(client);
	client = NULL;
	health = SINK_CONNECTING;
	last_error[0] = '\0';
	memset(&info, 0, sizeof(info));
}

/* Asks GET / again: the server may be another one by now. */
void
es_server_recheck(void)
{
	if (health == SINK_READY)
		health = SINK_CONNECTING;
}

/* Drives all requests to the server. */
void
es_server_poll(void)
{
	const HttpReply *reply;

	if (client == NULL)
		return;
	ask();
	http_client_drive(client);
	reply = probe != NULL ? http_reply(probe) : NULL;
	if (reply == NULL)
		return;
	end_probe(reply);
	http_free(probe);
	probe = NULL;
}

/* Milliseconds after which poll wants to run. */
long
es_server_timeout(void)
{
	long curl;
	long retry;

	if (client == NULL)
		return -1;
	if (probe != NULL && http_reply(probe) != NULL)
		return 0;
	curl = http_client_timeout(client);
	if (health == SINK_READY || probe != NULL)
		return curl;
	retry = sink_backoff_left(&backoff);
	return curl < 0 ? retry : Min(curl, retry);
}

/* State of the connection and why it is so. */
SinkHealth
es_server_health(const char **error)
{
	if (error != NULL)
		*error = last_error;
	return health;
}

/* The client that all requests share. */
HttpClient *
es_server_client(void)
{
	return client;
}

/* What the server is; valid while READY. */
const EsServer *
es_server_info(void)
{
	return &info;
}

/* A request of somebody failed: the server is not there, or lets us in no more. */
static void
take_failure(const HttpReply *reply)
{
	char error[SINK_REASON_MAX];

	es_reply_error(reply, error, sizeof(error));
	become(reply->status == 401 ? SINK_UNAUTHORIZED : SINK_UNREACHABLE, error);
}

/* Learns from any request's reply whether the server is still there and lets us in. */
void
es_server_heed(const HttpReply *reply)
{
	if (reply->status != 0 && reply->status != 401)
		sink_backoff_reset(&backoff);
	else if (health == SINK_READY)
		take_failure(reply);
}

/* Starts a request to url + path; a body must live until the request is freed. */
HttpRequest *
es_server_call(const char *method, const char *path, const char *content_type, const char *body,
			   size_t length, size_t max_reply)
{
	size_t		 base = strlen(tenancy_search_url);
	char		*url;
	HttpCall	 call = {0};
	HttpRequest *request;

	while (base > 0 && tenancy_search_url[base - 1] == '/')
		base--;
	url = psprintf("%.*s%s", (int) base, tenancy_search_url, path);
	call.method = method;
	call.url = url;
	call.content_type = content_type;
	call.body = body;
	call.body_length = length;
	call.max_reply = max_reply;
	call.timeout_ms = tenancy_search_timeout;
	request = http_start(client, &call);
	pfree(url);
	return request;
}
