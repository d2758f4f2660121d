/*
 * body_facets.c
 *		Counting the values of columns.
 *
 * A filter by a facet's own column does not restrict that facet, so that further values
 * can be chosen beside those that are: such filters come after the counting
 * (post_filter), and each facet counts with those of the other facets.
 */
#include "postgres.h"

#include "search/body.h"

#define SHARD_SIZE_MORE 100 /* values that a shard names beyond those wanted, for right counts */

/* True if the values of a column are counted. */
bool
body_is_facet(const SearchRequest *request, const char *name)
{
	ListCell *lc;

	foreach (lc, request->facets)
		if (strcmp(((SearchFacetWish *) lfirst(lc))->name, name) == 0)
			return true;
	return false;
}

/* Appends the filters by facets' columns, but for one. */
static void
append_facet_filters(json_t *list, const SearchTarget *target, const SearchRequest *request,
					 const char *but)
{
	ListCell *lc;

	foreach (lc, request->filters)
	{
		SearchFilter *filter = lfirst(lc);

		if (body_is_facet(request, filter->name) && (but == NULL || strcmp(but, filter->name) != 0))
			body_append_filter(list, target, filter);
	}
}

/* Most frequent values first, then by value. */
static void
put_order(json_t *terms)
{
	json_t *order = body_put_array(terms, "order");

	body_put_text(body_append(order, body_object()), "_count", "desc");
	body_put_text(body_append(order, body_object()), "_key", "asc");
}

/* One facet. */
static void
put_facet(json_t *aggregations, int n, const SearchTarget *target, const SearchRequest *request,
		  const SearchFacetWish *facet)
{
	json_t *counted = body_put_object(aggregations, psprintf("f%d", n));
	json_t *boolean = body_put_object(body_put_object(counted, "filter"), "bool");
	json_t *terms;

	append_facet_filters(body_put_array(boolean, "filter"), target, request, facet->name);
	terms = body_put_object(body_put_object(body_put_object(counted, "aggs"), "values"), "terms");
	body_put_text(terms, "field", search_sort_property(target, facet->name));
	body_put(terms, "size", json_integer(facet->size));
	body_put(terms, "shard_size", json_integer(facet->size * 2 + SHARD_SIZE_MORE));
	put_order(terms);
}

/* All facets, and the filters that come after them. */
void
body_put_facets(json_t *root, const SearchTarget *target, const SearchRequest *request)
{
	json_t	 *boolean = body_put_object(body_put_object(root, "post_filter"), "bool");
	json_t	 *aggregations = body_put_object(root, "aggs");
	ListCell *lc;

	append_facet_filters(body_put_array(boolean, "filter"), target, request, NULL);
	foreach (lc, request->facets)
		put_facet(aggregations, foreach_current_index(lc), target, request, lfirst(lc));
}
