/*
 * dsl_check.c
 *		What of the servers' query language an administrator may send.
 *
 * Only what is named here passes: clauses that look at the document itself, and
 * aggregations that count what the query has found.  So nothing passes that runs a
 * script, reads another index (terms lookup, more_like_this, percolate, indexed shapes,
 * joins), hides a query (wrapper, template), finds documents beside the query (knn,
 * retriever, suggest, global), or tells of terms that no found document has.
 * Scalars and lists of them never do harm; objects are what is looked into.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "common/jsonb.h"
#include "search/dsl_check.h"

#define DEPTH_MAX 50

/* Where a value stands decides what it may be. */
typedef void (*Check)(const char *name, const JsonbValue *value, int depth);

typedef struct Rule
{
	const char *name;
	Check		check;
} Rule;

static void check_query(const char *name, const JsonbValue *value, int depth);
static void check_aggregations(const char *name, const JsonbValue *value, int depth);

/* Refuses a part of the body. */
static void
refuse(const char *name, const char *why)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("\"%s\" is not allowed in a search body here", name),
					errdetail_internal("%s", why)));
}

/* Container of a value that is an object; else refuses it. */
static JsonbContainer *
object_in(const char *name, const JsonbValue *value)
{
	if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		refuse(name, "It must be an object.");
	return value->val.binary.data;
}

/* Takes a key and its value; rules is what they are held against. */
typedef void (*Visit)(const Rule *rules, const char *key, const JsonbValue *value, int depth);

/* Visits each key of an object. */
static void
visit_keys(JsonbContainer *object, Visit visit, const Rule *rules, int depth)
{
	JsonbIterator *it = JsonbIteratorInit(object);
	char		  *name;
	JsonbValue	   value;

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	while (tenancy_jsonb_next(&it, &name, &value))
	{
		if (depth > DEPTH_MAX)
			refuse("...", "It is nested too deeply.");
		visit(rules, name, &value, depth);
	}
}

/* Holds a key against rules: it must be in them. */
static void
visit_rule(const Rule *rules, const char *key, const JsonbValue *value, int depth)
{
	for (; rules->name != NULL; rules++)
	{
		if (strcmp(rules->name, key) != 0)
			continue;
		rules->check(key, value, depth + 1);
		return;
	}
	refuse(key, "It is not among what is known to stay within the tenant's documents.");
}

/* Allows a scalar, or a list of scalars. */
static void
check_plain(const char *name, const JsonbValue *value, int depth)
{
	if (value->type != jbvBinary)
		return;
	if (!JsonContainerIsArray(value->val.binary.data))
		refuse(name, "It must not be an object.");
	for (int i = 0; i < JsonContainerSize(value->val.binary.data); i++)
		if (getIthJsonbValueFromContainer(value->val.binary.data, i)->type == jbvBinary)
			refuse(name, "Its list must not hold objects or lists.");
}

/* Allows a list of scalars and nothing else: an object would be a lookup in another index. */
static void
check_list(const char *name, const JsonbValue *value, int depth)
{
	if (value->type == jbvBinary && !JsonContainerIsArray(value->val.binary.data))
		refuse(name, "It must be a list; terms of another document are not looked up.");
	check_plain(name, value, depth);
}

/* Visits a key whose value must be plain, whatever its name; a script is none. */
static void
visit_plain(const Rule *rules, const char *key, const JsonbValue *value, int depth)
{
	if (strcmp(key, "script") == 0)
		refuse(key, "Scripts are not run.");
	check_plain(key, value, depth);
}

/* Allows an object of plain values. */
static void
check_flat(const char *name, const JsonbValue *value, int depth)
{
	visit_keys(object_in(name, value), visit_plain, NULL, depth);
}

/* Allows a plain value, or an object of them. */
static void
check_plain_or_flat(const char *name, const JsonbValue *value, int depth)
{
	if (value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data))
		check_flat(name, value, depth);
	else
		check_plain(name, value, depth);
}

/* Visits a field of a clause: its value, or an object with the value and how to compare. */
static void
visit_field(const Rule *rules, const char *key, const JsonbValue *value, int depth)
{
	check_plain_or_flat(key, value, depth);
}

/* Allows {field: value} and {field: {...}}. */
static void
check_leaf(const char *name, const JsonbValue *value, int depth)
{
	visit_keys(object_in(name, value), visit_field, NULL, depth);
}

/* Visits a field of terms. */
static void
visit_list(const Rule *rules, const char *key, const JsonbValue *value, int depth)
{
	check_list(key, value, depth);
}

/* Allows {field: [values]}. */
static void
check_terms(const char *name, const JsonbValue *value, int depth)
{
	visit_keys(object_in(name, value), visit_list, NULL, depth);
}

