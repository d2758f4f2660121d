/*
 * look.c
 *		Looks for a value, asks for the right to make it, and stores what was made.
 *
 * One session makes a value that is not there; others wait a little for it.  A value that is about
 * to expire is made anew by one session early, the sooner the longer that takes; others
 * have the present one until then.
 */
#include "postgres.h"

#include <math.h>

#include "common/pg_prng.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/timestamp.h"

#include "cache/cache.h"
#include "common/compat.h"
#include "common/guc.h"
#include "common/jsonb.h"
#include "sink/redis_keys.h"

#define NEGATIVE_TTL 10 /* seconds, of a value that is not there */
#define JITTER 0.1		/* of the time to live, so that not all expire at once */
#define LOOK_FIRST_MS 5 /* then after ever longer times */
#define LOOK_LAST_MS 50
#define RELEASE_MS 200 /* a lease that is not given back ends by itself */

/*
 * KEYS: value, lease, cost, owner.  ARGV: token or '', life of a lease in ms, how many times the
 * cost before its end a value is made anew, id of the tenant.  Returns a letter, and the value where there is one; what
 * is no string counts as none.  The lease may be ours: a call is sent again if its reply got lost.
 */
static RedisScript look_script = {
	"local function lease()\n"
	"  return ARGV[1] ~= '' and (redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2])\n"
	"    or redis.call('GET', KEYS[2]) == ARGV[1])\n"
	"end\n"
	"local owner = redis.call('GET', KEYS[4])\n"
	"local value = redis.pcall('GET', KEYS[1])\n"
	"if type(value) == 'string' and (not owner or owner == ARGV[4]) then\n"
	"  local cost, left = redis.call('GET', KEYS[3]), redis.call('PTTL', KEYS[1])\n"
	"  if cost and left >= 0 and left <= cost * ARGV[3] and lease() then return 'e' end\n"
	"  return 'h' .. value\n"
	"end\n"
	"if lease() then return 'l' end\n"
	"return 'w'\n",
	""};

/* KEYS: lease.  ARGV: token. */
static RedisScript release_script = {
	"if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end\n"
	"return 0\n",
	""};

typedef enum Look
{
	LOOK_HIT,
	LOOK_OURS,	 /* we make it and may store it */
	LOOK_OTHERS, /* somebody else is at it */
	LOOK_AWAY	 /* Redis does not answer */
} Look;

/* Looks for a value once, and asks for the right to make it. */
static Look
look_once(CacheFill *fill, CacheReply *reply)
{
	char		 life[16];
	char		 early[32];
	char		*id = psprintf(INT64_FORMAT, fill->tenant->id);
	const char	*tenant = fill->tenant->name;
	const char	*argv[] = {NULL,
						   NULL,
						   "4",
						   fill->key,
						   redis_beside(tenant, "lease", fill->key),
						   redis_beside(tenant, "cost", fill->key),
						   redis_owner_key(tenant),
						   fill->token,
						   life,
						   early,
						   id};
	CacheCommand command = {lengthof(argv), argv};

	snprintf(life, sizeof(life), "%d", cache_lease_life());
	snprintf(early, sizeof(early), "%.3f", -log(1.0 - pg_prng_double(&pg_global_prng_state)));
	if (!cache_run_script(&look_script, &command, reply) || reply->length == 0)
		return LOOK_AWAY;
	if (reply->text[0] == 'h')
		return LOOK_HIT;
	return reply->text[0] == 'w' ? LOOK_OTHERS : LOOK_OURS;
}

/* Looks, and waits a little while somebody else makes the value. */
static Look
look_and_wait(CacheFill *fill, CacheReply *reply)
{
	static uint32 wait_event = 0;
	TimestampTz	  until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), tenancy_cache_wait);
	int			  ms = LOOK_FIRST_MS;
	Look		  result;

	if (wait_event == 0)
		wait_event = compat_wait_event("TenancyCacheFetch");
	while ((result = look_once(fill, reply)) == LOOK_OTHERS && fill->token[0] != '\0' &&
		   GetCurrentTimestamp() < until)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms, wait_event);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		ms = Min(ms * 2, LOOK_LAST_MS);
	}
	return result;
}

