/*
 * miss.c
 *		What this session has looked for and not found: how old a value is that it stores later.
 *
 * A value that is stored in a later transaction was read in the one that missed it.  That one's
 * snapshot is kept until the value is stored, whether there is a lease or not.  There
 * are only so many: then the oldest of those thrown away stands for all keys that are not known.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "cache/cache.h"
#include "common/guc.h"
#include "sink/redis_keys.h"

#define MISSES_KEPT 512

/* A key that was not found. */
typedef struct Miss
{
	char  *key;
	char  *snapshot;					  /* what is read after it sees as much */
	uint64 found;						  /* values that the session had found by then */
	char   token[LEASE_TOKEN_LENGTH + 1]; /* of its lease, "": none */
} Miss;

static Miss	  misses[MISSES_KEPT];
static int	  next_miss = 0;
static uint64 thrown_away = 0; /* ids from here on need not be over in what was; 0: nothing was */
static uint64 found = 0;

/* Makes a token that nobody else has. */
void
cache_lease_token(char *token)
{
	static const char digits[] = "0123456789abcdef";
	uint8			  bytes[LEASE_TOKEN_LENGTH / 2];

	if (!pg_strong_random(bytes, sizeof(bytes)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random bytes")));
	for (int i = 0; i < lengthof(bytes); i++)
	{
		token[2 * i] = digits[bytes[i] >> 4];
		token[2 * i + 1] = digits[bytes[i] & 15];
	}
	token[LEASE_TOKEN_LENGTH] = '\0';
}

/* Milliseconds that a lease lasts. */
int
cache_lease_life(void)
{
	return tenancy_cache_guard_time * 1000 / 6;
}

/* A value of the cache goes to the caller: what he makes of it is as old as that. */
void
cache_found(void)
{
	found++;
}

/* How many have so far. */
uint64
cache_found_count(void)
{
	return found;
}

/* What is known of a key, or NULL. */
static Miss *
find_miss(const char *key)
{
	for (int i = 0; i < MISSES_KEPT; i++)
		if (misses[i].key != NULL && strcmp(misses[i].key, key) == 0)
			return &misses[i];
	return NULL;
}

/* Makes a place free. */
static void
forget(Miss *miss)
{
	if (miss->key != NULL)
		pfree(miss->key);
	if (miss->snapshot != NULL)
		pfree(miss->snapshot);
	memset(miss, 0, sizeof(*miss));
}

/* Finds a place, if need be that of a key that was missed long ago. */
static Miss *
free_place(void)
{
	Miss *miss = &misses[next_miss];

	next_miss = (next_miss + 1) % MISSES_KEPT;
	if (miss->key != NULL)
	{
		uint64 xmin = strtou64(miss->snapshot, NULL, 10);

		thrown_away = thrown_away == 0 ? xmin : Min(thrown_away, xmin);
	}
	forget(miss);
	return miss;
}

/* Remembers that a key is not there. */
static Miss *
note_miss(const char *key, const char *snapshot)
{
	Miss *miss = find_miss(key);
	char *name = MemoryContextStrdup(TopMemoryContext, key);
	char *text = MemoryContextStrdup(TopMemoryContext, snapshot);

	if (miss == NULL)
		miss = free_place();
	forget(miss);
	miss->key = name;
	miss->snapshot = text;
	miss->found = found;
	return miss;
}

/* Asks for the right to store a key, which the next change takes away. */
bool
cache_lease_ask(const Tenant *tenant, const char *key, const char *token)
{
	char		*name = redis_beside(tenant->name, "lease", key);
	char		*life = psprintf("%d", cache_lease_life());
	const char	*argv[] = {"SET", name, token, "NX", "PX", life};
	CacheCommand command = {lengthof(argv), argv};
	CacheReply	 reply;

	return cache_call(&command, &reply) && reply.text != NULL;
}

/* A value was not found; lease: Redis said so, and it is worth while to ask for the lease. */
void
cache_missed(const Tenant *tenant, const char *key, bool lease)
{
	const char *snapshot = tenancy_tenant_snapshot();
	char		token[LEASE_TOKEN_LENGTH + 1];
	Miss	   *miss;

	if (snapshot == NULL)
		return;
	miss = note_miss(key, snapshot);
	if (!lease || !cache_may_fill())
		return;
	cache_lease_token(token);
	if (cache_lease_ask(tenant, key, token))
		strlcpy(miss->token, token, sizeof(miss->token));
}

/* The snapshot that this session's value of a key is not older than. */
static const char *
snapshot_for(const Miss *miss)
{
	const char *own = tenancy_tenant_snapshot();

	if (miss != NULL)
		return miss->found == found ? pstrdup(miss->snapshot) : NULL;
	if (thrown_away == 0 || own == NULL)
		return own;
	return psprintf(UINT64_FORMAT ":" UINT64_FORMAT ":", thrown_away, thrown_away);
}

/* Stores a value that the caller has made, if it is known to be new enough. */
bool
cache_fill_missed(CacheFill *fill)
{
	Miss *miss = find_miss(fill->key);
	bool  stored;

	fill->cost = -1;
	fill->snapshot = snapshot_for(miss);
	if (miss != NULL && miss->token[0] != '\0')
	{
		fill->token = pstrdup(miss->token);
		miss->token[0] = '\0';
	}
	stored = cache_is_usable(fill->tenant) && cache_fill(fill);
	if (stored && miss != NULL)
		forget(miss);
	return stored;
}
