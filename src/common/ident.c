/*
 * ident.c
 *		Names that users give and names that are made from them.
 */
#include "postgres.h"

#include "common/errors.h"
#include "common/ident.h"

/* ^[a-z][extra a-z0-9]{0,max-1}$, without a regular expression's dependence on the locale. */
static bool
name_matches(const char *name, const char *extra, size_t max)
{
	size_t length = strlen(name);

	if (length < 1 || length > max || name[0] < 'a' || name[0] > 'z')
		return false;
	for (size_t i = 1; i < length; i++)
	{
		char c = name[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || strchr(extra, c) != NULL))
			return false;
	}
	return true;
}

/* Refuses what is not a tenant name. */
void
tenancy_check_tenant_name(const char *name)
{
	if (!name_matches(name, "_-", TENANT_NAME_MAX))
		ereport(ERROR,
				(errcode(ERRCODE_TENANCY_INVALID_NAME), errmsg("invalid tenant name \"%s\"", name),
				 errdetail("A tenant name is a lower case letter, followed by at most 47 "
						   "lower case letters, digits, underscores or hyphens.")));
}

/* Refuses a blueprint's or index type's name that could not be part of other names. */
void
tenancy_check_name(const char *kind, const char *name)
{
	if (!name_matches(name, "_", TENANT_NAME_MAX) || strstr(name, "_tenant_") != NULL)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_INVALID_NAME),
						errmsg("invalid %s name \"%s\"", kind, name),
						errdetail("The name is a lower case letter, followed by at most 47 lower "
								  "case letters, digits or underscores, without \"_tenant_\".")));
}

/* Schema of a tenant. */
char *
tenancy_tenant_schema(const char *tenant)
{
	return psprintf("tenant_%s", tenant);
}
