/*
 * shape.c
 *		Notices that a table is not what it was when its index was filled.
 *
 * Looked at: all indices when a stream begins, those of a relation when capture met a change of
 * it in the WAL, and a target's before its first document.  What the change needs is written in
 * the transaction that records the new shape, so no crash forgets it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "common/spi.h"
#include "sink/provision.h"
#include "sync/message.h"
#include "sync/resync.h"
#include "sync/shape.h"
#include "sync/target.h"

#define AGAIN_MS 500
#define REST_MS 50 /* between two looks: many changes come in a row */

static HTAB		  *noted = NULL;	  /* relations to be looked at */
static bool		   note_all = false;  /* or every index */
static HTAB		  *settled = NULL;	  /* relations that are what their index was filled from */
static uint64	   invalidations = 0; /* heard of so far */
static TimestampTz not_before = 0;

/* Makes an empty set of relations. */
static HTAB *
make_set(const char *name)
{
	HASHCTL ctl = {.keysize = sizeof(Oid), .entrysize = sizeof(Oid)};

	ctl.hcxt = TopMemoryContext;
	return hash_create(name, 256, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* Nothing is known to be settled any more. */
static void
unsettle_all(void)
{
	if (settled != NULL)
		hash_destroy(settled);
	settled = NULL;
}

/* A relation may have changed. */
static void
on_relcache_invalidation(Datum arg, Oid relid)
{
	invalidations++;
	if (!OidIsValid(relid))
		unsettle_all();
	else if (settled != NULL)
		(void) hash_search(settled, &relid, HASH_REMOVE, NULL);
}

/* What was written with an aborted transaction is not there. */
static void
on_transaction(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT)
		unsettle_all();
}

/* Starts to listen; called once. */
void
shape_init(void)
{
	CacheRegisterRelcacheCallback(on_relcache_invalidation, (Datum) 0);
	RegisterXactCallback(on_transaction, NULL);
}

/* A relation's shape may have changed; InvalidOid: any relation's. */
void
shape_note(Oid relid)
{
	if (!OidIsValid(relid))
		note_all = true;
	else if (noted == NULL)
		noted = make_set("pg_tenancy shapes to look at");
	if (OidIsValid(relid))
		(void) hash_search(noted, &relid, HASH_ENTER, NULL);
}

/* True if something was noted and not looked at yet. */
bool
shape_pending(void)
{
	return note_all || noted != NULL;
}

/* When it should be looked at again, 0: at once or never. */
TimestampTz
shape_due(void)
{
	return shape_pending() ? not_before : 0;
}

/* Locks the row of an index; false if somebody is changing it.  *over: it is not to be kept. */
static bool
lock_index(const ShapeChange *change, bool *over)
{
	Oid	  types[1] = {TEXTOID};
	Datum values[1] = {CStringGetTextDatum(change->index_name)};
	bool  isnull;

	tenancy_spi_exec("SELECT state = 'dropping' FROM tenancy.search_index WHERE index_name = $1"
					 " FOR UPDATE SKIP LOCKED",
					 1, types, values, NULL);
	*over = SPI_processed > 0 && DatumGetBool(tenancy_spi_datum(0, 1, &isnull));
	return SPI_processed > 0;
}

/* Records the new shape, and the fields that the index has to get before its next document. */
static void
record_change(const ShapeChange *change)
{
	char *fields = OidIsValid(change->now) ? shape_new_fields(change) : NULL;
	Oid	  types[4] = {TEXTOID, OIDOID, TEXTOID, TEXTOID};
	Datum values[4] = {CStringGetTextDatum(change->index_name), ObjectIdGetDatum(change->now),
					   change->shape ? CStringGetTextDatum(change->shape) : (Datum) 0,
					   fields ? CStringGetTextDatum(fields) : (Datum) 0};
	char  nulls[4] = {' ', OidIsValid(change->now) ? ' ' : 'n', change->shape ? ' ' : 'n',
					  fields ? ' ' : 'n'};

	tenancy_spi_exec("UPDATE tenancy.search_index"
					 " SET relation = $2, shape = coalesce($3::jsonb, shape) WHERE index_name = $1",
					 4, types, values, nulls);
	if (fields == NULL)
		return;
	tenancy_spi_exec("UPDATE tenancy.search_index SET fields = fields || $4::jsonb,"
					 " to_put = to_put || $4::jsonb, revision = revision + 1, attempts = 0,"
					 " updated_at = now(),"
					 " state = CASE state WHEN 'ready' THEN 'altered' ELSE state END"
					 " WHERE index_name = $1",
					 4, types, values, nulls);
	search_provision_altered(change->index_name);
}

/* Partitions that came have an index before their first document; those that went have none. */
static void
follow_partitions(const ShapeChange *change)
{
	Oid	  types[1] = {TEXTOID};
	Datum values[1] = {CStringGetTextDatum(change->index_name)};
	bool  isnull;

	tenancy_spi_exec("SELECT tenancy.follow_partitions($1)", 1, types, values, NULL);
	if (DatumGetBool(tenancy_spi_datum(0, 1, &isnull)))
		search_provision_wake();
}

/* Its table is gone: what its rows left behind goes, and the index's documents. */
static void
request_emptying(const ShapeChange *change)
{
	Oid	  types[3] = {INT8OID, TEXTOID, OIDOID};
	Datum values[3] = {Int64GetDatum(change->tenant_id), CStringGetTextDatum(change->table_name),
					   ObjectIdGetDatum(change->before)};

	tenancy_spi_exec("DELETE FROM tenancy.dead_letter WHERE tenant_id = $1 AND relation = $3", 3,
					 types, values, NULL);
	tenancy_spi_exec("INSERT INTO tenancy.resync (sink, tenant_id, table_name, phase)"
					 " VALUES ('search', $1, $2::name, 'ghosts')"
					 " ON CONFLICT (sink, tenant_id, table_name) DO UPDATE SET phase = 'ghosts',"
					 "  last_key = NULL, last_error = NULL,"
					 "  requested_at = clock_timestamp(), started_at = NULL,"
					 "  postponed_at = NULL, fresh = false",
					 3, types, values, NULL);
}

/* Asks for what a change needs. */
static void
request_resync(const ShapeChange *change)
{
	Oid	  types[2] = {INT8OID, TEXTOID};
	Datum values[2] = {Int64GetDatum(change->tenant_id), CStringGetTextDatum(change->table_name)};

	if (change->need == SHAPE_NOTHING)
		return;
	if (!OidIsValid(change->now))
		request_emptying(change);
	else if (change->need == SHAPE_ROWS)
		tenancy_spi_exec("SELECT tenancy.request_resync('search', $1, NULL, $2)", 2, types, values,
						 NULL);
	else
		resync_request_ghosts_of(change->tenant_id, change->table_name, "search");
	if (change->cached)
		tenancy_message_forget_tenant(change->tenant);
	resync_wake();
}

/* Writes what follows from a change; false if that cannot be done now. */
static bool
apply(const ShapeChange *change)
{
	char *retyped;
	bool  over;

	if (!lock_index(change, &over))
		return false;
	if (over)
		return true;
	retyped = OidIsValid(change->now) ? shape_retyped_fields(change) : NULL;
	record_change(change);
	request_resync(change);
	follow_partitions(change); /* new indices may lack rows while there is one */
	if (retyped != NULL)
		shape_make_anew(change, retyped);
	else if (OidIsValid(change->now) && shape_generate_anew(change))
		search_provision_altered(change->index_name);
	return true;
}

/* The relations that are to be looked at, NULL: all; they are noted no more. */
static Oid *
take_noted(int *count)
{
	Oid			   *relids = NULL;
	HASH_SEQ_STATUS sequence;
	Oid			   *relid;

	*count = 0;
	if (!note_all)
	{
		relids = palloc(hash_get_num_entries(noted) * sizeof(Oid));
		hash_seq_init(&sequence, noted);
		while ((relid = hash_seq_search(&sequence)) != NULL)
			relids[(*count)++] = *relid;
	}
	if (noted != NULL)
		hash_destroy(noted);
	noted = NULL;
	note_all = false;
	return relids;
}

/* Looks at relations, at all if relids is NULL. */
static void
look(const Oid *relids, int count)
{
	SpiScope  scope;
	ListCell *cell;

	tenancy_spi_begin_as_owner(&scope);
	foreach (cell, shape_find_changes(relids, count))
	{
		const ShapeChange *change = lfirst(cell);

		if (apply(change))
			continue;
		shape_note(OidIsValid(change->now) ? change->now : change->before);
		not_before = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), AGAIN_MS);
	}
	tenancy_spi_end(&scope);
}

