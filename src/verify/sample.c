/*
 * sample.c
 *		A few rows and documents of a few tables, now and then.
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "common/guc.h"
#include "common/spi.h"
#include "verify/run.h"
#include "verify/verify.h"

/* Rows of one table, if there are enough tables; and the pause after each. */
#define TABLE_ROWS 100
#define TABLE_ROWS_MAX 1000
#define TABLE_PAUSE_MS 50

/* Most tables in one sample: many may be empty. */
#define TABLES_MAX 100

/* Puts a list into a random order. */
static void
shuffle(List *list)
{
	for (int i = list_length(list) - 1; i > 0; i--)
	{
		int	  j = (int) pg_prng_uint64_range(&pg_global_prng_state, 0, i);
		void *swap = list_nth(list, i);

		lfirst(list_nth_cell(list, i)) = list_nth(list, j);
		lfirst(list_nth_cell(list, j)) = swap;
	}
}

/* Compares some rows. */
static VerifyState
sample_rows(VerifyRun *run, int most)
{
	RowReader	  *reader;
	StringInfoData positions;
	VerifyState	   state;

	initStringInfo(&positions);
	state = verify_begin_rows(run, &reader);
	if (state == VERIFY_READY)
	{
		(void) row_reader_sample_keys(reader, most, &positions);
		verify_end_rows(reader);
		state = verify_positions(run, &positions);
	}
	pfree(positions.data);
	return state;
}

/* Compares some rows and some documents of a table. */
static VerifyState
sample_table(VerifyRun *run, const VerifyTable *table, int most)
{
	VerifyState state = verify_table_begin(run, table);

	if (state == VERIFY_READY)
		state = sample_rows(run, most);
	if (state == VERIFY_READY)
		state = verify_listing(run, run->driver->list_sample(run->target, run->place, most));
	return verify_table_end(run, state);
}

/* Adds what a table's sample showed, and says in the log what is wrong. */
static void
add_counts(VerifyCounts *sum, const VerifyRun *run)
{
	const VerifyCounts *counts = &run->counts;

	sum->missing += counts->missing;
	sum->stale += counts->stale;
	sum->ghost += counts->ghost;
	sum->checked += counts->checked;
	if (counts->missing + counts->stale + counts->ghost > 0)
		ereport(WARNING,
				(errmsg("the search index of relation \"%s\" of tenant \"%s\" differs from it",
						run->table->name, run->table->tenant),
				 errdetail("In a sample, " INT64_FORMAT " rows were missing, " INT64_FORMAT
						   " stale, and " INT64_FORMAT " documents had no row.",
						   counts->missing, counts->stale, counts->ghost),
				 errhint("Call tenancy.verify() for all of it, with repair => true to mend it.")));
}

/* Writes the result for the status view. */
static void
publish(DatabaseShared *database, const VerifyCounts *sum)
{
	SinkShared *sink = &database->sinks[SINK_SEARCH];

	pg_atomic_write_u64(&sink->verified, sum->checked);
	pg_atomic_write_u64(&sink->missing, sum->missing);
	pg_atomic_write_u64(&sink->stale, sum->stale);
	pg_atomic_write_u64(&sink->ghosts, sum->ghost);
	pg_atomic_write_u64(&sink->verified_at, (uint64) GetCurrentTimestamp());
}

/* True if the interval since the last sample, or since the server began, is over. */
bool
verify_sample_is_due(DatabaseShared *database)
{
	TimestampTz last = (TimestampTz) pg_atomic_read_u64(&database->sinks[SINK_SEARCH].verified_at);

	return tenancy_verify_interval > 0 &&
		   TimestampDifferenceExceeds(Max(last, PgStartTime), GetCurrentTimestamp(),
									  tenancy_verify_interval * 1000);
}

/* One sample: one table after the other, in a random order, until there are enough rows. */
void
verify_sample_run(DatabaseShared *database)
{
	VerifyRun	*run;
	VerifyCounts sum = {0};
	List		*tables = verify_tables(NULL, NULL);
	int			 each = tenancy_verify_sample / Max(list_length(tables), 1);
	ListCell	*cell;

	each = Min(Max(each, TABLE_ROWS), Min(TABLE_ROWS_MAX, tenancy_verify_sample));
	shuffle(tables);
	run = verify_run_make(database, false);
	foreach (cell, tables)
	{
		if (sum.checked >= tenancy_verify_sample || foreach_current_index(cell) >= TABLES_MAX)
			break;
		if (sample_table(run, lfirst(cell), each) == VERIFY_READY)
			add_counts(&sum, run);
		verify_pause(run, TABLE_PAUSE_MS);
	}
	publish(database, &sum);
}
