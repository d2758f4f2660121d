/*
 * moves.c
 *		Compares indices that are to take the place of others with their tables.
 *
 * What differs is marked dirty, and the index compared again before it may serve.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "common/spi.h"
#include "sync/key.h"
#include "verify/run.h"
#include "verify/verify.h"

/* A new index and its table. */
typedef struct NewIndex
{
	VerifyTable table;
	char	   *index_name;
} NewIndex;

/* Takes a row of the query below. */
static NewIndex *
make_new_index(int row)
{
	NewIndex *index = palloc(sizeof(NewIndex));

	index->table.tenant_id = tenancy_spi_int64(row, 1);
	index->table.tenant = tenancy_spi_text(row, 2);
	index->table.schema = tenancy_spi_text(row, 3);
	index->table.name = tenancy_spi_text(row, 4);
	index->index_name = tenancy_spi_text(row, 5);
	return index;
}

/* Indices that wait for their comparison, in the current context. */
static List *
find_new_indices(void)
{
	MemoryContext context = CurrentMemoryContext;
	List		 *found = NIL;
	SpiScope	  scope;

	tenancy_tx_begin("pg_tenancy verify: looking for new indices");
	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec("SELECT t.id, t.name, t.schema_name, s.table_name, m.to_index"
					 "  FROM tenancy.index_move m JOIN tenancy.tenant t ON t.id = m.tenant_id"
					 "  JOIN tenancy.sync_table s ON s.blueprint = t.blueprint"
					 "   AND s.index_type = m.index_type"
					 " WHERE m.phase = 'verifying' AND t.status <> 'dropped'"
					 "   AND NOT tenancy.index_is_held(m.to_index)"
					 " ORDER BY m.requested_at",
					 0, NULL, NULL, NULL);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		found = lappend(found, make_new_index(row));
		MemoryContextSwitchTo(old);
	}
	tenancy_spi_end(&scope);
	tenancy_tx_commit();
	return found;
}

/* Writes what the comparison found, or why there was none. */
static void
write_result(const NewIndex *index, const VerifyRun *run, VerifyState state)
{
	const VerifyCounts *counts = &run->counts;
	Oid					types[3] = {TEXTOID, INT8OID, TEXTOID};
	Datum				values[3];
	SpiScope			scope;

	tenancy_tx_begin("pg_tenancy verify: noting what a new index is like");
	values[0] = CStringGetTextDatum(index->index_name);
	values[1] = Int64GetDatum(counts->missing + counts->stale + counts->ghost);
	values[2] = CStringGetTextDatum(run->reason);
	tenancy_spi_begin_as_owner(&scope);
	if (state == VERIFY_READY)
		tenancy_spi_exec("SELECT tenancy.index_move_verified($1, $2)", 2, types, values, NULL);
	else
		tenancy_spi_exec("UPDATE tenancy.index_move SET last_error = $3 WHERE to_index = $1"
						 " AND $2 IS NOT NULL AND last_error IS DISTINCT FROM $3",
						 3, types, values, NULL);
	tenancy_spi_end(&scope);
	tenancy_tx_commit();
}

/* True if the row of a key was refused, by the serving index too: it has a dead letter. */
static bool
has_letter(VerifyRun *run, const VerifyKey *key)
{
	Oid	  types[2] = {OIDOID, TEXTARRAYOID};
	Datum values[2] = {ObjectIdGetDatum(run->relid),
					   PointerGetDatum(key_to_array(key->document.key, key->document.key_length))};

	tenancy_spi_exec("SELECT FROM tenancy.dead_letter"
					 " WHERE sink = 'search' AND relation = $1 AND key = $2",
					 2, types, values, NULL);
	return SPI_processed > 0;
}

/* Leaves keys out that have a dead letter; returns how many are left. */
int
verify_without_letters(VerifyRun *run, VerifyKey **keys, int n)
{
	SpiScope scope;
	int		 left = 0;

	tenancy_tx_begin("pg_tenancy verify: looking for dead letters");
	tenancy_spi_begin_as_owner(&scope);
	for (int i = 0; i < n; i++)
		if (!has_letter(run, keys[i]))
			keys[left++] = keys[i];
	tenancy_spi_end(&scope);
	tenancy_tx_commit();
	return left;
}

/* Compares every new index that waits for it. */
void
verify_moves_run(DatabaseShared *database)
{
	List	  *indices = find_new_indices();
	VerifyRun *run = verify_run_make(database, true);
	ListCell  *cell;

	run->new_index = true;
	foreach (cell, indices)
	{
		const NewIndex *index = lfirst(cell);
		VerifyState		state = verify_table(run, &index->table);

		if (state != VERIFY_GONE)
			write_result(index, run, state);
	}
}
