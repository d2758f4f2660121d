/*
 * input.c
 *		A type's value from text that may be no value of it.
 */
#include "postgres.h"

#include "utils/fmgroids.h"

#include "common/attempt.h"
#include "common/input.h"
#include "common/uuid.h"

/* At most `most` digits, after a sign perhaps. */
static bool
is_integer(const char *text, size_t most)
{
	size_t digits;

	text += *text == '-';
	digits = strspn(text, "0123456789");
	return digits > 0 && digits <= most && text[digits] == '\0';
}

/* True if the function surely takes the text: the usual types of keys, in their usual form. */
static bool
is_surely_valid(Oid function, const char *text)
{
	switch (function)
	{
		case F_TEXTIN:
			return true;
		case F_INT4IN:
			return is_integer(text, 9);
		case F_INT8IN:
			return is_integer(text, 18);
		default:
			return false;
	}
}

/* A call of an input function, and its value. */
typedef struct InputCall
{
	FmgrInfo   *function;
	const char *text;
	Oid			parameter;
	int32		typmod;
	Datum		value;
} InputCall;

/* Calls the input function. */
static void
call_input(void *arg)
{
	InputCall *call = arg;

	call->value =
		InputFunctionCall(call->function, (char *) call->text, call->parameter, call->typmod);
}

/* Makes a value of text that uuid_out gave; false: it is something else. */
static bool
read_uuid(const char *text, Datum *value)
{
	pg_uuid_t *uuid = palloc(sizeof(pg_uuid_t));

	*value = UUIDPGetDatum(uuid);
	return tenancy_uuid_read(text, uuid);
}

/* Makes a value of text; false, and no error, if the type refuses it. */
bool
tenancy_input(FmgrInfo *function, const char *text, Oid parameter, int32 typmod, Datum *value)
{
	InputCall call = {function, text, parameter, typmod, (Datum) 0};

	if (function->fn_oid == F_UUID_IN && read_uuid(text, value))
		return true;
	if (is_surely_valid(function->fn_oid, text))
		call_input(&call);
	else if (!tenancy_attempt(call_input, &call))
		return false;
	*value = call.value;
	return true;
}
