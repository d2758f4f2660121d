/*
 * provision.c
 *		Makes and removes the indices that tenancy.search_index lists.
 *
 * The table is read in one short transaction, the server is asked without any, and
 * the results are written in another one, each guarded by the state that the row
 * was read with: who changed it meanwhile wins.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "common/guc.h"
#include "common/spi.h"
#include "sink/es_server.h"
#include "sink/index_job.h"
#include "sink/provision.h"
#include "sink/provision_work.h"
#include "sink/ready_index.h"

#define JOBS_MAX 100
#define ALONE_MAX 8			 /* of them, those that do not do their work together */
#define TURN_MIN 50			 /* ms */
#define LOOK_INTERVAL 10000	 /* ms between looks at a table in which nothing is due */
#define LOCKED_INTERVAL 1000 /* ms until what a user's lock was in the way of is done again */

/* Jobs whose results are written together. */
typedef struct Lot
{
	int	 first;
	int	 end;
	bool usable[JOBS_MAX]; /* set: the index can be used now */
} Lot;

static IndexJob		 jobs[JOBS_MAX];
static int			 njobs = 0;
static MemoryContext job_context = NULL; /* what the jobs point to */
static TimestampTz	 next_look = 0;

/*
 * Index $1 in state $2 and revision $3, unless a user's transaction has it: then it is looked at
 * again later.
 */
#define THIS_INDEX                                                     \
	" WHERE index_name = (SELECT index_name FROM tenancy.search_index" \
	"   WHERE index_name = $1 AND state = $2 AND revision = $3 FOR UPDATE SKIP LOCKED)"

static const char *const drop_query = "DELETE FROM tenancy.search_index" THIS_INDEX;

/* $4: what the server refused, $5: what it got otherwise than it was said; NULL if nothing */
static const char *const ready_query =
	"UPDATE tenancy.search_index i SET state = 'ready', attempts = 0, last_error = $4,"
	"  note = CASE $2 WHEN 'altered' THEN coalesce($5, note) ELSE $5 END,"
	"  to_put = '{}', to_set = '{}', old_aliases = '{}', updated_at = now(),"
	"  lifecycle = CASE $2 WHEN 'altered' THEN lifecycle ELSE '{}' END,"
	"  filled = CASE WHEN $2 = 'altered' THEN filled WHEN role = 'month' THEN $2 <> 'missing'"
	"    AND NOT EXISTS (SELECT FROM tenancy.search_index w WHERE w.index_name = i.month_of"
	"                      AND tenancy.is_filling(w.tenant_id, w.index_type))"
	"   ELSE $2 <> 'missing' AND role = 'serving'"
	"   AND NOT EXISTS (SELECT FROM tenancy.resync r"
	"    JOIN tenancy.tenant t ON t.id = r.tenant_id"
	"    JOIN tenancy.sync_table s ON s.blueprint = t.blueprint AND s.table_name = r.table_name"
	"   WHERE r.sink = 'search' AND r.tenant_id = i.tenant_id AND r.phase = 'rows'"
	"     AND s.index_type = i.index_type) END" THIS_INDEX;

static char trouble[SINK_REASON_MAX]; /* last failure, "" once it was told */

static const char *const failed_query = "UPDATE tenancy.search_index SET attempts = attempts + 1, "
										"last_error = $4, updated_at = now()" THIS_INDEX;

/* One that does not serve holds up the one that does: it is put aside, until it can be changed. */
static const char *const aside_query =
	"SELECT tenancy.index_move_trouble(index_name, $4, false) FROM tenancy.search_index"
	" WHERE index_name = $1 AND state = $2 AND revision = $3 AND state = 'altered'"
	"   AND role IN ('filling', 'retired') AND replaces IS NULL AND attempts >= 4";

