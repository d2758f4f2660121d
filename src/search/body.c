/*
 * body.c
 *		The body of a _search request.
 *
 * What the caller wrote only ever becomes a JSON string: multi_match takes plain
 * text, and filter values are sent as text too, which the server reads as the
 * type of the field without the loss of a detour through double.
 */
#include "postgres.h"

#include <jansson.h>

#include "mb/pg_wchar.h"

#include "common/jsonb.h"
#include "search/search.h"

/* Complains when the JSON library has no memory. */
static void
require(bool done)
{
	if (!done)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
}

/* An empty object.  Not by json_object(): the linker would take PostgreSQL's function of that name. */
static json_t *
new_object(void)
{
	return json_pack("{}");
}

/* Text as the JSON library wants it. */
static char *
utf8(const char *text)
{
	return pg_server_to_any(text, strlen(text), PG_UTF8);
}

/* Hangs a new value under a key that is UTF-8 already; the object owns the value from here on. */
static json_t *
put(json_t *object, const char *key, json_t *value)
{
	require(json_object_set_new(object, key, value) == 0);
	return value;
}

/* Appends a new value to an array, which owns it from here on. */
static json_t *
append(json_t *array, json_t *value)
{
	require(json_array_append_new(array, value) == 0);
	return value;
}

/* A string; what is no text at all, which SQL_ASCII lets through, is refused by utf8 before. */
static json_t *
string(const char *text)
{
	return json_string(utf8(text));
}

/* Fields that a query looks into: the declared ones. */
static void
put_declared_fields(json_t *multi_match, JsonbContainer *declared)
{
	json_t *fields = put(multi_match, "fields", json_array());

	for (int i = 0; i < JsonContainerSize(declared); i++)
	{
		JsonbValue *field = getIthJsonbValueFromContainer(declared, i);

		if (field->type == jbvString)
			append(fields, string(tenancy_jsonb_scalar(field)));
	}
}

/* Adds a property to the fields if it holds words. */
static void
append_text_property(json_t *fields, JsonbContainer *properties, const JsonbValue *key)
{
	char *name = pnstrdup(key->val.string.val, key->val.string.len);
	char *type = tenancy_jsonb_string(tenancy_jsonb_object(properties, name), "type");

	if (type != NULL && (strcmp(type, "text") == 0 || strcmp(type, "keyword") == 0))
		append(fields, string(name));
}

/* Fields that a query looks into where none are declared: all that hold words. */
static void
put_default_fields(json_t *multi_match, JsonbContainer *properties)
{
	json_t			  *fields = put(multi_match, "fields", json_array());
	JsonbIterator	  *it = JsonbIteratorInit(properties);
	JsonbIteratorToken token;
	JsonbValue		   key;

	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
		if (token == WJB_KEY)
			append_text_property(fields, properties, &key);
}

/* The clause that scores. */
static void
put_must(json_t *boolean, const SearchTarget *target, const SearchRequest *request)
{
	json_t *must = append(put(boolean, "must", json_array()), new_object());
	json_t *multi_match;

	if (request->query == NULL)
	{
		put(must, "match_all", new_object());
		return;
	}
	multi_match = put(must, "multi_match", new_object());
	put(multi_match, "query", string(request->query));
	put(multi_match, "type", string("best_fields"));
	if (target->search_fields != NULL)
		put_declared_fields(multi_match, target->search_fields);
	else if (target->properties != NULL)
		put_default_fields(multi_match, target->properties);
}

/* One filter. */
static void
append_filter(json_t *list, const SearchFilter *filter)
{
	char   *name = utf8(filter->name);
	json_t *clause = append(list, new_object());
	json_t *values;

	switch (filter->kind)
	{
		case FILTER_VALUE:
			put(put(clause, "term", new_object()), name, string(filter->values[0]));
			break;
		case FILTER_ANY:
			values = put(put(clause, "terms", new_object()), name, json_array());
			for (int i = 0; i < filter->nvalues; i++)
				append(values, string(filter->values[i]));
			break;
		case FILTER_EXISTS:
			put(put(clause, "exists", new_object()), "field", string(filter->name));
			break;
		case FILTER_RANGE:
			values = put(put(clause, "range", new_object()), name, new_object());
			for (int i = 0; i < filter->nvalues; i++)
				put(values, filter->operators[i], string(filter->values[i]));
			break;
	}
}

/* One sort criterion; an index whose mapping is older than the registry's has no such field. */
static void
append_sort(json_t *sort, const char *field, const char *order, const char *unmapped_type)
{
	char   *name = utf8(field);
	json_t *criterion = put(append(sort, new_object()), name, new_object());

	put(criterion, "order", string(order));
	if (unmapped_type != NULL)
		put(criterion, "unmapped_type", string(unmapped_type));
}

/* The order: what was asked for, then the key, so that pages do not overlap. */
static void
put_sort(json_t *root, const SearchTarget *target, const SearchRequest *request)
{
	json_t	 *sort = put(root, "sort", json_array());
	ListCell *lc;

	foreach (lc, request->sort)
	{
		SearchSort *by = lfirst(lc);

		append_sort(sort, by->name ? search_sort_property(target, by->name) : "_score",
					by->descending ? "desc" : "asc", by->name ? "keyword" : NULL);
	}
	foreach (lc, target->key_columns)
		if (search_sort_property(target, lfirst(lc)) != NULL)
			append_sort(sort, search_sort_property(target, lfirst(lc)), "asc", "keyword");
}

/* Fills the body; each value hangs under root as soon as it is made. */
static void
fill(json_t *root, const SearchTarget *target, const SearchRequest *request)
{
	json_t	 *boolean = put(put(root, "query", new_object()), "bool", new_object());
	json_t	 *filters;
	ListCell *lc;

	put_must(boolean, target, request);
	filters = put(boolean, "filter", json_array());
	foreach (lc, request->filters)
		append_filter(filters, lfirst(lc));
	put_sort(root, target, request);
	put(root, "track_scores", json_true());
	put(root, "track_total_hits", json_true());
	put(root, "from", json_integer((json_int_t) (request->page - 1) * request->page_size));
	put(root, "size", json_integer(request->page_size));
}

/* Writes it into PostgreSQL's memory. */
static char *
dump(json_t *root, size_t *length)
{
	char *text;

	*length = json_dumpb(root, NULL, 0, JSON_COMPACT);
	require(*length > 0);
	text = palloc(*length + 1);
	(void) json_dumpb(root, text, *length, JSON_COMPACT);
	text[*length] = '\0';
	return text;
}

/* Makes the body of a _search request. */
char *
search_body(const SearchTarget *target, const SearchRequest *request, size_t *length)
{
	json_t *root = new_object();
	char   *text = NULL;

	require(root != NULL);
	PG_TRY();
	{
		fill(root, target, request);
		text = dump(root, length);
	}
	PG_FINALLY();
	{
		json_decref(root);
	}
	PG_END_TRY();
	return text;
}