/* Lets somebody else make the value; takes a moment at the most, also in a query that is cancelled. */
void
cache_release(const CacheFill *fill)
{
	const char	*argv[] = {NULL, NULL, "1", redis_beside(fill->tenant->name, "lease", fill->key),
						   fill->token};
	CacheCommand command = {lengthof(argv), argv};
	CacheReply	 reply;

	HOLD_INTERRUPTS();
	cache_time_limit = RELEASE_MS;
	(void) cache_run_script(&release_script, &command, &reply);
	cache_time_limit = 0;
	RESUME_INTERRUPTS();
}

/* Stores what was made, for about its time to live. */
bool
cache_store(CacheFill *fill, Jsonb *value)
{
	double factor = 1 + JITTER * (2 * pg_prng_double(&pg_global_prng_state) - 1);

	if (value == NULL)
	{
		fill->value = "null";
		fill->length = strlen(fill->value);
		fill->ttl = Min(fill->ttl, NEGATIVE_TTL);
	}
	else
		fill->value = cache_value_text(value, &fill->length);
	fill->ttl = Max(1, (int) rint(fill->ttl * factor));
	return cache_fill(fill);
}

/* A cached value; *found false: it is not JSON. */
static Jsonb *
cached_value(const CacheReply *reply, bool *found)
{
	Jsonb *value = NULL;

	*found = true;
	if (reply->length == 5 && memcmp(reply->text, "hnull", 5) == 0)
		return NULL;
	value = tenancy_jsonb_parse(reply->text + 1, reply->length - 1);
	*found = value != NULL;
	return value;
}

/* Looks for a value; if it is not there, fill may have the right to store it. */
CacheLook
cache_look(CacheFill *fill, Jsonb **value)
{
	CacheReply reply = {0};
	Look	   result = LOOK_AWAY;
	bool	   found = false;

	fill->token = palloc0(LEASE_TOKEN_LENGTH + 1);
	if (cache_may_fill())
		cache_lease_token(fill->token);
	if (cache_is_usable(fill->tenant))
		result = look_and_wait(fill, &reply);
	if (result == LOOK_HIT)
		*value = cached_value(&reply, &found);
	cache_count(fill->tenant, found ? CACHE_HITS : CACHE_MISSES);
	if (found)
	{
		cache_found();
		return CACHE_FOUND;
	}
	if (result == LOOK_HIT && fill->token[0] != '\0' &&
		cache_lease_ask(fill->tenant, fill->key, fill->token))
		result = LOOK_OURS; /* what is there is no JSON: it is made anew */
	return result == LOOK_OURS ? CACHE_OURS : CACHE_NOT_OURS;
}

/* KEYS: value, lease.  ARGV: token, life of a lease in ms, ms that a value must have left. */
static RedisScript claim_script = {
	"if redis.call('PTTL', KEYS[1]) > tonumber(ARGV[3]) then return 0 end\n"
	"return redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 2\n",
	""};

/* Asks for the right to make a value anew, unless it is there for long. */
CacheLook
cache_claim(CacheFill *fill)
{
	char	   *life = psprintf("%d", cache_lease_life());
	char	   *left = psprintf(INT64_FORMAT, (int64) fill->ttl * 500);
	const char *argv[] = {
		NULL, NULL, "2", fill->key, redis_beside(fill->tenant->name, "lease", fill->key),
		NULL, life, left};
	CacheCommand command = {lengthof(argv), argv};
	CacheReply	 reply;

	fill->token = palloc0(LEASE_TOKEN_LENGTH + 1);
	cache_lease_token(fill->token);
	argv[5] = fill->token;
	if (!cache_may_fill() || !cache_is_usable(fill->tenant) ||
		!cache_run_script(&claim_script, &command, &reply) || !reply.is_integer)
		return CACHE_NOT_OURS;
	return reply.integer == 0 ? CACHE_FOUND : reply.integer == 1 ? CACHE_OURS : CACHE_NOT_OURS;
}
