/*
 * dead_letter.c
 *		Rows that a sink refused: written down, so that the rest can go on.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "common/spi.h"
#include "sync/dead_letter.h"
#include "sync/key.h"

/* Hash that stands for a key among the known ones. */
static uint64
known_hash(Oid relid, const char *key, int length)
{
	return hash_bytes_extended((const unsigned char *) key, length, relid);
}

/* Notes that a key has a dead letter. */
static void
remember(SinkWorker *worker, uint64 hash)
{
	bool found;

	(void) hash_search(worker->dead, &hash, HASH_ENTER, &found);
}

/* Makes the set of known ones. */
static void
make_set(SinkWorker *worker)
{
	HASHCTL ctl = {.keysize = sizeof(uint64), .entrysize = sizeof(uint64)};

	ctl.hcxt = TopMemoryContext;
	worker->dead =
		hash_create("pg_tenancy dead letters", 256, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* Reads which keys have one, when the worker starts. */
void
dead_letter_load(SinkWorker *worker)
{
	Oid		 types[1] = {TEXTOID};
	Datum	 values[1];
	SpiScope scope;

	make_set(worker);
	tenancy_tx_begin("pg_tenancy: reading dead letters");
	values[0] = CStringGetTextDatum(worker->driver->name);
	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec("SELECT relation::oid::bigint, key FROM tenancy.dead_letter WHERE sink = $1",
					 1, types, values, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		StringInfoData key;
		bool		   isnull;

		initStringInfo(&key);
		key_from_array(&key, DatumGetArrayTypeP(tenancy_spi_datum(i, 2, &isnull)));
		remember(worker, known_hash((Oid) tenancy_spi_int64(i, 1), key.data, key.len));
	}
	pg_atomic_write_u64(&worker->shared->dead, SPI_processed);
	tenancy_spi_end(&scope);
	tenancy_tx_commit();
}

/* Hash that stands for a key in the table's index. */
static Datum
key_hash(const DirtyEntry *entry)
{
	return Int64GetDatum(
		(int64) hash_bytes_extended((const unsigned char *) entry->key, entry->key_length, 0));
}

/* Writes one; needs a transaction. */
void
dead_letter_write(SinkWorker *worker, const DirtyEntry *entry, int64 tenant_id, int status,
				  const char *reason, uint64 version)
{
	static SPIPlanPtr plan = NULL;
	Oid	  types[8] = {TEXTOID, INT8OID, OIDOID, TEXTARRAYOID, INT4OID, TEXTOID, INT8OID, INT8OID};
	Datum values[8];
	SpiScope scope;

	values[0] = CStringGetTextDatum(worker->driver->name);
	values[1] = Int64GetDatum(tenant_id);
	values[2] = ObjectIdGetDatum(entry->relid);
	values[3] = PointerGetDatum(key_to_array(entry->key, entry->key_length));
	values[4] = Int32GetDatum(status);
	values[5] = CStringGetTextDatum(reason);
	values[6] = Int64GetDatum((int64) version);
	values[7] = key_hash(entry);
	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec_saved(
		&plan,
		"INSERT INTO tenancy.dead_letter AS d (sink, tenant_id, relation, key, status, reason, "
		"version, key_hash)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
		" ON CONFLICT (sink, relation, key_hash) DO UPDATE SET status = excluded.status,"
		" reason = excluded.reason, version = excluded.version, attempts = d.attempts + 1,"
		" created_at = pg_catalog.now()",
		8, types, values, NULL);
	tenancy_spi_end(&scope);
	remember(worker, known_hash(entry->relid, entry->key, entry->key_length));
}

/* True if a key may have one. */
bool
dead_letter_known(SinkWorker *worker, const DirtyEntry *entry)
{
	uint64 hash;

	if (hash_get_num_entries(worker->dead) == 0 || entry->kind != DIRTY_ROW)
		return false;
	hash = known_hash(entry->relid, entry->key, entry->key_length);
	return hash_search(worker->dead, &hash, HASH_FIND, NULL) != NULL;
}

/* Removes the one of a key that got in after all, if it is there; needs a transaction. */
bool
dead_letter_remove(SinkWorker *worker, const DirtyEntry *entry)
{
	static SPIPlanPtr plan = NULL;
	Oid				  types[3] = {TEXTOID, OIDOID, INT8OID};
	Datum			  values[3];
	SpiScope		  scope;
	bool			  found;

	values[0] = CStringGetTextDatum(worker->driver->name);
	values[1] = ObjectIdGetDatum(entry->relid);
	values[2] = key_hash(entry);
	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec_saved(&plan,
						   "DELETE FROM tenancy.dead_letter"
						   " WHERE sink = $1 AND relation = $2 AND key_hash = $3",
						   3, types, values, NULL);
	found = SPI_processed > 0;
	tenancy_spi_end(&scope);
	return found;
}

/* A key has none any more, and that has committed. */
void
dead_letter_forget(SinkWorker *worker, const DirtyEntry *entry)
{
	uint64 hash = known_hash(entry->relid, entry->key, entry->key_length);

	(void) hash_search(worker->dead, &hash, HASH_REMOVE, NULL);
}
