/*
 * redis_scripts.c
 *		What the cache sink has Redis do in one step.
 *
 * A floor says which transactions changed what a key was made of: "LOW HIGH LOW HIGH SINCE", the
 * second range since SINCE, the first in the time before.  A value read with a snapshot in
 * which one of these transactions may still run, or is to come, is not stored.  Two ranges,
 * as the low end of a single one would never rise for a key that is changed again and again.
 * Numbers are exact up to 2^53.
 */
#include "postgres.h"

#include "common/cryptohash.h"
#include "utils/resowner.h"

#include "sink/redis_scripts.h"

/* A value of the floor's name: only the floor.  High 0: no floor. */
RedisScript redis_unlink_script = {
	REDIS_LUA_RAISE REDIS_LUA_FORGET
	"for i = 1, #KEYS, 5 do\n"
	"  local at = 2 + (i - 1) / 5 * 2\n"
	"  local low, high = tonumber(ARGV[at]), tonumber(ARGV[at + 1])\n"
	"  if high > 0 then raise(KEYS[i + 1], low, high) end\n"
	"  if KEYS[i] ~= KEYS[i + 1] then\n"
	"    redis.call('UNLINK', KEYS[i], KEYS[i + 2])\n"
	"    forget(KEYS[i + 3], KEYS[i + 4], KEYS[i])\n"
	"  end\n"
	"end\n"
	"return #KEYS / 5\n",
	""};

/*
 * Unlinks as many members as the budget allows: other clients wait for no more than that.
 * What is no set, whoever put it there, just goes: an error would be tried again for ever.
 */
RedisScript redis_drop_tags_script = {
	REDIS_LUA_RAISE REDIS_LUA_FORGET
	"local left = tonumber(ARGV[2])\n"
	"for i = 1, #KEYS, 5 do\n"
	"  if left <= 0 then return (i - 1) / 5 end\n"
	"  local at = 3 + (i - 1) / 5 * 2\n"
	"  raise(KEYS[i + 1], tonumber(ARGV[at]), tonumber(ARGV[at + 1]))\n"
	"  left = left - 2\n"
	"  if redis.call('TYPE', KEYS[i]).ok ~= 'zset' then\n"
	"    redis.call('UNLINK', KEYS[i])\n"
	"  else\n"
	"    while true do\n"
	"      if left <= 0 then return (i - 1) / 5 end\n"
	"      local keys = redis.call('ZRANGE', KEYS[i], 0, left - 1)\n"
	"      if #keys == 0 then break end\n"
	"      redis.call('UNLINK', unpack(keys))\n"
	"      for _, key in ipairs(keys) do forget(KEYS[i + 2], KEYS[i + 3], key) end\n"
	"      if KEYS[i] ~= KEYS[i + 2] then redis.call('ZREM', KEYS[i], unpack(keys)) end\n"
	"      left = left - #keys\n"
	"    end\n"
	"  end\n"
	"  if KEYS[i] == KEYS[i + 2] then redis.call('UNLINK', KEYS[i + 3], KEYS[i + 4]) end\n"
	"end\n"
	"return #KEYS / 5\n",
	""};

/*
 * Floors live for a while only, and Redis may lose them.  The mark is a snapshot taken after
 * all changes whose floors may be gone: a value must have been read with one that sees as
 * much.  Where there is none, nothing is stored.
 */
RedisScript redis_mark_script = {
	"local time = redis.call('TIME')\n"
	"local now = time[1] * 1000 + math.floor(time[2] / 1000)\n"
	"if ARGV[1] == '' then return now end\n"
	"if ARGV[4] == '0' and redis.call('EXISTS', KEYS[1]) == 0 then return -now end\n"
	"local left = ARGV[2] + ARGV[3] - now\n"
	"if left <= 0 then return -now end\n"
	"redis.call('SET', KEYS[1], ARGV[1], 'PX', math.min(left, 3000))\n"
	"return now\n",
	""};

/* The SHA1 of a text; a hash needs a resource owner, which there is none of outside of transactions. */
static void
hash_text(const char *text, uint8 *digest)
{
	ResourceOwner	   old = CurrentResourceOwner;
	ResourceOwner	   own = ResourceOwnerCreate(NULL, "pg_tenancy script");
	pg_cryptohash_ctx *context;
	bool			   done;

	CurrentResourceOwner = own;
	context = pg_cryptohash_create(PG_SHA1);
	done = pg_cryptohash_init(context) >= 0 &&
		   pg_cryptohash_update(context, (const uint8 *) text, strlen(text)) >= 0 &&
		   pg_cryptohash_final(context, digest, REDIS_SHA_LENGTH / 2) >= 0;
	pg_cryptohash_free(context);
	CurrentResourceOwner = old;
	ResourceOwnerDelete(own);
	if (!done)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not compute a SHA1 hash")));
}

/* Name of a script in Redis: the SHA1 of its text. */
const char *
redis_script_sha(RedisScript *script)
{
	uint8			  digest[REDIS_SHA_LENGTH / 2];
	static const char digits[] = "0123456789abcdef";

	if (script->sha[0] != '\0')
		return script->sha;
	hash_text(script->text, digest);
	for (int i = 0; i < lengthof(digest); i++)
	{
		script->sha[2 * i] = digits[digest[i] >> 4];
		script->sha[2 * i + 1] = digits[digest[i] & 15];
	}
	return script->sha;
}
