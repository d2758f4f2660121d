/*
 * parents.c
 *		Rows of a synced table that a row of a joined table is part of.
 *
 * They are looked up as they are now.  One that was a parent when the joined row changed
 * and is none any more was marked by what changed that: the row that tied them has
 * columns in tenancy.sync_dependency too.  Where they cannot be looked up, or are too
 * many, the whole table is looked at again.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "common/attempt.h"
#include "common/guc.h"
#include "common/spi.h"
#include "sink/text.h"
#include "sync/depends_on.h"
#include "sync/doc_query.h"
#include "sync/doc_time.h"
#include "sync/key.h"
#include "sync/parent_query.h"
#include "sync/parents.h"

/* Parents of one joined row; more: the whole table. */
#define ROW_PARENTS 10000
/* Rows marked at a time, before what was marked has to be sent, or spilled. */
#define MOST_MARKED 20000
/* Errors that may pass by themselves are waited for so often. */
#define LOOKUP_ATTEMPTS 3

/* Looking up the parents of joined rows. */
typedef struct Lookup
{
	SinkWorker		 *worker;
	const SinkTarget *target;
	DirtyEntry		**entries;
	int				  n;
	int				  done;
	int				  marked;
	const Dependency *dependency; /* of the entries at hand */
	StringInfoData	  key;
} Lookup;

/* Appends a value to the key of a mark; NULL is a part without text. */
void
parents_append_value(StringInfo key, const char *text)
{
	if (text == NULL)
		key_append_part(key, "");
	else
		key_append_part(key, psprintf("=%s", text));
}

/* Marks the whole table. */
void
parents_mark_all(SinkWorker *worker, const DirtyEntry *entry)
{
	DirtyKey dirty = {.kind = DIRTY_TABLE,
					  .relid = entry->relid,
					  .schema = entry->schema,
					  .key = PARENTS_ALL_ROWS,
					  .key_length = sizeof(PARENTS_ALL_ROWS)};

	dirty_mark_because(worker->dirty, entry, &dirty);
}

/* Marks the parent whose key is in lookup->key. */
static void
mark_parent(Lookup *lookup)
{
	DirtyKey dirty = {.kind = DIRTY_ROW,
					  .relid = lookup->target->relid,
					  .schema = lookup->entries[lookup->done]->schema,
					  .key = lookup->key.data,
					  .key_length = lookup->key.len};

	dirty_mark_because(lookup->worker->dirty, lookup->entries[lookup->done], &dirty);
	lookup->marked++;
}

/* Marks the parent that the last result names; one with a NULL in its key is none. */
static void
mark_result(Lookup *lookup)
{
	resetStringInfo(&lookup->key);
	for (int i = 0; i < lookup->target->nkeys; i++)
	{
		char *text = tenancy_spi_text(0, i + 1);

		if (text == NULL)
			return;
		key_append_part(&lookup->key, text);
	}
	mark_parent(lookup);
}

/* Takes the values of an entry, texts[i] NULL for a NULL; false: it has not as many as columns. */
static bool
take_values(const DirtyEntry *entry, int n, const char **texts)
{
	const char *parts[INDEX_MAX_KEYS + 2];

	if (key_parts(entry->key, entry->key_length, parts, lengthof(parts)) != n + 1)
		return false;
	for (int i = 0; i < n; i++)
		texts[i] = parts[i + 1][0] == '=' ? parts[i + 1] + 1 : NULL;
	return true;
}

/* Marks the parent whose key the values are. */
static void
mark_direct(Lookup *lookup, const ParentQuery *query, const char **texts)
{
	resetStringInfo(&lookup->key);
	for (int i = 0; i < lookup->target->nkeys; i++)
	{
		if (texts[query->key_order[i]] == NULL)
			return;
		key_append_part(&lookup->key, texts[query->key_order[i]]);
	}
	mark_parent(lookup);
}

