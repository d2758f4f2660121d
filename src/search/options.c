/*
 * options.c
 *		The options of tenant_search as the caller wrote them.
 *
 * A null stands for an option's default, so that callers can pass on what they have.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/numeric.h"

#include "common/array.h"
#include "common/guc.h"
#include "common/jsonb.h"
#include "search/request.h"

#define TAG_MAX 200 /* bytes of a highlighting tag */
#define FRAGMENTS_MAX 100
#define FRAGMENT_SIZE_MAX 100000
#define FACET_SIZE 10
#define BOOST_MAX 1000

/* Reads an option's value; false: it is not allowed. */
typedef bool (*OptionParser)(SearchRequest *request, const JsonbValue *value);

/* True if the value is this string. */
static bool
is_string(const JsonbValue *value, const char *text)
{
	return value->type == jbvString && value->val.string.len == strlen(text) &&
		   memcmp(value->val.string.val, text, value->val.string.len) == 0;
}

/* Reads true or false. */
static bool
read_bool(const JsonbValue *value, bool *result)
{
	*result = value->type == jbvBool && value->val.boolean;
	return value->type == jbvBool;
}

/* Reads a whole number within bounds. */
static bool
read_integer(const JsonbValue *value, int64 least, int64 most, int64 *result)
{
	char *text;
	char *end;

	if (value->type != jbvNumeric)
		return false;
	text = tenancy_jsonb_scalar(value);
	errno = 0;
	*result = strtoll(text, &end, 10);
	return errno == 0 && *end == '\0' && *result >= least && *result <= most;
}

/* Reads a number of highlighting. */
static bool
read_small(const JsonbValue *value, int least, int most, int *result)
{
	int64 number;
	bool  good = read_integer(value, least, most, &number);

	*result = good ? (int) number : 0;
	return good;
}

/* Reads a number above 0, keeping it as it is written. */
static bool
read_positive(const JsonbValue *value, double most, char **result)
{
	double number;

	if (value->type != jbvNumeric)
		return false;
	number = DatumGetFloat8(
		DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(value->val.numeric)));
	*result = tenancy_jsonb_scalar(value);
	return number > 0 && number <= most;
}

/* Container of a value that is an array; NULL: it is none. */
static JsonbContainer *
array_of(const JsonbValue *value)
{
	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		return NULL;
	return value->val.binary.data;
}

/* Container of a value that is an object; NULL: it is none. */
static JsonbContainer *
object_of(const JsonbValue *value)
{
	if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		return NULL;
	return value->val.binary.data;
}

/* Takes one element, or one key with its value (else NULL), of an option. */
typedef bool (*ElementReader)(void *arg, char *name, const JsonbValue *value);

/* Reads "name", ["name", ...] or {"name": value, ...}. */
static bool
read_names(const JsonbValue *value, bool with_values, ElementReader reader, void *arg)
{
	JsonbContainer	  *object = object_of(value);
	JsonbContainer	  *array = array_of(value);
	JsonbContainer	  *container = object ? object : array;
	JsonbIterator	  *it;
	JsonbIteratorToken token;
	JsonbValue		   name;
	JsonbValue		   found;

	if (value->type == jbvString)
		return reader(arg, tenancy_jsonb_scalar(value), NULL);
	if (container == NULL || (object != NULL && !with_values) ||
		JsonContainerSize(container) == 0 || JsonContainerSize(container) > SEARCH_NAMES_MAX)
		return false;
	it = JsonbIteratorInit(container);
	while ((token = JsonbIteratorNext(&it, &name, true)) != WJB_DONE)
	{
		if (token != WJB_KEY && token != WJB_ELEM)
			continue;
		if (token == WJB_KEY)
			(void) JsonbIteratorNext(&it, &found, true);
		if (name.type != jbvString ||
			!reader(arg, tenancy_jsonb_scalar(&name), token == WJB_KEY ? &found : NULL))
			return false;
	}
	return true;
}

/* Adds a name to a list of names, each once. */
static bool
add_name(void *arg, char *name, const JsonbValue *value)
{
	List **list = arg;

	if (tenancy_has_string(*list, name))
		return false;
	*list = lappend(*list, name);
	return true;
}

/* engine */
static bool
parse_engine(SearchRequest *request, const JsonbValue *value)
{
	if (is_string(value, "auto"))
		request->engine = ENGINE_AUTO;
	else if (is_string(value, "server"))
		request->engine = ENGINE_SERVER;
	else if (is_string(value, "postgresql"))
		request->engine = ENGINE_POSTGRESQL;
	else
		return false;
	return true;
}

/* True if two names, of which NULL is the score, are the same. */
static bool
same_name(const char *one, const char *other)
{
	return one == NULL || other == NULL ? one == other : strcmp(one, other) == 0;
}

