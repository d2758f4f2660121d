/*
 * index_shared_lot.c
 *		Giving many parts of shared indices their aliases by one request.
 *
 * Every change of aliases is a change of the cluster's state, which takes the longer the more
 * aliases there are: hundreds of tenants are served ten times as fast together as one by one.  Jobs
 * whose next step is that wait until all jobs have begun; the first one of a lot asks for them all.
 * Where anything is not as expected, each goes its own way.
 */
#include "postgres.h"

#include <jansson.h>

#include "miscadmin.h"
#include "sink/index_job.h"

#define PATH_BYTES 3000 /* servers take 4,096 bytes of a request's first line */

/* Lets a job go on by itself; returns the next one of its lot. */
static IndexJob *
leave_lot(IndexJob *job)
{
	IndexJob *next = job->next;

	CHECK_FOR_INTERRUPTS();
	job->leader = NULL;
	job->next = NULL;
	return next;
}

/* Every job of the lot asks for itself. */
static void
ask_alone(IndexJob *job)
{
	while (job != NULL)
	{
		IndexJob *next = leave_lot(job);

		index_shared_ask(job);
		job = next;
	}
}

/* Every job of the lot ends as the request did, if the server cannot be talked to; else each asks alone. */
static void
give_up(IndexJob *job, const HttpReply *reply)
{
	if (reply->status >= 400 && reply->status < 500 && reply->status != 429)
	{
		ask_alone(job);
		return;
	}
	while (job != NULL)
	{
		IndexJob *next = leave_lot(job);

		index_job_end_with_reply(job, reply);
		job = next;
	}
}

/* POST /_aliases has been answered. */
static void
took_all_added(IndexJob *job, const HttpReply *reply)
{
	if (reply->status != 200)
	{
		give_up(job, reply);
		return;
	}
	while (job != NULL)
	{
		IndexJob *next = leave_lot(job);

		index_alter(job);
		job = next;
	}
}

/* Gives the jobs of a lot their aliases. */
static void
add_all(IndexJob *leader)
{
	StringInfoData body;

	initStringInfo(&body);
	for (IndexJob *job = leader; job != NULL; job = job->next)
		appendStringInfo(&body, "%s%s", job == leader ? "{\"actions\":[" : ",",
						 index_alias_action(job, job->alias));
	appendStringInfoString(&body, "]}");
	index_job_ask(leader, took_all_added, "POST", "/_aliases", body.data);
}

/* True if an index has the alias already. */
static bool
is_taken(json_t *owners, const char *alias)
{
	const char *index;
	json_t	   *owner;

	json_object_foreach(owners, index, owner)
	{
		if (json_object_get(json_object_get(owner, "aliases"), alias) != NULL)
			return true;
	}
	return false;
}

/* Adds a job to a lot, of which it is the first one if there is none. */
static void
append(IndexJob **first, IndexJob **last, IndexJob *job)
{
	job->next = NULL;
	if (*first == NULL)
		*first = job;
	else
		(*last)->next = job;
	job->leader = *first == job ? NULL : *first;
	*last = job;
}

/* Has those whose alias is nobody's get it together, and the others look alone whose it is. */
static void
act_on_owners(IndexJob *job, json_t *owners)
{
	IndexJob *lots[2] = {NULL, NULL}; /* by whether the alias is taken */
	IndexJob *last[2] = {NULL, NULL};

	while (job != NULL)
	{
		IndexJob *next = job->next;
		bool	  taken = is_taken(owners, job->alias);

		append(&lots[taken], &last[taken], job);
		job = next;
	}
	ask_alone(lots[true]);
	if (lots[false] != NULL)
		add_all(lots[false]);
}

/* GET /_alias/ALIAS,ALIAS has been answered: a 404 tells of those that are there too. */
static void
took_all_owners(IndexJob *job, const HttpReply *reply)
{
	json_t *owners;

	if (reply->status != 200 && reply->status != 404)
	{
		give_up(job, reply);
		return;
	}
	owners = json_loadb(reply->body, reply->length, 0, NULL);
	PG_TRY();
	{
		if (json_is_object(owners))
			act_on_owners(job, owners);
		else
			ask_alone(job);
	}
	PG_FINALLY();
	{
		json_decref(owners);
	}
	PG_END_TRY();
}

/* Asks whose the aliases of a lot are. */
static void
ask_owners(IndexJob *leader)
{
	StringInfoData path;

	if (leader->next == NULL)
	{
		index_shared_ask(leader);
		return;
	}
	initStringInfo(&path);
	for (IndexJob *job = leader; job != NULL; job = job->next)
		appendStringInfo(&path, "%s%s", job == leader ? "/_alias/" : ",", job->alias);
	index_job_ask(leader, took_all_owners, "GET", path.data, NULL);
}

/* Starts the jobs that wait for others. */
void
index_shared_start_lots(IndexJob *jobs, int njobs)
{
	IndexJob *first = NULL;
	IndexJob *last = NULL;
	size_t	  length = 0;

	for (int i = 0; i < njobs; i++)
	{
		if (!jobs[i].waits)
			continue;
		jobs[i].waits = false;
		if (first != NULL && length + strlen(jobs[i].alias) >= PATH_BYTES)
		{
			ask_owners(first);
			first = NULL;
			length = 0;
		}
		append(&first, &last, &jobs[i]);
		length += strlen(jobs[i].alias) + 1;
	}
	if (first != NULL)
		ask_owners(first);
}
