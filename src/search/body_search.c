/*
 * body_search.c
 *		The body of a _search request.
 */
#include "postgres.h"

#include "common/jsonb.h"
#include "search/body.h"
#include "search/did_you_mean.h"
#include "search/product.h"

/* The query: words that score, filters that do not. */
static void
put_query(json_t *root, const SearchTarget *target, const SearchRequest *request)
{
	json_t	 *boolean = body_put_object(body_put_object(root, "query"), "bool");
	json_t	 *must = body_append(body_put_array(boolean, "must"), body_object());
	json_t	 *filters;
	ListCell *lc;

	if (request->query == NULL)
		body_put_object(must, "match_all");
	else
		body_put_words(must, target, request);
	filters = body_put_array(boolean, "filter");
	foreach (lc, request->filters)
		if (!body_is_facet(request, ((SearchFilter *) lfirst(lc))->name))
			body_append_filter(filters, target, lfirst(lc));
}

/* Adds a sort criterion. */
static void
append_sort(json_t *sort, const char *field, bool descending, const char *type)
{
	json_t *criterion = body_put_object(body_append(sort, body_object()), body_utf8(field));

	body_put_text(criterion, "order", descending ? "desc" : "asc");
	if (type == NULL)
		return;
	body_put_text(criterion, "missing", "_last");
	/* An index whose mapping is older than the registry's has no such field. */
	body_put_text(criterion, "unmapped_type", product_plain_type(type));
	/* A cursor's nanoseconds would be read as milliseconds. */
	if (strcmp(type, "date_nanos") == 0)
		body_put_text(criterion, "numeric_type", "date");
}

/* Adds a column as a sort criterion, if it orders. */
static void
append_column(json_t *sort, const SearchTarget *target, const char *name, bool descending)
{
	char *field = search_sort_property(target, name);
	char *type = tenancy_jsonb_string(tenancy_jsonb_object(target->properties, name), "type");

	if (field != NULL)
		append_sort(sort, field, descending, strcmp(field, name) == 0 ? type : "keyword");
}

/* The order: what was asked for, then the key, so that pages do not overlap. */
static void
put_sort(json_t *root, const SearchTarget *target, const SearchRequest *request)
{
	json_t	 *sort = body_put_array(root, "sort");
	ListCell *lc;

	foreach (lc, request->sort)
	{
		SearchSort *by = lfirst(lc);

		if (by->name == NULL)
			append_sort(sort, "_score", by->descending, NULL);
		else
			append_column(sort, target, by->name, by->descending);
	}
	foreach (lc, target->key_columns)
		append_column(sort, target, lfirst(lc), false);
}

/* Which results: a page by its number, or those after a cursor. */
static void
put_page(json_t *root, const SearchRequest *request)
{
	json_t *after;

	body_put(root, "size", json_integer(request->page_size));
	if (request->after == NULL)
	{
		body_put(root, "from", json_integer((json_int_t) (request->page - 1) * request->page_size));
		return;
	}
	after = body_put_array(root, "search_after");
	for (int i = 0; i < request->after->nvalues; i++)
		body_append(after, body_scalar(&request->after->values[i]));
}

/* How far to count. */
static void
put_total(json_t *root, const SearchRequest *request)
{
	if (request->total == SEARCH_TOTAL_EXACT || request->total == SEARCH_TOTAL_NONE)
		body_put(root, "track_total_hits", json_boolean(request->total == SEARCH_TOTAL_EXACT));
	else
		body_put(root, "track_total_hits", json_integer(request->total));
}

/* What of the documents is wanted; rows come from the table. */
static void
put_source(json_t *root, const SearchTarget *target, const SearchRequest *request)
{
	bool	  none = request->no_source || request->hydrate;
	json_t	 *names;
	ListCell *lc;

	if (!none && request->source == NIL)
		return;
	if (none && !target->shared)
	{
		body_put(root, "_source", json_false());
		return;
	}
	names = body_put_array(body_put_object(root, "_source"), "includes");
	/* It tells whose the document is, and its id. */
	if (target->shared)
		body_append(names, json_string(BODY_TENANCY));
	foreach (lc, request->source)
		if (!none)
			body_append(names, body_string(lfirst(lc)));
}

/* Names of the columns that are highlighted. */
static List *
highlighted(const SearchTarget *target, const SearchRequest *request)
{
	List	 *names = NIL;
	ListCell *lc;

	if (request->highlight->fields != NIL)
		return request->highlight->fields;
	foreach (lc, body_fields(target, request))
		names = lappend(names, ((SearchField *) lfirst(lc))->name);
	return names;
}

/* Highlighting of the query's words, and not of what the filters ask for. */
static void
put_highlight(json_t *root, const SearchTarget *target, const SearchRequest *request)
{
	const SearchHighlight *wish = request->highlight;
	json_t				  *highlight = body_put_object(root, "highlight");
	const char			  *limit = product_highlight_limit();
	json_t				  *fields;
	ListCell			  *lc;

	body_put_text(highlight, "type", "unified");
	body_put_text(highlight, "encoder", "html");
	body_append(body_put_array(highlight, "pre_tags"), body_string(wish->pre_tag));
	body_append(body_put_array(highlight, "post_tags"), body_string(wish->post_tag));
	body_put(highlight, "number_of_fragments", json_integer(wish->fragments));
	body_put(highlight, "fragment_size", json_integer(wish->fragment_size));
	body_put_text(highlight, "order", "score");
	if (limit != NULL)
		body_put(highlight, limit, json_integer(PRODUCT_HIGHLIGHT_MAX));
	body_put_words(body_put_object(highlight, "highlight_query"), target, request);
	fields = body_put_object(highlight, "fields");
	foreach (lc, highlighted(target, request))
		body_put_object(fields, body_utf8(lfirst(lc)));
}

/* Fills the body of a search. */
void
body_fill_search(json_t *root, const SearchTarget *target, const void *arg)
{
	const SearchRequest *request = arg;

	put_query(root, target, request);
	put_sort(root, target, request);
	put_page(root, request);
	put_total(root, request);
	put_source(root, target, request);
	body_put(root, "track_scores", json_true());
	if (request->min_score != NULL)
		body_put(root, "min_score", body_number(request->min_score));
	if (request->highlight != NULL && request->query != NULL)
		put_highlight(root, target, request);
	if (request->facets != NIL)
		body_put_facets(root, target, request);
	if (request->suggest && request->query != NULL)
		did_you_mean_put(root, target, request);
}
