/*
 * redis_scripts.h
 *		What the cache sink has Redis do in one step.
 */
#ifndef TENANCY_REDIS_SCRIPTS_H
#define TENANCY_REDIS_SCRIPTS_H

#define REDIS_SHA_LENGTH 40

/* A script and, once asked for, its name in Redis. */
typedef struct RedisScript
{
	const char *text;
	char		sha[REDIS_SHA_LENGTH + 1];
} RedisScript;

/*
 * Score of a key in a tag's set: seconds at which it has expired, times this, plus its size in units
 * of 16 bytes: exact up to 2^53, that is until the year 2242.
 */
#define REDIS_LUA_SCALE "1048576"
#define REDIS_SIZE_UNIT 16

/*
 * raise(floor, low, high): takes a range into a floor; whatever else is in its place goes.  ARGV[1] is the
 * floors' life in ms.  A Redis
 * that is full refuses a script's first write if that takes memory, but not later ones: the
 * first is an UNLINK, so that what is old goes all the same.
 */
#define REDIS_LUA_RAISE                                                                 \
	"local time = redis.call('TIME')\n"                                                 \
	"local now = time[1] * 1000 + math.floor(time[2] / 1000)\n"                         \
	"local life = tonumber(ARGV[1])\n"                                                  \
	"local written = false\n"                                                           \
	"local function raise(floor, low, high)\n"                                          \
	"  local l1, h1, l2, h2, since = low, high, low, high, now\n"                       \
	"  local old = redis.pcall('GET', floor)\n"                                         \
	"  if type(old) == 'string' then\n"                                                 \
	"    local a, b, c, d, e = string.match(old, '^(%d+) (%d+) (%d+) (%d+) (%d+)$')\n"  \
	"    if e and now - e > life then\n"                                                \
	"      l1, h1 = tonumber(c), tonumber(d)\n"                                         \
	"    elseif e then\n"                                                               \
	"      l1, h1, since = tonumber(a), tonumber(b), tonumber(e)\n"                     \
	"      l2, h2 = math.min(low, tonumber(c)), math.max(high, tonumber(d))\n"          \
	"    end\n"                                                                         \
	"  end\n"                                                                           \
	"  local text = string.format('%.0f %.0f %.0f %.0f %.0f', l1, h1, l2, h2, since)\n" \
	"  if not written then redis.call('UNLINK', floor) end\n"                           \
	"  written = true\n"                                                                \
	"  redis.call('SET', floor, text, 'PX', life)\n"                                    \
	"end\n"

/* forget(set, size, key): takes a key out of the tenant's set, and its size out of the sum. */
#define REDIS_LUA_FORGET                                              \
	"local function forget(set, size, key)\n"                         \
	"  local score = redis.pcall('ZSCORE', set, key)\n"               \
	"  if type(score) ~= 'string' then return end\n"                  \
	"  redis.call('ZREM', set, key)\n"                                \
	"  local units = tonumber(score) % " REDIS_LUA_SCALE "\n"         \
	"  if units > 0 and redis.call('EXISTS', size) == 1 then\n"       \
	"    redis.pcall('DECRBY', size, string.format('%.0f', units))\n" \
	"  end\n"                                                         \
	"end\n"

/* For each key: KEYS value, floor, lease, tenant's set, its size; ARGV low, high, after the floors' life in ms. */
extern RedisScript redis_unlink_script;
/* For each tag: KEYS set, floor, tenant's set, its size, owner; ARGV low, high, after life and budget.  Returns tags done. */
extern RedisScript redis_drop_tags_script;
/* KEYS mark; ARGV snapshot, since, life, fresh.  Returns the time in ms, negative: the mark was gone. */
extern RedisScript redis_mark_script;

extern const char *redis_script_sha(RedisScript *script);

#endif
