/*
 * es_server.c
 *		The search server as a whole: is it there, and what is it.
 *
 * Each host is asked GET /; its answer makes it live.  A request without an answer,
 * or a 401, leaves its host out; it is asked again after a back-off.  The back-off
 * starts anew only when a real request went well: a host that answers GET / and
 * nothing else is not asked ever faster.
 */
#include "postgres.h"

#include <jansson.h>

#include "utils/memutils.h"

#include "common/guc.h"
#include "sink/es_reply.h"
#include "sink/es_server.h"
#include "sink/flavour.h"
#include "sink/hosts.h"
#include "sink/text.h"

#define PROBE_REPLY_MAX (64 * 1024)

static HttpClient	*client = NULL;
static Hosts		 hosts;
static HttpRequest **probes = NULL; /* of each host, NULL: it is not being asked */
static EsServer		 info;
static bool			 gzip_refused;
static char			 last_error[SINK_REASON_MAX];
static bool			 error_is_new; /* not told by es_server_trouble yet */

/* State of the sink as a whole: it is there as long as one host is. */
SinkHealth
es_server_health(const char **error)
{
	bool seen[HOST_FOREIGN + 1] = {0};

	if (error != NULL)
		*error = last_error;
	for (int i = 0; i < hosts.n; i++)
		seen[hosts.list[i].state] = true;
	if (seen[HOST_LIVE])
		return SINK_READY;
	if (seen[HOST_DENIED])
		return SINK_UNAUTHORIZED;
	if (seen[HOST_UNKNOWN] || hosts.n == 0)
		return SINK_CONNECTING;
	return SINK_UNREACHABLE;
}

/* Keeps the text for the status view, where it is told again if it is another one. */
static void
keep_error(int host, const char *error)
{
	char text[SINK_REASON_MAX];

	if (hosts.n > 1)
		sink_set_textf(text, sizeof(text), "%s: %s", hosts.list[host].url, error);
	else
		sink_set_text(text, sizeof(text), error, strlen(error));
	error_is_new |= strcmp(text, last_error) != 0;
	strlcpy(last_error, text, sizeof(last_error));
}

/* Leaves a host out and logs that once, not at each try. */
static void
leave_out(int host, HostState state, const HttpReply *reply, const char *error)
{
	static const char *const words[] = {"unknown", "live", "unreachable", "not accessible",
										"left out"};

	if (hosts_leave_out(&hosts, host, state, reply))
		ereport(LOG, (errmsg("search server \"%s\" is %s: %s", hosts.list[host].url, words[state],
							 error)));
	keep_error(host, error);
}

/* Why a host was left out since the last call, NULL: none was. */
const char *
es_server_trouble(void)
{
	bool tell = error_is_new && last_error[0] != '\0';

	error_is_new = false;
	return tell ? last_error : NULL;
}

/* The credentials may have been changed since: then there is nothing to wait for. */
static void
renew_credentials(int host)
{
	if (http_client_renew(client))
		sink_backoff_reset(&hosts.list[host].backoff);
}

/* Takes "7.17.15" apart. */
static void
read_version(json_t *version, EsServer *server)
{
	const char *number = json_string_value(json_object_get(version, "number"));
	const char *flavour = json_string_value(json_object_get(version, "distribution"));

	server->opensearch = flavour != NULL && strcmp(flavour, "opensearch") == 0;
	if (number != NULL)
		(void) sscanf(number, "%d.%d", &server->major, &server->minor);
}

/* Reads the answer to GET /; false if it is no search server's, or has no cluster yet. */
static bool
read_info(const HttpReply *reply, EsServer *server)
{
	json_t	   *root = json_loadb(reply->body, reply->length, 0, NULL);
	const char *uuid = json_string_value(json_object_get(root, "cluster_uuid"));
	bool		ok = uuid != NULL && uuid[0] != '\0' && strcmp(uuid, "_na_") != 0;

	if (ok)
	{
		read_version(json_object_get(root, "version"), server);
		strlcpy(server->uuid, uuid, sizeof(server->uuid));
	}
	json_decref(root);
	return ok && server->major > 0;
}

/* True if no host is left out. */
static bool
all_live(void)
{
	for (int i = 0; i < hosts.n; i++)
		if (hosts.list[i].state != HOST_LIVE)
			return false;
	return true;
}

/* A host said what it is: it takes part, unless it is of another cluster. */
static void
take_part(int host, const HttpReply *reply, const EsServer *server)
{
	bool was_live = hosts.list[host].state == HOST_LIVE;
	char error[SINK_REASON_MAX];

	if (!hosts_join(&hosts, host, server->uuid))
	{
		snprintf(error, sizeof(error), "it belongs to cluster %s, not to cluster %s", server->uuid,
				 hosts.uuid);
		leave_out(host, HOST_FOREIGN, reply, error);
		return;
	}
	if (memcmp(&info, server, sizeof(info)) != 0)
		flavour_forget();
	info = *server;
	if (all_live())
		last_error[0] = '\0';
	if (!was_live)
		ereport(LOG,
				(errmsg("search server \"%s\" is ready: %s %d.%d", hosts.list[host].url,
						info.opensearch ? "OpenSearch" : "Elasticsearch", info.major, info.minor)));
}

/* Acts on a host's answer to GET /. */
static void
end_probe(int host, const HttpReply *reply)
{
	char	 error[SINK_REASON_MAX];
	EsServer server = {0};

	if (reply->status == 200 && read_info(reply, &server))
	{
		take_part(host, reply, &server);
		return;
	}
	if (reply->status == 200)
		strlcpy(error, "the answer is not that of a search server that is ready", sizeof(error));
	else
		es_reply_error(reply, error, sizeof(error));
	leave_out(host, reply->status == 401 || reply->status == 403 ? HOST_DENIED : HOST_DOWN, reply,
			  error);
}

