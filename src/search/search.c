/*
 * search.c
 *		tenant_search() and tenant_search_rows(): the SQL functions, and which engine answers.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "search/answer.h"
#include "search/hydrate.h"
#include "search/kept.h"

#define ROWS_DEFAULT 100

PG_FUNCTION_INFO_V1(tenant_search);
PG_FUNCTION_INFO_V1(tenant_search_rows);

/* Integer argument; a null stands for the default. */
static int
int_arg(FunctionCallInfo fcinfo, int n, int value)
{
	return PG_ARGISNULL(n) ? value : PG_GETARG_INT32(n);
}

/* JSON argument; a null stands for the empty object, as NULL. */
static Jsonb *
jsonb_arg(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : PG_GETARG_JSONB_P(n);
}

/* Reads what both functions have first: words and index type. */
static void
read_query(FunctionCallInfo fcinfo, SearchRequest *request)
{
	memset(request, 0, sizeof(*request));
	if (!PG_ARGISNULL(0))
		request->query = search_read_words(PG_GETARG_DATUM(0), "query");
	if (request->query != NULL && strspn(request->query, " \t\r\n") == strlen(request->query))
		request->query = NULL;
	request->index_type =
		PG_ARGISNULL(1) ? pstrdup("case_studies") : text_to_cstring(PG_GETARG_TEXT_PP(1));
}

/* Complains where the caller wants the server and nothing else. */
static void
report_failure(const SearchRequest *request, const SearchFailure *failure)
{
	ereport(ERROR, (errcode(failure->sqlstate),
					errmsg("could not search on the server: %s", failure->reason),
					request->after != NULL
						? errhint("The cursor is the server's; a search without it starts again.")
						: 0));
}

/* Asks the engine that the caller wants; returns why it is not the server, if it should be. */
static const char *
run_search(const SearchTarget *target, const SearchRequest *request, SearchResult *result)
{
	SearchFailure failure = {0};

	if (request->engine != ENGINE_POSTGRESQL)
	{
		search_check_request(target, request);
		if (search_server(target, request, result, &failure))
			return NULL;
		if (request->engine == ENGINE_SERVER)
			report_failure(request, &failure);
		memset(result, 0, sizeof(*result));
		search_check_fallback(target, request, failure.reason);
	}
	else
		search_check_source(target, request);
	search_postgres(target, request, result, failure.reason);
	return failure.reason;
}

/* What the request is about. */
static void
prepare(SearchOutcome *outcome, SearchRequest *request, SearchTarget *target)
{
	INSTR_TIME_SET_CURRENT(outcome->start);
	search_target_load(target, request->index_type);
	search_cursor_open(target, request);
	outcome->target = target;
	outcome->request = request;
}

/* Milliseconds since the search began. */
static int64
took_ms(const SearchOutcome *outcome)
{
	instr_time took;

	INSTR_TIME_SET_CURRENT(took);
	INSTR_TIME_SUBTRACT(took, outcome->start);
	return (int64) INSTR_TIME_GET_MILLISEC(took);
}

/* Searches with a request that is prepared. */
static void
search(SearchOutcome *outcome, SearchResult *result)
{
	const SearchRequest *request = outcome->request;

	outcome->result = result;
	outcome->fallback = run_search(outcome->target, request, result);
	result->last = result->hits != NIL ? llast(result->hits) : NULL;
	if (request->hydrate && result->from_server)
		hydrate_hits(outcome->target, request, result);
	outcome->took_ms = took_ms(outcome);
}

/* Searches and keeps the answer; if there is none, others may try. */
static Jsonb *
search_and_keep(KeptAnswer *kept, SearchOutcome *outcome)
{
	SearchResult result = {0};
	Jsonb *volatile answer = NULL;

	PG_TRY();
	{
		search(outcome, &result);
		if (kept->possible)
			outcome->layer = result.from_server ? "server" : "postgresql";
		answer = answer_json(outcome);
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		kept_give_up(kept);
		RESUME_INTERRUPTS();
		PG_RE_THROW();
	}
	PG_END_TRY();
	kept_store(kept, outcome, answer);
	return answer;
}

/* Searches the current tenant's documents. */
Datum
tenant_search(PG_FUNCTION_ARGS)
{
	SearchRequest request;
	SearchTarget  target;
	SearchOutcome outcome = {0};
	KeptAnswer	  kept = {0};
	Jsonb		 *filters = jsonb_arg(fcinfo, 2);
	Jsonb		 *options = jsonb_arg(fcinfo, 5);
	Jsonb		 *answer;

	read_query(fcinfo, &request);
	request.page = int_arg(fcinfo, 3, 1);
	request.page_size = int_arg(fcinfo, 4, 20);
	search_request_parse(&request, filters, options);
	prepare(&outcome, &request, &target);
	answer = kept_find(&kept, &target, &request, filters, options);
	if (answer != NULL)
		PG_RETURN_JSONB_P(answer_kept(answer, took_ms(&outcome)));
	PG_RETURN_JSONB_P(search_and_keep(&kept, &outcome));
}

/* Makes the answer of a search that was often asked for; true if it was stored. */
bool
search_warm(const HotSearch *search, int ttl)
{
	SearchRequest request = {.warming = true, .page = search->page, .page_size = search->page_size};
	SearchTarget  target;
	SearchOutcome outcome = {0};
	KeptAnswer	  kept = {0};

	request.query = search->query != NULL ? pstrdup(search->query) : NULL;
	request.index_type = pstrdup(search->index_type);
	search_request_parse(&request, search->filters, search->options);
	request.cache_ttl = ttl;
	prepare(&outcome, &request, &target);
	(void) kept_find(&kept, &target, &request, search->filters, search->options);
	if (kept.is_warm || !kept.ours)
		return false;
	(void) search_and_keep(&kept, &outcome);
	return kept.stored;
}

/* Refuses options whose result the rows have no place for. */
static void
check_rows_request(const SearchRequest *request)
{
	const char *option = request->facets != NIL ? "facets" : request->suggest ? "suggest" : NULL;

	if (option != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("tenant_search_rows() does not have the search option \"%s\"", option)));
}

/* Searches the current tenant's documents, a row for each. */
Datum
tenant_search_rows(PG_FUNCTION_ARGS)
{
	SearchRequest request;
	SearchTarget  target;
	SearchResult  result = {0};
	SearchOutcome outcome = {0};

	read_query(fcinfo, &request);
	request.page = 1;
	request.page_size = int_arg(fcinfo, 3, ROWS_DEFAULT);
	search_request_parse(&request, jsonb_arg(fcinfo, 2), jsonb_arg(fcinfo, 4));
	check_rows_request(&request);
	request.total = SEARCH_TOTAL_NONE;
	prepare(&outcome, &request, &target);
	search(&outcome, &result);
	answer_rows(fcinfo, &outcome);
	return (Datum) 0;
}