/* So is one that has fields to come and may not take over: the alias is not known to be its own. */
static const char *const barred_query =
	"SELECT tenancy.index_move_barred(index_name, $4) FROM tenancy.search_index"
	" WHERE index_name = $1 AND state = $2 AND revision = $3 AND state = 'altered'"
	"   AND role = 'filling' AND to_put <> '{}' AND attempts >= 4";

/* Has every row of the index's table sent again. */
static const char *const resync_query =
	"SELECT tenancy.request_resync('search', t.id, s.blueprint, s.table_name)"
	" FROM tenancy.tenant t JOIN tenancy.sync_table s ON s.blueprint = t.blueprint"
	" WHERE t.id = $1 AND s.index_type = $2";

/* A resync that was asked for before the index was there need not look for other documents. */
static const char *const fresh_query =
	"UPDATE tenancy.resync r SET fresh = true WHERE (r.sink, r.tenant_id, r.table_name) IN"
	" (SELECT w.sink, w.tenant_id, w.table_name FROM tenancy.resync w"
	"    JOIN tenancy.tenant t ON t.id = w.tenant_id"
	"    JOIN tenancy.sync_table s ON s.blueprint = t.blueprint AND s.table_name = w.table_name"
	"   WHERE w.sink = 'search' AND w.tenant_id = $1 AND s.index_type = $2 AND w.phase = 'rows'"
	"     AND w.started_at IS NULL FOR UPDATE OF w SKIP LOCKED)";

/* The server has refused a field or a setting: a new index can have it. */
static const char *const refused_query =
	"SELECT tenancy.queue_reindex($1, $2, 'the server refused a change of the index')";

static const char *const gone_query = SEARCH_MAKE_MISSING THIS_INDEX;

static const char *const missing_query =
	SEARCH_MAKE_MISSING " WHERE index_name IN (SELECT a.index_name FROM tenancy.search_index a"
						"   JOIN tenancy.search_index x ON x.index_name = $1"
						"   WHERE a.state = 'ready' AND (a.index_name = x.index_name"
						"     OR a.index_name = x.shared OR a.shared = x.shared)"
						"   FOR UPDATE OF a SKIP LOCKED)";

/* The index that $1 is a part of, and all of its parts. */
static const char *const shared_gone_query =
	SEARCH_MAKE_MISSING " WHERE index_name IN (SELECT a.index_name FROM tenancy.search_index a"
						"   JOIN tenancy.search_index x ON x.index_name = $1 AND x.state = $2"
						"     AND x.revision = $3 AND $4 IS NULL"
						"   WHERE a.state <> 'dropping' AND (a.index_name = x.shared"
						"     OR a.shared = x.shared) FOR UPDATE OF a SKIP LOCKED)";

/* Parts of the shared index $1 that may have had documents. */
#define USED_PARTS "shared = $1 AND state NOT IN ('pending', 'dropping')"

/* Locks them; false if a user's transaction has one. */
static const char *const lock_parts_query =
	"WITH had AS (SELECT FROM tenancy.search_index WHERE " USED_PARTS " FOR UPDATE SKIP LOCKED)"
	" SELECT count(*) FROM had";
static const char *const count_parts_query =
	"SELECT count(*) FROM tenancy.search_index WHERE " USED_PARTS;

static const char *const parts_missing_query = SEARCH_MAKE_MISSING " WHERE " USED_PARTS;

/* All parts of the index that $1 is, or is a part of. */
static const char *const parts_query =
	"SELECT p.index_name FROM tenancy.search_index x"
	"  JOIN tenancy.search_index p ON p.shared = coalesce(x.shared, x.index_name)"
	" WHERE x.index_name = $1";

/* A month of an index that does not serve is there; one that was found to be lost. */
static const char *const month_came_query = "SELECT tenancy.month_came($1)";
static const char *const month_lost_query = "SELECT tenancy.month_lost($1)";

static const char *const switched_query = "SELECT tenancy.index_move_switched($1)";

