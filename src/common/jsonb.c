/*
 * jsonb.c
 *		Reading jsonb, and turning text from outside into it without an error.
 */
#include "postgres.h"

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "common/jsonb.h"

/* True for what the text itself can cause: its syntax, encoding, depth or size. */
static bool
caused_by_text(int sqlstate)
{
	int category = ERRCODE_TO_CATEGORY(sqlstate);

	return category == ERRCODE_TO_CATEGORY(ERRCODE_DATA_EXCEPTION) ||
		   category == ERRCODE_TO_CATEGORY(ERRCODE_PROGRAM_LIMIT_EXCEEDED);
}

/* Ends the failed subtransaction; throws again what the text did not cause. */
static void
forgive(MemoryContext context, ResourceOwner owner)
{
	ErrorData *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (!caused_by_text(error->sqlerrcode))
		ReThrowError(error);
	FreeErrorData(error);
}

/* Parses in a subtransaction: 15 has no soft errors, and later ones none for depth and encoding. */
Jsonb *
tenancy_jsonb_parse(const char *text, size_t length)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	Jsonb *volatile parsed = NULL;

	if (length > MaxAllocSize || memchr(text, '\0', length) != NULL)
		return NULL;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		char *converted = pg_any_to_server(text, (int) length, PG_UTF8);

		parsed = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(converted)));
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		parsed = NULL;
		forgive(context, owner);
	}
	PG_END_TRY();
	return parsed;
}

/* Finds a key of an object. */
bool
tenancy_jsonb_field(JsonbContainer *object, const char *key, JsonbValue *value)
{
	if (object == NULL || !JsonContainerIsObject(object))
		return false;
	return getKeyJsonValueFromContainer(object, key, strlen(key), value) != NULL;
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
