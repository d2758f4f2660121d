/*
 * body.c
 *		Making the bodies of requests to the search server.
 *
 * What the caller wrote only ever becomes a JSON string, so it is never syntax.  Every
 * body leaves through body_write, which confines it to the tenant's documents.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "common/jsonb.h"
#include "search/body.h"

/* Complains when the JSON library has no memory. */
static void
require(bool done)
{
	if (!done)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
}

/* An empty object.  Not by json_object(): the linker would take PostgreSQL's function of that name. */
json_t *
body_object(void)
{
	return json_pack("{}");
}

/* Text as the JSON library wants it. */
char *
body_utf8(const char *text)
{
	return pg_server_to_any(text, strlen(text), PG_UTF8);
}

/* Hangs a new value under a key; the object owns the value from here on. */
json_t *
body_put(json_t *object, const char *key, json_t *value)
{
	require(json_object_set_new(object, key, value) == 0);
	return value;
}

/* Appends a new value to an array, which owns it from here on. */
json_t *
body_append(json_t *array, json_t *value)
{
	require(json_array_append_new(array, value) == 0);
	return value;
}

/* Hangs an empty object under a key. */
json_t *
body_put_object(json_t *object, const char *key)
{
	return body_put(object, key, body_object());
}

/* Hangs an empty array under a key. */
json_t *
body_put_array(json_t *object, const char *key)
{
	return body_put(object, key, json_array());
}

/* Hangs a text under a key. */
json_t *
body_put_text(json_t *object, const char *key, const char *text)
{
	return body_put(object, key, body_string(text));
}

/* A string; what is no text at all, which SQL_ASCII lets through, is refused by body_utf8 before. */
json_t *
body_string(const char *text)
{
	return json_string(body_utf8(text));
}

/* True for a whole number of 64 bits. */
static bool
is_integer(const char *decimal)
{
	char *end;

	errno = 0;
	(void) strtoll(decimal, &end, 10);
	return errno == 0 && *end == '\0';
}

/* A number. */
json_t *
body_number(const char *decimal)
{
	if (is_integer(decimal))
		return json_integer(strtoll(decimal, NULL, 10));
	return json_real(strtod(decimal, NULL));
}

/* A number of a jsonb; one beyond 64 bits as text, as its digits would be lost on the way. */
static json_t *
exact_number(const char *decimal)
{
	if (strchr(decimal, '.') == NULL && !is_integer(decimal))
		return body_string(decimal);
	return body_number(decimal);
}

/* A scalar of a jsonb. */
json_t *
body_scalar(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			return body_string(tenancy_jsonb_scalar(value));
		case jbvNumeric:
			return exact_number(tenancy_jsonb_scalar(value));
		case jbvBool:
			return json_boolean(value->val.boolean);
		default:
			return json_null();
	}
}

/*
 * The tenant's documents: the alias says so too, but is no boundary.  It may stand for an index of
 * the tenant's own, whose documents name no tenant: which one it is may change at any moment.
 */
static void
append_tenant_filter(json_t *filters, const SearchTarget *target)
{
	json_t *either = body_put_object(body_append(filters, body_object()), "bool");
	json_t *should = body_put_array(either, "should");
	json_t *none;

	body_put(either, "minimum_should_match", json_integer(1));
	body_put_text(body_put_object(body_append(should, body_object()), "term"),
				  BODY_TENANCY ".tenant", psprintf(INT64_FORMAT, target->tenant.id));
	none = body_put_object(body_append(should, body_object()), "bool");
	body_put_text(body_put_object(body_put_object(none, "must_not"), "exists"), "field",
				  BODY_TENANCY ".tenant");
}

/*
 * Has nothing match but the tenant's own documents: the query, whatever it is, becomes a
 * part of one that demands that too.
 */
static void
confine(json_t *root, const SearchTarget *target)
{
	json_t *wrapped = body_put_array(root, "must");
	json_t *boolean;

	require(json_array_append(wrapped, json_object_get(root, "query")) == 0);
	boolean = body_put_object(body_put_object(root, "query"), "bool");
	require(json_object_set(boolean, "must", wrapped) == 0);
	require(json_object_del(root, "must") == 0);
	append_tenant_filter(body_put_array(boolean, "filter"), target);
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

/* Makes the text of a body. */
char *
body_write(const SearchTarget *target, BodyFill fill, const void *arg, size_t *length)
{
	json_t *root = body_object();
	char   *text = NULL;

	require(root != NULL);
	PG_TRY();
	{
		fill(root, target, arg);
		confine(root, target);
		text = dump(root, length);
	}
	PG_FINALLY();
	{
		json_decref(root);
	}
	PG_END_TRY();
	return text;
}