/* The index $4 that the alias was taken from, of a registry that is lost, is removed. */
static const char *const relic_query =
	"INSERT INTO tenancy.search_index (index_name, tenant_id, index_type, alias, role, state)"
	" SELECT $4, CASE WHEN substring($4 from '[^.]*$') LIKE '%-%' THEN 0 ELSE i.tenant_id END,"
	"  i.index_type, i.alias, 'retired', 'dropping'"
	"   FROM tenancy.search_index i WHERE i.index_name = $1 AND $2 <> '' AND $3 IS NOT NULL"
	" ON CONFLICT DO NOTHING";

/* Last failure since the previous call, NULL: none. */
const char *
search_provision_trouble(void)
{
	static char told[SINK_REASON_MAX];

	if (trouble[0] == '\0')
		return NULL;
	strlcpy(told, trouble, sizeof(told));
	trouble[0] = '\0';
	return told;
}

/* Alias that an index has besides the public one. */
char *
search_own_alias(MemoryContext context, const char *index_name)
{
	return MemoryContextStrdup(context, psprintf("%s" INDEX_OWN_ALIAS, index_name));
}

/* Part of a shared index that the registry has under a name: id of the tenant and generation. */
char *
search_part(MemoryContext context, const char *index_name)
{
	const char *part = index_name + strlen(index_name);

	for (int dots = 0; part > index_name; part--)
		if (part[-1] == '.' && ++dots == 2)
			break;
	return MemoryContextStrdup(context, part);
}

/* The table may have changed: look at it with the next housekeep. */
void
search_provision_wake(void)
{
	next_look = 0;
	ready_index_stale();
}

/* Looks at the table in a transaction of its own. */
static void
look(void)
{
	SpiScope scope;
	long	 wait;

	next_look = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LOOK_INTERVAL);
	tenancy_tx_begin("pg_tenancy: reading search indices");
	if (tenancy_extension_exists())
	{
		tenancy_spi_begin_as_owner(&scope);
		wait = provision_read_work(jobs, JOBS_MAX, ALONE_MAX, &njobs, job_context);
		next_look = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), Min(wait, LOOK_INTERVAL));
		if (ready_index_wait() == 0)
			ready_index_load();
		tenancy_spi_end(&scope);
	}
	tenancy_tx_commit();
}

/* Starts the requests of the rows that were read. */
static void
start_jobs(void)
{
	MemoryContext old = MemoryContextSwitchTo(job_context);

	for (int i = 0; i < njobs; i++)
		index_job_start(&jobs[i]);
	index_shared_start_lots(jobs, njobs);
	MemoryContextSwitchTo(old);
}

/* Takes the replies that have come; true if every job is done. */
static bool
advance_jobs(void)
{
	MemoryContext old = MemoryContextSwitchTo(job_context);
	bool		  all_done = true;

	for (int i = 0; i < njobs; i++)
	{
		index_job_advance(&jobs[i]);
		all_done = all_done && jobs[i].done;
	}
	MemoryContextSwitchTo(old);
	return all_done;
}

/* Runs a query about the index's table: $1 tenant, $2 index type. */
static void
exec_for_table(const IndexJob *job, const char *sql)
{
	Oid	  types[] = {INT8OID, TEXTOID};
	Datum values[] = {Int64GetDatum(job->tenant_id), CStringGetTextDatum(job->index_type)};

	tenancy_spi_exec(sql, 2, types, values, NULL);
}

/* Runs a query on a job's row, if that is still as it was read; true if it was. */
static bool
change_row(const IndexJob *job, const char *sql, const char *error)
{
	bool  noted = job->note != NULL && job->note->len > 0;
	Oid	  types[] = {TEXTOID, TEXTOID, INT8OID, TEXTOID, TEXTOID};
	Datum values[] = {CStringGetTextDatum(job->index_name), CStringGetTextDatum(job->state),
					  Int64GetDatum(job->revision), CStringGetTextDatum(error),
					  noted ? CStringGetTextDatum(job->note->data) : (Datum) 0};
	char  nulls[] = {' ', ' ', ' ', error[0] ? ' ' : 'n', noted ? ' ' : 'n'};

	tenancy_spi_exec(sql, 5, types, values, nulls);
	return SPI_processed > 0;
}

