/*
 * search.c
 *		tenant_search(): the SQL function, and which engine answers.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "common/errors.h"
#include "common/jsonb.h"
#include "search/search.h"

PG_FUNCTION_INFO_V1(tenant_search);

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

/* Reads the arguments. */
static void
read_arguments(FunctionCallInfo fcinfo, SearchRequest *request)
{
	memset(request, 0, sizeof(*request));
	if (!PG_ARGISNULL(0))
		request->query = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (request->query != NULL && strspn(request->query, " \t\r\n") == strlen(request->query))
		request->query = NULL;
	request->index_type =
		PG_ARGISNULL(1) ? pstrdup("case_studies") : text_to_cstring(PG_GETARG_TEXT_PP(1));
	request->page = int_arg(fcinfo, 3, 1);
	request->page_size = int_arg(fcinfo, 4, 20);
	search_request_parse(request, jsonb_arg(fcinfo, 2), jsonb_arg(fcinfo, 5));
}

/* Adds a key. */
static void
push_key(JsonbParseState **state, const char *key)
{
	JsonbValue value = {.type = jbvString};

	value.val.string.val = unconstify(char *, key);
	value.val.string.len = strlen(key);
	pushJsonbValue(state, WJB_KEY, &value);
}

/* Adds a key with a text. */
static void
push_text(JsonbParseState **state, const char *key, const char *text)
{
	JsonbValue value = {.type = jbvString};

	push_key(state, key);
	value.val.string.val = unconstify(char *, text);
	value.val.string.len = strlen(text);
	pushJsonbValue(state, WJB_VALUE, &value);
}

/* Adds a key with an integer. */
static void
push_integer(JsonbParseState **state, const char *key, int64 number)
{
	JsonbValue value = {.type = jbvNumeric};

	push_key(state, key);
	value.val.numeric = int64_to_numeric(number);
	pushJsonbValue(state, WJB_VALUE, &value);
}

/* Adds a hit: the fields of its document, and beside them its id and score. */
static void
push_hit(JsonbParseState **state, SearchHit *hit)
{
	JsonbIterator	  *it = JsonbIteratorInit(hit->document);
	JsonbIteratorToken token;
	JsonbValue		   value;

	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
		if (token == WJB_KEY || token == WJB_VALUE)
			pushJsonbValue(state, token, &value);
	push_text(state, "_id", hit->id);
	push_key(state, "_score");
	pushJsonbValue(state, WJB_VALUE, &hit->score);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

/* Adds all hits. */
static void
push_hits(JsonbParseState **state, List *hits)
{
	ListCell *lc;

	push_key(state, "results");
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	foreach (lc, hits)
	{
		CHECK_FOR_INTERRUPTS();
		push_hit(state, lfirst(lc));
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

/* Makes the answer. */
static Jsonb *
make_answer(const SearchRequest *request, const SearchResult *result, const char *fallback,
			int64 took_ms)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_integer(&state, "total", result->total);
	push_text(&state, "total_relation", result->total_is_exact ? "eq" : "gte");
	push_hits(&state, result->hits);
	push_integer(&state, "page", request->page);
	push_integer(&state, "page_size", request->page_size);
	push_text(&state, "engine", result->engine);
	if (fallback != NULL)
		push_text(&state, "fallback", fallback);
	push_integer(&state, "took_ms", took_ms);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* Complains where the caller wants the server and nothing else. */
static void
report_failure(const SearchFailure *failure)
{
	ereport(ERROR, (errcode(failure->sqlstate),
					errmsg("could not search on the server: %s", failure->reason)));
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
			report_failure(&failure);
		memset(result, 0, sizeof(*result));
	}
	search_postgres(target, request, result, failure.reason);
	return failure.reason;
}

/* Searches the current tenant's documents. */
Datum
tenant_search(PG_FUNCTION_ARGS)
{
	SearchRequest request;
	SearchTarget  target;
	SearchResult  result = {0};
	const char	 *fallback;
	instr_time	  start;
	instr_time	  took;

	INSTR_TIME_SET_CURRENT(start);
	read_arguments(fcinfo, &request);
	search_target_load(&target, request.index_type);
	fallback = run_search(&target, &request, &result);
	INSTR_TIME_SET_CURRENT(took);
	INSTR_TIME_SUBTRACT(took, start);
	PG_RETURN_JSONB_P(
		make_answer(&request, &result, fallback, (int64) INSTR_TIME_GET_MILLISEC(took)));
}