/* Adds a sort criterion, each once: the SQL after a cursor grows with the square of their number. */
static bool
add_sort(SearchRequest *request, char *name, bool descending)
{
	SearchSort *sort = palloc0(sizeof(SearchSort));
	ListCell   *lc;

	foreach (lc, request->sort)
		if (same_name(((SearchSort *) lfirst(lc))->name, name))
			return false;
	sort->name = name;
	sort->descending = descending;
	request->sort = lappend(request->sort, sort);
	return true;
}

/* Cuts a word off the end of a name. */
static bool
cut_word(char *name, const char *word)
{
	int length = (int) strlen(name) - (int) strlen(word);

	if (length <= 0 || strcmp(name + length, word) != 0)
		return false;
	name[length] = '\0';
	return true;
}

/* Reads a sort criterion that is one word, or a column with a direction after it. */
static bool
parse_sort_text(SearchRequest *request, char *text)
{
	if (strcmp(text, "relevance") == 0)
		return add_sort(request, NULL, true);
	if (strcmp(text, "newest") == 0)
		return add_sort(request, pstrdup("created_at"), true);
	if (strcmp(text, "oldest") == 0)
		return add_sort(request, pstrdup("created_at"), false);
	if (cut_word(text, " desc"))
		return add_sort(request, text, true);
	(void) cut_word(text, " asc");
	return add_sort(request, text, false);
}

/* Reads a sort criterion. */
static bool
add_sort_element(void *arg, char *name, const JsonbValue *value)
{
	if (value == NULL)
		return parse_sort_text(arg, name);
	if (is_string(value, "desc"))
		return add_sort(arg, name, true);
	return is_string(value, "asc") && add_sort(arg, name, false);
}

/* cache */
static bool
parse_cache(SearchRequest *request, const JsonbValue *value)
{
	bool keep;

	if (!read_bool(value, &keep))
		return read_small(value, 1, TENANCY_READ_CACHE_TTL_MAX, &request->cache_ttl);
	request->cache_ttl = keep ? -1 : 0;
	return true;
}

/* sort; an array may have objects too, as an object's keys have no order. */
static bool
parse_sort(SearchRequest *request, const JsonbValue *value)
{
	JsonbContainer *array = array_of(value);

	if (object_of(value) != NULL && JsonContainerSize(object_of(value)) > 1)
		return false;
	if (array == NULL)
		return read_names(value, true, add_sort_element, request);
	if (JsonContainerSize(array) == 0 || JsonContainerSize(array) > SEARCH_NAMES_MAX)
		return false;
	for (int i = 0; i < JsonContainerSize(array); i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(array, i);

		if (array_of(element) != NULL || !parse_sort(request, element))
			return false;
	}
	return true;
}

/* after */
static bool
parse_after(SearchRequest *request, const JsonbValue *value)
{
	if (value->type != jbvString)
		return false;
	request->after_text = tenancy_jsonb_scalar(value);
	return true;
}

/* total */
static bool
parse_total(SearchRequest *request, const JsonbValue *value)
{
	bool exact;

	if (is_string(value, "exact"))
		request->total = SEARCH_TOTAL_EXACT;
	else if (read_bool(value, &exact))
		request->total = exact ? SEARCH_TOTAL_EXACT : SEARCH_TOTAL_NONE;
	else
		return read_integer(value, 1, PG_INT32_MAX, &request->total);
	return true;
}

/* Reads a tag. */
static bool
read_tag(const JsonbValue *value, char **tag)
{
	if (value->type != jbvString || value->val.string.len > TAG_MAX)
		return false;
	*tag = tenancy_jsonb_scalar(value);
	return true;
}

/* Reads one setting of highlighting. */
static bool
read_highlight_setting(void *arg, char *name, const JsonbValue *value)
{
	SearchHighlight *highlight = arg;

	if (strcmp(name, "fields") == 0)
		return read_names(value, false, add_name, &highlight->fields);
	if (strcmp(name, "pre_tag") == 0)
		return read_tag(value, &highlight->pre_tag);
	if (strcmp(name, "post_tag") == 0)
		return read_tag(value, &highlight->post_tag);
	if (strcmp(name, "fragments") == 0)
		return read_small(value, 0, FRAGMENTS_MAX, &highlight->fragments);
	if (strcmp(name, "fragment_size") == 0)
		return read_small(value, 10, FRAGMENT_SIZE_MAX, &highlight->fragment_size);
	return false;
}

/* highlight */
static bool
parse_highlight(SearchRequest *request, const JsonbValue *value)
{
	SearchHighlight *highlight = palloc0(sizeof(SearchHighlight));
	bool			 wanted;

	highlight->pre_tag = pstrdup("<em>");
	highlight->post_tag = pstrdup("</em>");
	highlight->fragments = 3;
	highlight->fragment_size = 150;
	if (read_bool(value, &wanted))
	{
		request->highlight = wanted ? highlight : NULL;
		return true;
	}
	request->highlight = highlight;
	if (object_of(value) != NULL)
		return read_names(value, true, read_highlight_setting, highlight);
	return read_names(value, false, add_name, &highlight->fields);
}

