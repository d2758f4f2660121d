/*
 * body_query.c
 *		What a document must be like to be found: words and filters.
 *
 * multi_match takes plain text.  Filter values are sent as text too, which the server
 * reads as the type of the field without the loss of a detour through double.
 */
#include "postgres.h"

#include "common/jsonb.h"
#include "search/body.h"

#define FUZZY_PREFIX 1
#define FUZZY_EXPANSIONS 50

/* Adds a field to look into. */
static List *
add_field(List *fields, char *name, char *boost)
{
	SearchField *field = palloc0(sizeof(SearchField));

	field->name = name;
	field->boost = boost;
	return lappend(fields, field);
}

/* The fields that the mapping declares, as "name" or "name^boost". */
static List *
declared_fields(JsonbContainer *declared)
{
	List *fields = NIL;

	for (int i = 0; i < JsonContainerSize(declared); i++)
	{
		JsonbValue *value = getIthJsonbValueFromContainer(declared, i);
		char	   *name;
		char	   *boost;

		if (value->type != jbvString)
			continue;
		name = tenancy_jsonb_scalar(value);
		boost = strrchr(name, '^');
		if (boost != NULL)
			*boost++ = '\0';
		fields = add_field(fields, name, boost ? boost : pstrdup("1"));
	}
	return fields;
}

/* Where none are declared: every field that holds words. */
static List *
word_fields(JsonbContainer *properties)
{
	JsonbIterator *it = JsonbIteratorInit(properties);
	char		  *name;
	JsonbValue	   value;
	List		  *fields = NIL;

	while (tenancy_jsonb_next(&it, &name, &value))
	{
		char *type = tenancy_jsonb_string(tenancy_jsonb_object(properties, name), "type");
		if (type != NULL && (strcmp(type, "text") == 0 || strcmp(type, "keyword") == 0))
			fields = add_field(fields, name, pstrdup("1"));
	}
	return fields;
}

/* Columns that the query looks into: of SearchField; NIL: the server's choice. */
List *
body_fields(const SearchTarget *target, const SearchRequest *request)
{
	if (request->fields != NIL)
		return request->fields;
	if (target->search_fields != NULL)
		return declared_fields(target->search_fields);
	if (target->properties != NULL)
		return word_fields(target->properties);
	return NIL;
}

/* Says where the words are to be looked for. */
static void
put_fields(json_t *multi_match, const SearchTarget *target, const SearchRequest *request)
{
	List	 *fields = body_fields(target, request);
	json_t	 *list;
	ListCell *lc;

	if (fields == NIL)
		return;
	list = body_put_array(multi_match, "fields");
	foreach (lc, fields)
	{
		SearchField *field = lfirst(lc);

		body_append(list, body_string(psprintf("%s^%s", field->name, field->boost)));
	}
}

/* Makes a clause look for the query's words. */
void
body_put_words(json_t *clause, const SearchTarget *target, const SearchRequest *request)
{
	json_t *multi_match = body_put_object(clause, "multi_match");

	body_put_text(multi_match, "query", request->query);
	body_put_text(multi_match, "type", "best_fields");
	put_fields(multi_match, target, request);
	if (request->fuzzy)
	{
		body_put_text(multi_match, "fuzziness", "AUTO");
		body_put(multi_match, "prefix_length", json_integer(FUZZY_PREFIX));
		body_put(multi_match, "max_expansions", json_integer(FUZZY_EXPANSIONS));
	}
}

/* A list of values. */
static void
put_any(json_t *clause, const char *property, const SearchFilter *filter)
{
	json_t *values = body_put_array(body_put_object(clause, "terms"), property);

	for (int i = 0; i < filter->nvalues; i++)
		body_append(values, body_string(filter->values[i]));
}

/* Bounds. */
static void
put_range(json_t *clause, const char *property, const SearchFilter *filter)
{
	json_t *bounds = body_put_object(body_put_object(clause, "range"), property);

	for (int i = 0; i < filter->nvalues; i++)
		body_put_text(bounds, filter->operators[i], filter->values[i]);
}

/* Appends the clause of a filter. */
void
body_append_filter(json_t *list, const SearchTarget *target, const SearchFilter *filter)
{
	char   *property = body_utf8(search_term_property(target, filter->name));
	json_t *clause = body_append(list, body_object());

	if (filter->negated)
		clause =
			body_append(body_put_array(body_put_object(clause, "bool"), "must_not"), body_object());
	switch (filter->kind)
	{
		case FILTER_VALUE:
			body_put_text(body_put_object(clause, "term"), property, filter->values[0]);
			break;
		case FILTER_ANY:
			put_any(clause, property, filter);
			break;
		case FILTER_RANGE:
			put_range(clause, property, filter);
			break;
		case FILTER_EXISTS:
			body_put(body_put_object(clause, "exists"), "field", json_string(property));
			break;
	}
}
