/*
 * arguments.c
 *		What the functions tenant_cache_* are called with.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "cache/cache.h"
#include "common/args.h"
#include "common/compat.h"
#include "common/errors.h"
#include "sink/redis_keys.h"

#define NAME_MAX_BYTES 512
#define VALUE_MAX_BYTES (16 * 1024 * 1024)
#define TTL_MAX 2592000 /* seconds */
#define TAGS_MAX 100

/* Refuses a key or tag that is too long or has control characters. */
static void
check_name(const char *what, const char *name)
{
	size_t length = strlen(name);

	if (length > NAME_MAX_BYTES)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("cache %s is longer than %d bytes", what, NAME_MAX_BYTES)));
	for (size_t i = 0; i < length; i++)
		if ((unsigned char) name[i] < ' ' || name[i] == '\177')
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("cache %s must not contain control characters", what)));
}

/* Refuses callers who may only use their own tenant. */
static void
require_operator(void)
{
	Oid caller = GetUserId();
	Oid operator= get_role_oid("tenancy_operator", true);
	Oid admin = get_role_oid("tenancy_admin", true);

	if ((OidIsValid(operator) && has_privs_of_role(caller, operator)) ||
		(OidIsValid(admin) && has_privs_of_role(caller, admin)))
		return;
	ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					errmsg("permission denied to read the cache of another tenant"),
					errdetail("That takes the privileges of role tenancy_operator or "
							  "tenancy_admin.")));
}

/* Tenant that an optional argument names; without it the current one. */
void
cache_arg_tenant(FunctionCallInfo fcinfo, int n, Tenant *tenant)
{
	const char *current = tenancy_tenant_current_name();
	char	   *name = PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));

	if (name == NULL || (current != NULL && strcmp(name, current) == 0))
	{
		tenancy_tenant_require_current(tenant);
		return;
	}
	require_operator();
	if (!tenancy_tenant_find(name, tenant))
		ereport(ERROR, (errcode(ERRCODE_TENANCY_UNDEFINED_TENANT),
						errmsg("tenant \"%s\" does not exist", name)));
}

/*
 * True if whoever may read tenants' caches may read all of a table; of operators and administrators
 * that is taken for granted.
 */
bool
cache_is_for_all(Oid relid, bool or_view)
{
	Oid		  app = get_role_oid("tenancy_app", true);
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	bool	  is_open = false;

	if (!HeapTupleIsValid(tuple))
		return false;
	if (OidIsValid(app))
	{
		Form_pg_class class = (Form_pg_class) GETSTRUCT(tuple);

		is_open =
			!class->relrowsecurity &&
			(class->relkind == RELKIND_RELATION || class->relkind == RELKIND_PARTITIONED_TABLE) &&
			compat_schema_aclcheck(class->relnamespace, app, ACL_USAGE) == ACLCHECK_OK &&
			pg_class_aclcheck(relid, app, ACL_SELECT) == ACLCHECK_OK;
	}
	ReleaseSysCache(tuple);
	return is_open;
}

/* Key in Redis; '#' is where the names of the tags' sets begin. */
char *
cache_arg_key(FunctionCallInfo fcinfo, const Tenant *tenant)
{
	return cache_key(tenant, tenancy_arg_text(fcinfo, 0, "key"));
}

/* The same of a text. */
char *
cache_key(const Tenant *tenant, char *key)
{
	if (key[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("cache key must not be empty")));
	if (key[0] == '#')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("cache key must not begin with \"#\"")));
	check_name("key", key);
	key = redis_tenant_key(tenant->name, key);
	return pg_server_to_any(key, strlen(key), PG_UTF8);
}

/* Seconds that a value is kept. */
int
cache_arg_ttl(FunctionCallInfo fcinfo, int n)
{
	int ttl;

	tenancy_arg_required(fcinfo, n, "ttl");
	ttl = PG_GETARG_INT32(n);
	if (ttl < 1 || ttl > TTL_MAX)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("ttl must be between 1 and %d seconds", TTL_MAX)));
	return ttl;
}

/* JSON text of a value as plain clients read it: UTF-8. */
char *
cache_value_text(Jsonb *value, size_t *length)
{
	char *text = JsonbToCString(NULL, &value->root, VARSIZE(value));
	text = pg_server_to_any(text, strlen(text), PG_UTF8);
	*length = strlen(text);
	if (*length > VALUE_MAX_BYTES)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("value is larger than %d MB", VALUE_MAX_BYTES / 1024 / 1024)));
	return text;
}

/* Key of a tag's set. */
char *
cache_tag_set(const Tenant *tenant, const char *tag)
{
	char *key = redis_tag_key(tenant->name, tag);

	return pg_server_to_any(key, strlen(key), PG_UTF8);
}

/* Keys of the tags' sets, that of the tag "" first. */
char **
cache_arg_tags(FunctionCallInfo fcinfo, int n, const Tenant *tenant, int *count)
{
	Datum *tags = NULL;
	bool  *nulls = NULL;
	int	   ntags = 0;
	char **sets;

	if (!PG_ARGISNULL(n))
		deconstruct_array(PG_GETARG_ARRAYTYPE_P(n), TEXTOID, -1, false, TYPALIGN_INT, &tags, &nulls,
						  &ntags);
	if (ntags > TAGS_MAX)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("a cached value can have at most %d tags", TAGS_MAX)));
	sets = palloc(sizeof(char *) * (ntags + 1));
	sets[0] = cache_tag_set(tenant, "");
	for (int i = 0; i < ntags; i++)
	{
		char *tag;

		if (nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("cache tag must not be null")));
		tag = TextDatumGetCString(tags[i]);
		check_name("tag", tag);
		sets[i + 1] = cache_tag_set(tenant, tag);
	}
	*count = ntags + 1;
	return sets;
}

/* Key of the set of a tag. */
char *
cache_arg_tag(FunctionCallInfo fcinfo, int n, const Tenant *tenant)
{
	char *tag = tenancy_arg_text(fcinfo, n, "tag");

	check_name("tag", tag);
	return cache_tag_set(tenant, tag);
}
