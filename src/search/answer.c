/*
 * answer.c
 *		The answers of the search functions.
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/tuplestore.h"

#include "search/answer.h"

/* Adds a key. */
static void
push_key(JsonbParseState **state, const char *key)
{
	JsonbValue value = {.type = jbvString};

	value.val.string.val = unconstify(char *, key);
	value.val.string.len = strlen(key);
	pushJsonbValue(state, WJB_KEY, &value);
}

/* Adds a key with a value. */
static void
push_value(JsonbParseState **state, const char *key, const JsonbValue *value)
{
	JsonbValue copy = *value;

	push_key(state, key);
	pushJsonbValue(state, WJB_VALUE, &copy);
}

/* Adds a key with a text, or null. */
static void
push_text(JsonbParseState **state, const char *key, const char *text)
{
	JsonbValue value = {.type = text ? jbvString : jbvNull};

	if (text != NULL)
	{
		value.val.string.val = unconstify(char *, text);
		value.val.string.len = strlen(text);
	}
	push_value(state, key, &value);
}

/* Adds a key with an integer; null if it is negative, that is not known. */
static void
push_integer(JsonbParseState **state, const char *key, int64 number)
{
	JsonbValue value = {.type = number < 0 ? jbvNull : jbvNumeric};

	if (number >= 0)
		value.val.numeric = int64_to_numeric(number);
	push_value(state, key, &value);
}

/* Adds the content of an object to the one that is open. */
static void
push_fields(JsonbParseState **state, JsonbContainer *object)
{
	JsonbIterator	  *it = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue		   value;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
		if (token == WJB_KEY || token == WJB_VALUE)
			pushJsonbValue(state, token, &value);
}

/* Adds a key with an object. */
static void
push_object(JsonbParseState **state, const char *key, JsonbContainer *object)
{
	push_key(state, key);
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	if (object != NULL)
		push_fields(state, object);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

/* Adds a hit: the fields of its document, and beside them its id, score and highlighting. */
static void
push_hit(JsonbParseState **state, const SearchRequest *request, const SearchHit *hit)
{
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	if (hit->document != NULL && !request->no_source)
		push_fields(state, hit->document);
	push_text(state, "_id", hit->id);
	push_value(state, "_score", &hit->score);
	if (request->highlight != NULL)
		push_object(state, "_highlight", hit->highlight);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

/* Adds all hits. */
static void
push_hits(JsonbParseState **state, const SearchOutcome *outcome)
{
	ListCell *lc;

	push_key(state, "results");
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	foreach (lc, outcome->result->hits)
	{
		CHECK_FOR_INTERRUPTS();
		push_hit(state, outcome->request, lfirst(lc));
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

/* Adds a facet. */
static void
push_facet(JsonbParseState **state, const SearchFacet *facet)
{
	ListCell *lc;

	push_key(state, facet->name);
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	push_key(state, "buckets");
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	foreach (lc, facet->buckets)
	{
		SearchBucket *bucket = lfirst(lc);

		pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
		push_value(state, "value", &bucket->value);
		push_integer(state, "count", bucket->count);
		pushJsonbValue(state, WJB_END_OBJECT, NULL);
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
	push_integer(state, "other", facet->other);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

/* Adds what was asked for beside the hits. */
static void
push_extras(JsonbParseState **state, const SearchOutcome *outcome)
{
	ListCell *lc;

	if (outcome->request->facets != NIL)
	{
		push_key(state, "facets");
		pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
		foreach (lc, outcome->result->facets)
			push_facet(state, lfirst(lc));
		pushJsonbValue(state, WJB_END_OBJECT, NULL);
	}
	if (outcome->request->suggest)
		push_text(state, "did_you_mean", outcome->result->did_you_mean);
	if (outcome->request->hydrate)
		push_integer(state, "vanished", outcome->result->vanished);
	if (outcome->result->ranked > 0)
		push_integer(state, "ranked", outcome->result->ranked);
}

/* Cursor that goes on after the page; NULL: it was the last one. */
static char *
next_cursor(const SearchOutcome *outcome)
{
	const SearchResult *result = outcome->result;

	if (result->last == NULL ||
		list_length(result->hits) + result->vanished < outcome->request->page_size)
		return NULL;
	return search_cursor_make(outcome->target, outcome->request, result, result->last);
}

/* Makes the answer as one JSON object. */
Jsonb *
answer_json(const SearchOutcome *outcome)
{
	const SearchResult *result = outcome->result;
	const char		   *relation = result->total_is_exact ? "eq" : "gte";
	JsonbParseState	   *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_integer(&state, "total", result->total);
	push_text(&state, "total_relation", result->total < 0 ? NULL : relation);
	push_hits(&state, outcome);
	push_integer(&state, "page", outcome->request->page);
	push_integer(&state, "page_size", outcome->request->page_size);
	push_text(&state, "next", next_cursor(outcome));
	push_extras(&state, outcome);
	push_text(&state, "engine", result->engine);
	if (outcome->fallback != NULL)
		push_text(&state, "fallback", outcome->fallback);
	if (outcome->layer != NULL)
		push_text(&state, "layer", outcome->layer);
	push_integer(&state, "took_ms", outcome->took_ms);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* Makes the answer of one that was kept. */
Jsonb *
answer_kept(Jsonb *kept, int64 took_ms)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_fields(&state, &kept->root);
	push_text(&state, "layer", "redis"); /* the last one of a name counts */
	push_integer(&state, "took_ms", took_ms);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* Copy of a JSON object as a value of its own. */
static Datum
container_datum(JsonbContainer *object)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_fields(&state, object);
	return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

/* Adds one row. */
static void
put_row(ReturnSetInfo *set, const SearchOutcome *outcome, const SearchHit *hit)
{
	char *cursor = search_cursor_make(outcome->target, outcome->request, outcome->result, hit);
	bool  source = hit->document != NULL && !outcome->request->no_source;
	bool  nulls[5] = {false, hit->score.type != jbvNumeric, !source, hit->highlight == NULL,
					  cursor == NULL};
	Datum values[5] = {CStringGetTextDatum(hit->id)};

	if (!nulls[1])
		values[1] = DirectFunctionCall1(numeric_float8, NumericGetDatum(hit->score.val.numeric));
	if (!nulls[2])
		values[2] = container_datum(hit->document);
	if (!nulls[3])
		values[3] = container_datum(hit->highlight);
	if (!nulls[4])
		values[4] = CStringGetTextDatum(cursor);
	tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
}

/* Makes the answer as rows. */
void
answer_rows(FunctionCallInfo fcinfo, const SearchOutcome *outcome)
{
	ListCell *lc;

	InitMaterializedSRF(fcinfo, 0);
	foreach (lc, outcome->result->hits)
	{
		CHECK_FOR_INTERRUPTS();
		put_row((ReturnSetInfo *) fcinfo->resultinfo, outcome, lfirst(lc));
	}
}
