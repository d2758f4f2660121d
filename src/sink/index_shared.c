/*
 * index_shared.c
 *		The requests about a part of an index that tenants share.
 *
 * A part is the documents that name it, and the public alias with a filter for them.  Every
 * document names its part, so removing an old one never touches a new one of the same tenant.
 */
#include "postgres.h"

#include <jansson.h>

#include "sink/index_job.h"
#include "sink/text.h"

/* Documents removed by one request: it must not take as long as a time-out. */
#define REMOVE_MAX 2000

static void remove_documents(IndexJob *job);

/* True if an alias as GET /_alias gives it is that of the job's part. */
bool
index_is_alias_of(const struct json_t *owner, const char *alias, const char *part)
{
	const json_t *found = json_object_get(json_object_get(owner, "aliases"), alias);
	const char	 *routing = json_string_value(json_object_get(found, "search_routing"));

	if (found == NULL)
		return false;
	return part == NULL ? routing == NULL : routing != NULL && strcmp(routing, part) == 0;
}

/* Action of POST /_aliases that gives the job's index, or its part of one, an alias. */
char *
index_alias_action(const IndexJob *job, const char *alias)
{
	if (job->part == NULL)
		return psprintf("{\"add\":{\"index\":\"%s\",\"alias\":\"%s\"}}", job->physical, alias);
	return psprintf("{\"add\":{\"index\":\"%s\",\"alias\":\"%s\",\"routing\":\"%s\","
					"\"filter\":{\"term\":{\"_tenancy.part\":\"%s\"}}}}",
					job->physical, alias, job->part, job->part);
}

/* True if a reply says that the shared index is not there. */
static bool
is_gone(IndexJob *job, const HttpReply *reply)
{
	if (reply->status != 404)
		return false;
	job->missing = true;
	index_job_end(job, NULL);
	return true;
}

/* POST /_aliases has been answered. */
static void
took_alias_added(IndexJob *job, const HttpReply *reply)
{
	if (reply->status == 200)
		index_alter(job);
	else if (!is_gone(job, reply))
		index_job_end_with_reply(job, reply);
}

/*
 * Reads the answer to GET /_alias/ALIAS: whether the alias is the job's part's, and how many
 * indices have it.  False: it is an error, with which the job has ended.
 */
static bool
read_owner(IndexJob *job, const HttpReply *reply, bool *ours, size_t *owners)
{
	json_t *root;

	if (reply->status != 200 && reply->status != 404)
	{
		index_job_end_with_reply(job, reply);
		return false;
	}
	root = json_loadb(reply->body, reply->length, 0, NULL);
	*ours = index_is_alias_of(json_object_get(root, job->physical), job->alias, job->part);
	*owners = json_object_size(root);
	json_decref(root);
	return true;
}

/* GET /_alias/ALIAS has been answered: it must be nobody's, or ours. */
static void
took_alias_owner(IndexJob *job, const HttpReply *reply)
{
	bool   ours;
	size_t owners;

	if (!read_owner(job, reply, &ours, &owners))
		return;
	if (reply->status == 404)
		index_job_ask(job, took_alias_added, "POST", "/_aliases",
					  psprintf("{\"actions\":[%s]}", index_alias_action(job, job->alias)));
	else if (ours && owners == 1)
		index_alter(job);
	else
	{
		index_job_end(job, psprintf("alias \"%s\" belongs to another index", job->alias));
		if (strcmp(job->old_aliases, "[]") != 0)
			index_release(job); /* that one may be waiting for an alias of ours */
	}
}

/* What POST /_delete_by_query has removed, -1: it failed. */
static int
count_removed(const HttpReply *reply)
{
	json_t *root = json_loadb(reply->body, reply->length, 0, NULL);
	json_t *deleted = json_object_get(root, "deleted");
	json_t *conflicts = json_object_get(root, "version_conflicts");
	json_t *failures = json_object_get(root, "failures");
	int		removed = -1;

	if (json_is_integer(deleted) && json_array_size(failures) == 0)
		removed = (int) (json_integer_value(deleted) + json_integer_value(conflicts));
	json_decref(root);
	return removed;
}

/* POST /_delete_by_query has been answered. */
static void
took_removal(IndexJob *job, const HttpReply *reply)
{
	int removed = reply->status == 200 ? count_removed(reply) : -1;

	if (removed > 0)
		remove_documents(job);
	else if (removed == 0 || reply->status == 404)
	{
		index_job_end(job, NULL);
		job->missing = reply->status == 404 && strcmp(job->state, "emptying") == 0;
	}
	else
		index_job_end_with_reply(job, reply);
}

/* Removes some documents of the part; no request is under way that could write others. */
static void
remove_documents(IndexJob *job)
{
	const char *most = index_job_typed()[0] != '\0' ? "size" : "max_docs";

	index_job_ask(job, took_removal, "POST",
				  psprintf("/%s/_delete_by_query?routing=%s&conflicts=proceed&refresh=true&%s=%d",
						   job->physical, job->part, most, REMOVE_MAX),
				  psprintf("{\"query\":{\"term\":{\"_tenancy.part\":\"%s\"}}}", job->part));
}

/* POST /_refresh has been answered. */
static void
took_refresh(IndexJob *job, const HttpReply *reply)
{
	if (reply->status == 200)
		remove_documents(job);
	else if (reply->status == 404)
		took_removal(job, reply);
	else
		index_job_end_with_reply(job, reply);
}

/* Makes all documents visible, then removes those of the part. */
static void
remove_part(IndexJob *job)
{
	index_job_ask(job, took_refresh, "POST", psprintf("/%s/_refresh", job->physical), NULL);
}

/* POST /_aliases has taken the alias away. */
static void
took_alias_removed(IndexJob *job, const HttpReply *reply)
{
	if (reply->status == 200 || reply->status == 404)
		remove_part(job);
	else
		index_job_end_with_reply(job, reply);
}

/* GET /_alias/ALIAS has been answered: it goes if it is the part's. */
static void
took_last_owner(IndexJob *job, const HttpReply *reply)
{
	bool   ours;
	size_t owners;

	if (!read_owner(job, reply, &ours, &owners))
		return;
	if (ours)
		index_job_ask(job, took_alias_removed, "POST", "/_aliases",
					  psprintf("{\"actions\":[{\"remove\":{\"index\":\"%s\",\"alias\":\"%s\"}}]}",
							   job->physical, job->alias));
	else
		remove_part(job);
}

/* Removes the part with its alias. */
void
index_shared_drop(IndexJob *job)
{
	index_job_ask(job, took_last_owner, "GET", psprintf("/_alias/%s", job->alias), NULL);
}

/* Asks whose the part's alias is, to give it that. */
void
index_shared_ask(IndexJob *job)
{
	index_job_ask(job, took_alias_owner, "GET", psprintf("/_alias/%s", job->alias), NULL);
}

/* Begins the work on a part that is kept. */
void
index_shared_start(IndexJob *job)
{
	if (strcmp(job->state, "emptying") == 0)
		remove_part(job);
	else if (!job->serving ||
			 (strcmp(job->state, "altered") == 0 && strcmp(job->old_aliases, "[]") == 0))
		index_alter(job);
	else if (job->together)
	{
		job->together = false;
		job->waits = true;
	}
	else
		index_shared_ask(job);
}
