/*
 * request.c
 *		The filters and options of tenant_search as the caller wrote them.
 */
#include "postgres.h"

#include "common/jsonb.h"
#include "search/search.h"

/* Refuses a filter for its name or what it asks for. */
static void
refuse_filter(const char *name, const char *why)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("cannot filter by \"%s\"", name), errdetail_internal("%s", why),
					errhint("A filter is a value, an array of values, or an object with gt, gte, "
							"lt or lte.")));
}

/* Reads a filter that lists values. */
static void
parse_any(SearchFilter *filter, JsonbContainer *array)
{
	int count = JsonContainerSize(array);

	if (count > SEARCH_FILTER_VALUES_MAX)
		refuse_filter(filter->name,
					  psprintf("It lists more than %d values.", SEARCH_FILTER_VALUES_MAX));
	filter->kind = FILTER_ANY;
	filter->values = palloc(sizeof(char *) * Max(count, 1));
	for (int i = 0; i < count; i++)
	{
		char *text = tenancy_jsonb_scalar(getIthJsonbValueFromContainer(array, i));

		if (text == NULL)
			refuse_filter(filter->name, "Its array holds a null, an array or an object.");
		filter->values[filter->nvalues++] = text;
	}
}

/* Adds one bound of a range. */
static void
parse_bound(SearchFilter *filter, char *operator, const JsonbValue * value)
{
	if (strcmp(operator, "gt") != 0 && strcmp(operator, "gte") != 0 &&
		strcmp(operator, "lt") != 0 && strcmp(operator, "lte") != 0)
		refuse_filter(filter->name, psprintf("\"%s\" is none of gt, gte, lt, lte.", operator));
	if (value->type != jbvString && value->type != jbvNumeric)
		refuse_filter(filter->name, "A bound must be a number or a string.");
	filter->operators[filter->nvalues] = operator;
	filter->values[filter->nvalues++] = tenancy_jsonb_scalar(value);
}

/* Reads a filter that is a range. */
static void
parse_range(SearchFilter *filter, JsonbContainer *object)
{
	int				   count = JsonContainerSize(object);
	JsonbIterator	  *it = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue		   key;
	JsonbValue		   value;

	if (count == 0)
		refuse_filter(filter->name, "It has no bound.");
	filter->kind = FILTER_RANGE;
	filter->values = palloc(sizeof(char *) * count);
	filter->operators = palloc(sizeof(char *) * count);
	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&it, &value, true);
		parse_bound(filter, pnstrdup(key.val.string.val, key.val.string.len), &value);
	}
}

/* Reads one filter. */
static SearchFilter *
parse_filter(const JsonbValue *key, JsonbValue *value)
{
	SearchFilter *filter = palloc0(sizeof(SearchFilter));

	filter->name = pnstrdup(key->val.string.val, key->val.string.len);
	if (value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data))
		parse_any(filter, value->val.binary.data);
	else if (value->type == jbvBinary)
		parse_range(filter, value->val.binary.data);
	else if (value->type == jbvNull)
		refuse_filter(filter->name, "Its value is null.");
	else
	{
		filter->kind = FILTER_VALUE;
		filter->nvalues = 1;
		filter->values = palloc(sizeof(char *));
		filter->values[0] = tenancy_jsonb_scalar(value);
	}
	return filter;
}

/* Starts reading an argument that must be an object. */
static JsonbIterator *
open_object(Jsonb *argument, const char *name)
{
	if (!JB_ROOT_IS_OBJECT(argument))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must be a JSON object", name)));
	return JsonbIteratorInit(&argument->root);
}

/* Reads filters. */
static List *
parse_filters(Jsonb *filters)
{
	JsonbIterator	  *it = open_object(filters, "filters");
	JsonbIteratorToken token;
	JsonbValue		   key;
	JsonbValue		   value;
	List			  *list = NIL;

	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&it, &value, true);
		list = lappend(list, parse_filter(&key, &value));
	}
	return list;
}

/* Refuses an option's value. */
static void
refuse_option(const char *name, const char *allowed)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("invalid value for search option \"%s\"", name),
					errhint("Allowed are %s.", allowed)));
}

/* Reads one option; value is NULL if it is no string. */
static void
parse_option(SearchRequest *request, const char *name, const char *value)
{
	const char *given = value ? value : "";

	if (strcmp(name, "engine") == 0)
	{
		if (strcmp(given, "auto") == 0)
			request->engine = ENGINE_AUTO;
		else if (strcmp(given, "server") == 0)
			request->engine = ENGINE_SERVER;
		else if (strcmp(given, "postgresql") == 0)
			request->engine = ENGINE_POSTGRESQL;
		else
			refuse_option(name, "\"auto\", \"server\" and \"postgresql\"");
	}
	else if (strcmp(name, "sort") == 0)
	{
		request->newest_first = strcmp(given, "newest") == 0;
		if (!request->newest_first && strcmp(given, "relevance") != 0)
			refuse_option(name, "\"relevance\" and \"newest\"");
	}
	else
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("unknown search option \"%s\"", name),
						errhint("The options are engine and sort.")));
}

/* Reads options. */
static void
parse_options(SearchRequest *request, Jsonb *options)
{
	JsonbIterator	  *it = open_object(options, "options");
	JsonbIteratorToken token;
	JsonbValue		   key;
	JsonbValue		   value;

	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&it, &value, true);
		parse_option(request, pnstrdup(key.val.string.val, key.val.string.len),
					 value.type == jbvString ? tenancy_jsonb_scalar(&value) : NULL);
	}
}

/* Refuses pages that a search server does not serve. */
static void
check_page(const SearchRequest *request)
{
	if (request->page < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("page must be at least 1")));
	if (request->page_size < 1 || request->page_size > SEARCH_PAGE_SIZE_MAX)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("page_size must be between 1 and %d", SEARCH_PAGE_SIZE_MAX)));
	if ((int64) request->page * request->page_size > SEARCH_WINDOW_MAX)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("cannot show results after the first %d", SEARCH_WINDOW_MAX),
						errhint("Narrow the search by filters.")));
}

/* Checks and fills a request whose query, index_type, page and page_size are set. */
void
search_request_parse(SearchRequest *request, Jsonb *filters, Jsonb *options)
{
	check_page(request);
	if (filters != NULL)
		request->filters = parse_filters(filters);
	if (options != NULL)
		parse_options(request, options);
}