/* Runs a query about one index: $1. */
static void
exec_for_index(const char *sql, const char *index_name)
{
	Oid	  types[] = {TEXTOID};
	Datum values[] = {CStringGetTextDatum(index_name)};

	tenancy_spi_exec(sql, 1, types, values, NULL);
}

/* An index is there for the first time: has the rows sent that it was not there for. */
static void
write_first_rows(const IndexJob *job)
{
	if (job->whole != NULL && !job->serving)
		exec_for_index(month_came_query, job->index_name);
	else if (!job->serving && !job->monthly)
		exec_for_table(job, resync_query);
	else if (job->serving && job->whole == NULL && (job->created || job->part != NULL))
		exec_for_table(job, fresh_query);
}

/* Writes what follows from an index that is there now. */
static void
write_consequences(const IndexJob *job)
{
	ListCell *cell;

	foreach (cell, job->relics)
		(void) change_row(job, relic_query, lfirst(cell));
	if (job->replaces != NULL && job->relic == NULL)
		exec_for_index(switched_query, job->index_name);
	else if (strcmp(job->state, "missing") == 0)
		exec_for_table(job, resync_query); /* nothing was sent to it before */
	else if (strcmp(job->state, "pending") == 0)
		write_first_rows(job);
	if (job->refused && (job->serving || job->replaces != NULL))
		exec_for_table(job, refused_query);
}

/* Nothing is sent to the parts of an index that $1 is, or is a part of, before the registry says so. */
static void
forget_parts(const char *index_name)
{
	exec_for_index(parts_query, index_name);
	for (int row = 0; row < SPI_processed; row++)
		(void) ready_index_remove(tenancy_spi_text(row, 1));
}

/* True if the job has made an index that tenants share, which has no documents of any part. */
static bool
is_shared_anew(const IndexJob *job)
{
	return job->tenant_id == 0 && strcmp(job->state, "altered") != 0;
}

/*
 * Locks all parts of a shared index that was made: whichever had documents goes missing with it,
 * or none of them, and the index waits.  False if a user's transaction has one.
 */
static bool
lock_parts(const IndexJob *job)
{
	int64 locked;

	exec_for_index(lock_parts_query, job->index_name);
	locked = tenancy_spi_int64(0, 1);
	exec_for_index(count_parts_query, job->index_name);
	return tenancy_spi_int64(0, 1) == locked;
}

/* Writes that the index is as its row says; true if nobody changed that meanwhile. */
static bool
write_ready(const IndexJob *job)
{
	if (is_shared_anew(job) && !lock_parts(job))
	{
		(void) change_row(job, failed_query, "a transaction is changing a part of this index");
		return false;
	}
	if (!change_row(job, ready_query, job->error))
		return false;
	if (is_shared_anew(job))
	{
		exec_for_index(parts_missing_query, job->index_name);
		forget_parts(job->index_name);
	}
	write_consequences(job);
	return true;
}

/* Writes a job's result; true if the index can be used now. */
static bool
write_result(const IndexJob *job)
{

	if (job->error[0] != '\0')
		strlcpy(trouble, job->error, sizeof(trouble));
	if (job->missing && job->part != NULL)
	{
		(void) change_row(job, shared_gone_query, "");
		forget_parts(job->index_name);
	}
	else if (job->missing)
		(void) change_row(job, gone_query, "");
	else if (job->lost != NULL)
		exec_for_index(month_lost_query, job->lost);
	else if (job->error[0] != '\0' && !job->refused)
	{
		if (change_row(job, failed_query, job->error))
			(void) change_row(job, job->barred ? barred_query : aside_query, job->error);
	}
	else if (strcmp(job->state, "dropping") == 0)
		(void) change_row(job, drop_query, "");
	else
		return write_ready(job);
	return false;
}

