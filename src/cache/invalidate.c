/*
 * invalidate.c
 *		tenant_cache_invalidate, tenant_cache_invalidate_tag.
 *
 * In steps: other clients of Redis wait for no more than a few hundred keys.
 */
#include "postgres.h"

#include "access/transam.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"

#include "cache/cache.h"
#include "common/args.h"
#include "common/guc.h"
#include "sink/redis_keys.h"

#define STEP_KEYS "250"
#define CURSOR_MAX 24
#define STARS_MOST 8

PG_FUNCTION_INFO_V1(tenant_cache_invalidate);
PG_FUNCTION_INFO_V1(tenant_cache_invalidate_tag);

/*
 * KEYS: tenant's set, begin of a lease's name, begin of a key's name, size.  ARGV: cursor, pattern, keys.
 * Returns "CURSOR COUNT".
 */
static RedisScript match_script = {
	REDIS_LUA_FORGET
	"local found = redis.call('ZSCAN', KEYS[1], ARGV[1], 'MATCH', ARGV[2], 'COUNT', ARGV[3])\n"
	"local count = 0\n"
	"for i = 1, #found[2], 2 do\n"
	"  local key = found[2][i]\n"
	"  count = count + redis.call('UNLINK', key)\n"
	"  redis.call('UNLINK', KEYS[2] .. string.sub(key, #KEYS[3] + 1))\n"
	"  forget(KEYS[1], KEYS[4], key)\n"
	"end\n"
	"return found[1] .. ' ' .. count\n",
	""};

/* Number of keys in a set, 0 if that is not known. */
static int64
count_members(const char *set)
{
	const char	*argv[] = {"ZCARD", set};
	CacheCommand command = {lengthof(argv), argv};
	CacheReply	 reply;

	return cache_call(&command, &reply) && reply.is_integer ? reply.integer : 0;
}

/*
 * Drops the members of a set, or just raises its floor: values that are being made now by
 * a transaction that has not seen all that has ended are not stored.  One that still runs keeps
 * others from storing too: nobody knows whether it is the one that matters.
 */
static bool
drop_tag(const Tenant *tenant, const char *set, bool only_floor)
{
	char *next = psprintf(UINT64_FORMAT, U64FromFullTransactionId(ReadNextFullTransactionId()) - 1);
	char *life = psprintf("%d", tenancy_cache_guard_time * 1000);
	char *floor = redis_beside(tenant->name, "floor", set);
	char *all = cache_tag_set(tenant, "");
	char *size = redis_size_key(tenant->name);
	char *owner = redis_owner_key(tenant->name);
	const char	*argv[] = {NULL, NULL, "5",	  set,	floor,
						   all,	 size, owner, life, only_floor ? "1" : STEP_KEYS,
						   "0",	 next};
	CacheCommand command = {lengthof(argv), argv};
	CacheReply	 reply;

	do
		if (!cache_run_script(&redis_drop_tags_script, &command, &reply) || !reply.is_integer)
			return false;
	while (reply.integer == 0 && !only_floor);
	return true;
}

/* Drops all values with a tag. */
Datum
tenant_cache_invalidate_tag(PG_FUNCTION_ARGS)
{
	Tenant tenant;
	char  *set;
	int64  count;

	tenancy_tenant_require_current(&tenant);
	set = cache_arg_tag(fcinfo, 0, &tenant);
	count = count_members(set);
	if (!drop_tag(&tenant, set, false))
		PG_RETURN_NULL();
	PG_RETURN_INT64(count);
}

/* Takes "CURSOR COUNT"; false: it is something else. */
static bool
take_step(const char *text, char *cursor, int64 *count)
{
	size_t digits = strspn(text, "0123456789");
	size_t more = text[digits] == ' ' ? strspn(text + digits + 1, "0123456789") : 0;

	if (digits == 0 || digits >= CURSOR_MAX || more == 0 || more > 18 ||
		text[digits + 1 + more] != '\0')
		return false;
	memcpy(cursor, text, digits);
	cursor[digits] = '\0';
	*count += strtoll(text + digits + 1, NULL, 10);
	return true;
}

/* Drops the values of one step; false: Redis did not answer. */
static bool
drop_matching(const Tenant *tenant, const char *pattern, char *cursor, int64 *count)
{
	const char	*argv[] = {NULL,
						   NULL,
						   "4",
						   cache_tag_set(tenant, ""),
						   psprintf("tenant:%s:#lease:", tenant->name),
						   psprintf("tenant:%s:", tenant->name),
						   redis_size_key(tenant->name),
						   pstrdup(cursor),
						   pattern,
						   STEP_KEYS};
	CacheCommand command = {lengthof(argv), argv};
	CacheReply	 reply;

	return cache_run_script(&match_script, &command, &reply) && reply.text != NULL &&
		   take_step(reply.text, cursor, count);
}

/* Redis takes ever longer with each star, and others wait. */
static void
check_pattern(const char *pattern)
{
	int stars = 0;

	for (const char *p = pattern; *p != '\0'; p++)
		stars += *p == '*';
	if (stars > STARS_MOST)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("pattern has %d stars, %d at the most", stars, STARS_MOST)));
}

/* Drops all values whose keys fit a pattern. */
Datum
tenant_cache_invalidate(PG_FUNCTION_ARGS)
{
	Tenant tenant;
	char  *pattern;
	char   cursor[CURSOR_MAX] = "0";
	int64  count = 0;

	tenancy_tenant_require_current(&tenant);
	pattern = cache_arg_key(fcinfo, &tenant);
	check_pattern(pattern);
	if (!drop_tag(&tenant, cache_tag_set(&tenant, ""), true))
		PG_RETURN_NULL();
	do
		if (!drop_matching(&tenant, pattern, cursor, &count))
			PG_RETURN_NULL();
	while (strcmp(cursor, "0") != 0);
	PG_RETURN_INT64(count);
}
