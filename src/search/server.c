/*
 * server.c
 *		Asks the search server.
 *
 * Only the user's own transaction waits here, and any cancel ends that.
 */
#include "postgres.h"

#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "common/errors.h"
#include "common/guc.h"
#include "common/jsonb.h"
#include "search/client.h"
#include "search/did_you_mean.h"
#include "search/kept.h"
#include "search/reply.h"
#include "search/server.h"
#include "sink/breaker.h"

#define REPLY_MAX (64 * 1024 * 1024)
#define SEARCH_PART "/_search?allow_partial_search_results=false" /* half a result is none */

/* Path of something of an alias. */
char *
server_path(const char *alias, const char *what)
{
	StringInfoData path;

	initStringInfo(&path);
	appendStringInfoChar(&path, '/');
	for (const char *c = alias; *c != '\0'; c++)
	{
		if (isalnum((unsigned char) *c) || *c == '-' || *c == '_')
			appendStringInfoChar(&path, *c);
		else
			appendStringInfo(&path, "%%%02X", (unsigned char) *c);
	}
	appendStringInfoString(&path, what);
	return path.data;
}

/* What use_reply fills. */
typedef struct Exchange
{
	const ServerCall *call;
	SearchFailure	 *failure;
} Exchange;

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
	char *reason = reply_error(reply->body, reply->length);
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
use_reply(const HttpReply *reply, void *arg)
{
	Exchange	  *exchange = arg;
	SearchFailure *failure = exchange->failure;
	Jsonb		  *parsed;

	inform_breaker(reply);
	if (reply->status == 0)
		return fail(failure, ERRCODE_TENANCY_SEARCH_UNAVAILABLE,
					psprintf("search server does not answer: %s", reply->error));
	if (reply->status != 200)
		return fail_by_status(failure, reply);
	if (reply->truncated)
		return fail(
			failure, ERRCODE_TENANCY_SEARCH_REPLY,
			psprintf("search server's reply is longer than %d MB", REPLY_MAX / 1024 / 1024));
	parsed = tenancy_jsonb_parse(reply->body, reply->length);
	if (parsed == NULL || !exchange->call->parse(parsed, exchange->call->parse_arg))
		return fail(failure, ERRCODE_TENANCY_SEARCH_REPLY,
					pstrdup("search server's reply is not a search result"));
	return true;
}

/* Milliseconds that a request may take: the statement shall not run out of time while it waits. */
static long
time_for(const ServerCall *call)
{
	long left;

	if (!get_timeout_active(STATEMENT_TIMEOUT))
		return tenancy_search_timeout;
	left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
										   get_timeout_finish_time(STATEMENT_TIMEOUT));
	left = call->alone ? left - left / 10 : left / 2;
	return Max(Min(tenancy_search_timeout, left), 1);
}

/* Sends a request to _search. */
bool
server_call(const ServerCall *call, SearchFailure *failure)
{
	Exchange exchange = {call, failure};
	HttpCall sent = {.method = "POST",
					 .url = server_path(call->target->alias, SEARCH_PART),
					 .content_type = "application/json",
					 .max_reply = REPLY_MAX,
					 .timeout_ms = time_for(call)};

	sent.body = body_write(call->target, call->fill, call->fill_arg, &sent.body_length);
	return search_client_call(&sent, use_reply, &exchange);
}

/* False if it is known beforehand that asking leads nowhere, and why. */
bool
server_usable(const SearchTarget *target, SearchFailure *failure)
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
	return true;
}

/* A search whose reply is being read. */
typedef struct Reading
{
	const SearchTarget	*target;
	const SearchRequest *request;
	SearchResult		*result;
	List				*words; /* that may be misspelled */
} Reading;

/* Reads the reply to a search. */
static bool
read_reply(Jsonb *reply, void *arg)
{
	Reading *reading = arg;

	if (!reply_parse_search(reply, reading->target, reading->request, reading->result))
		return false;
	if (reading->request->suggest && reading->request->query != NULL)
		reading->words = did_you_mean_words(reading->target, reading->request, &reply->root);
	return true;
}

/* Searches on the server. */
bool
search_server(const SearchTarget *target, const SearchRequest *request, SearchResult *result,
			  SearchFailure *failure)
{
	char	  *snapshot = NULL;
	Reading	   reading = {target, request, result, NIL};
	ServerCall call = {.target = target,
					   .fill = body_fill_search,
					   .fill_arg = request,
					   .parse = read_reply,
					   .parse_arg = &reading,
					   .alone = request->engine == ENGINE_SERVER};

	if (!server_usable(target, failure))
		return false;
	if (request->keep)
		snapshot = index_snapshot_find(target); /* before the search */
	if (!server_call(&call, failure))
		return false;
	result->from_server = true;
	result->snapshot = snapshot;
	result->engine = product_name(search_client_product());
	if (reading.words != NIL)
		result->did_you_mean = did_you_mean_ask(target, request, reading.words);
	return true;
}
