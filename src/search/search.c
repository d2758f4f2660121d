/*
 * search.c
 *		tenant_search() and tenant_search_rows(): the SQL functions, and which engine answers.
 */
#include "postgres.h"

#include "fmgr.h"
#include "portability/instr_time.h"
#include "utils/builtins.h"

#include "search/answer.h"
#include "search/hydrate.h"

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

/* Searches with a request that is read. */
static void
search(SearchRequest *request, SearchTarget *target, SearchResult *result, SearchOutcome *outcome)
{
	instr_time start;
	instr_time took;

	INSTR_TIME_SET_CURRENT(start);
	search_target_load(target, request->index_type);
	search_cursor_open(target, request);
	outcome->target = target;
	outcome->request = request;
	outcome->result = result;
	outcome->fallback = run_search(target, request, result);
	result->last = result->hits != NIL ? llast(result->hits) : NULL;
	if (request->hydrate && strcmp(result->engine, "postgresql") != 0)
		hydrate_hits(target, request, result);
	INSTR_TIME_SET_CURRENT(took);
	INSTR_TIME_SUBTRACT(took, start);
	outcome->took_ms = (int64) INSTR_TIME_GET_MILLISEC(took);
}

/* Searches the current tenant's documents. */
Datum
tenant_search(PG_FUNCTION_ARGS)
{
	SearchRequest request;
	SearchTarget  target;
	SearchResult  result = {0};
	SearchOutcome outcome = {0};

	read_query(fcinfo, &request);
	request.page = int_arg(fcinfo, 3, 1);
	request.page_size = int_arg(fcinfo, 4, 20);
	search_request_parse(&request, jsonb_arg(fcinfo, 2), jsonb_arg(fcinfo, 5));
	search(&request, &target, &result, &outcome);
	PG_RETURN_JSONB_P(answer_json(&outcome));
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
	search(&request, &target, &result, &outcome);
	answer_rows(fcinfo, &outcome);
	return (Datum) 0;
}
