/*
 * lifecycle_work.c
 *		What is to be done for the lifecycle of indices, from the registry and back to it.
 *
 * Which phase an index is due for, and who brings it there, is for SQL to say; here it becomes
 * requests.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "common/array.h"
#include "common/guc.h"
#include "common/spi.h"
#include "sink/flavour.h"
#include "sink/lifecycle_work.h"

/* Time after which readonly is restored, or a failure tried again: a held change came by then. */
static Datum
rest_time(void)
{
	Interval *rest = palloc0(sizeof(Interval));

	rest->time = ((int64) 2 * tenancy_retry_max + 1000) * 1000;
	return IntervalPGetDatum(rest);
}

/* Begins a transaction with a scope; false: there is no extension (any more), nor a scope. */
static bool
begin(const char *activity, SpiScope *scope)
{
	tenancy_tx_begin(activity);
	if (!tenancy_extension_exists())
		return false;
	tenancy_spi_begin_as_owner(scope);
	return true;
}

/* False: nothing follows a policy, or did. */
bool
lifecycle_is_used(void)
{
	MemoryContext old = CurrentMemoryContext;
	SpiScope	  scope;
	bool		  used = false;
	bool		  isnull;

	if (begin("pg_tenancy: looking for lifecycle policies", &scope))
	{
		tenancy_spi_exec("SELECT tenancy.lifecycle_is_used()", 0, NULL, NULL, NULL);
		used = DatumGetBool(tenancy_spi_datum(0, 1, &isnull));
		tenancy_spi_end(&scope);
	}
	tenancy_tx_commit();
	MemoryContextSwitchTo(old);
	return used;
}

/* Text of the last result in the current context, NULL for NULL. */
static char *
text_or_null(int row, int column)
{
	char *text = tenancy_spi_text(row, column);

	return text != NULL ? pstrdup(text) : NULL;
}

/* Appends a job about a policy of the server. */
static List *
add_policy_job(List *jobs, int row)
{
	LifecycleJob *job = palloc0(sizeof(LifecycleJob));
	char		 *body = text_or_null(row, 2);

	job->policy = text_or_null(row, 1);
	job->removed = body == NULL;
	job->requests = list_make1(flavour_policy_request(job->policy, body));
	return lappend(jobs, job);
}

/* Policies that the server should have and was not given, or should have no more. */
static List *
read_policies(const LifecycleServer *server, MemoryContext context)
{
	Oid			  types[2] = {TEXTOID, TEXTARRAYOID};
	Datum		  values[2] = {(Datum) 0, tenancy_text_array(server->nodes)};
	char		  nulls[2] = {'n', ' '};
	List		 *jobs = NIL;
	MemoryContext old;

	if (server->has_api)
	{
		values[0] = CStringGetTextDatum(flavour_lifecycle_api());
		nulls[0] = ' ';
	}
	tenancy_spi_exec("SELECT name, body::text FROM tenancy.lifecycle_server_policies($1, $2)", 2,
					 types, values, nulls);
	old = MemoryContextSwitchTo(context);
	for (uint64 row = 0; row < SPI_processed; row++)
		if (!tenancy_has_string(server->put, tenancy_spi_text(row, 1)) ||
			tenancy_spi_text(row, 2) == NULL)
			jobs = add_policy_job(jobs, row);
	MemoryContextSwitchTo(old);
	return jobs;
}

/* True if two strings, which may be NULL, are different. */
static bool
has_changed(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a != b : strcmp(a, b) != 0;
}

/* Appends the job of an index. */
static List *
add_index_job(List *jobs, int row)
{
	LifecycleJob *job = palloc0(sizeof(LifecycleJob));
	char		 *put = text_or_null(row, 4);
	char		 *old_policy = text_or_null(row, 5);
	char		 *new_policy = text_or_null(row, 6);

	job->index_name = text_or_null(row, 1);
	job->phase = text_or_null(row, 2);
	job->lifecycle = text_or_null(row, 3);
	job->remark = text_or_null(row, 8);
	jobs = lappend(jobs, job);
	if (job->phase != NULL && strcmp(job->phase, "delete") == 0)
		return jobs;
	if (has_changed(old_policy, new_policy) && old_policy != NULL)
		job->requests = lappend(job->requests, flavour_detach_request(job->index_name));
	if (strcmp(put, "{}") != 0)
		job->requests = lappend(job->requests, flavour_settings_request(job->index_name, put));
	if (has_changed(old_policy, new_policy) && new_policy != NULL)
		job->requests = lappend(
			job->requests,
			flavour_attach_request(job->index_name, new_policy,
								   tenancy_spi_text(row, 7) ? tenancy_spi_int64(row, 7) : 0));
	return jobs;
}

