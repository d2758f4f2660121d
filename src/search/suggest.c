/*
 * suggest.c
 *		tenant_suggest(): the SQL function.  What is typed so far becomes values that go on from it.
 */
#include "postgres.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "portability/instr_time.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "common/jsonb.h"
#include "search/suggest.h"

#define SUGGEST_FIELDS_MAX 20

PG_FUNCTION_INFO_V1(tenant_suggest);

/* Refuses an option. */
static void
refuse_option(const char *name, const char *allowed)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("invalid value for suggestion option \"%s\"", name),
					errhint("Allowed are %s.", allowed)));
}

/* Reads the option fields. */
static List *
parse_fields(const JsonbValue *value)
{
	static const char *const allowed = "a column and an array of 1 to 20 columns";
	List					*names = NIL;
	JsonbContainer			*array;

	if (value->type == jbvString)
		return list_make1(tenancy_jsonb_scalar(value));
	array = value->type == jbvBinary ? value->val.binary.data : NULL;
	if (array == NULL || !JsonContainerIsArray(array) || JsonContainerSize(array) == 0 ||
		JsonContainerSize(array) > SUGGEST_FIELDS_MAX)
		refuse_option("fields", allowed);
	for (int i = 0; i < JsonContainerSize(array); i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(array, i);

		if (element->type != jbvString)
			refuse_option("fields", allowed);
		names = lappend(names, tenancy_jsonb_scalar(element));
	}
	return names;
}

/* Reads the option engine. */
static SearchEngine
parse_engine(const JsonbValue *value)
{
	char *text = value->type == jbvString ? tenancy_jsonb_scalar(value) : "";

	if (strcmp(text, "auto") == 0)
		return ENGINE_AUTO;
	if (strcmp(text, "server") == 0)
		return ENGINE_SERVER;
	if (strcmp(text, "postgresql") != 0)
		refuse_option("engine", "\"auto\", \"server\" and \"postgresql\"");
	return ENGINE_POSTGRESQL;
}

/* Reads one option; a null stands for its default. */
static void
parse_option(Suggest *suggest, const char *name, const JsonbValue *value)
{
	bool is_null = value->type == jbvNull;

	if (strcmp(name, "engine") == 0)
		suggest->request.engine = is_null ? ENGINE_AUTO : parse_engine(value);
	else if (strcmp(name, "fields") == 0)
		suggest->names = is_null ? NIL : parse_fields(value);
	else if (strcmp(name, "filters") == 0)
	{
		if (!is_null)
			suggest->request.filters =
				search_filters_parse(JsonbValueToJsonb(unconstify(JsonbValue *, value)));
	}
	else
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("unknown suggestion option \"%s\"", name),
						errhint("The options are engine, fields and filters.")));
}

/* Reads the options. */
static void
parse_options(Suggest *suggest, Jsonb *options)
{
	JsonbIterator *it = search_open_object(options, "options");
	char		  *name;
	JsonbValue	   value;

	while (tenancy_jsonb_next(&it, &name, &value))
		parse_option(suggest, name, &value);
}

/* Reads the arguments. */
static void
read_arguments(FunctionCallInfo fcinfo, Suggest *suggest)
{
	memset(suggest, 0, sizeof(*suggest));
	suggest->request.index_type =
		PG_ARGISNULL(1) ? pstrdup("case_studies") : text_to_cstring(PG_GETARG_TEXT_PP(1));
	suggest->size = PG_ARGISNULL(2) ? 10 : PG_GETARG_INT32(2);
	if (suggest->size < 1 || suggest->size > SUGGEST_SIZE_MAX)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("size must be between 1 and %d", SUGGEST_SIZE_MAX)));
	if (!PG_ARGISNULL(3))
		parse_options(suggest, PG_GETARG_JSONB_P(3));
	suggest_split(suggest, PG_ARGISNULL(0) ? "" : search_read_words(PG_GETARG_DATUM(0), "prefix"));
}

/* Values of each field to look at: some are found twice, or do not match after all. */
int
suggest_candidates(const Suggest *suggest)
{
	return suggest->size * 5 + 20;
}

/* Takes a text, once. */
static void
take_text(Suggest *suggest, const SuggestField *field, char *text)
{
	Suggestion *suggestion;
	bool		begins;
	ListCell   *lc;

	if (pg_mbstrlen(text) > SUGGEST_TEXT_MAX ||
		!suggest_matches(suggest, text, field->whole, &begins))
		return;
	foreach (lc, suggest->found)
		if (strcmp(((Suggestion *) lfirst(lc))->text, text) == 0)
			return;
	suggestion = palloc(sizeof(Suggestion));
	suggestion->text = text;
	suggestion->field = field->name;
	suggestion->begins = begins;
	suggest->found = lappend(suggest->found, suggestion);
}

