/*
 * reply.c
 *		The server's reply to a _search request.
 *
 * It is read by PostgreSQL's own jsonb, which keeps numbers as they are written.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "common/jsonb.h"
#include "search/body.h"
#include "search/reply.h"

#define REASON_MAX 200 /* bytes of the server's words in an error */

/* Reads a whole number that is not negative. */
bool
reply_count(JsonbContainer *object, const char *key, int64 *count)
{
	JsonbValue value;
	char	  *text;
	char	  *end;

	if (!tenancy_jsonb_field(object, key, &value) || value.type != jbvNumeric)
		return false;
	text = tenancy_jsonb_scalar(&value);
	errno = 0;
	*count = strtoll(text, &end, 10);
	return errno == 0 && *end == '\0' && *count >= 0;
}

/* Reads hits.total: an object, a number before version 7, nothing if it was not asked for. */
static bool
parse_total(JsonbContainer *hits, const SearchRequest *request, SearchResult *result)
{
	JsonbContainer *total = tenancy_jsonb_object(hits, "total");
	char		   *relation = tenancy_jsonb_string(total, "relation");

	result->total = -1;
	if (request->total == SEARCH_TOTAL_NONE)
		return true;
	result->total_is_exact = relation == NULL || strcmp(relation, "eq") == 0;
	return reply_count(total ? total : hits, total ? "value" : "total", &result->total);
}

/* An object without what tells its tenant. */
static JsonbContainer *
without_tenancy(JsonbContainer *object)
{
	JsonbParseState *state = NULL;
	JsonbIterator	*it = JsonbIteratorInit(object);
	char			*name;
	JsonbValue		 value;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	while (tenancy_jsonb_next(&it, &name, &value))
	{
		JsonbValue key = {.type = jbvString, .val.string = {strlen(name), name}};

		if (strcmp(name, BODY_TENANCY) == 0)
			continue;
		pushJsonbValue(&state, WJB_KEY, &key);
		pushJsonbValue(&state, WJB_VALUE, &value);
	}
	return &JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL))->root;
}

/* Length of what stands before the id of a document of the tenant's, 0: it is none of theirs. */
static int
part_length(const SearchTarget *target, const char *id, JsonbContainer *tenancy)
{
	char *tenant = tenancy_jsonb_string(tenancy, "tenant");
	char *part = tenancy_jsonb_string(tenancy, "part");
	int	  length = part != NULL ? strlen(part) : 0;

	if (tenant == NULL || length == 0 ||
		strcmp(tenant, psprintf(INT64_FORMAT, target->tenant.id)) != 0 ||
		strncmp(id, part, length) != 0 || id[length] != ':')
		return 0;
	return length + 1;
}

/*
 * Takes what a shared index adds to a document away; false: it is another tenant's.  A field of
 * that name in an index of the tenant's own may be anything.
 */
bool
reply_strip(const SearchTarget *target, char **id, JsonbContainer **document)
{
	JsonbContainer *tenancy = tenancy_jsonb_object(*document, BODY_TENANCY);
	int				length = tenancy != NULL ? part_length(target, *id, tenancy) : 0;

	if (tenancy == NULL || length == 0)
		return tenancy == NULL || !target->shared;
	*id += length;
	*document = without_tenancy(*document);
	return true;
}

/* True if a hit is a document of the tenant, as far as it tells. */
bool
reply_is_own(const SearchTarget *target, JsonbContainer *hit)
{
	JsonbContainer *document = tenancy_jsonb_object(hit, "_source");
	char		   *id = tenancy_jsonb_string(hit, "_id");

	return id != NULL && reply_strip(target, &id, &document);
}

/* Reads where a hit stands in the order, if that is told; false: not as it was asked for. */
static bool
parse_sort(JsonbContainer *object, int nsort, SearchHit *hit)
{
	JsonbContainer *array = tenancy_jsonb_array(object, "sort");

	if (array == NULL)
		return true;
	if (JsonContainerSize(array) != nsort)
		return false;
	hit->sort = palloc(sizeof(JsonbValue) * nsort);
	for (int i = 0; i < nsort; i++)
	{
		hit->sort[i] = *getIthJsonbValueFromContainer(array, i);
		if (hit->sort[i].type == jbvBinary ||
			(hit->sort[i].type == jbvNumeric && !tenancy_jsonb_is_double(&hit->sort[i])))
			return false;
	}
	return true;
}

