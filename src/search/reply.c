/*
 * reply.c
 *		The server's reply to a _search request.
 *
 * It is read by PostgreSQL's own jsonb, which keeps numbers as they are written.
 * Whatever does not have the expected form is refused as a whole.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "common/jsonb.h"
#include "search/search.h"

#define REASON_MAX 200 /* bytes of the server's words in an error */

/* Reads a whole number that is not negative. */
static bool
parse_count(JsonbContainer *object, const char *key, int64 *count)
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

/* Reads hits.total: an object, a number before version 7. */
static bool
parse_total(JsonbContainer *hits, SearchResult *result)
{
	JsonbContainer *total = tenancy_jsonb_object(hits, "total");
	char		   *relation = tenancy_jsonb_string(total, "relation");

	result->total_is_exact = relation == NULL || strcmp(relation, "eq") == 0;
	return parse_count(total ? total : hits, total ? "value" : "total", &result->total);
}

/* Reads one hit. */
static SearchHit *
parse_hit(JsonbContainer *object)
{
	SearchHit *hit = palloc0(sizeof(SearchHit));

	hit->id = tenancy_jsonb_string(object, "_id");
	hit->document = tenancy_jsonb_object(object, "_source");
	if (hit->id == NULL || hit->document == NULL ||
		!tenancy_jsonb_field(object, "_score", &hit->score) ||
		(hit->score.type != jbvNumeric && hit->score.type != jbvNull))
		return NULL;
	return hit;
}

/* Reads a whole reply; false if it is none. */
bool
search_reply_parse(const char *body, size_t length, SearchResult *result)
{
	Jsonb		   *reply = tenancy_jsonb_parse(body, length);
	JsonbContainer *hits = reply ? tenancy_jsonb_object(&reply->root, "hits") : NULL;
	JsonbContainer *list = tenancy_jsonb_array(hits, "hits");

	if (list == NULL || !parse_total(hits, result))
		return false;
	for (int i = 0; i < JsonContainerSize(list); i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(list, i);
		SearchHit  *hit = NULL;

		CHECK_FOR_INTERRUPTS();
		if (element->type == jbvBinary)
			hit = parse_hit(element->val.binary.data);
		if (hit == NULL)
			return false;
		result->hits = lappend(result->hits, hit);
	}
	return true;
}

/* Reason in an error reply, the root cause before the summary; NULL if there is none. */
char *
search_reply_error(const char *body, size_t length)
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