/* Looks up the parents of the entry at hand, and marks them. */
static void
mark_found(Lookup *lookup, ParentQuery *query, const char **texts)
{
	Portal portal = parent_query_open(query, texts);
	int	   n = 0;

	while (portal != NULL && tenancy_spi_next(portal))
	{
		CHECK_FOR_INTERRUPTS();
		if (n++ < ROW_PARENTS)
		{
			mark_result(lookup);
			continue;
		}
		parents_mark_all(lookup->worker, lookup->entries[lookup->done]);
		SPI_cursor_close(portal);
		return;
	}
}

/* True if an entry is about the joined table at hand. */
static bool
is_same_table(const Lookup *lookup, const DirtyEntry *entry)
{
	return entry->key_length > 0 && strcmp(entry->key, lookup->dependency->joined) == 0;
}

/* Marks the parents of the next entries about one joined table; it may throw anywhere. */
static void
mark_lot(void *arg)
{
	Lookup	   *lookup = arg;
	ParentQuery query;
	SpiScope	scope;

	doc_query_begin(&scope, lookup->target->relid, DOC_LOCK_WAIT);
	doc_time_begin(lookup->target->relid);
	parent_query_prepare(&query, lookup->target->relid, lookup->target->key_columns,
						 lookup->target->nkeys, lookup->dependency);
	while (lookup->done < lookup->n && lookup->marked < MOST_MARKED &&
		   is_same_table(lookup, lookup->entries[lookup->done]))
	{
		const char *texts[INDEX_MAX_KEYS];

		doc_time_begin(lookup->target->relid);
		if (!take_values(lookup->entries[lookup->done], query.ncolumns, texts))
			parents_mark_all(lookup->worker, lookup->entries[lookup->done]);
		else if (query.is_key)
			mark_direct(lookup, &query, texts);
		else
			mark_found(lookup, &query, texts);
		lookup->done++;
	}
	doc_time_end();
	tenancy_spi_end(&scope);
}

/* The parents of the entry at hand could not be looked up: any row may be one. */
static void
on_failure(Lookup *lookup, const ErrorData *error)
{
	SinkWorker *worker = lookup->worker;
	char		text[SHARED_ERROR_MAX];

	sink_set_textf(text, sizeof(text),
				   "rows of tenant \"%s\" joined with \"%s\" could not be found: %s",
				   lookup->target->tenant, lookup->dependency->joined, error->message);
	worker_set_error(&worker->shared->worker, text);
	parents_mark_all(worker, lookup->entries[lookup->done++]);
}

/* Marks parents until all is done, enough is marked, or a lock is in the way: then true. */
static bool
mark_some(Lookup *lookup)
{
	while (lookup->done < lookup->n && lookup->marked < MOST_MARKED)
	{
		const DirtyEntry *entry = lookup->entries[lookup->done];
		ErrorData		 *error;

		lookup->dependency = entry->key_length > 0 ? depends_on_find(lookup->target->tenant_id,
																	 entry->relid, entry->key)
												   : NULL;
		if (lookup->dependency == NULL)
		{
			lookup->done++; /* the definition is another one by now, and all was marked for it */
			continue;
		}
		error = tenancy_try(mark_lot, lookup, false);
		if (error == NULL)
			continue;
		if (lookup->entries[lookup->done]->attempts >= LOOKUP_ATTEMPTS)
			doc_time_end();
		else if (!doc_query_forgive(error))
			return true;
		on_failure(lookup, error);
	}
	return false;
}

/*
 * Marks the rows that joined rows are part of; returns how many of the entries, which are in
 * flight, are dealt with.  *locked: the next one needs a table that somebody holds.
 */
int
parents_mark(SinkWorker *worker, const SinkTarget *target, DirtyEntry **entries, int n,
			 bool *locked)
{
	Lookup	 lookup = {.worker = worker, .target = target, .entries = entries, .n = n};
	SpiScope scope;

	initStringInfo(&lookup.key);
	tenancy_spi_begin_as_owner(&scope);
	*locked = mark_some(&lookup);
	tenancy_spi_end(&scope);
	return lookup.done;
}