/* Takes a value of a field, or those of an array, if they go on from the prefix. */
void
suggest_take(Suggest *suggest, const SuggestField *field, const JsonbValue *value)
{
	if (value->type == jbvString)
		take_text(suggest, field, tenancy_jsonb_scalar(value));
	else if (value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data))
		for (int i = 0; i < JsonContainerSize(value->val.binary.data); i++)
		{
			JsonbValue *element = getIthJsonbValueFromContainer(value->val.binary.data, i);

			if (element->type == jbvString)
				take_text(suggest, field, tenancy_jsonb_scalar(element));
		}
}

/* What begins with the prefix first, then the shorter one. */
static int
compare_suggestions(const ListCell *a, const ListCell *b)
{
	const Suggestion *first = lfirst(a);
	const Suggestion *second = lfirst(b);
	int				  longer = pg_mbstrlen(first->text) - pg_mbstrlen(second->text);

	if (first->begins != second->begins)
		return first->begins ? -1 : 1;
	return longer != 0 ? longer : strcmp(first->text, second->text);
}

/* Adds a text under a key. */
static void
push_text(JsonbParseState **state, const char *key, const char *text)
{
	JsonbValue value = {.type = jbvString};

	value.val.string.val = unconstify(char *, key);
	value.val.string.len = strlen(key);
	pushJsonbValue(state, WJB_KEY, &value);
	value.val.string.val = unconstify(char *, text);
	value.val.string.len = strlen(text);
	pushJsonbValue(state, WJB_VALUE, &value);
}

/* Adds the suggestions, as many as are wanted. */
static void
push_suggestions(JsonbParseState **state, Suggest *suggest)
{
	JsonbValue key = {.type = jbvString, .val.string = {.len = 11, .val = "suggestions"}};
	ListCell  *lc;

	list_sort(suggest->found, compare_suggestions);
	suggest->found = list_truncate(suggest->found, suggest->size);
	pushJsonbValue(state, WJB_KEY, &key);
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	foreach (lc, suggest->found)
	{
		const Suggestion *suggestion = lfirst(lc);

		pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
		push_text(state, "text", suggestion->text);
		push_text(state, "field", suggestion->field);
		pushJsonbValue(state, WJB_END_OBJECT, NULL);
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

/* Makes the answer. */
static Jsonb *
make_answer(Suggest *suggest, const char *engine, const char *fallback, int64 took_ms)
{
	JsonbParseState *state = NULL;
	JsonbValue		 key = {.type = jbvString, .val.string = {.len = 7, .val = "took_ms"}};
	JsonbValue		 value = {.type = jbvNumeric, .val.numeric = int64_to_numeric(took_ms)};

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_suggestions(&state, suggest);
	push_text(&state, "engine", engine);
	if (fallback != NULL)
		push_text(&state, "fallback", fallback);
	pushJsonbValue(&state, WJB_KEY, &key);
	pushJsonbValue(&state, WJB_VALUE, &value);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* Refuses to have PostgreSQL answer in place of the server where fields are no columns. */
static void
check_fallback(const SearchTarget *target, Suggest *suggest, const char *fallback)
{
	SearchRequest request = suggest->request;
	ListCell	 *lc;

	foreach (lc, suggest->fields)
	{
		SearchField *field = palloc0(sizeof(SearchField));

		field->name = ((SuggestField *) lfirst(lc))->name;
		request.fields = lappend(request.fields, field);
	}
	search_check_fallback(target, &request, fallback);
}

/* Asks the engine that the caller wants; returns why it is not the server, if it should be. */
static const char *
run_suggest(const SearchTarget *target, Suggest *suggest, const char **engine)
{
	SearchFailure failure = {0};

	*engine = "postgresql";
	if (suggest->request.engine != ENGINE_POSTGRESQL)
		search_check_request(target, &suggest->request);
	if (suggest->hopeless || suggest->prefix[0] == '\0')
		return NULL;
	if (suggest->request.engine != ENGINE_POSTGRESQL)
	{
		if (suggest_server(target, suggest, engine, &failure))
			return NULL;
		if (suggest->request.engine == ENGINE_SERVER)
			ereport(ERROR, (errcode(failure.sqlstate),
							errmsg("could not search on the server: %s", failure.reason)));
		suggest->found = NIL;
		check_fallback(target, suggest, failure.reason);
		*engine = "postgresql";
	}
	suggest_postgres(target, suggest);
	return failure.reason;
}

/* Suggests values of the current tenant's documents. */
Datum
tenant_suggest(PG_FUNCTION_ARGS)
{
	Suggest		 suggest;
	SearchTarget target;
	const char	*engine;
	const char	*fallback;
	instr_time	 start;
	instr_time	 took;

	INSTR_TIME_SET_CURRENT(start);
	read_arguments(fcinfo, &suggest);
	search_target_load(&target, suggest.request.index_type);
	suggest_find_fields(&target, &suggest);
	fallback = run_suggest(&target, &suggest, &engine);
	INSTR_TIME_SET_CURRENT(took);
	INSTR_TIME_SUBTRACT(took, start);
	PG_RETURN_JSONB_P(
		make_answer(&suggest, engine, fallback, (int64) INSTR_TIME_GET_MILLISEC(took)));
}
