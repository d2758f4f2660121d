/*
 * forgetting.c
 *		Names of tenants whose values the cache is still to forget.
 *
 * The order is in the WAL, but only the commit gets a place in it: whoever sees a tenant made by the same
 * transaction that dropped another one of its name must wait for the sink to come to the commit's end.  Names
 * share a few places, so that a tenant may have to wait for another one's end: cache misses, no more.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "common/hashfn.h"

#include "sync/forgetting.h"
#include "sync/shared.h"

static uint64 noted = 0; /* places, one bit each, of the names in this transaction */
static bool	  is_committing = false;

/* Place of a name. */
static int
place_of(const char *tenant)
{
	return hash_bytes((const unsigned char *) tenant, strlen(tenant)) % FORGETTING_PLACES;
}

/* The cache may not be used until the commit's place in the WAL is known. */
static void
begin_commit(DatabaseShared *database)
{
	for (int i = 0; i < FORGETTING_PLACES; i++)
		if (noted & (UINT64CONST(1) << i))
			pg_atomic_fetch_add_u32(&database->forgetting[i].committing, 1);
	is_committing = true;
}

/* Raises the end that the sink has to come to. */
static void
raise_end(Forgetting *forgetting, uint64 end)
{
	uint64 old = pg_atomic_read_u64(&forgetting->end);

	while (old < end && !pg_atomic_compare_exchange_u64(&forgetting->end, &old, end))
		;
}

/* The commit is done, or will not be. */
static void
end_commit(DatabaseShared *database, bool committed)
{
	for (int i = 0; i < FORGETTING_PLACES; i++)
		if (noted & (UINT64CONST(1) << i))
		{
			if (committed)
				raise_end(&database->forgetting[i], XactLastCommitEnd);
			pg_atomic_fetch_sub_u32(&database->forgetting[i].committing, 1);
		}
	is_committing = false;
}

/* Follows a transaction that has noted a name. */
static void
on_xact(XactEvent event, void *arg)
{
	DatabaseShared *database = noted != 0 ? tenancy_shared_mine() : NULL;

	if (event == XACT_EVENT_PRE_COMMIT && database != NULL)
		begin_commit(database);
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	if (is_committing && database != NULL)
		end_commit(database, event == XACT_EVENT_COMMIT);
	noted = 0;
}

/* When this transaction commits, the cache forgets a tenant. */
void
forgetting_note(const char *tenant)
{
	static bool registered = false;

	if (!registered)
		RegisterXactCallback(on_xact, NULL);
	registered = true;
	noted |= UINT64CONST(1) << place_of(tenant);
}

/* True if the cache has forgotten what was to be forgotten of a name. */
bool
forgetting_is_over(const char *tenant)
{
	DatabaseShared *database = tenancy_shared_mine();
	Forgetting	   *forgetting;

	if (database == NULL)
		return true;
	forgetting = &database->forgetting[place_of(tenant)];
	if (pg_atomic_read_u32(&forgetting->committing) > 0)
		return false;
	pg_read_barrier();
	return pg_atomic_read_u64(&database->sinks[SINK_CACHE].settled) >=
		   pg_atomic_read_u64(&forgetting->end);
}