/* Starts a request to a host. */
static HttpRequest *
call_host(int host, HttpCall *call, const char *path)
{
	char		*url = hosts_url(&hosts, host, path);
	HttpRequest *request;

	call->url = url;
	call->host = host;
	call->timeout_ms = tenancy_search_timeout;
	request = http_start(client, call);
	pfree(url);
	return request;
}

/* Asks GET / of the hosts for which that is due. */
static void
ask(void)
{
	for (int i = 0; i < hosts.n; i++)
	{
		HttpCall call = {.method = "GET", .max_reply = PROBE_REPLY_MAX};

		if (probes[i] != NULL || !hosts_is_due(&hosts, i))
			continue;
		if (hosts.list[i].backoff.failures > 0)
			(void) http_client_renew(client);
		probes[i] = call_host(i, &call, "/");
	}
}

/* The cluster that the hosts should be of, as it was known before. */
void
es_server_expect(const char *cluster)
{
	strlcpy(hosts.uuid, cluster != NULL ? cluster : "", sizeof(hosts.uuid));
}

/* Reads the settings and starts connecting. */
void
es_server_open(void)
{
	HttpFiles files = {tenancy_search_auth_file, tenancy_search_ca_file, tenancy_search_cert_file,
					   tenancy_search_key_file};

	es_server_close();
	client = http_client_open(&files);
	hosts_set(&hosts, tenancy_search_url);
	probes = MemoryContextAllocZero(TopMemoryContext, hosts.n * sizeof(HttpRequest *));
	ask();
}

/* Drops every connection; the requests of others end with an error. */
void
es_server_close(void)
{
	for (int i = 0; i < hosts.n; i++)
		http_free(probes[i]);
	if (probes != NULL)
		pfree(probes);
	probes = NULL;
	hosts_set(&hosts, "");
	http_client_close(client);
	client = NULL;
	last_error[0] = '\0';
	gzip_refused = false;
	memset(&info, 0, sizeof(info));
}

/* Asks GET / again: the server may be another one by now. */
void
es_server_recheck(void)
{
	for (int i = 0; i < hosts.n; i++)
		if (hosts.list[i].state == HOST_LIVE)
			hosts.list[i].state = HOST_UNKNOWN;
}

/* Drives all requests to the server. */
void
es_server_poll(void)
{
	if (client == NULL)
		return;
	ask();
	http_client_drive(client);
	for (int i = 0; i < hosts.n; i++)
	{
		const HttpReply *reply = probes[i] != NULL ? http_reply(probes[i]) : NULL;

		if (reply == NULL)
			continue;
		end_probe(i, reply);
		http_free(probes[i]);
		probes[i] = NULL;
	}
}

/* Milliseconds after which poll wants to run. */
long
es_server_timeout(void)
{
	long curl;
	long retry = -1;

	if (client == NULL)
		return -1;
	curl = http_client_timeout(client);
	for (int i = 0; i < hosts.n; i++)
	{
		long left = sink_backoff_left(&hosts.list[i].backoff);

		if (probes[i] != NULL && http_reply(probes[i]) != NULL)
			return 0;
		if (probes[i] == NULL && hosts.list[i].state != HOST_LIVE && (retry < 0 || left < retry))
			retry = left;
	}
	if (curl < 0 || retry < 0)
		return Max(curl, retry);
	return Min(curl, retry);
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

/* A request of somebody failed: the host is not there, or lets us in no more. */
static void
take_failure(const HttpReply *reply)
{
	char error[SINK_REASON_MAX];

	es_reply_error(reply, error, sizeof(error));
	leave_out(reply->host, reply->status == 401 ? HOST_DENIED : HOST_DOWN, reply, error);
	if (reply->status == 401)
		renew_credentials(reply->host);
}

/* Bodies go plain from now on; another look is taken when the settings are read again. */
static void
note_gzip_refused(const HttpReply *reply)
{
	if (!gzip_refused)
		ereport(LOG, (errmsg("search server \"%s\" does not take a gzip body (HTTP status %d), "
							 "bodies are sent as they are",
							 hosts.list[reply->host].url, reply->status)));
	gzip_refused = true;
}

/* Learns from any request's reply whether its host is still there and lets us in. */
void
es_server_heed(const HttpReply *reply)
{
	Host *host = reply->host < hosts.n ? &hosts.list[reply->host] : NULL;

	if (host == NULL)
		return;
	if (es_reply_refuses_gzip(reply))
		note_gzip_refused(reply);
	if (reply->status != 0 && reply->status != 401)
	{
		if (host->state == HOST_LIVE)
			sink_backoff_reset(&host->backoff);
	}
	else if (host->state == HOST_LIVE)
		take_failure(reply);
}

/* Starts a request to one of the hosts; a body must live until the request is freed. */
HttpRequest *
es_server_call(const char *method, const char *path, const char *content_type, const char *body,
			   size_t length, size_t max_reply)
{
	int		 host = hosts_next(&hosts);
	HttpCall call = {0};

	call.method = method;
	call.content_type = content_type;
	call.body = body;
	call.body_length = length;
	call.max_reply = max_reply;
	call.compress = tenancy_search_compression == COMPRESS_GZIP && !gzip_refused;
	return call_host(Max(host, 0), &call, path);
}
