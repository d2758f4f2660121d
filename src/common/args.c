/*
 * args.c
 *		Arguments of SQL functions that are not strict.
 *
 * A strict function would silently do nothing where a null is a mistake.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "common/args.h"

/* Refuses a null. */
void
tenancy_arg_required(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("argument \"%s\" must not be null", name)));
}

/* A text argument that must not be null. */
char *
tenancy_arg_text(FunctionCallInfo fcinfo, int n, const char *name)
{
	tenancy_arg_required(fcinfo, n, name);
	return text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/* A boolean argument that must not be null. */
bool
tenancy_arg_bool(FunctionCallInfo fcinfo, int n, const char *name)
{
	tenancy_arg_required(fcinfo, n, name);
	return PG_GETARG_BOOL(n);
}
