/*
 * filters.c
 *		The filters of tenant_search as the caller wrote them.
 *
 * {"column": filter}: a value, null, an array of values, or an object with gt, gte, lt,
 * lte, exists and not, of which all must hold.
 */
#include "postgres.h"

#include "common/jsonb.h"
#include "search/request.h"

#define BOUNDS_MAX 4 /* gt, gte, lt, lte: an object has each name once */

/* Refuses a filter for its name or what it asks for. */
static void
refuse_filter(const char *name, const char *why)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("cannot filter by \"%s\"", name), errdetail_internal("%s", why),
					errhint("A filter is a value, null, an array of values, or an object with gt, "
							"gte, lt, lte, exists or not.")));
}

/* Starts a filter. */
static SearchFilter *
new_filter(const char *name, FilterKind kind, int nvalues)
{
	SearchFilter *filter = palloc0(sizeof(SearchFilter));

	filter->name = pstrdup(name);
	filter->kind = kind;
	filter->values = palloc0(sizeof(char *) * Max(nvalues, 1));
	filter->operators = palloc0(sizeof(char *) * Max(nvalues, 1));
	return filter;
}

/* Reads a filter that lists values. */
static SearchFilter *
parse_any(const char *name, JsonbContainer *array)
{
	int			  count = JsonContainerSize(array);
	SearchFilter *filter;

	if (count > SEARCH_FILTER_VALUES_MAX)
		refuse_filter(name, psprintf("It lists more than %d values.", SEARCH_FILTER_VALUES_MAX));
	filter = new_filter(name, FILTER_ANY, count);
	for (int i = 0; i < count; i++)
	{
		char *text = tenancy_jsonb_scalar(getIthJsonbValueFromContainer(array, i));

		if (text == NULL)
			refuse_filter(name, "Its array holds a null, an array or an object.");
		filter->values[filter->nvalues++] = text;
	}
	return filter;
}

/* True for a word that makes a range. */
static bool
is_bound(const char *word)
{
	return strcmp(word, "gt") == 0 || strcmp(word, "gte") == 0 || strcmp(word, "lt") == 0 ||
		   strcmp(word, "lte") == 0;
}

/* Adds one bound to a range. */
static void
add_bound(SearchFilter *range, char *word, const JsonbValue *value)
{
	if (value->type != jbvString && value->type != jbvNumeric)
		refuse_filter(range->name, "A bound must be a number or a string.");
	range->operators[range->nvalues] = word;
	range->values[range->nvalues++] = tenancy_jsonb_scalar(value);
}

/* Reads what stands for itself: a value, null or a list. */
static SearchFilter *
parse_simple(const char *name, const JsonbValue *value)
{
	SearchFilter *filter;

	if (value->type == jbvBinary)
		return parse_any(name, value->val.binary.data);
	filter = new_filter(name, value->type == jbvNull ? FILTER_EXISTS : FILTER_VALUE, 1);
	filter->negated = value->type == jbvNull;
	if (filter->kind == FILTER_VALUE)
		filter->values[filter->nvalues++] = tenancy_jsonb_scalar(value);
	return filter;
}

/* Reads exists. */
static SearchFilter *
parse_exists(const char *name, const JsonbValue *value)
{
	SearchFilter *filter = new_filter(name, FILTER_EXISTS, 0);

	if (value->type != jbvBool)
		refuse_filter(name, "\"exists\" must be true or false.");
	filter->negated = !value->val.boolean;
	return filter;
}

/* Reads an object of bounds and nothing else. */
static SearchFilter *
parse_range(const char *name, JsonbContainer *object)
{
	SearchFilter  *range = new_filter(name, FILTER_RANGE, BOUNDS_MAX);
	JsonbIterator *it = JsonbIteratorInit(object);
	char		  *word;
	JsonbValue	   value;

	while (tenancy_jsonb_next(&it, &word, &value))
	{
		if (!is_bound(word))
			refuse_filter(name, psprintf("\"%s\" is none of gt, gte, lt, lte.", word));
		add_bound(range, word, &value);
	}
	if (range->nvalues == 0)
		refuse_filter(name, "It has no bound.");
	return range;
}

/* Reads not. */
static SearchFilter *
parse_not(const char *name, const JsonbValue *value)
{
	SearchFilter *filter;

	if (value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data))
		filter = parse_range(name, value->val.binary.data);
	else
		filter = parse_simple(name, value);
	filter->negated = !filter->negated;
	return filter;
}

/* Reads an object of conditions. */
static List *
parse_conditions(List *list, const char *name, JsonbContainer *object)
{
	SearchFilter  *range = new_filter(name, FILTER_RANGE, BOUNDS_MAX);
	JsonbIterator *it = JsonbIteratorInit(object);
	char		  *word;
	JsonbValue	   value;

	if (JsonContainerSize(object) == 0)
		refuse_filter(name, "It has no condition.");
	while (tenancy_jsonb_next(&it, &word, &value))
	{
		if (is_bound(word))
			add_bound(range, word, &value);
		else if (strcmp(word, "exists") == 0)
			list = lappend(list, parse_exists(name, &value));
		else if (strcmp(word, "not") == 0)
			list = lappend(list, parse_not(name, &value));
		else
			refuse_filter(name, psprintf("\"%s\" is none of gt, gte, lt, lte, exists, not.", word));
	}
	return range->nvalues > 0 ? lappend(list, range) : list;
}

/* Reads what filters one column. */
static List *
parse_filter(List *list, const char *name, const JsonbValue *value)
{
	if (value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data))
		return parse_conditions(list, name, value->val.binary.data);
	return lappend(list, parse_simple(name, value));
}

/* Reads filters. */
List *
search_filters_parse(Jsonb *filters)
{
	JsonbIterator *it = search_open_object(filters, "filters");
	char		  *name;
	JsonbValue	   value;
	List		  *list = NIL;

	while (tenancy_jsonb_next(&it, &name, &value))
		list = parse_filter(list, name, &value);
	return list;
}
