/*
 * redis_keys.c
 *		Names of a tenant's keys, and the script that drops the keys of a tag.
 *
 * A tenant's name has no colon, so no tenant can name a key of another one.
 */
#include "postgres.h"

#include "sink/redis_keys.h"

/*
 * A chunk of members at a time: the script's memory does not grow with the tag.  What
 * is no set, whoever put it there, just goes: an error would be tried again for ever.
 */
const char *const redis_invalidate_tag_script =
	"if redis.call('TYPE', KEYS[1]).ok ~= 'zset' then\n"
	"  redis.call('UNLINK', KEYS[1])\n"
	"  return 0\n"
	"end\n"
	"local count = 0\n"
	"while true do\n"
	"  local keys = redis.call('ZRANGE', KEYS[1], 0, 499)\n"
	"  if #keys == 0 then break end\n"
	"  count = count + redis.call('UNLINK', unpack(keys))\n"
	"  redis.call('ZREMRANGEBYRANK', KEYS[1], 0, #keys - 1)\n"
	"end\n"
	"redis.call('UNLINK', KEYS[1])\n"
	"return count\n";

/* Redis key of what the application calls key. */
char *
redis_tenant_key(const char *tenant, const char *key)
{
	return psprintf("tenant:%s:%s", tenant, key);
}

/* Redis key of the set of a tag. */
char *
redis_tag_key(const char *tenant, const char *tag)
{
	return psprintf("tenant:%s:#tag:%s", tenant, tag);
}
