/*
 * server.c
 *		Asks the search server.
 *
 * A backend keeps one client, and with it one connection, from its first search to
 * its end.  Only the user's own transaction waits here, and any cancel ends that.
 */
#include "postgres.h"

#include "storage/ipc.h"
#include "utils/memutils.h"

#include "common/errors.h"
#include "common/guc.h"
#include "common/jsonb.h"
#include "search/search.h"
#include "sink/breaker.h"
#include "sink/http.h"

#define REPLY_MAX (64 * 1024 * 1024)
#define ROOT_TIMEOUT_MAX 1000 /* ms */

/* The client, and the settings it was opened with. */
static HttpClient *client = NULL;
static char		  *client_url = NULL;
static char		  *client_auth_file = NULL;
static char		  *client_ca_file = NULL;
static const char *client_engine = NULL; /* what answers there, NULL: not asked yet */

/* Closes the connection; the next search opens one with fresh credentials. */
static void
close_client(void)
{
	http_client_close(client);
	client = NULL;
	client_engine = NULL;
}

/* At the end of the backend. */
static void
close_at_exit(int code, Datum arg)
{
	close_client();
}

/* Keeps a copy of a setting's value for the life of the backend. */
static void
remember(char **copy, const char *value)
{
	char *fresh = MemoryContextStrdup(TopMemoryContext, value);

	if (*copy != NULL)
		pfree(*copy);
	*copy = fresh;
}

/* True if the client was opened with the settings of now. */
static bool
client_is_current(void)
{
	return client != NULL && strcmp(client_url, tenancy_search_url) == 0 &&
		   strcmp(client_auth_file, tenancy_search_auth_file) == 0 &&
		   strcmp(client_ca_file, tenancy_search_ca_file) == 0;
}

/* Opens the client, again if the settings have changed. */
static void
open_client(void)
{
	static bool registered = false;

	if (client_is_current())
		return;
	close_client();
	remember(&client_url, tenancy_search_url);
	remember(&client_auth_file, tenancy_search_auth_file);
	remember(&client_ca_file, tenancy_search_ca_file);
	if (!registered)
		on_proc_exit(close_at_exit, (Datum) 0);
	registered = true;
	client = http_client_open(client_auth_file, client_ca_file);
}

/* Address of the server's root, with the slash. */
static char *
root_url(void)
{
	size_t length = strlen(tenancy_search_url);

	while (length > 0 && tenancy_search_url[length - 1] == '/')
		length--;
	return psprintf("%.*s/", (int) length, tenancy_search_url);
}

/* Address of an alias' _search; half a result is none, hence the parameter. */
static char *
search_url(const char *alias)
{
	StringInfoData url;

	initStringInfo(&url);
	appendStringInfoString(&url, root_url());
	for (const char *c = alias; *c != '\0'; c++)
	{
		if (isalnum((unsigned char) *c) || *c == '-' || *c == '_')
			appendStringInfoChar(&url, *c);
		else
			appendStringInfo(&url, "%%%02X", (unsigned char) *c);
	}
	appendStringInfoString(&url, "/_search?allow_partial_search_results=false");
	return url.data;
}

/* Sends a call and hands its reply over, which lives no longer than that. */
static bool
exchange(const HttpCall *call, bool (*use)(const HttpReply *reply, void *arg), void *arg)
{
	HttpRequest *request = http_start(client, call);
	bool		 done = false;

	PG_TRY();
	{
		done = use(http_wait(request), arg);
	}
	PG_FINALLY();
	{
		http_free(request);
	}
	PG_END_TRY();
	return done;
}

/* What use_search_reply fills. */
typedef struct SearchExchange
{
	SearchResult  *result;
	SearchFailure *failure;
	bool		   reopen; /* the connection or its credentials are no good */
} SearchExchange;

/* Says why there is no result. */
static bool
fail(SearchFailure *failure, int sqlstate, char *reason)
{
	failure->sqlstate = sqlstate;
	failure->reason = reason;
	return false;
}

/* Says why there is none although the server has answered. */
static bool
fail_by_status(SearchFailure *failure, const HttpReply *reply)
{
	char *reason = search_reply_error(reply->body, reply->length);
	bool  its_fault = reply->status >= 500 || reply->status == 429 || reply->status == 404;
	bool  denied = reply->status == 401 || reply->status == 403;

	return fail(failure,
				its_fault || denied ? ERRCODE_TENANCY_SEARCH_UNAVAILABLE
									: ERRCODE_TENANCY_SEARCH_REPLY,
				reason ? psprintf("search server answered %d: %s", reply->status, reason)
					   : psprintf("search server answered %d", reply->status));
}

