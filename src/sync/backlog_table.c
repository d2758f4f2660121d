/*
 * backlog_table.c
 *		tenancy.backlog: what is written to it and read from it.
 *
 * Only the sink's worker writes its rows, so the ids of a relation rise with time, and all
 * rows of a relation up to the last one of a chunk are those of that chunk or older ones.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "common/spi.h"
#include "sync/backlog_table.h"

/* An array of n values. */
static Datum
make_array(Datum *values, int n, Oid type, int length, bool by_value, char align)
{
	return PointerGetDatum(construct_array(values, n, type, length, by_value, align));
}

/* An array of n bigints. */
static Datum
make_bigints(Datum *values, int n)
{
	return make_array(values, n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
}

/* A key as bytea. */
static Datum
key_bytea(const DirtyEntry *entry)
{
	bytea *value = palloc(VARHDRSZ + entry->key_length);

	SET_VARSIZE(value, VARHDRSZ + entry->key_length);
	memcpy(VARDATA(value), entry->key, entry->key_length);
	return PointerGetDatum(value);
}

/* Writes n keys in the order in which they were taken. */
void
backlog_table_write(const char *sink, DirtyEntry **entries, int n)
{
	static SPIPlanPtr plan = NULL;
	Oid				  types[4] = {TEXTOID, INT2ARRAYOID, OIDARRAYOID, BYTEAARRAYOID};
	Datum			  values[4];
	Datum			 *kinds = palloc(n * sizeof(Datum));
	Datum			 *relids = palloc(n * sizeof(Datum));
	Datum			 *keys = palloc(n * sizeof(Datum));
	SpiScope		  scope;

	for (int i = 0; i < n; i++)
	{
		kinds[i] = Int16GetDatum(entries[i]->kind);
		relids[i] = ObjectIdGetDatum(entries[i]->relid);
		keys[i] = key_bytea(entries[i]);
	}
	values[0] = CStringGetTextDatum(sink);
	values[1] = make_array(kinds, n, INT2OID, 2, true, TYPALIGN_SHORT);
	values[2] = make_array(relids, n, OIDOID, 4, true, TYPALIGN_INT);
	values[3] = make_array(keys, n, BYTEAOID, -1, false, TYPALIGN_INT);
	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec_saved(&plan,
						   "INSERT INTO tenancy.backlog (sink, kind, relid, key)"
						   " SELECT $1, u.kind, u.relid, u.key"
						   " FROM unnest($2, $3, $4) WITH ORDINALITY u(kind, relid, key, n)"
						   " ORDER BY u.n",
						   4, types, values, NULL);
	tenancy_spi_end(&scope);
}

/* Tells how many keys each relation has. */
void
backlog_table_count(const char *sink, void (*found)(Oid relid, uint64 count))
{
	Oid		 types[1] = {TEXTOID};
	Datum	 values[1] = {CStringGetTextDatum(sink)};
	SpiScope scope;

	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec("SELECT relid::bigint, count(*) FROM tenancy.backlog WHERE sink = $1"
					 " GROUP BY relid ORDER BY min(id)",
					 1, types, values, NULL);
	for (uint64 row = 0; row < SPI_processed; row++)
		found((Oid) tenancy_spi_int64(row, 1), (uint64) tenancy_spi_int64(row, 2));
	tenancy_spi_end(&scope);
}

/* Deletes every key of a sink. */
void
backlog_table_clear(const char *sink)
{
	Oid		 types[1] = {TEXTOID};
	Datum	 values[1] = {CStringGetTextDatum(sink)};
	SpiScope scope;

	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec("DELETE FROM tenancy.backlog WHERE sink = $1", 1, types, values, NULL);
	tenancy_spi_end(&scope);
}

/* Deletes the relations' rows of the open chunk. */
void
backlog_table_delete(const char *sink, BacklogRelation **relations, int n)
{
	static SPIPlanPtr plan = NULL;
	Oid				  types[4] = {TEXTOID, OIDARRAYOID, INT8ARRAYOID, INT8ARRAYOID};
	Datum			  values[4];
	Datum			 *relids = palloc(n * sizeof(Datum));
	Datum			 *first = palloc(n * sizeof(Datum));
	Datum			 *last = palloc(n * sizeof(Datum));
	SpiScope		  scope;

	for (int i = 0; i < n; i++)
	{
		relids[i] = ObjectIdGetDatum(relations[i]->relid);
		first[i] = Int64GetDatum(relations[i]->after);
		last[i] = Int64GetDatum(relations[i]->chunk_last);
	}
	values[0] = CStringGetTextDatum(sink);
	values[1] = make_array(relids, n, OIDOID, 4, true, TYPALIGN_INT);
	values[2] = make_bigints(first, n);
	values[3] = make_bigints(last, n);
	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec_saved(&plan,
						   "DELETE FROM tenancy.backlog b"
						   " USING unnest($2, $3, $4) c(relid, first, last)"
						   " WHERE b.sink = $1 AND b.relid = c.relid"
						   "   AND b.id > c.first AND b.id <= c.last",
						   4, types, values, NULL);
	tenancy_spi_end(&scope);
}

/* Marks a row of the query below. */
static void
mark_row(SinkWorker *worker, BacklogRelation *relation, uint64 row)
{
	bool	 isnull;
	bytea	*key = DatumGetByteaPP(tenancy_spi_datum(row, 3, &isnull));
	DirtyKey dirty = {.kind = (DirtyKind) tenancy_spi_int64(row, 2),
					  .relid = relation->relid,
					  .schema = relation->schema,
					  .key = VARDATA_ANY(key),
					  .key_length = VARSIZE_ANY_EXHDR(key),
					  .lsn = worker->received,
					  .commit_time = GetCurrentTimestamp(),
					  .chunk = true};

	dirty_mark(worker->dirty, &dirty);
}

/* Reads one relation's next keys and marks them. */
static void
read_relation(SinkWorker *worker, BacklogRelation *relation, int64 most)
{
	static SPIPlanPtr plan = NULL;
	Oid				  types[4] = {TEXTOID, OIDOID, INT8OID, INT8OID};
	Datum			  values[4];

	values[0] = CStringGetTextDatum(worker->driver->name);
	values[1] = ObjectIdGetDatum(relation->relid);
	values[2] = Int64GetDatum(relation->after);
	values[3] = Int64GetDatum(most);
	tenancy_spi_exec_saved(&plan,
						   "SELECT id, kind::bigint, key FROM tenancy.backlog"
						   " WHERE sink = $1 AND relid = $2 AND id > $3 ORDER BY id LIMIT $4",
						   4, types, values, NULL);
	for (uint64 row = 0; row < SPI_processed; row++)
		mark_row(worker, relation, row);
	relation->chunk_keys = SPI_processed;
	if (SPI_processed > 0)
		relation->chunk_last = tenancy_spi_int64(SPI_processed - 1, 1);
}

/* Reads the next keys of n relations, most[i] at the most, and marks them. */
void
backlog_table_read(SinkWorker *worker, BacklogRelation **relations, int64 *most, int n)
{
	SpiScope scope;

	tenancy_spi_begin_as_owner(&scope);
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		read_relation(worker, relations[i], most[i]);
	}
	tenancy_spi_end(&scope);
}
