/*
 * index_switch.c
 *		The requests that give the public alias of one index to another one.
 *
 * One request takes it away and gives it, so that there is no moment without it.  Who has the
 * alias is asked first: a request whose answer was lost may have moved it already.  What was true
 * then may be so no more when the request comes: the next try asks again.
 */
#include "postgres.h"

#include <jansson.h>

#include "sink/index_job.h"
#include "sink/text.h"

/* GET /INDEX says whether the new index is there; the job has its error. */
static void
took_new_index(IndexJob *job, const HttpReply *reply)
{
	job->missing = reply->status == 404;
	job->done = true;
}

/* POST /_aliases has been answered; a 404 may be about either index, or about the alias. */
static void
took_switch(IndexJob *job, const HttpReply *reply)
{
	if (reply->status == 200)
		index_alter(job);
	else
		index_job_end_with_reply(job, reply);
	job->barred = reply->status == 403;
	if (reply->status != 404)
		return;
	job->done = false;
	if (job->monthly)
		index_month_find_lost(job);
	else
		index_job_ask(job, took_new_index, "GET",
					  psprintf("/%s?filter_path=*.settings.index.uuid", job->physical), NULL);
}

/* True if an owner of the alias is a part of an index, or that or a month of it. */
static bool
is_of(const char *name, const json_t *owner, const IndexJob *job, const char *index,
	  const char *part)
{
	if (strcmp(name, index) == 0)
		return index_is_alias_of(owner, job->alias, part);
	return part == NULL && index_is_month_of(name, index);
}

/* Moves the alias; within one index adding it with another filter is enough. */
static void
move_alias(IndexJob *job, json_t *owners)
{
	StringInfoData body;
	const char	  *name;
	json_t		  *owner;

	initStringInfo(&body);
	appendStringInfoString(&body, "{\"actions\":[");
	json_object_foreach(owners, name, owner)
	{
		if (is_of(name, owner, job, job->replaces, job->replaces_part) &&
			strcmp(name, job->physical) != 0)
			appendStringInfo(&body, "{\"remove\":{\"index\":\"%s\",\"alias\":\"%s\"}},", name,
							 job->alias);
	}
	appendStringInfo(&body, "%s]}", index_month_actions(job, job->alias));
	index_job_ask(job, took_switch, "POST", "/_aliases", body.data);
}

/* Acts on who has the alias. */
static void
act_on_owner(IndexJob *job, json_t *owners)
{
	bool		ours = false;
	bool		theirs = false;
	size_t		known = 0;
	const char *name;
	json_t	   *owner;

	json_object_foreach(owners, name, owner)
	{
		bool our = is_of(name, owner, job, job->physical, job->part);
		bool their = is_of(name, owner, job, job->replaces, job->replaces_part);

		ours |= our;
		theirs |= their;
		known += our || their;
	}
	if (!json_is_object(owners))
		index_job_end(job, "the answer about the alias is not understood");
	else if (json_object_size(owners) != known)
	{
		job->done = true;
		sink_set_textf(job->error, SINK_REASON_MAX, "alias \"%s\" belongs to another index",
					   job->alias);
	}
	else if (ours && !theirs)
		index_alter(job);
	else
		move_alias(job, owners);
}

/* GET /_alias/ALIAS says which index has it. */
static void
took_owner(IndexJob *job, const HttpReply *reply)
{
	json_t *root;

	if (reply->status == 404)
	{
		move_alias(job, NULL);
		return;
	}
	if (reply->status != 200)
	{
		job->barred = reply->status == 403;
		index_job_end_with_reply(job, reply);
		return;
	}
	root = json_loadb(reply->body, reply->length, 0, NULL);
	PG_TRY();
	{
		act_on_owner(job, root);
	}
	PG_FINALLY();
	{
		json_decref(root);
	}
	PG_END_TRY();
}

/* Takes the alias over, then goes on with what else is to be changed. */
void
index_switch(IndexJob *job)
{
	index_job_ask(job, took_owner, "GET", psprintf("/_alias/%s", job->alias), NULL);
}