/* True if highlighting is an object of arrays of strings. */
static bool
is_highlight(JsonbContainer *highlight)
{
	JsonbIterator	  *it = JsonbIteratorInit(highlight);
	JsonbIteratorToken token;
	JsonbValue		   value;
	int				   depth = 0;

	while ((token = JsonbIteratorNext(&it, &value, false)) != WJB_DONE)
	{
		if (token == WJB_BEGIN_ARRAY)
			depth++;
		else if (token == WJB_END_ARRAY)
			depth--;
		else if (token == WJB_VALUE || depth > 1 || (token == WJB_ELEM && value.type != jbvString))
			return false;
	}
	return true;
}

/* Reads one hit. */
static SearchHit *
parse_hit(JsonbContainer *object, const SearchTarget *target, const SearchRequest *request,
		  int nsort)
{
	SearchHit *hit = palloc0(sizeof(SearchHit));
	bool	   documents = !request->no_source && !request->hydrate;

	hit->id = tenancy_jsonb_string(object, "_id");
	hit->document = tenancy_jsonb_object(object, "_source");
	hit->highlight = tenancy_jsonb_object(object, "highlight");
	if (hit->id == NULL || (documents && hit->document == NULL) ||
		!tenancy_jsonb_field(object, "_score", &hit->score) ||
		(!tenancy_jsonb_is_double(&hit->score) && hit->score.type != jbvNull))
		return NULL;
	if (hit->highlight != NULL && !is_highlight(hit->highlight))
		return NULL;
	if (!reply_strip(target, &hit->id, &hit->document))
		return NULL;
	if (!documents)
		hit->document = NULL;
	return parse_sort(object, nsort, hit) ? hit : NULL;
}

/* Reads all hits. */
static bool
parse_hits(JsonbContainer *list, const SearchTarget *target, const SearchRequest *request,
		   SearchResult *result)
{
	int count = JsonContainerSize(list);

	if (count > request->page_size)
		return false;
	for (int i = 0; i < count; i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(list, i);
		SearchHit  *hit = NULL;

		CHECK_FOR_INTERRUPTS();
		if (element->type == jbvBinary)
			hit = parse_hit(element->val.binary.data, target, request, result->nsort);
		if (hit == NULL)
			return false;
		result->hits = lappend(result->hits, hit);
	}
	return true;
}

/* Number of criteria that a search is sorted by. */
static int
count_sort(const SearchTarget *target, const SearchRequest *request)
{
	int		  n = list_length(request->sort);
	ListCell *lc;

	foreach (lc, target->key_columns)
		n += search_sort_property(target, lfirst(lc)) != NULL;
	return n;
}

/* Reads a whole reply; false if it is none. */
bool
reply_parse_search(Jsonb *reply, const SearchTarget *target, const SearchRequest *request,
				   SearchResult *result)
{
	JsonbContainer *root = &reply->root;
	JsonbContainer *hits = tenancy_jsonb_object(root, "hits");
	JsonbContainer *list = tenancy_jsonb_array(hits, "hits");

	result->nsort = count_sort(target, request);
	return list != NULL && parse_total(hits, request, result) &&
		   parse_hits(list, target, request, result) && reply_parse_facets(root, request, result);
}

/* Reason in an error reply, the root cause before the summary; NULL if there is none. */
char *
reply_error(const char *body, size_t length)
{
	Jsonb		   *reply = tenancy_jsonb_parse(body, length);
	JsonbContainer *error = reply ? tenancy_jsonb_object(&reply->root, "error") : NULL;
	JsonbContainer *causes = tenancy_jsonb_array(error, "root_cause");
	JsonbValue	   *first = NULL;
	char		   *reason = NULL;

	if (causes != NULL && JsonContainerSize(causes) > 0)
		first = getIthJsonbValueFromContainer(causes, 0);
	if (first != NULL && first->type == jbvBinary)
		reason = tenancy_jsonb_string(first->val.binary.data, "reason");
	if (reason == NULL)
		reason = tenancy_jsonb_string(error, "reason");
	if (reason != NULL && strlen(reason) > REASON_MAX)
		reason[pg_mbcliplen(reason, strlen(reason), REASON_MAX)] = '\0';
	return reason;
}
