/*
 * cache.c
 *		tenant_cache_get, tenant_cache_set, tenant_cache_delete.
 *
 * A cache that is away is a cache without the value: nothing here fails because of
 * Redis.  What the caller does wrong is an error all the same.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "cache/cache.h"
#include "common/args.h"
#include "common/errors.h"
#include "common/jsonb.h"
#include "sink/redis_keys.h"
#include "sync/control.h"
#include "sync/shared.h"
#include "tenant/tenant.h"

#define NAME_MAX_BYTES 512
#define VALUE_MAX_BYTES (16 * 1024 * 1024)
#define TTL_MAX 2592000 /* seconds */
#define TAGS_MAX 100

PG_FUNCTION_INFO_V1(tenant_cache_get);
PG_FUNCTION_INFO_V1(tenant_cache_set);
PG_FUNCTION_INFO_V1(tenant_cache_delete);

/*
 * Stores a value and enters its key with all its tags.
 *
 * KEYS: the key, then the sets of its tags.  ARGV: value, seconds.  A set's score is
 * when the key has expired for sure, and the set outlives every key in it.  The value
 * comes last: if a set cannot be written, nothing is stored that no tag would find.
 */
static const char set_script[] = "local ttl = tonumber(ARGV[2])\n"
								 "local now = tonumber(redis.call('TIME')[1])\n"
								 "for i = 2, #KEYS do\n"
								 "  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now)\n"
								 "  redis.call('ZADD', KEYS[i], now + ttl + 1, KEYS[1])\n"
								 "  if redis.call('TTL', KEYS[i]) < ttl + 2 then\n"
								 "    redis.call('EXPIRE', KEYS[i], ttl + 2)\n"
								 "  end\n"
								 "end\n"
								 "redis.call('SET', KEYS[1], ARGV[1], 'EX', ttl)\n"
								 "return 1\n";

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

/* Key in Redis; '#' is where the names of the tags' sets begin. */
static char *
redis_key(FunctionCallInfo fcinfo, const Tenant *tenant)
{
	char *key = tenancy_arg_text(fcinfo, 0, "key");

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

/*
 * False while values of an earlier tenant of the same name may still be there: the cache
 * worker has not come as far as that one's end.
 */
static bool
is_clean(const Tenant *tenant)
{
	DatabaseShared *database = tenancy_shared_mine();

	if (database == NULL || wal_level < WAL_LEVEL_LOGICAL || RecoveryInProgress() ||
		tenant->cache_from > GetXLogInsertRecPtr())
		return true;
	return pg_atomic_read_u64(&database->sinks[SINK_CACHE].settled) >= tenant->cache_from;
}

/* True if what is in the cache may be used. */
static bool
is_usable(const Tenant *tenant)
{
	return is_clean(tenant) && control_is_followed(SINK_CACHE, tenant->id);
}

/* Tenant that an optional argument names; without it the current one. */
static void
find_tenant(FunctionCallInfo fcinfo, int n, Tenant *tenant)
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

/* Value of a key. */
Datum
tenant_cache_get(PG_FUNCTION_ARGS)
{
	Tenant		 tenant;
	const char	*argv[] = {"GET", NULL};
	CacheCommand command = {2, argv};
	CacheReply	 reply;
	Jsonb		*value;

	find_tenant(fcinfo, 1, &tenant);
	argv[1] = redis_key(fcinfo, &tenant);
	if (!is_usable(&tenant) || !cache_call(&command, &reply) || reply.text == NULL)
		PG_RETURN_NULL();
	value = tenancy_jsonb_parse(reply.text, reply.length);
	if (value != NULL)
		PG_RETURN_JSONB_P(value);
	ereport(DEBUG1, (errmsg_internal("value of Redis key \"%s\" is not JSON", argv[1])));
	PG_RETURN_NULL();
}

/* Seconds that a value is kept. */
static int
ttl_arg(FunctionCallInfo fcinfo, int n)
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
static char *
value_arg(FunctionCallInfo fcinfo, int n, size_t *length)
{
	Jsonb *value;
	char  *text;

	tenancy_arg_required(fcinfo, n, "value");
	value = PG_GETARG_JSONB_P(n);
	text = JsonbToCString(NULL, &value->root, VARSIZE(value));
	text = pg_server_to_any(text, strlen(text), PG_UTF8);
	*length = strlen(text);
	if (*length > VALUE_MAX_BYTES)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("value is larger than %d MB", VALUE_MAX_BYTES / 1024 / 1024)));
	return text;
}

/* Key of a tag's set. */
static char *
tag_set(const Tenant *tenant, const char *tag)
{
	char *key = redis_tag_key(tenant->name, tag);

	return pg_server_to_any(key, strlen(key), PG_UTF8);
}

/* Keys of the tags' sets, that of the tag "" first. */
static char **
tag_sets(FunctionCallInfo fcinfo, int n, const Tenant *tenant, int *count)
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
	sets[0] = tag_set(tenant, "");
	for (int i = 0; i < ntags; i++)
	{
		char *tag;

		if (nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("cache tag must not be null")));
		tag = TextDatumGetCString(tags[i]);
		check_name("tag", tag);
		sets[i + 1] = tag_set(tenant, tag);
	}
	*count = ntags + 1;
	return sets;
}

/* Appends an argument. */
static void
add_argument(CacheCommand *command, const char *text, size_t length)
{
	command->argv[command->argc] = text;
	command->lengths[command->argc++] = length;
}

/* Runs set_script. */
static bool
store(const char *key, const char *value, size_t length, int ttl, char **sets, int nsets)
{
	int			 most = 6 + nsets;
	CacheCommand command = {0, palloc(sizeof(char *) * most), palloc(sizeof(size_t) * most)};
	CacheReply	 reply;
	char		 number[16];
	char		 seconds[16];

	add_argument(&command, "EVAL", 4);
	add_argument(&command, set_script, strlen(set_script));
	add_argument(&command, number, snprintf(number, sizeof(number), "%d", nsets + 1));
	add_argument(&command, key, strlen(key));
	for (int i = 0; i < nsets; i++)
		add_argument(&command, sets[i], strlen(sets[i]));
	add_argument(&command, value, length);
	add_argument(&command, seconds, snprintf(seconds, sizeof(seconds), "%d", ttl));
	return cache_call(&command, &reply) && reply.integer == 1;
}

/* Stores a value. */
Datum
tenant_cache_set(PG_FUNCTION_ARGS)
{
	Tenant tenant;
	char  *key;
	char  *value;
	char **sets;
	size_t length;
	int	   nsets;
	int	   ttl;

	tenancy_tenant_require_current(&tenant);
	key = redis_key(fcinfo, &tenant);
	value = value_arg(fcinfo, 1, &length);
	ttl = ttl_arg(fcinfo, 2);
	sets = tag_sets(fcinfo, 3, &tenant, &nsets);
	PG_RETURN_BOOL(is_usable(&tenant) && store(key, value, length, ttl, sets, nsets));
}

/* Removes a key; its tags forget it when it would have expired. */
Datum
tenant_cache_delete(PG_FUNCTION_ARGS)
{
	Tenant		 tenant;
	const char	*argv[] = {"UNLINK", NULL};
	CacheCommand command = {2, argv};
	CacheReply	 reply;

	tenancy_tenant_require_current(&tenant);
	argv[1] = redis_key(fcinfo, &tenant);
	PG_RETURN_BOOL(cache_call(&command, &reply) && reply.integer > 0);
}
