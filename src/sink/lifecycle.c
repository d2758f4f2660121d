/*
 * lifecycle.c
 *		Does to indices what the phases of their lifecycle policy say.
 *
 * What is to be done is for tenancy.lifecycle_work() to say, from the age of each index; here
 * the requests are made, one after the other, and the results written.  An index that is
 * readonly and refuses a late change is opened; after a rest its phase is done again.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "common/guc.h"
#include "common/spi.h"
#include "sink/es_reply.h"
#include "sink/es_server.h"
#include "sink/lifecycle.h"

#define REPLY_MAX (1024 * 1024)
#define TURN_MIN 50 /* ms */

/* What is to be done to one index. */
typedef struct Job
{
	char *index_name;
	char *phase;	 /* NULL: it has no policy any more, or is just to be opened */
	char *lifecycle; /* to be noted once that is done */
	char *put;		 /* settings */
	bool  lift;
} Job;

static List			*jobs = NIL;	/* of Job *, the first is under way */
static List			*blocked = NIL; /* of char *: indices that refused a change */
static MemoryContext job_context = NULL;
static HttpRequest	*request = NULL;
static bool			 asks_nodes = false; /* the request is about nodes, not settings */
static bool			 nodes_known = false;
static char			 note[SINK_REASON_MAX];
static TimestampTz	 next_look = 0;

/* Policies may have changed. */
void
lifecycle_wake(void)
{
	next_look = 0;
}

/* Forgets what is under way. */
void
lifecycle_reset(void)
{
	http_free(request);
	request = NULL;
	jobs = NIL;
	blocked = NIL;
	if (job_context != NULL)
		MemoryContextReset(job_context);
	next_look = 0;
}

/* Makes the context of everything that outlives a turn. */
static void
make_context(void)
{
	if (job_context == NULL)
		job_context =
			AllocSetContextCreate(TopMemoryContext, "index lifecycle", ALLOCSET_DEFAULT_SIZES);
}

/* True if a list of strings has it. */
static bool
has_string(List *strings, const char *string)
{
	ListCell *cell;

	foreach (cell, strings)
		if (strcmp(lfirst(cell), string) == 0)
			return true;
	return false;
}

/* Notes the indices of items that were blocked. */
void
lifecycle_note_blocked(const SinkBatch *batch)
{
	for (int i = 0; i < batch->nitems; i++)
	{
		const SinkItem *item = &batch->items[i];
		MemoryContext	old;

		if (item->outcome != SINK_BLOCKED || item->place == NULL || item->place->part != NULL ||
			has_string(blocked, item->place->index_name))
			continue;
		make_context();
		old = MemoryContextSwitchTo(job_context);
		blocked = lappend(blocked, pstrdup(item->place->index_name));
		MemoryContextSwitchTo(old);
	}
}

/* Appends a job. */
static void
add_job(const char *index_name, const char *phase, const char *lifecycle, const char *put)
{
	MemoryContext old = MemoryContextSwitchTo(job_context);
	Job			 *job = palloc0(sizeof(Job));

	job->index_name = pstrdup(index_name);
	job->phase = phase ? pstrdup(phase) : NULL;
	job->lift = lifecycle == NULL;
	job->lifecycle = lifecycle ? pstrdup(lifecycle) : NULL;
	job->put = pstrdup(put);
	jobs = lappend(jobs, job);
	MemoryContextSwitchTo(old);
}

/* Time after which readonly is restored, or a failure tried again: a held change came by then. */
static Datum
rest_time(void)
{
	Interval *rest = palloc0(sizeof(Interval));

	rest->time = ((int64) 2 * tenancy_retry_max + 1000) * 1000;
	return IntervalPGetDatum(rest);
}

/* Reads which phases are due. */
static void
read_due(void)
{
	Oid	  types[1] = {INTERVALOID};
	Datum values[1] = {rest_time()};

	tenancy_spi_exec("SELECT index_name, phase, lifecycle::text, put::text"
					 " FROM tenancy.lifecycle_work($1)",
					 1, types, values, NULL);
	for (uint64 row = 0; row < SPI_processed; row++)
		add_job(tenancy_spi_text(row, 1), tenancy_spi_text(row, 2), tenancy_spi_text(row, 3),
				tenancy_spi_text(row, 4));
}

/* Has the indices opened that are readonly by their policy and refused something. */
static void
read_blocked(void)
{
	ListCell *cell;

	foreach (cell, blocked)
	{
		Oid	  types[1] = {TEXTOID};
		Datum values[1] = {CStringGetTextDatum(lfirst(cell))};

		tenancy_spi_exec("SELECT FROM tenancy.search_index WHERE index_name = $1"
						 " AND state = 'ready'"
						 " AND lifecycle #> '{settings,index.blocks.write}' = 'true'",
						 1, types, values, NULL);
		if (SPI_processed > 0)
			add_job(lfirst(cell), NULL, NULL, "{\"index.blocks.write\":false}");
	}
	blocked = NIL;
}

