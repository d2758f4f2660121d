/*
 * check.c
 *		A request against the mapping: what is refused does not depend on which engine answers.
 */
#include "postgres.h"

#include "access/table.h"
#include "utils/lsyscache.h"

#include "common/errors.h"
#include "common/jsonb.h"
#include "search/search.h"

/* Kinds of properties. */
static const char *const word_types[] = {
	"text", "keyword", "search_as_you_type", "match_only_text", "wildcard", NULL};
static const char *const ordered_types[] = {
	"keyword", "constant_keyword", "boolean", "ip",			"date",			"date_nanos", "byte",
	"short",   "integer",		   "long",	  "half_float", "scaled_float", "float",	  "double",
	"version", "unsigned_long",	   NULL};
static const char *const termless_types[] = {
	"text", "nested", "object", "search_as_you_type", "match_only_text", "completion", NULL};

/* True if a list has a type. */
static bool
is_one_of(const char *const *types, const char *type)
{
	for (; *types != NULL; types++)
		if (strcmp(*types, type) == 0)
			return true;
	return false;
}

/* True if a property does not have something switched off. */
static bool
has(JsonbContainer *property, const char *what)
{
	JsonbValue value;

	return !tenancy_jsonb_field(property, what, &value) || value.type != jbvBool ||
		   value.val.boolean;
}

/* True for a property whose whole value is one term. */
static bool
is_term(JsonbContainer *property)
{
	char *type = tenancy_jsonb_string(property, "type");

	return type != NULL && !is_one_of(termless_types, type) && has(property, "index");
}

/* True for a property that orders and counts. */
static bool
is_ordered(JsonbContainer *property)
{
	char *type = tenancy_jsonb_string(property, "type");

	return type != NULL && is_one_of(ordered_types, type) && has(property, "doc_values");
}

/* Finds a property, else the first of its fields, that is as wanted. */
static char *
find_property(const SearchTarget *target, const char *name, bool (*wanted)(JsonbContainer *))
{
	JsonbContainer *property = tenancy_jsonb_object(target->properties, name);
	JsonbContainer *fields = tenancy_jsonb_object(property, "fields");
	JsonbIterator  *it;
	char		   *field;
	JsonbValue		value;

	if (wanted(property))
		return pstrdup(name);
	if (fields == NULL)
		return NULL;
	it = JsonbIteratorInit(fields);
	while (tenancy_jsonb_next(&it, &field, &value))
		if (wanted(tenancy_jsonb_object(fields, field)))
			return psprintf("%s.%s", name, field);
	return NULL;
}

/* The property, or its part, that holds a column's value as one term. */
char *
search_term_property(const SearchTarget *target, const char *name)
{
	return find_property(target, name, is_term);
}

/* The property, or its part, that orders and counts. */
char *
search_sort_property(const SearchTarget *target, const char *name)
{
	return find_property(target, name, is_ordered);
}

/* Refuses a filter that the mapping cannot answer. */
static void
check_filter(const SearchTarget *target, const SearchFilter *filter)
{
	if (search_term_property(target, filter->name) == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("cannot filter by \"%s\"", filter->name),
						errhint("Filters need a property of the mapping that is not of the type "
								"text, nested or object, or has a field of another type.")));
}

/* Refuses a sort criterion that the mapping cannot answer. */
static void
check_sort(const SearchTarget *target, const SearchRequest *request, const SearchSort *sort)
{
	if (sort->name != NULL && search_sort_property(target, sort->name) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot sort index type \"%s\" by \"%s\"", request->index_type, sort->name),
				 errdetail("Its mapping has no such property that orders.")));
}

/* Refuses a facet that the mapping cannot answer. */
static void
check_facet(const SearchTarget *target, const SearchFacetWish *facet)
{
	if (search_sort_property(target, facet->name) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot count the values of \"%s\"", facet->name),
				 errdetail("The mapping has no such property of a keyword, number or date.")));
}

/* Refuses a field that holds no words. */
static void
check_words(const SearchTarget *target, const char *name, const char *option)
{
	JsonbContainer *property = tenancy_jsonb_object(target->properties, name);
	char		   *type = tenancy_jsonb_string(property, "type");

	if (type == NULL || !is_one_of(word_types, type) || !has(property, "index") ||
		strpbrk(name, "*^") != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"%s\" cannot have \"%s\"", option, name),
						errdetail("The mapping has no such property that holds words.")));
}

/* Refuses fields of the answer that are neither in the mapping nor in the table. */
void
search_check_source(const SearchTarget *target, const SearchRequest *request)
{
	ListCell *lc;

	foreach (lc, request->source)
	{
		const char *name = lfirst(lc);

		if (strchr(name, '*') == NULL && (tenancy_jsonb_object(target->properties, name) != NULL ||
										  get_attnum(target->relid, name) > 0))
			continue;
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"%s\" cannot have \"%s\"", "source", name),
						errdetail("Neither the mapping nor the table has it.")));
	}
}

/* Refuses what the mapping cannot answer, whether or not the server is there to say so. */
void
search_check_request(const SearchTarget *target, const SearchRequest *request)
{
	ListCell *lc;

	foreach (lc, request->filters)
		check_filter(target, lfirst(lc));
	foreach (lc, request->sort)
		check_sort(target, request, lfirst(lc));
	foreach (lc, request->facets)
		check_facet(target, lfirst(lc));
	foreach (lc, request->fields)
		check_words(target, ((SearchField *) lfirst(lc))->name, "fields");
	if (request->highlight != NULL)
		foreach (lc, request->highlight->fields)
			check_words(target, lfirst(lc), "highlight");
	search_check_source(target, request);
}

/* Complains that PostgreSQL cannot take the server's place: the table lacks what the mapping has. */
static void
check_column(const SearchTarget *target, const char *name, const char *fallback)
{
	if (name == NULL || get_attnum(target->relid, name) > 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_TENANCY_SEARCH_UNAVAILABLE),
			 errmsg("could not search on the server: %s", fallback),
			 errdetail("PostgreSQL cannot answer instead: the table has no column \"%s\".", name)));
}

/* Refuses to have PostgreSQL answer in place of the server where fields are no columns. */
void
search_check_fallback(const SearchTarget *target, const SearchRequest *request,
					  const char *fallback)
{
	ListCell *lc;

	foreach (lc, request->filters)
		check_column(target, ((SearchFilter *) lfirst(lc))->name, fallback);
	foreach (lc, request->sort)
		check_column(target, ((SearchSort *) lfirst(lc))->name, fallback);
	foreach (lc, request->facets)
		check_column(target, ((SearchFacetWish *) lfirst(lc))->name, fallback);
	foreach (lc, request->fields)
		check_column(target, ((SearchField *) lfirst(lc))->name, fallback);
	if (request->highlight != NULL)
		foreach (lc, request->highlight->fields)
			check_column(target, lfirst(lc), fallback);
}