/* Adds a facet: "name", "name": size or "name": {"size": size}. */
static bool
add_facet(void *arg, char *name, const JsonbValue *value)
{
	SearchRequest	*request = arg;
	SearchFacetWish *facet = palloc0(sizeof(SearchFacetWish));
	JsonbContainer	*object = value ? object_of(value) : NULL;
	JsonbValue		 size;
	ListCell		*lc;

	foreach (lc, request->facets)
		if (strcmp(((SearchFacetWish *) lfirst(lc))->name, name) == 0)
			return false;
	facet->name = name;
	facet->size = FACET_SIZE;
	request->facets = lappend(request->facets, facet);
	if (object != NULL)
	{
		if (JsonContainerSize(object) != 1 || !tenancy_jsonb_field(object, "size", &size))
			return false;
		value = &size;
	}
	return value == NULL || read_small(value, 1, SEARCH_FACET_SIZE_MAX, &facet->size);
}

/* facets */
static bool
parse_facets(SearchRequest *request, const JsonbValue *value)
{
	return read_names(value, true, add_facet, request);
}

/* Adds a field to look into: "name", or "name": boost. */
static bool
add_field(void *arg, char *name, const JsonbValue *value)
{
	SearchRequest *request = arg;
	SearchField	  *field = palloc0(sizeof(SearchField));
	ListCell	  *lc;

	foreach (lc, request->fields)
		if (strcmp(((SearchField *) lfirst(lc))->name, name) == 0)
			return false;
	field->name = name;
	field->boost = pstrdup("1");
	request->fields = lappend(request->fields, field);
	return value == NULL || read_positive(value, BOOST_MAX, &field->boost);
}

/* fields */
static bool
parse_fields(SearchRequest *request, const JsonbValue *value)
{
	return read_names(value, true, add_field, request);
}

/* min_score */
static bool
parse_min_score(SearchRequest *request, const JsonbValue *value)
{
	return read_positive(value, 1e30, &request->min_score);
}

/* source */
static bool
parse_source(SearchRequest *request, const JsonbValue *value)
{
	bool wanted;

	if (!read_bool(value, &wanted))
		return read_names(value, false, add_name, &request->source);
	request->no_source = !wanted;
	return true;
}

/* fuzzy */
static bool
parse_fuzzy(SearchRequest *request, const JsonbValue *value)
{
	return read_bool(value, &request->fuzzy);
}

/* suggest */
static bool
parse_suggest(SearchRequest *request, const JsonbValue *value)
{
	return read_bool(value, &request->suggest);
}

/* hydrate */
static bool
parse_hydrate(SearchRequest *request, const JsonbValue *value)
{
	return read_bool(value, &request->hydrate);
}

/* Every option. */
static const struct
{
	const char	*name;
	OptionParser parse;
	const char	*allowed;
} known[] = {
	{"after", parse_after, "\"next\" of an answer"},
	{"cache", parse_cache, "false, true, and seconds to keep the answer, from 1 to 86400"},
	{"engine", parse_engine, "\"auto\", \"server\" and \"postgresql\""},
	{"facets", parse_facets,
	 "columns, or an object of columns with the number of values of each, from 1 to 1000"},
	{"fields", parse_fields,
	 "columns, or an object of columns with the weight of each, above 0 and at most 1000"},
	{"fuzzy", parse_fuzzy, "true and false"},
	{"highlight", parse_highlight,
	 "true, false, columns, or an object with fields, pre_tag, post_tag, fragments (0 to 100) and "
	 "fragment_size (10 to 100000)"},
	{"hydrate", parse_hydrate, "true and false"},
	{"min_score", parse_min_score, "numbers above 0"},
	{"sort", parse_sort,
	 "\"relevance\", \"newest\", \"oldest\", a column with \"asc\" or \"desc\", and arrays of "
	 "these, each column once"},
	{"source", parse_source, "true, false and columns"},
	{"suggest", parse_suggest, "true and false"},
	{"total", parse_total, "\"exact\", false, and the number up to which to count"},
};

/* Names of all options. */
static char *
option_names(void)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < lengthof(known); i++)
		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "", known[i].name);
	return names.data;
}

/* Reads one option. */
static void
parse_option(SearchRequest *request, const char *name, const JsonbValue *value)
{
	for (int i = 0; i < lengthof(known); i++)
	{
		if (strcmp(name, known[i].name) != 0)
			continue;
		if (value->type != jbvNull && !known[i].parse(request, value))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("invalid value for search option \"%s\"", name),
							errhint("Allowed are %s.", known[i].allowed)));
		return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unknown search option \"%s\"", name),
			 errhint("The options are %s.", option_names())));
}

/* Reads options. */
void
search_options_parse(SearchRequest *request, Jsonb *options)
{
	JsonbIterator *it = search_open_object(options, "options");
	char		  *name;
	JsonbValue	   value;

	while (tenancy_jsonb_next(&it, &name, &value))
		parse_option(request, name, &value);
}
