/*
 * guard.c
 *		Stores values, but none that is older than a change that the cache sink has dealt with.
 *
 * README.md says why this holds.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "cache/cache.h"
#include "sink/redis_keys.h"
#include "sync/shared.h"

#define UNIT_TEXT CppAsString2(REDIS_SIZE_UNIT)
#define PURGE_TEXT "20" /* expired keys that a fill takes out of each set */

PG_FUNCTION_INFO_V1(tenant_cache_fill_script);

/*
 * KEYS: value, lease, mark, cost, size, owner, floor of the key, then for each tag its set and its floor, the
 * tenant's first.  ARGV: value, seconds, token or '', snapshot, whether the mark must be there, ms or '', id of the tenant or ''.
 *
 * A set's score says when the key has expired for sure, and the set outlives every key in it. Of
 * those that have, each fill takes a few away: more than it adds, and no other client waits for it.
 * They are unlinked too: if the clock is set back they have not expired after all, and no tag would find them.
 * The value comes last: if a set cannot be written, nothing is stored that no tag would find.
 */
static RedisScript fill_script = {
	"if ARGV[3] ~= '' then\n"
	"  if redis.call('GET', KEYS[2]) ~= ARGV[3] then return -1 end\n"
	"  redis.call('DEL', KEYS[2])\n"
	"end\n"
	"local function parse(text)\n"
	"  local low, high, list = string.match(text, '^(%d+):(%d+):([%d,]*)$')\n"
	"  local ids = {}\n"
	"  for id in string.gmatch(list, '%d+') do ids[#ids + 1] = tonumber(id) end\n"
	"  table.sort(ids)\n"
	"  return tonumber(low), tonumber(high), ids\n"
	"end\n"
	"local low, high, running = parse(ARGV[4])\n"
	"local function place(ids, id)\n"
	"  local from, to = 1, #ids + 1\n"
	"  while from < to do\n"
	"    local half = math.floor((from + to) / 2)\n"
	"    if ids[half] < id then from = half + 1 else to = half end\n"
	"  end\n"
	"  return from\n"
	"end\n"
	"local function sees(first, last)\n"
	"  if last < low then return true end\n"
	"  if last >= high then return false end\n"
	"  local id = running[place(running, first)]\n"
	"  return not id or id > last\n"
	"end\n"
	"local mark = redis.call('GET', KEYS[3])\n"
	"if mark then\n"
	"  local _, last, ran = parse(mark)\n"
	"  if high < last then return -2 end\n"
	"  for _, id in ipairs(running) do\n"
	"    if id >= last then break end\n"
	"    if ran[place(ran, id)] ~= id then return -2 end\n"
	"  end\n"
	"elseif ARGV[5] == '1' then\n"
	"  return -2\n"
	"end\n"
	"local owner = redis.call('GET', KEYS[6])\n"
	"if ARGV[7] ~= '' and owner and owner ~= ARGV[7] then return -4 end\n"
	"for i = 7, #KEYS, 2 do\n"
	"  local floor = redis.call('GET', KEYS[i])\n"
	"  if floor then\n"
	"    local a, b, c, d = string.match(floor, '^(%d+) (%d+) (%d+) (%d+) %d+$')\n"
	"    if not d or not sees(tonumber(a), tonumber(b)) or not sees(tonumber(c), tonumber(d)) "
	"then\n"
	"      return -3\n"
	"    end\n"
	"  end\n"
	"end\n"
	"local ttl = tonumber(ARGV[2])\n"
	"local now = tonumber(redis.call('TIME')[1])\n"
	"local scale = " REDIS_LUA_SCALE "\n"
	"local units = math.min(scale - 1, math.ceil((#KEYS[1] + #ARGV[1]) / " UNIT_TEXT "))\n"
	"local score = string.format('%.0f', (now + ttl + 1) * scale + units)\n"
	"local change = units\n"
	"local before = redis.call('ZSCORE', KEYS[8], KEYS[1])\n"
	"if before then change = change - tonumber(before) % scale end\n"
	"local fresh = redis.call('EXISTS', KEYS[8]) == 0\n"
	"for i = 8, #KEYS, 2 do\n"
	"  local over = redis.call('ZRANGEBYSCORE', KEYS[i], '-inf', string.format('%.0f', now * "
	"scale),\n"
	"    'WITHSCORES', 'LIMIT', 0, " PURGE_TEXT ")\n"
	"  for j = 1, #over, 2 do\n"
	"    if over[j] ~= KEYS[1] then\n"
	"      local whole = redis.call('ZSCORE', KEYS[8], over[j])\n"
	"      if not whole or tonumber(whole) <= now * scale then redis.call('UNLINK', over[j]) end\n"
	"      redis.call('ZREM', KEYS[i], over[j])\n"
	"      if i == 8 then change = change - tonumber(over[j + 1]) % scale end\n"
	"    end\n"
	"  end\n"
	"  redis.call('ZADD', KEYS[i], score, KEYS[1])\n"
	"  if redis.call('TTL', KEYS[i]) < ttl + 2 then redis.call('EXPIRE', KEYS[i], ttl + 2) end\n"
	"end\n"
	"if fresh then redis.call('SET', KEYS[5], 0) end\n"
	"redis.call('INCRBY', KEYS[5], string.format('%.0f', change))\n"
	"if redis.call('TTL', KEYS[5]) < ttl + 2 then redis.call('EXPIRE', KEYS[5], ttl + 2) end\n"
	"if owner or ARGV[7] ~= '' then\n"
	"  if not owner then redis.call('SET', KEYS[6], ARGV[7], 'EX', ttl + 2) end\n"
	"  if redis.call('TTL', KEYS[6]) < ttl + 2 then redis.call('EXPIRE', KEYS[6], ttl + 2) end\n"
	"end\n"
	"if ARGV[6] ~= '' then redis.call('SET', KEYS[4], ARGV[6], 'EX', ttl) end\n"
	"redis.call('SET', KEYS[1], ARGV[1], 'EX', ttl)\n"
	"return 1\n",
	""};