/* Looks at the registry in a transaction of its own. */
static void
look(void)
{
	SpiScope scope;

	next_look =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), tenancy_lifecycle_interval * 1000L);
	tenancy_tx_begin("pg_tenancy: looking at the lifecycle of indices");
	if (tenancy_extension_exists())
	{
		tenancy_spi_begin_as_owner(&scope);
		read_blocked();
		read_due();
		tenancy_spi_end(&scope);
	}
	tenancy_tx_commit();
	MemoryContextSwitchTo(job_context);
}

/* Writes what came of a job; error "" if all went well. */
static void
write_result(const Job *job, const char *error, const char *remark)
{
	Oid		 types[] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	Datum	 values[] = {CStringGetTextDatum(job->index_name),
						 job->lift ? (Datum) 0 : CStringGetTextDatum(job->lifecycle),
						 CStringGetTextDatum(error), CStringGetTextDatum(remark)};
	char	 nulls[] = {' ', job->lift ? 'n' : ' ', error[0] ? ' ' : 'n', remark[0] ? ' ' : 'n'};
	SpiScope scope;

	tenancy_tx_begin("pg_tenancy: noting the lifecycle of an index");
	tenancy_spi_begin_as_owner(&scope);
	if (!job->lift)
		tenancy_spi_exec("SELECT tenancy.lifecycle_done($1, $2::jsonb, $3, $4)", 4, types, values,
						 nulls);
	else if (error[0] == '\0')
		tenancy_spi_exec("SELECT tenancy.lifecycle_lifted($1)", 1, types, values, NULL);
	tenancy_spi_end(&scope);
	tenancy_tx_commit();
	MemoryContextSwitchTo(job_context);
}

/* Ends the first job. */
static void
end_job(const char *error)
{
	Job *job = linitial(jobs);

	if (error[0] != '\0')
		ereport(LOG, (errmsg("could not do phase \"%s\" of index \"%s\": %s",
							 job->phase ? job->phase : "none", job->index_name, error)));
	write_result(job, error, note);
	jobs = list_delete_first(jobs);
	nodes_known = false;
	note[0] = '\0';
}

/* Sends a request about the first job. */
static void
ask(const char *method, const char *path, const char *body)
{
	asks_nodes = body == NULL;
	request = es_server_call(method, path, body ? "application/json" : NULL, body,
							 body ? strlen(body) : 0, REPLY_MAX);
}

/* Starts what the first job needs next; one that needs nothing ends. */
static void
go_on(void)
{
	Job *job = linitial(jobs);

	if (strcmp(job->put, "{}") == 0 || (job->phase != NULL && strcmp(job->phase, "delete") == 0))
		end_job("");
	else if (!nodes_known && strstr(job->put, "\"" LIFECYCLE_NODE_SETTING "\": \"") != NULL)
		ask("GET", "/_cat/nodeattrs?format=json&h=attr,value", NULL);
	else
		ask("PUT", psprintf("/%s/_settings", job->index_name), job->put);
}

/* Takes the reply to the request. */
static void
take_reply(const HttpReply *reply)
{
	char error[SINK_REASON_MAX] = "";

	es_server_heed(reply);
	if (reply->status == 200 && asks_nodes)
	{
		nodes_known = true;
		lifecycle_settle_nodes(((Job *) linitial(jobs))->put, reply->body, note, sizeof(note));
		return;
	}
	if (reply->status != 200)
		es_reply_error(reply, error, sizeof(error));
	end_job(error);
}

/* Takes the reply if it has come; true if that was so. */
static bool
advance(void)
{
	HttpRequest		*answered = request;
	const HttpReply *reply = http_reply(answered);

	if (reply == NULL)
		return false;
	request = NULL;
	PG_TRY();
	{
		take_reply(reply);
	}
	PG_FINALLY();
	{
		http_free(answered);
	}
	PG_END_TRY();
	return true;
}

/* Milliseconds until the registry should be looked at. */
static long
look_due(void)
{
	if (next_look == 0 || blocked != NIL)
		return 0;
	return TimestampDifferenceMilliseconds(GetCurrentTimestamp(), next_look);
}

/* Does one step; true if there may be more at once. */
static bool
turn(void)
{
	if (request != NULL)
		return advance();
	if (es_server_health(NULL) != SINK_READY)
		return false;
	if (jobs == NIL)
	{
		if (look_due() > 0)
			return false;
		if (blocked == NIL)
			MemoryContextReset(job_context);
		look();
	}
	if (jobs != NIL)
		go_on();
	return jobs != NIL && request == NULL;
}

/* One turn of the work. */
bool
lifecycle_housekeep(void)
{
	MemoryContext old;
	bool		  again;

	make_context();
	old = MemoryContextSwitchTo(job_context);
	again = turn();
	MemoryContextSwitchTo(old);
	return again;
}

/* Milliseconds until housekeep has something to do without an event, -1: never. */
long
lifecycle_timeout(void)
{
	if (request != NULL || es_server_health(NULL) != SINK_READY)
		return -1;
	return Max(jobs != NIL ? 0 : look_due(), TURN_MIN);
}