/*
 * Tells the breaker, which is for all tenants, whether the server itself can be talked
 * to.  A 500 or 503 may be the trouble of one index, a senseless reply that of one document.
 */
static void
inform_breaker(const HttpReply *reply)
{
	if (reply->status == 0 || reply->status == 429 || reply->status == 502 || reply->status == 504)
		breaker_failure(SINK_SEARCH);
	else
		breaker_success(SINK_SEARCH);
}

/* Turns the reply into a result or a reason. */
static bool
use_search_reply(const HttpReply *reply, void *arg)
{
	SearchExchange *exchanged = arg;
	SearchFailure  *failure = exchanged->failure;

	inform_breaker(reply);
	exchanged->reopen = reply->status == 0 || reply->status == 401 || reply->status == 403;
	if (reply->status == 0)
		return fail(failure, ERRCODE_TENANCY_SEARCH_UNAVAILABLE,
					psprintf("search server does not answer: %s", reply->error));
	if (reply->status != 200)
		return fail_by_status(failure, reply);
	if (reply->truncated)
		return fail(
			failure, ERRCODE_TENANCY_SEARCH_REPLY,
			psprintf("search server's reply is longer than %d MB", REPLY_MAX / 1024 / 1024));
	if (!search_reply_parse(reply->body, reply->length, exchanged->result))
		return fail(failure, ERRCODE_TENANCY_SEARCH_REPLY,
					pstrdup("search server's reply is not a search result"));
	return true;
}

/* Reads which product answers at the root; not to be allowed to know that is no failure. */
static bool
use_root_reply(const HttpReply *reply, void *arg)
{
	Jsonb *root = tenancy_jsonb_parse(reply->body, reply->length);
	char  *distribution = NULL;

	if (reply->status == 0)
		return false;
	if (root != NULL)
		distribution =
			tenancy_jsonb_string(tenancy_jsonb_object(&root->root, "version"), "distribution");
	client_engine = distribution != NULL && strcmp(distribution, "opensearch") == 0
						? "opensearch"
						: "elasticsearch";
	return true;
}

/* Name of the product, asked once per connection; where that is not told it stays the usual one. */
static const char *
engine_name(void)
{
	HttpCall call = {.method = "GET",
					 .url = root_url(),
					 .max_reply = 64 * 1024,
					 .timeout_ms = Min(tenancy_search_timeout, ROOT_TIMEOUT_MAX)};

	if (client_engine == NULL && !exchange(&call, use_root_reply, NULL))
		client_engine = "elasticsearch";
	return client_engine;
}

/* Sends the search. */
static bool
ask(const SearchTarget *target, const SearchRequest *request, SearchResult *result,
	SearchFailure *failure)
{
	SearchExchange exchanged = {result, failure, false};
	HttpCall	   call = {.method = "POST",
						   .url = search_url(target->alias),
						   .content_type = "application/json",
						   .max_reply = REPLY_MAX,
						   .timeout_ms = tenancy_search_timeout};
	bool		   done;

	call.body = search_body(target, request, &call.body_length);
	open_client();
	done = exchange(&call, use_search_reply, &exchanged);
	if (done)
		result->engine = engine_name();
	if (exchanged.reopen)
		close_client();
	return done;
}

/* Asks the search server, unless it is known beforehand that this leads nowhere. */
bool
search_server(const SearchTarget *target, const SearchRequest *request, SearchResult *result,
			  SearchFailure *failure)
{
	if (tenancy_search_url[0] == '\0')
		return fail(failure, ERRCODE_TENANCY_SEARCH_UNAVAILABLE,
					pstrdup("tenancy.search_url is not set"));
	if (target->alias == NULL)
		return fail(failure, ERRCODE_TENANCY_SEARCH_UNAVAILABLE,
					pstrdup("there is no search index yet"));
	if (target->row_security)
		return fail(failure, ERRCODE_TENANCY_SEARCH_UNAVAILABLE,
					pstrdup("row-level security restricts the table's rows"));
	if (!breaker_allows(SINK_SEARCH))
		return fail(failure, ERRCODE_TENANCY_SEARCH_UNAVAILABLE,
					pstrdup("search server did not answer a moment ago"));
	return ask(target, request, result, failure);
}