/* Allows a query, or a list of them. */
static void
check_queries(const char *name, const JsonbValue *value, int depth)
{
	JsonbContainer *list = value->type == jbvBinary ? value->val.binary.data : NULL;

	if (list == NULL || !JsonContainerIsArray(list))
	{
		check_query(name, value, depth);
		return;
	}
	for (int i = 0; i < JsonContainerSize(list); i++)
		check_query(name, getIthJsonbValueFromContainer(list, i), depth);
}

/* Parts of clauses that hold others. */
static const Rule bool_rules[] = {{"must", check_queries},	 {"should", check_queries},
								  {"filter", check_queries}, {"must_not", check_queries},
								  {"boost", check_plain},	 {"minimum_should_match", check_plain},
								  {"_name", check_plain},	 {NULL, NULL}};
static const Rule wrapping_rules[] = {{"filter", check_query},
									  {"query", check_query},
									  {"queries", check_queries},
									  {"positive", check_query},
									  {"negative", check_query},
									  {"negative_boost", check_plain},
									  {"tie_breaker", check_plain},
									  {"path", check_plain},
									  {"score_mode", check_plain},
									  {"ignore_unmapped", check_plain},
									  {"boost", check_plain},
									  {"_name", check_plain},
									  {NULL, NULL}};

/* Allows the parts of bool. */
static void
check_bool(const char *name, const JsonbValue *value, int depth)
{
	visit_keys(object_in(name, value), visit_rule, bool_rules, depth);
}

/* Allows the parts of a clause around another one. */
static void
check_wrapping(const char *name, const JsonbValue *value, int depth)
{
	visit_keys(object_in(name, value), visit_rule, wrapping_rules, depth);
}

/* The clauses. */
static const Rule query_rules[] = {{"bool", check_bool},
								   {"constant_score", check_wrapping},
								   {"dis_max", check_wrapping},
								   {"boosting", check_wrapping},
								   {"nested", check_wrapping},
								   {"match_all", check_flat},
								   {"match_none", check_flat},
								   {"match", check_leaf},
								   {"match_phrase", check_leaf},
								   {"match_phrase_prefix", check_leaf},
								   {"match_bool_prefix", check_leaf},
								   {"multi_match", check_flat},
								   {"simple_query_string", check_flat},
								   {"query_string", check_flat},
								   {"term", check_leaf},
								   {"terms", check_terms},
								   {"range", check_leaf},
								   {"exists", check_flat},
								   {"prefix", check_leaf},
								   {"wildcard", check_leaf},
								   {"regexp", check_leaf},
								   {"fuzzy", check_leaf},
								   {"ids", check_flat},
								   {NULL, NULL}};

/* Allows one query. */
static void
check_query(const char *name, const JsonbValue *value, int depth)
{
	visit_keys(object_in(name, value), visit_rule, query_rules, depth);
}

/* Visits one of named queries. */
static void
visit_query(const Rule *rules, const char *key, const JsonbValue *value, int depth)
{
	check_query(key, value, depth + 1);
}

/* Allows the queries of the aggregation filters. */
static void
check_filters(const char *name, const JsonbValue *value, int depth)
{
	if (value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data))
		check_queries(name, value, depth);
	else
		visit_keys(object_in(name, value), visit_query, NULL, depth);
}

/* Parts of the aggregation filters. */
static const Rule filters_rules[] = {{"filters", check_filters},
									 {"other_bucket", check_plain},
									 {"other_bucket_key", check_plain},
									 {NULL, NULL}};

/* Allows the aggregation filters. */
static void
check_filters_aggregation(const char *name, const JsonbValue *value, int depth)
{
	visit_keys(object_in(name, value), visit_rule, filters_rules, depth);
}

/* Allows a list of flat objects, or what one of them may be. */
static void
check_flat_list(const char *name, const JsonbValue *value, int depth)
{
	JsonbContainer *list = value->type == jbvBinary ? value->val.binary.data : NULL;

	if (list == NULL || !JsonContainerIsArray(list))
	{
		check_plain_or_flat(name, value, depth);
		return;
	}
	for (int i = 0; i < JsonContainerSize(list); i++)
		check_plain_or_flat(name, getIthJsonbValueFromContainer(list, i), depth);
}

/* Parts of the aggregation terms; not min_doc_count, by which terms of other documents show. */
static const Rule terms_rules[] = {{"field", check_plain},
								   {"size", check_plain},
								   {"shard_size", check_plain},
								   {"order", check_flat_list},
								   {"missing", check_plain},
								   {"include", check_plain},
								   {"exclude", check_plain},
								   {"format", check_plain},
								   {"value_type", check_plain},
								   {"collect_mode", check_plain},
								   {NULL, NULL}};

/* Allows the aggregation terms. */
static void
check_terms_aggregation(const char *name, const JsonbValue *value, int depth)
{
	visit_keys(object_in(name, value), visit_rule, terms_rules, depth);
}