/* Indices whose phase is due. */
static List *
read_due(List *jobs, const LifecycleServer *server, MemoryContext context)
{
	Oid			  types[4] = {INTERVALOID, TEXTOID, BOOLOID, TEXTARRAYOID};
	Datum		  values[4] = {rest_time(), (Datum) 0, BoolGetDatum(flavour_lifecycle_dated()),
							   tenancy_text_array(server->nodes)};
	char		  nulls[4] = {' ', 'n', ' ', ' '};
	MemoryContext old;

	if (server->has_api)
	{
		values[1] = CStringGetTextDatum(flavour_lifecycle_api());
		nulls[1] = ' ';
	}
	tenancy_spi_exec("SELECT index_name, phase, lifecycle::text, put::text, old_policy,"
					 " new_policy, origin, remark FROM tenancy.lifecycle_work($1, $2, $3, $4)",
					 4, types, values, nulls);
	old = MemoryContextSwitchTo(context);
	for (uint64 row = 0; row < SPI_processed; row++)
		jobs = add_index_job(jobs, row);
	MemoryContextSwitchTo(old);
	return jobs;
}

/* Has the indices opened that are readonly by their policy and refused something. */
static List *
read_blocked(List *blocked, MemoryContext context)
{
	List	 *jobs = NIL;
	ListCell *cell;

	foreach (cell, blocked)
	{
		Oid			  types[1] = {TEXTOID};
		Datum		  values[1] = {CStringGetTextDatum(lfirst(cell))};
		bool		  isnull;
		LifecycleJob *job;
		MemoryContext old;

		tenancy_spi_exec("SELECT tenancy.lifecycle_is_readonly($1)", 1, types, values, NULL);
		if (!DatumGetBool(tenancy_spi_datum(0, 1, &isnull)))
			continue;
		old = MemoryContextSwitchTo(context);
		job = palloc0(sizeof(LifecycleJob));
		job->index_name = pstrdup(lfirst(cell));
		job->requests =
			list_make1(flavour_settings_request(job->index_name, "{\"index.blocks.write\":false}"));
		jobs = lappend(jobs, job);
		MemoryContextSwitchTo(old);
	}
	return jobs;
}

/* Jobs that are due: what refused a change first, then policies, which indices are to follow. */
List *
lifecycle_read_jobs(const LifecycleServer *server, List *blocked, MemoryContext context)
{
	SpiScope scope;
	List	*jobs = NIL;

	if (begin("pg_tenancy: looking at the lifecycle of indices", &scope))
	{
		jobs = read_blocked(blocked, context);
		if (server->known)
		{
			List		 *policies = read_policies(server, context);
			MemoryContext old = MemoryContextSwitchTo(context);

			jobs = list_concat(jobs, policies);
			MemoryContextSwitchTo(old);
			jobs = read_due(jobs, server, context);
		}
		tenancy_spi_end(&scope);
	}
	tenancy_tx_commit();
	MemoryContextSwitchTo(context);
	return jobs;
}

/* Notes what was done to an index. */
static void
write_index(const LifecycleJob *job, const char *error)
{
	Oid	  types[] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	Datum values[] = {CStringGetTextDatum(job->index_name),
					  job->lifecycle ? CStringGetTextDatum(job->lifecycle) : (Datum) 0,
					  CStringGetTextDatum(error),
					  job->remark ? CStringGetTextDatum(job->remark) : (Datum) 0};
	char nulls[] = {' ', job->lifecycle ? ' ' : 'n', error[0] ? ' ' : 'n', job->remark ? ' ' : 'n'};

	if (job->lifecycle != NULL)
		tenancy_spi_exec("SELECT tenancy.lifecycle_done($1, $2::jsonb, $3, $4)", 4, types, values,
						 nulls);
	else if (error[0] == '\0')
		tenancy_spi_exec("SELECT tenancy.lifecycle_lifted($1)", 1, types, values, NULL);
}

/* Notes that the server has a policy no more. */
static void
write_policy_gone(const char *name)
{
	Oid	  types[] = {TEXTOID};
	Datum values[] = {CStringGetTextDatum(name)};

	tenancy_spi_exec("SELECT tenancy.lifecycle_server_policy_gone($1)", 1, types, values, NULL);
}

/* Writes what came of a job; error "" if all went well. */
void
lifecycle_write_result(const LifecycleJob *job, const char *error)
{
	MemoryContext old = CurrentMemoryContext;
	SpiScope	  scope;

	if (begin("pg_tenancy: noting the lifecycle of an index", &scope))
	{
		if (job->index_name != NULL)
			write_index(job, error);
		else if (job->removed && error[0] == '\0')
			write_policy_gone(job->policy);
		tenancy_spi_end(&scope);
	}
	tenancy_tx_commit();
	MemoryContextSwitchTo(old);
}
