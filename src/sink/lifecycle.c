/*
 * lifecycle.c
 *		Does to indices what the phases of their lifecycle policy say, or has the server do it.
 *
 * What is to be done is for tenancy.lifecycle_work() to say, from the age of each index; here
 * the requests are made, one after the other, and the results written.  A server that carries
 * policies out itself is given them.  An index that is readonly and refuses a late change is
 * opened; after a rest it is readonly again.
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "common/array.h"
#include "common/guc.h"
#include "common/spi.h"
#include "sink/es_reply.h"
#include "sink/es_server.h"
#include "sink/flavour.h"
#include "sink/lifecycle.h"
#include "sink/lifecycle_work.h"

#define REPLY_MAX (1024 * 1024)
#define TURN_MIN 50 /* ms */

/* What is asked at the moment. */
typedef enum Question
{
	ASK_NOTHING,
	ASK_API,
	ASK_NODES,
	ASK_JOB
} Question;

static List			  *jobs = NIL;			  /* of LifecycleJob *, the first is under way */
static List			  *blocked = NIL;		  /* of char *: indices that refused a change */
static MemoryContext   job_context = NULL;	  /* of both */
static MemoryContext   server_context = NULL; /* of what is known of the server */
static LifecycleServer server;
static HttpRequest	  *request = NULL;
static Question		   question = ASK_NOTHING;
static TimestampTz	   next_look = 0;

/* Policies may have changed. */
void
lifecycle_wake(void)
{
	next_look = 0;
}

/* Forgets what is known of the server. */
static void
forget_server(void)
{
	memset(&server, 0, sizeof(server));
	if (server_context != NULL)
		MemoryContextReset(server_context);
}

/* Forgets what is under way. */
void
lifecycle_reset(void)
{
	http_free(request);
	request = NULL;
	question = ASK_NOTHING;
	jobs = NIL;
	blocked = NIL;
	if (job_context != NULL)
		MemoryContextReset(job_context);
	forget_server();
	next_look = 0;
}

/* Makes the contexts of everything that outlives a turn. */
static void
make_contexts(void)
{
	if (job_context != NULL)
		return;
	job_context =
		AllocSetContextCreate(TopMemoryContext, "index lifecycle", ALLOCSET_DEFAULT_SIZES);
	server_context =
		AllocSetContextCreate(TopMemoryContext, "lifecycle server", ALLOCSET_DEFAULT_SIZES);
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
			tenancy_has_string(blocked, item->place->index_name))
			continue;
		make_contexts();
		old = MemoryContextSwitchTo(job_context);
		blocked = lappend(blocked, pstrdup(item->place->index_name));
		MemoryContextSwitchTo(old);
	}
}

/* Sends a request. */
static void
ask(Question what, const char *method, const char *path, const char *body)
{
	question = what;
	request = es_server_call(method, path, body ? "application/json" : NULL, body,
							 body ? strlen(body) : 0, REPLY_MAX);
}

/* Reads what is due. */
static void
read_jobs(void)
{
	List *refusing = blocked;

	blocked = NIL;
	jobs = lifecycle_read_jobs(&server, refusing, job_context);
}

/* Begins a look at the registry, by what is to be known of the server first. */
static void
look(void)
{
	next_look =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), tenancy_lifecycle_interval * 1000L);
	if (!lifecycle_is_used())
		blocked = NIL;
	else if (server.known)
		ask(ASK_NODES, "GET", "/_cat/nodeattrs?format=json&h=attr,value", NULL);
	else
		ask(ASK_API, "GET", flavour_lifecycle_probe(), NULL);
}

/* The server has answered what it is like: an answer that may be another one later counts as none. */
static void
take_api(const HttpReply *reply)
{
	if (reply->status == 0 || reply->status == 429 || reply->status >= 500)
	{
		read_jobs();
		return;
	}
	server.known = true;
	server.has_api = reply->status == 200;
	if (server.has_api)
		ereport(LOG, (errmsg("the search server carries lifecycle policies out itself, by %s",
							 flavour_lifecycle_api())));
	ask(ASK_NODES, "GET", "/_cat/nodeattrs?format=json&h=attr,value", NULL);
}

/* It has answered what its nodes are like: else they are as they were. */
static void
take_nodes(const HttpReply *reply)
{
	if (reply->status == 200)
	{
		MemoryContext old = MemoryContextSwitchTo(server_context);

		list_free_deep(server.nodes);
		server.nodes = lifecycle_nodes(reply->body);
		MemoryContextSwitchTo(old);
	}
	read_jobs();
}

/* Ends the first job. */
static void
end_job(const char *error)
{
	LifecycleJob *job = linitial(jobs);

	if (error[0] != '\0' && !job->removed)
		ereport(LOG,
				(errmsg("could not do phase \"%s\" of \"%s\": %s", job->phase ? job->phase : "none",
						job->index_name ? job->index_name : job->policy, error)));
	else if (job->policy != NULL && !job->removed)
	{
		MemoryContext old = MemoryContextSwitchTo(server_context);

		server.put = lappend(server.put, pstrdup(job->policy));
		MemoryContextSwitchTo(old);
	}
	lifecycle_write_result(job, error);
	jobs = list_delete_first(jobs);
}

/* True if an answer about a policy says that it is, or is not, there already. */
static bool
is_settled(const LifecycleJob *job, int status)
{
	return job->policy != NULL && status == (job->removed ? 404 : 409);
}

/* Takes the reply to a job's request. */
static void
take_job(const HttpReply *reply)
{
	LifecycleJob *job = linitial(jobs);
	char		  error[SINK_REASON_MAX] = "";

	job->requests = list_delete_first(job->requests);
	if (reply->status == 200 && flavour_has_failed(reply->body))
		strlcpy(error, "the server says that it has failed", sizeof(error));
	else if (reply->status / 100 != 2 && !is_settled(job, reply->status))
		es_reply_error(reply, error, sizeof(error));
	if (error[0] != '\0' || job->requests == NIL)
		end_job(error);
}

/* Starts what the first job needs next; one that needs nothing ends. */
static void
go_on(void)
{
	LifecycleJob   *job = linitial(jobs);
	FlavourRequest *next;

	if (job->requests == NIL)
	{
		end_job("");
		return;
	}
	next = linitial(job->requests);
	ask(ASK_JOB, next->method, next->path, next->body);
}

/* Takes the reply to the request. */
static void
take_reply(const HttpReply *reply)
{
	es_server_heed(reply);
	if (question == ASK_API)
		take_api(reply);
	else if (question == ASK_NODES)
		take_nodes(reply);
	else
		take_job(reply);
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

	make_contexts();
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
