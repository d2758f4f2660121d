/*
 * index_month.c
 *		An index whose documents are in an index for each partition, and such a month.
 *
 * The whole has no documents.  Its own alias stands for it and all its months, so that one request
 * can read or change them together; it can be written through it, to the whole.
 */
#include "postgres.h"

#include <jansson.h>

#include "sink/index_job.h"

/* True if an index of the server is a month of another one, or that one itself. */
bool
index_is_month_of(const char *index, const char *whole)
{
	size_t length = strlen(whole);

	return strncmp(index, whole, length) == 0 && (index[length] == '\0' || index[length] == '-');
}

/* True if all who have an alias are the job's index or months of it; has_own: it is among them. */
bool
index_month_owners(const IndexJob *job, struct json_t *owners, bool *has_own)
{
	const char *name;
	json_t	   *owner;

	*has_own = json_object_get(owners, job->index_name) != NULL;
	json_object_foreach(owners, name, owner)
	{
		if (!index_is_month_of(name, job->index_name))
			return false;
	}
	return true;
}

/* Actions of POST /_aliases that give the job's index and its months an alias. */
char *
index_month_actions(const IndexJob *job, const char *alias)
{
	StringInfoData actions;
	ListCell	  *cell;

	initStringInfo(&actions);
	appendStringInfoString(&actions, index_alias_action(job, alias));
	foreach (cell, job->months)
		appendStringInfo(&actions, ",{\"add\":{\"index\":\"%s\",\"alias\":\"%s\"}}",
						 (char *) lfirst(cell), alias);
	return actions.data;
}

/* Appends actions for what else an index has besides its own alias and the public one. */
void
index_month_more_aliases(const IndexJob *job, StringInfo actions)
{
	if (job->monthly)
		appendStringInfo(actions,
						 ",{\"add\":{\"index\":\"%s\",\"alias\":\"%s\",\"is_write_index\":true}}",
						 job->index_name, job->own_alias);
	if (job->whole != NULL)
		appendStringInfo(actions,
						 ",{\"add\":{\"index\":\"%s\",\"alias\":\"%s" INDEX_OWN_ALIAS "\"}}",
						 job->index_name, job->whole);
}

/* Name by which the job's index is changed, with its months. */
const char *
index_job_all(const IndexJob *job)
{
	return job->monthly ? job->own_alias : job->physical;
}

/* The alias of all says which of the months, or the index itself, is not there. */
static void
took_members(IndexJob *job, const HttpReply *reply)
{
	json_t	 *members = json_loadb(reply->body, reply->length, 0, NULL);
	ListCell *cell;

	job->missing = reply->status == 404 || (reply->status == 200 && json_is_object(members) &&
											json_object_get(members, job->index_name) == NULL);
	foreach (cell, job->months)
	{
		if (reply->status == 200 && json_is_object(members) && job->lost == NULL &&
			json_object_get(members, lfirst(cell)) == NULL)
			job->lost = lfirst(cell);
	}
	json_decref(members);
	job->done = true;
}

/* Some index that the job asked for is not there: finds out which; the job has its error. */
void
index_month_find_lost(IndexJob *job)
{
	index_job_ask(job, took_members, "GET", psprintf("/%s/_alias", job->own_alias), NULL);
}
