/*
 * ready_index.c
 *		Indices that are known to be there, and the public alias of each.
 *
 * The alias matters: a tenant that takes over the name of one that was just dropped must not
 * write into the old index, which its alias still stands for.
 *
 * Asking for one that is not known has the table read again, at most once a second.
 */
#include "postgres.h"

#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "common/spi.h"
#include "sink/ready_index.h"

#define ALIAS_SIZE 256	   /* longer ones do not exist: servers allow 255 bytes */
#define LOAD_INTERVAL 1000 /* ms */

typedef struct ReadyIndex
{
	char index_name[ALIAS_SIZE]; /* hash key */
	char alias[ALIAS_SIZE];
} ReadyIndex;

static HTAB		  *ready = NULL;
static bool		   stale = true;
static TimestampTz last_load = 0;

/* Makes an empty table in place of the one there is. */
static void
make_table(void)
{
	HASHCTL control = {0};

	if (ready != NULL)
		hash_destroy(ready);
	ready = NULL;
	control.keysize = ALIAS_SIZE;
	control.entrysize = sizeof(ReadyIndex);
	ready = hash_create("ready search indices", 256, &control, HASH_ELEM | HASH_STRINGS);
}

/* True if the index is known to be there, for that alias. */
bool
ready_index_has(const char *index_name, const char *alias)
{
	ReadyIndex *found = ready != NULL ? hash_search(ready, index_name, HASH_FIND, NULL) : NULL;

	if (found != NULL && strcmp(found->alias, alias) == 0)
		return true;
	stale = true;
	return false;
}

/* Notes that it is there. */
void
ready_index_add(const char *index_name, const char *alias)
{
	ReadyIndex *entry;

	if (ready == NULL)
		make_table();
	entry = hash_search(ready, index_name, HASH_ENTER, NULL);
	strlcpy(entry->alias, alias, ALIAS_SIZE);
}

/* Notes that it is gone; false if it was not known. */
bool
ready_index_remove(const char *index_name)
{
	return ready != NULL && hash_search(ready, index_name, HASH_REMOVE, NULL) != NULL;
}

/* What is known may be out of date. */
void
ready_index_stale(void)
{
	stale = true;
}

/* Milliseconds until it should be loaded, -1: it is up to date. */
long
ready_index_wait(void)
{
	if (!stale)
		return -1;
	if (last_load == 0)
		return 0;
	return TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
										   TimestampTzPlusMilliseconds(last_load, LOAD_INTERVAL));
}

/* Reads the table; inside an SPI scope. */
void
ready_index_load(void)
{
	tenancy_spi_exec("SELECT index_name, alias FROM tenancy.search_index i"
					 " WHERE (state = 'ready' OR (replaces IS NOT NULL AND to_put = '{}'))"
					 "  AND (shared IS NULL OR EXISTS (SELECT FROM tenancy.search_index s"
					 "   WHERE s.index_name = i.shared AND s.state = 'ready'))",
					 0, NULL, NULL, NULL);
	make_table();
	for (int row = 0; row < SPI_processed; row++)
		ready_index_add(tenancy_spi_text(row, 1), tenancy_spi_text(row, 2));
	stale = false;
	last_load = GetCurrentTimestamp();
}
