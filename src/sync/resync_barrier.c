/*
 * resync_barrier.c
 *		Transactions that must have ended before a table is scanned.
 *
 * One that was running when the table came to be synced may have changed rows that
 * capture did not know of, and that no scan sees before they are committed.
 */
#include "postgres.h"

#include "access/transam.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "sync/resync_barrier.h"

#define SEEN_MAX 10000

/* When a row of tenancy.resync was seen first. */
typedef struct SeenKey
{
	int64		tenant_id;
	TimestampTz requested_at;
	char		table_name[NAMEDATALEN];
} SeenKey;

typedef struct Seen
{
	SeenKey		  key;
	TransactionId barrier;
} Seen;

/*
 * Barrier of a row: the one that was taken when the row was seen first, else a new one,
 * that holds for every row seen from now on.
 */
TransactionId
resync_barrier(const ResyncRow *row)
{
	static HTAB *seen = NULL;
	HASHCTL		 ctl = {.keysize = sizeof(SeenKey), .entrysize = sizeof(Seen)};
	SeenKey		 key;
	Seen		*entry;
	bool		 found;

	if (seen != NULL && hash_get_num_entries(seen) > SEEN_MAX)
	{
		hash_destroy(seen);
		seen = NULL;
	}
	ctl.hcxt = TopMemoryContext;
	if (seen == NULL)
		seen = hash_create("pg_tenancy resync", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	memset(&key, 0, sizeof(key));
	key.tenant_id = row->tenant_id;
	key.requested_at = row->requested_at;
	strlcpy(key.table_name, row->table_name, NAMEDATALEN);
	entry = hash_search(seen, &key, HASH_ENTER, &found);
	if (!found)
		entry->barrier = XidFromFullTransactionId(ReadNextFullTransactionId());
	return entry->barrier;
}
