/*
 * suggest_server.c
 *		Suggestions from the search server.
 *
 * An ordinary search whose matches' fields are looked at: the server's own suggesters know no
 * filter, and would show other tenants' words where an index is shared.  Terms of fields
 * that are one term are counted instead, if they can be, so that a frequent one does not crowd
 * out others.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "common/jsonb.h"
#include "search/client.h"
#include "search/product.h"
#include "search/reply.h"
#include "search/server.h"
#include "search/suggest.h"

#define BEGINS_BOOST "8" /* values that begin with the prefix come first */

/* The clause that a term begins with the prefix. */
static json_t *
begins_clause(json_t *clause, const char *term, const char *prefix)
{
	json_t *options = body_put_object(body_put_object(clause, "prefix"), body_utf8(term));

	body_put_text(options, "value", prefix);
	body_put(options, "case_insensitive", json_true());
	return options;
}

/* The clauses of a field that holds words. */
static void
append_words(json_t *should, const Suggest *suggest, const SuggestField *field)
{
	const char *name = body_utf8(field->plain ? field->plain : field->name);
	json_t	   *options;

	options = body_put_object(
		body_put_object(body_append(should, body_object()), "match_bool_prefix"), name);
	body_put_text(options, "query", suggest->prefix);
	body_put_text(options, "operator", "and");
	if (field->term != NULL)
		body_put(begins_clause(body_append(should, body_object()), field->term, suggest->prefix),
				 "boost", body_number(BEGINS_BOOST));
}

/* Name of the n-th field's aggregation: not every column's name may be one. */
static char *
terms_name(int n)
{
	return psprintf("f%d", n);
}

/* Counts the terms of a field that begin with the prefix; others of the same document come along. */
static void
put_terms(json_t *aggregations, int n, const Suggest *suggest, const SuggestField *field)
{
	json_t *aggregation = body_put_object(aggregations, terms_name(n));
	json_t *terms;

	begins_clause(body_put_object(aggregation, "filter"), field->name, suggest->prefix);
	terms =
		body_put_object(body_put_object(body_put_object(aggregation, "aggs"), "values"), "terms");
	body_put_text(terms, "field", field->name);
	body_put(terms, "size", json_integer(suggest_candidates(suggest)));
}

/* Has each text found once, where there is one field and it is known as one term too. */
static void
put_collapse(json_t *root, const Suggest *suggest)
{
	const SuggestField *field = linitial(suggest->fields);

	if (list_length(suggest->fields) == 1 && !field->whole && field->once)
		body_put_text(body_put_object(root, "collapse"), "field", field->term);
}

/* Fills the body. */
static void
fill(json_t *root, const SearchTarget *target, const void *arg)
{
	const Suggest *suggest = arg;
	json_t		  *boolean = body_put_object(body_put_object(root, "query"), "bool");
	json_t		  *filters = body_put_array(boolean, "filter");
	json_t		  *should = body_put_array(boolean, "should");
	json_t		  *source = body_put_array(root, "_source");
	json_t		  *aggregations = NULL;
	ListCell	  *lc;

	foreach (lc, suggest->request.filters)
		body_append_filter(filters, target, lfirst(lc));
	foreach (lc, suggest->fields)
	{
		const SuggestField *field = lfirst(lc);

		if (field->whole)
			(void) begins_clause(body_append(should, body_object()), field->name, suggest->prefix);
		else
			append_words(should, suggest, field);
		if (!field->counted)
			body_append(source, body_string(field->name));
		else if (aggregations == NULL)
			aggregations = body_put_object(root, "aggs");
		if (field->counted)
			put_terms(aggregations, foreach_current_index(lc), suggest, field);
	}
	put_collapse(root, suggest);
	body_put(boolean, "minimum_should_match", json_integer(1));
	body_put(root, "track_total_hits", json_false());
	body_put(root, "size",
			 json_integer(json_array_size(source) > 0 ? suggest_candidates(suggest) : 0));
	if (target->shared) /* it tells whose the document is */
		body_append(source, json_string(BODY_TENANCY));
}

/* Whose suggestions are being read. */
typedef struct Reading
{
	const SearchTarget *target;
	Suggest			   *suggest;
} Reading;

/* Takes the fields of a match; false: it is none of the tenant's. */
static bool
take_hit(const Reading *reading, JsonbContainer *hit)
{
	Suggest		   *suggest = reading->suggest;
	JsonbContainer *document = tenancy_jsonb_object(hit, "_source");
	char		   *id = tenancy_jsonb_string(hit, "_id");
	ListCell	   *lc;

	CHECK_FOR_INTERRUPTS();
	if (id == NULL || !reply_strip(reading->target, &id, &document))
		return false;
	foreach (lc, suggest->fields)
	{
		const SuggestField *field = lfirst(lc);
		JsonbValue			value;

		if (!field->counted && tenancy_jsonb_field(document, field->name, &value))
			suggest_take(suggest, field, &value);
	}
	return document != NULL;
}

/* Takes the terms of a field. */
static bool
take_terms(Suggest *suggest, int n, JsonbContainer *aggregations)
{
	const SuggestField *field = list_nth(suggest->fields, n);
	JsonbContainer	   *aggregation = tenancy_jsonb_object(aggregations, terms_name(n));
	JsonbContainer	   *buckets =
		tenancy_jsonb_array(tenancy_jsonb_object(aggregation, "values"), "buckets");

	for (int i = 0; buckets != NULL && i < JsonContainerSize(buckets); i++)
	{
		JsonbValue *bucket = getIthJsonbValueFromContainer(buckets, i);
		JsonbValue	key;

		if (bucket->type != jbvBinary || !tenancy_jsonb_field(bucket->val.binary.data, "key", &key))
			return false;
		suggest_take(suggest, field, &key);
	}
	return buckets != NULL;
}

/* Reads the reply. */
static bool
parse(Jsonb *reply, void *arg)
{
	const Reading  *reading = arg;
	Suggest		   *suggest = reading->suggest;
	JsonbContainer *hits = tenancy_jsonb_array(tenancy_jsonb_object(&reply->root, "hits"), "hits");
	JsonbContainer *aggregations = tenancy_jsonb_object(&reply->root, "aggregations");
	ListCell	   *lc;

	if (hits == NULL)
		return false;
	for (int i = 0; i < JsonContainerSize(hits); i++)
	{
		JsonbValue *hit = getIthJsonbValueFromContainer(hits, i);

		if (hit->type != jbvBinary || !take_hit(reading, hit->val.binary.data))
			return false;
	}
	foreach (lc, suggest->fields)
	{
		const SuggestField *field = lfirst(lc);

		if (field->counted && !take_terms(suggest, foreach_current_index(lc), aggregations))
			return false;
	}
	return true;
}

/* Asks the search server. */
bool
suggest_server(const SearchTarget *target, Suggest *suggest, const char **engine,
			   SearchFailure *failure)
{
	Reading	   reading = {target, suggest};
	ServerCall call = {.target = target,
					   .fill = fill,
					   .fill_arg = suggest,
					   .parse = parse,
					   .parse_arg = &reading,
					   .alone = suggest->request.engine == ENGINE_SERVER};

	if (!server_usable(target, failure) || !server_call(&call, failure))
		return false;
	*engine = product_name(search_client_product());
	return true;
}
