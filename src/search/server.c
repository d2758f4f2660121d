/*
 * server.c
 *		Asks the search server.
 *
 * Only the user's own transaction waits here, and any cancel ends that.
 */
#include "postgres.h"

#include "common/errors.h"
#include "common/guc.h"
#include "search/client.h"
#include "search/search.h"
#include "sink/breaker.h"

#define REPLY_MAX (64 * 1024 * 1024)

/* Path of an alias' _search; half a result is none, hence the parameter. */
static char *
search_path(const char *alias)
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
	appendStringInfoString(&path, "/_search?allow_partial_search_results=false");
	return path.data;
}

/* What use_search_reply fills. */
typedef struct SearchExchange
{
	SearchResult  *result;
	SearchFailure *failure;
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

/* Sends the search. */
static bool
ask(const SearchTarget *target, const SearchRequest *request, SearchResult *result,
	SearchFailure *failure)
{
	SearchExchange exchanged = {result, failure};
	HttpCall	   call = {.method = "POST",
						   .url = search_path(target->alias),
						   .content_type = "application/json",
						   .max_reply = REPLY_MAX,
						   .timeout_ms = tenancy_search_timeout};
	bool		   done;

	call.body = search_body(target, request, &call.body_length);
	done = search_client_call(&call, use_search_reply, &exchanged);
	if (done)
		result->engine = search_client_engine();
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