/* The script that stores a value, for clients that fill the cache by themselves. */
Datum
tenant_cache_fill_script(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(fill_script.text));
}

/* True if the sink's mark must be there: everywhere but where there cannot be a sink. */
static bool
needs_mark(void)
{
	return RecoveryInProgress() || (tenancy_shared != NULL && wal_level >= WAL_LEVEL_LOGICAL);
}

/* False once the transaction has written: it sees what nobody else may ever see. */
bool
cache_may_fill(void)
{
	return !TransactionIdIsValid(GetTopTransactionIdIfAny());
}

/* Appends an argument. */
static void
add_argument(CacheCommand *command, const char *text, size_t length)
{
	command->argv[command->argc] = text;
	command->lengths[command->argc++] = length;
}

/* Appends a string. */
static void
add_string(CacheCommand *command, const char *text)
{
	add_argument(command, text, strlen(text));
}

/* Appends the names of a fill's keys. */
static void
add_keys(CacheCommand *command, const CacheFill *fill)
{
	const char *tenant = fill->tenant->name;

	add_string(command, fill->key);
	add_string(command, redis_beside(tenant, "lease", fill->key));
	add_string(command, redis_mark_key());
	add_string(command, redis_beside(tenant, "cost", fill->key));
	add_string(command, redis_size_key(tenant));
	add_string(command, redis_owner_key(tenant));
	add_string(command, redis_beside(tenant, "floor", fill->key));
	for (int i = 0; i < fill->nsets; i++)
	{
		add_string(command, fill->sets[i]);
		add_string(command, redis_beside(tenant, "floor", fill->sets[i]));
	}
}

/* Stores a value; false: Redis did not answer, or it may be older than a change. */
bool
cache_fill(const CacheFill *fill)
{
	int			 most = 17 + 2 * fill->nsets;
	CacheCommand command = {0, palloc(sizeof(char *) * most), palloc(sizeof(size_t) * most)};
	CacheReply	 reply;

	if (fill->snapshot == NULL || !cache_may_fill())
	{
		cache_count(fill->tenant, CACHE_REJECTED);
		if (fill->token != NULL)
			cache_release(fill);
		return false;
	}
	add_string(&command, "");
	add_string(&command, "");
	add_string(&command, psprintf("%d", 7 + 2 * fill->nsets));
	add_keys(&command, fill);
	add_argument(&command, fill->value, fill->length);
	add_string(&command, psprintf("%d", fill->ttl));
	add_string(&command, fill->token != NULL ? fill->token : "");
	add_string(&command, fill->snapshot);
	add_string(&command, needs_mark() ? "1" : "0");
	add_string(&command, fill->cost >= 0 ? psprintf("%d", fill->cost) : "");
	add_string(&command, psprintf(INT64_FORMAT, fill->tenant->id));
	if (!cache_run_script(&fill_script, &command, &reply))
		return false;
	if (reply.integer == 1)
		cache_owner_note(fill->tenant);
	cache_count(fill->tenant, reply.integer == 1 ? CACHE_FILLS : CACHE_REJECTED);
	if (reply.integer != 1)
		ereport(DEBUG1, (errmsg_internal("Redis key \"%s\" was not stored: " INT64_FORMAT,
										 fill->key, reply.integer)));
	return reply.integer == 1;
}