/* Writes the results of some jobs; inside a transaction. */
static void
write_lot(void *arg)
{
	Lot		*lot = arg;
	SpiScope scope;

	tenancy_spi_begin_as_owner(&scope);
	for (int i = lot->first; i < lot->end; i++)
		lot->usable[i] = write_result(&jobs[i]);
	tenancy_spi_end(&scope);
}

/* Writes the results of some jobs, all or, because of a user's lock, none; true if it did. */
static bool
write_jobs(int first, int end)
{
	Lot lot = {.first = first, .end = end};

	if (!tenancy_tx_try("pg_tenancy: writing search indices", write_lot, &lot))
		return false;
	for (int i = first; i < end; i++)
		if (lot.usable[i])
			ready_index_add(jobs[i].index_name, jobs[i].alias);
	return true;
}

/*
 * Writes every job's result, in one transaction unless a user's lock is in the way of one: that
 * one is worked on again later.  True if all were written.
 */
static bool
write_results(void)
{
	bool all_written = true;

	if (write_jobs(0, njobs))
		return true;
	for (int i = 0; i < njobs; i++)
		all_written = write_jobs(i, i + 1) && all_written;
	return all_written;
}

/* Forgets what is under way; the table still has it. */
void
search_provision_reset(void)
{
	for (int i = 0; i < njobs; i++)
		http_free(jobs[i].request);
	njobs = 0;
	if (job_context != NULL)
		MemoryContextReset(job_context);
	next_look = 0;
}

/* Milliseconds until the table should be looked at. */
static long
look_due(void)
{
	long look =
		next_look == 0 ? 0 : TimestampDifferenceMilliseconds(GetCurrentTimestamp(), next_look);
	long load = ready_index_wait();

	return load < 0 ? look : Min(look, load);
}

/* One turn of the work on indices; true if there may be more at once. */
bool
search_provision_housekeep(void)
{
	bool all_written;

	if (njobs > 0)
	{
		if (!advance_jobs())
			return false;
		all_written = write_results();
		search_provision_reset();
		if (!all_written)
			next_look = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LOCKED_INTERVAL);
		return true;
	}
	if (es_server_health(NULL) != SINK_READY || look_due() > 0)
		return false;
	if (job_context == NULL)
		job_context =
			AllocSetContextCreate(TopMemoryContext, "search provisioning", ALLOCSET_DEFAULT_SIZES);
	look();
	start_jobs();
	return njobs > 0;
}

/*
 * Milliseconds until housekeep has something to do without an event, -1: never.  Not
 * less than TURN_MIN, as a worker that is kept from calling it must not spin.
 */
long
search_provision_timeout(void)
{
	if (njobs > 0 || es_server_health(NULL) != SINK_READY)
		return -1;
	return Max(look_due(), TURN_MIN);
}

/* An index waits for a change of its own: its documents wait too. */
void
search_provision_altered(const char *index_name)
{
	(void) ready_index_remove(index_name);
	next_look = 0;
}

/*
 * An item said SINK_NO_INDEX: the index is made again.  Parts of a shared one that cannot go missing
 * now do so when that one is there.
 */
void
search_provision_missing(const char *index_name)
{
	SpiScope scope;

	if (!ready_index_remove(index_name))
		return;
	tenancy_tx_begin("pg_tenancy: noting a missing search index");
	tenancy_spi_begin_as_owner(&scope);
	exec_for_index(missing_query, index_name);
	forget_parts(index_name);
	tenancy_spi_end(&scope);
	tenancy_tx_commit();
	next_look = 0;
}

/* True if the index is known to be there, for that alias. */
bool
search_provision_ready(const char *index_name, const char *alias)
{
	return ready_index_has(index_name, alias);
}
