/*
 * jsonb.c
 *		Reading jsonb, and turning text from outside into it without an error.
 */
#include "postgres.h"

#include <math.h>

#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

#include "common/attempt.h"
#include "common/jsonb.h"

/* Text to parse, and what came of it. */
typedef struct ParseArgs
{
	const char *text;
	size_t		length;
	Jsonb	   *parsed;
} ParseArgs;

/* Parses UTF-8; throws if it is no JSON. */
static void
parse(void *arg)
{
	ParseArgs *args = arg;
	char	  *converted = pg_any_to_server(args->text, (int) args->length, PG_UTF8);

	args->parsed = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(converted)));
}

/* Parses UTF-8 text; NULL if it is no JSON that jsonb can hold. */
Jsonb *
tenancy_jsonb_parse(const char *text, size_t length)
{
	ParseArgs args = {text, length, NULL};

	if (length > MaxAllocSize || memchr(text, '\0', length) != NULL)
		return NULL;
	return tenancy_attempt(parse, &args) ? args.parsed : NULL;
}

/* Finds a key of an object. */
bool
tenancy_jsonb_field(JsonbContainer *object, const char *key, JsonbValue *value)
{
	if (object == NULL || !JsonContainerIsObject(object))
		return false;
	return getKeyJsonValueFromContainer(object, key, strlen(key), value) != NULL;
}

/* Takes the next member of an object; a value that is an array or object comes as a whole. */
bool
tenancy_jsonb_next(JsonbIterator **members, char **name, JsonbValue *value)
{
	JsonbIteratorToken token;
	JsonbValue		   key;

	while ((token = JsonbIteratorNext(members, &key, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		*name = pnstrdup(key.val.string.val, key.val.string.len);
		(void) JsonbIteratorNext(members, value, true);
		return true;
	}
	return false;
}

/* Finds a key whose value is an array or object. */
static JsonbContainer *
container_field(JsonbContainer *object, const char *key)
{
	JsonbValue value;

	if (!tenancy_jsonb_field(object, key, &value) || value.type != jbvBinary)
		return NULL;
	return value.val.binary.data;
}

/* Finds a key whose value is an object. */
JsonbContainer *
tenancy_jsonb_object(JsonbContainer *object, const char *key)
{
	JsonbContainer *found = container_field(object, key);

	return found != NULL && JsonContainerIsObject(found) ? found : NULL;
}

/* Finds a key whose value is an array. */
JsonbContainer *
tenancy_jsonb_array(JsonbContainer *object, const char *key)
{
	JsonbContainer *found = container_field(object, key);

	return found != NULL && JsonContainerIsArray(found) ? found : NULL;
}

/* Finds a key whose value is a string. */
char *
tenancy_jsonb_string(JsonbContainer *object, const char *key)
{
	JsonbValue value;

	if (!tenancy_jsonb_field(object, key, &value) || value.type != jbvString)
		return NULL;
	return pnstrdup(value.val.string.val, value.val.string.len);
}

/* True for a number that double precision can hold, however roughly. */
bool
tenancy_jsonb_is_double(const JsonbValue *value)
{
	return value->type == jbvNumeric &&
		   !isinf(DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
													 NumericGetDatum(value->val.numeric))));
}

/* Writes a scalar as the text that casts to it. */
char *
tenancy_jsonb_scalar(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			return DatumGetCString(
				DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
		case jbvBool:
			return pstrdup(value->val.boolean ? "true" : "false");
		default:
			return NULL;
	}
}