/* Parts of an aggregation over numbers. */
static const Rule number_rules[] = {{"field", check_plain},
									{"missing", check_plain},
									{"interval", check_plain},
									{"calendar_interval", check_plain},
									{"fixed_interval", check_plain},
									{"offset", check_plain},
									{"time_zone", check_plain},
									{"format", check_plain},
									{"min_doc_count", check_plain},
									{"keyed", check_plain},
									{"ranges", check_flat_list},
									{"percents", check_plain},
									{"values", check_plain},
									{"precision_threshold", check_plain},
									{"path", check_plain},
									{"order", check_flat_list},
									{NULL, NULL}};

/* Allows an aggregation over numbers. */
static void
check_number_aggregation(const char *name, const JsonbValue *value, int depth)
{
	visit_keys(object_in(name, value), visit_rule, number_rules, depth);
}

/* The aggregations. */
static const Rule aggregation_rules[] = {{"aggs", check_aggregations},
										 {"aggregations", check_aggregations},
										 {"filter", check_query},
										 {"filters", check_filters_aggregation},
										 {"terms", check_terms_aggregation},
										 {"avg", check_number_aggregation},
										 {"sum", check_number_aggregation},
										 {"min", check_number_aggregation},
										 {"max", check_number_aggregation},
										 {"stats", check_number_aggregation},
										 {"extended_stats", check_number_aggregation},
										 {"value_count", check_number_aggregation},
										 {"cardinality", check_number_aggregation},
										 {"percentiles", check_number_aggregation},
										 {"percentile_ranks", check_number_aggregation},
										 {"histogram", check_number_aggregation},
										 {"date_histogram", check_number_aggregation},
										 {"range", check_number_aggregation},
										 {"date_range", check_number_aggregation},
										 {"missing", check_number_aggregation},
										 {"nested", check_number_aggregation},
										 {"meta", check_flat},
										 {NULL, NULL}};

/* Visits one of named aggregations. */
static void
visit_aggregation(const Rule *rules, const char *key, const JsonbValue *value, int depth)
{
	visit_keys(object_in(key, value), visit_rule, aggregation_rules, depth + 1);
}

/* Allows aggregations. */
static void
check_aggregations(const char *name, const JsonbValue *value, int depth)
{
	visit_keys(object_in(name, value), visit_aggregation, NULL, depth);
}

/* Visits a sort criterion by its field; a criterion "_script" is an object of more. */
static void
visit_sort(const Rule *rules, const char *key, const JsonbValue *value, int depth)
{
	if (strcmp(key, "_script") == 0)
		refuse(key, "Scripts are not run.");
	check_plain_or_flat(key, value, depth);
}

/* Allows one sort criterion. */
static void
check_sort_criterion(const char *name, const JsonbValue *value, int depth)
{
	if (value->type == jbvBinary)
		visit_keys(object_in(name, value), visit_sort, NULL, depth);
}

/* Allows sort. */
static void
check_sort(const char *name, const JsonbValue *value, int depth)
{
	JsonbContainer *list = value->type == jbvBinary ? value->val.binary.data : NULL;

	if (list == NULL || !JsonContainerIsArray(list))
	{
		check_sort_criterion(name, value, depth);
		return;
	}
	for (int i = 0; i < JsonContainerSize(list); i++)
		check_sort_criterion(name, getIthJsonbValueFromContainer(list, i), depth);
}

/* Settings of highlighting. */
static const Rule highlight_rules[] = {{"fields", check_leaf},
									   {"highlight_query", check_query},
									   {"type", check_plain},
									   {"encoder", check_plain},
									   {"pre_tags", check_plain},
									   {"post_tags", check_plain},
									   {"number_of_fragments", check_plain},
									   {"fragment_size", check_plain},
									   {"no_match_size", check_plain},
									   {"order", check_plain},
									   {"require_field_match", check_plain},
									   {NULL, NULL}};

/* Allows highlighting. */
static void
check_highlight(const char *name, const JsonbValue *value, int depth)
{
	visit_keys(object_in(name, value), visit_rule, highlight_rules, depth);
}

/* The body. */
static const Rule body_rules[] = {{"query", check_query},
								  {"post_filter", check_query},
								  {"aggs", check_aggregations},
								  {"aggregations", check_aggregations},
								  {"highlight", check_highlight},
								  {"sort", check_sort},
								  {"from", check_plain},
								  {"size", check_plain},
								  {"search_after", check_list},
								  {"min_score", check_plain},
								  {"track_total_hits", check_plain},
								  {"track_scores", check_plain},
								  {"_source", check_plain_or_flat},
								  {"docvalue_fields", check_flat_list},
								  {"fields", check_flat_list},
								  {"terminate_after", check_plain},
								  {"timeout", check_plain},
								  {"version", check_plain},
								  {NULL, NULL}};

/* Refuses a body with anything that is not known to stay within the documents it is confined to. */
void
dsl_check_body(Jsonb *body)
{
	if (!JB_ROOT_IS_OBJECT(body))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("body must be a JSON object")));
	visit_keys(&body->root, visit_rule, body_rules, 0);
}
