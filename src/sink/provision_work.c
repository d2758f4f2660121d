/*
 * provision_work.c
 *		What there is to do about the indices that tenancy.search_index lists.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/memutils.h"

#include "common/array.h"
#include "common/guc.h"
#include "common/spi.h"
#include "sink/provision.h"
#include "sink/provision_work.h"

/*
 * Rows that need work, those due first; "due" in milliseconds from now.  A month, i, has the body
 * and the role of the index w that it is a month of, and is worked on while that one rests: so no
 * change of that one misses it.  An index takes over when all months of the other one are there:
 * one that is made meanwhile would get the alias that is just taken away.
 */
static const char *const work_query =
	"SELECT i.index_name, i.index_type, i.alias, i.state,"
	"  (coalesce(w.body, i.body) || jsonb_build_object('aliases',"
	"    jsonb_build_object(i.index_name || '" INDEX_OWN_ALIAS "',"
	"     CASE WHEN i.monthly THEN '{\"is_write_index\": true}' ELSE '{}' END::jsonb)"
	"    || CASE WHEN w.index_name IS NULL THEN '{}' ELSE"
	"     jsonb_build_object(w.index_name || '" INDEX_OWN_ALIAS "', '{}'::jsonb) END"
	"    || CASE coalesce(w.role, i.role)"
	"     WHEN 'serving' THEN jsonb_build_object(i.alias, '{}'::jsonb) ELSE '{}' END)"
	"   || CASE coalesce(w.fields, i.fields) WHEN '{}' THEN '{}' ELSE "
	"jsonb_build_object('mappings',"
	"        coalesce(coalesce(w.body, i.body) -> 'mappings', '{}')"
	"        || jsonb_build_object('properties', coalesce(w.fields, i.fields)"
	"         || coalesce(coalesce(w.body, i.body) #> '{mappings,properties}', '{}'))) END)::text,"
	"  coalesce(w.tenant_id, i.tenant_id),"
	"  CASE WHEN i.attempts = 0 THEN 0 ELSE"
	"    (extract(epoch FROM i.updated_at - now()) * 1000"
	"     + least($1, 250 * power(2, least(i.attempts, 20) - 1)))::bigint END AS due,"
	"  i.to_put::text, to_jsonb(i.old_aliases)::text, i.revision::bigint, coalesce(w.role, i.role),"
	"  i.replaces,"
	"  i.shared, (SELECT o.shared FROM tenancy.search_index o WHERE o.index_name = i.replaces),"
	"  i.to_set::text, i.monthly, i.month_of,"
	"  (SELECT array_agg(m.index_name) FROM tenancy.search_index m"
	"    WHERE m.month_of = i.index_name AND m.state IN ('ready', 'altered'))"
	" FROM tenancy.search_index i"
	" LEFT JOIN tenancy.search_index w ON w.index_name = i.month_of"
	" WHERE i.state <> 'ready'"
	"   AND (i.replaces IS NULL OR NOT EXISTS (SELECT FROM tenancy.search_index o"
	"     WHERE o.index_name = i.replaces AND o.state <> 'ready'"
	"        OR o.month_of = i.replaces AND o.state NOT IN ('ready', 'dropping')))"
	"   AND (i.shared IS NULL OR i.state = 'dropping' OR EXISTS (SELECT FROM tenancy.search_index o"
	"     WHERE o.index_name = i.shared AND o.state = 'ready'))"
	"   AND (i.month_of IS NULL OR i.state = 'dropping' OR w.state = 'ready')"
	" ORDER BY due LIMIT $2";

/* Copies a column of the last result for the jobs. */
static char *
copy_column(MemoryContext context, int row, int column)
{
	return MemoryContextStrdup(context, tenancy_spi_text(row, column));
}

/* Notes what the job's index takes the alias from. */
static void
read_replaced(IndexJob *job, const char *index_name, const char *shared, MemoryContext context)
{
	job->replaces = MemoryContextStrdup(context, shared != NULL ? shared : index_name);
	job->replaces_part = shared != NULL ? search_part(context, index_name) : NULL;
}

/* Notes what the job's index has to do with months. */
static void
read_months(IndexJob *job, int row, MemoryContext context)
{
	bool	  isnull;
	Datum	  names = tenancy_spi_datum(row, 18, &isnull);
	ListCell *cell;

	job->monthly = strcmp(tenancy_spi_text(row, 16), "t") == 0;
	if (tenancy_spi_text(row, 17) != NULL)
		job->whole = copy_column(context, row, 17);
	if (isnull)
		return;
	foreach (cell, tenancy_text_list(names))
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		job->months = lappend(job->months, pstrdup(lfirst(cell)));
		MemoryContextSwitchTo(old);
	}
}

/* Makes a job of a row. */
static void
read_job(IndexJob *job, int row, MemoryContext context)
{
	char *replaces;
	char *shared;

	memset(job, 0, sizeof(IndexJob));
	job->together = true;
	job->index_name = copy_column(context, row, 1);
	job->index_type = copy_column(context, row, 2);
	job->alias = copy_column(context, row, 3);
	job->state = copy_column(context, row, 4);
	job->body = copy_column(context, row, 5);
	job->tenant_id = tenancy_spi_int64(row, 6);
	job->to_put = copy_column(context, row, 8);
	job->to_set = copy_column(context, row, 15);
	job->old_aliases = copy_column(context, row, 9);
	job->revision = tenancy_spi_int64(row, 10);
	job->own_alias = search_own_alias(context, job->index_name);
	job->serving = strcmp(tenancy_spi_text(row, 11), "serving") == 0;
	shared = tenancy_spi_text(row, 13);
	job->physical = shared != NULL ? MemoryContextStrdup(context, shared) : job->index_name;
	job->part = shared != NULL ? search_part(context, job->index_name) : NULL;
	read_months(job, row, context);
	replaces = tenancy_spi_text(row, 12);
	if (replaces != NULL)
		read_replaced(job, replaces, tenancy_spi_text(row, 14), context);
	else if (!job->serving)
		job->old_aliases = "[]"; /* it has no public one */
}

/* True for a row of the last result whose work is done together: a part that is to get its alias. */
static bool
is_together(int row)
{
	char *state = tenancy_spi_text(row, 4);

	return tenancy_spi_text(row, 13) != NULL &&
		   (strcmp(state, "pending") == 0 || strcmp(state, "missing") == 0);
}

/* Reads the rows that are due; returns in how many milliseconds the next one is. */
long
provision_read_work(IndexJob *jobs, int most, int most_alone, int *njobs, MemoryContext context)
{
	Oid	  types[] = {FLOAT8OID, INT8OID};
	Datum values[] = {Float8GetDatum(tenancy_retry_max), Int64GetDatum(most)};
	int64 wait = PG_INT32_MAX;
	int	  alone = 0;

	tenancy_spi_exec(work_query, 2, types, values, NULL);
	for (int row = 0; row < SPI_processed; row++)
	{
		int64 due = tenancy_spi_int64(row, 7);

		if (due > 0)
			wait = Min(wait, due);
		else if (is_together(row) || alone++ < most_alone)
			read_job(&jobs[(*njobs)++], row, context);
	}
	return wait;
}
