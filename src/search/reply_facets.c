/*
 * reply_facets.c
 *		The counted values in the server's reply.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "common/jsonb.h"
#include "search/reply.h"

/* Reads a bucket's value; of a date and a boolean the text says more than the number. */
static bool
parse_value(JsonbContainer *object, JsonbValue *value)
{
	char *text = tenancy_jsonb_string(object, "key_as_string");

	if (!tenancy_jsonb_field(object, "key", value) ||
		(value->type != jbvString && value->type != jbvNumeric))
		return false;
	if (text == NULL || value->type != jbvNumeric)
		return true;
	if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
	{
		value->type = jbvBool;
		value->val.boolean = text[0] == 't';
		return true;
	}
	value->type = jbvString;
	value->val.string.val = text;
	value->val.string.len = strlen(text);
	return true;
}

/* Reads a bucket. */
static SearchBucket *
parse_bucket(const JsonbValue *element)
{
	SearchBucket *bucket = palloc0(sizeof(SearchBucket));

	if (element->type != jbvBinary || !parse_value(element->val.binary.data, &bucket->value) ||
		!reply_count(element->val.binary.data, "doc_count", &bucket->count))
		return NULL;
	return bucket;
}

/* Reads the values of a facet. */
static SearchFacet *
parse_facet(JsonbContainer *values, const SearchFacetWish *wish)
{
	SearchFacet	   *facet = palloc0(sizeof(SearchFacet));
	JsonbContainer *list = tenancy_jsonb_array(values, "buckets");

	facet->name = wish->name;
	if (list == NULL || JsonContainerSize(list) > wish->size ||
		!reply_count(values, "sum_other_doc_count", &facet->other))
		return NULL;
	for (int i = 0; i < JsonContainerSize(list); i++)
	{
		SearchBucket *bucket = parse_bucket(getIthJsonbValueFromContainer(list, i));

		CHECK_FOR_INTERRUPTS();
		if (bucket == NULL)
			return NULL;
		facet->buckets = lappend(facet->buckets, bucket);
	}
	return facet;
}

/* Reads all facets that were asked for. */
bool
reply_parse_facets(JsonbContainer *root, const SearchRequest *request, SearchResult *result)
{
	JsonbContainer *counted = tenancy_jsonb_object(root, "aggregations");
	ListCell	   *lc;

	foreach (lc, request->facets)
	{
		char		   *name = psprintf("f%d", foreach_current_index(lc));
		JsonbContainer *one = tenancy_jsonb_object(counted, name);
		SearchFacet	   *facet = parse_facet(tenancy_jsonb_object(one, "values"), lfirst(lc));

		if (facet == NULL)
			return false;
		result->facets = lappend(result->facets, facet);
	}
	return true;
}