/*
 * Settles what a relation's target needs before its first document is read; inside a
 * transaction.  If somebody is changing the row of its index, that is for later.
 */
void
shape_settle(Oid relid)
{
	uint64	  before;
	SpiScope  scope;
	ListCell *cell;

	if (settled != NULL && hash_search(settled, &relid, HASH_FIND, NULL) != NULL)
		return;
	before = invalidations;
	tenancy_spi_begin_as_owner(&scope);
	foreach (cell, shape_find_changes(&relid, 1))
		if (!apply(lfirst(cell)))
			ereport(ERROR, (errcode(ERRCODE_LOCK_NOT_AVAILABLE),
							errmsg("the row of a search index is locked")));
	tenancy_spi_end(&scope);
	if (before != invalidations)
		return;
	if (settled == NULL)
		settled = make_set("pg_tenancy settled shapes");
	(void) hash_search(settled, &relid, HASH_ENTER, NULL);
}

/* The look met an error: shows it, and looks at everything later. */
static void
note_error(SinkWorker *worker)
{
	ErrorData *error = CopyErrorData();

	FlushErrorState();
	tenancy_tx_abort();
	target_flush();
	worker_set_error(&worker->shared->worker, error->message);
	FreeErrorData(error);
	shape_note(InvalidOid);
	not_before = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), AGAIN_MS);
}

/* Looks at what was noted, in a transaction of its own. */
static void
look_at_noted(void)
{
	int	 count;
	Oid *relids = take_noted(&count);

	tenancy_tx_begin("pg_tenancy: comparing tables with their indices");
	tenancy_tx_bound_locks();
	look(relids, count);
	tenancy_tx_commit();
}

/* Looks at what was noted; true if it did. */
bool
shape_pump(SinkWorker *worker)
{
	MemoryContext context = CurrentMemoryContext;

	if (!shape_pending() || !worker->enabled || not_before > GetCurrentTimestamp())
		return false;
	not_before = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), REST_MS);
	PG_TRY();
	{
		look_at_noted();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		note_error(worker);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	return true;
}
