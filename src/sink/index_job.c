/*
 * index_job.c
 *		The requests that make or remove one index.
 *
 * Each step starts a request and names the function that takes its reply, which
 * ends the job or starts the next step.  Any step may be done again from the start:
 * the server's state is looked at first and never assumed.
 */
#include "postgres.h"

#include <ctype.h>
#include <jansson.h>

#include "common/guc.h"
#include "sink/es_bulk.h"
#include "sink/es_reply.h"
#include "sink/es_server.h"
#include "sink/flavour.h"
#include "sink/index_job.h"
#include "sink/text.h"

#define REPLY_MAX (1024 * 1024)
#define JSON_TYPE "application/json"

static void create_index(IndexJob *job);

/* True if the index itself is there in the row's state, and only has to be changed. */
static bool
is_altered(const IndexJob *job)
{
	return strcmp(job->state, "altered") == 0;
}

/* Sends a request; the job's next step takes its reply. */
void
index_job_ask(IndexJob *job, IndexStep step, const char *method, const char *path, const char *body)
{
	if (es_server_health(NULL) != SINK_READY)
	{
		index_job_end(job, "no host of the search server answers"); /* or one of another cluster */
		return;
	}
	job->step = step;
	job->request = es_server_call(method, path, body != NULL ? JSON_TYPE : NULL, body,
								  body != NULL ? strlen(body) : 0, REPLY_MAX);
}

/* Ends the job; an error is a text, NULL for success. */
void
index_job_end(IndexJob *job, const char *error)
{
	job->done = true;
	strlcpy(job->error, error != NULL ? error : "", SINK_REASON_MAX);
}

/* Ends the job with the reply's error. */
void
index_job_end_with_reply(IndexJob *job, const HttpReply *reply)
{
	job->done = true;
	es_reply_error(reply, job->error, SINK_REASON_MAX);
}

/* Only names of one index may be part of a path: a pattern would delete them all. */
static bool
is_plain_name(const char *name)
{
	return name[0] != '\0' && name[0] != '_' && name[0] != '.' && name[0] != '-' &&
		   strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-.") == strlen(name);
}

/* Name of the first member of a JSON object, with its value; false if there is none. */
static bool
first_member(const HttpReply *reply, json_t **root, const char **name, json_t **value)
{
	void *iter;

	*root = json_loadb(reply->body, reply->length, 0, NULL);
	iter = json_object_iter(*root);
	*name = iter != NULL ? json_object_iter_key(iter) : NULL;
	*value = json_object_iter_value(iter);
	return iter != NULL;
}

/* Alias that tells whether the index is there. */
static const char *
telling_alias(const IndexJob *job)
{
	return job->serving && job->whole == NULL ? job->alias : job->own_alias;
}

static void took_emptying(IndexJob *job, const HttpReply *reply);

/* The body as this server understands it, NULL: as it is; notes what is otherwise. */
static char *
body_here(IndexJob *job)
{
	job->note = makeStringInfo();
	return flavour_body(job->body, job->note);
}

/* Notes of an index that an earlier request made what was made otherwise. */
static void
note_otherwise(IndexJob *job)
{
	if (job->note == NULL && strcmp(job->state, "altered") != 0)
		(void) body_here(job);
}

/*
 * The index is there, with the alias that tells.  One that is still to be made was made by an
 * attempt whose end is not known: if the row was changed since, perhaps with another body.
 */
static void
found_index(IndexJob *job)
{
	if (strcmp(job->state, "pending") == 0 && job->revision > 0 && !job->emptied)
		index_job_ask(job, took_emptying, "DELETE", psprintf("/%s", job->index_name), NULL);
	else if (strcmp(job->state, "missing") != 0 || job->realigned)
	{
		note_otherwise(job);
		index_alter(job);
	}
	else
		index_job_add_aliases(job); /* it may be the other one that was found missing */
}

/*
 * Length of the name of another generation of ours that an index is, or is a month of; 0: it is
 * neither.  The instance, the tenant and the type in its name are ours.  A registry from before a
 * switch does not know it, or not as the one that serves.
 */
static size_t
relic_length(const IndexJob *job, const char *index)
{
	size_t stem = strlen(job->index_name);
	size_t digits;

	while (stem > 0 && isdigit((unsigned char) job->index_name[stem - 1]))
		stem--;
	if (!job->serving || job->part != NULL || !is_plain_name(index) ||
		strncmp(index, job->index_name, stem) != 0)
		return 0;
	digits = strspn(index + stem, "0123456789");
	return digits > 0 && strchr("-", index[stem + digits]) != NULL ? stem + digits : 0;
}

/* True if all who have the alias are of one other generation of ours, or of ours; job: which. */
static bool
are_relics(IndexJob *job, json_t *owners)
{
	const char *name;
	json_t	   *owner;

	json_object_foreach(owners, name, owner)
	{
		size_t length = relic_length(job, name);

		if (length == 0)
			return false;
		if (index_is_month_of(name, job->index_name))
			continue;
		if (job->relic == NULL)
			job->relic = pnstrdup(name, length);
		if (!index_is_month_of(name, job->relic))
			return false;
		job->relics = lappend(job->relics, pstrdup(name));
	}
	return job->relic != NULL;
}

/* Takes the alias from a generation that the registry does not know of; ours may be there. */
static void
take_from_relic(IndexJob *job)
{
	job->replaces = job->relic;
	if (is_altered(job))
		index_switch(job);
	else
		create_index(job);
}

/* Nobody has the alias. */
static void
make_or_alter(IndexJob *job)
{
	if (is_altered(job))
		index_alter(job);
	else
		create_index(job);
}

/* GET /_alias/ALIAS says which index it names. */
static void
took_alias(IndexJob *job, const HttpReply *reply)
{
	json_t	   *root;
	json_t	   *value;
	const char *index;
	bool		has_own;

	if (reply->status == 404)
	{
		make_or_alter(job);
		return;
	}
	if (reply->status != 200)
	{
		index_job_end_with_reply(job, reply);
		return;
	}
	if (!first_member(reply, &root, &index, &value))
		index_job_end(job, "the answer about the alias is not understood");
	else if (json_object_size(root) == 1 && strcmp(index, job->index_name) == 0)
		found_index(job);
	else if (job->monthly && index_month_owners(job, root, &has_own))
	{
		if (has_own)
			found_index(job);
		else
			make_or_alter(job);
	}
	else if (are_relics(job, root))
		take_from_relic(job);
	else
	{
		job->relic = NULL;
		job->relics = NIL;
		job->done = true;
		sink_set_textf(job->error, SINK_REASON_MAX, "alias \"%s\" belongs to index \"%s\"",
					   telling_alias(job), index);
		if (strcmp(job->old_aliases, "[]") != 0)
			index_release(job); /* that one may be waiting for an alias of ours */
	}
	json_decref(root);
}

/* DELETE of the empty index that has an alias's name. */
static void
took_clearing(IndexJob *job, const HttpReply *reply)
{
	job->cleared = true;
	if (reply->status == 200 || reply->status == 404)
		index_job_start(job);
	else
		index_job_end_with_reply(job, reply);
}

/* True if GET /NAME shows an index of that name without a mapping: nothing was ever put into it. */
static bool
is_never_used(const HttpReply *reply, const char *name)
{
	json_t	   *root;
	json_t	   *value;
	const char *index;
	bool		result = false;

	if (first_member(reply, &root, &index, &value))
	{
		json_t *mappings = json_object_get(value, "mappings");

		result =
			strcmp(index, name) == 0 && json_is_object(mappings) && json_object_size(mappings) == 0;
	}
	json_decref(root);
	return result;
}

/*
 * An index has the alias's name.  A delete with an external version makes such an
 * index when ours is gone, whatever require_alias says: that one may go.
 */
static void
took_name(IndexJob *job, const HttpReply *reply)
{
	if (reply->status == 200 && !job->cleared && is_never_used(reply, job->named))
	{
		index_job_ask(job, took_clearing, "DELETE", psprintf("/%s", job->named), NULL);
		return;
	}
	if (reply->status == 404 && job->named == job->alias)
	{
		job->named = job->own_alias;
		index_job_ask(job, took_name, "GET", psprintf("/%s", job->named), NULL);
		return;
	}
	if (reply->status != 200)
	{
		index_job_end_with_reply(job, reply);
		return;
	}
	job->done = true;
	sink_set_textf(job->error, SINK_REASON_MAX, "\"%s\" should be an alias but is an index",
				   job->named);
}

/* The index is there now. */
static void
goes_on(IndexJob *job)
{
	note_otherwise(job);
	if (job->relic != NULL)
		index_switch(job); /* both have the alias */
	else
		index_alter(job);
}

/* POST /_aliases has added the aliases to an index that was there without one of them. */
static void
took_added_aliases(IndexJob *job, const HttpReply *reply)
{
	job->realigned = true;
	if (reply->status == 200)
		goes_on(job);
	else if (reply->status == 400 && strstr(reply->body, "invalid_alias_name_exception"))
		index_job_find_name(job);
	else
		index_job_end_with_reply(job, reply);
}

/* Adds its aliases to our index. */
void
index_job_add_aliases(IndexJob *job)
{
	StringInfoData body;

	initStringInfo(&body);
	appendStringInfo(&body, "{\"actions\":[{\"add\":{\"index\":\"%s\",\"alias\":\"%s\"}}",
					 job->index_name, job->own_alias);
	if (job->serving)
		appendStringInfo(&body, ",{\"add\":{\"index\":\"%s\",\"alias\":\"%s\"}}", job->index_name,
						 job->alias);
	index_month_more_aliases(job, &body);
	appendStringInfoString(&body, "]}");
	index_job_ask(job, took_added_aliases, "POST", "/_aliases", body.data);
}

/* Looks at the index that has an alias's name. */
void
index_job_find_name(IndexJob *job)
{
	job->named = telling_alias(job);
	index_job_ask(job, took_name, "GET", psprintf("/%s", job->named), NULL);
}

/* PUT /INDEX has been answered. */
static void
took_create(IndexJob *job, const HttpReply *reply)
{
	job->created = reply->status == 200;
	if (job->created)
		goes_on(job);
	else if (reply->status == 400 && strstr(reply->body, "resource_already_exists_exception"))
		index_job_add_aliases(job);
	else if (reply->status == 400 && strstr(reply->body, "invalid_alias_name_exception"))
		index_job_find_name(job);
	else if (reply->status == 400 && flavour_learn(reply->body))
		create_index(job);
	else
		index_job_end_with_reply(job, reply);
}

/* What makes a server that has types of documents take a mapping without one. */
const char *
index_job_typed(void)
{
	const EsServer *server = es_server_info();

	return !server->opensearch && server->major < 7 ? "?include_type_name=false" : "";
}

/* Makes the index with its alias in one request, as this server understands it. */
static void
create_index(IndexJob *job)
{
	char *body = body_here(job);

	index_job_ask(job, took_create, "PUT", psprintf("/%s%s", job->index_name, index_job_typed()),
				  body != NULL ? body : job->body);
}

/* DELETE /INDEX has been answered: it is made again. */
static void
took_emptying(IndexJob *job, const HttpReply *reply)
{
	job->emptied = true;
	if (reply->status == 200 || reply->status == 404)
		index_job_start(job);
	else
		index_job_end_with_reply(job, reply);
}

static void drop_index(IndexJob *job);

/* GET /_cluster/pending_tasks has been answered. */
static void
took_tasks(IndexJob *job, const HttpReply *reply)
{
	job->awaited = true;
	if (reply->status == 200 && strstr(reply->body, psprintf("[%s]", job->index_name)) != NULL)
		index_job_end(job, "the server is still making the index");
	else if (reply->status == 200 || (reply->status >= 400 && reply->status < 500))
		drop_index(job);
	else
		index_job_end_with_reply(job, reply);
}

/* DELETE of the index that a late delete had made has been answered. */
static void
took_end(IndexJob *job, const HttpReply *reply)
{
	if (reply->status == 200 || reply->status == 404)
		index_job_end(job, NULL);
	else
		index_job_end_with_reply(job, reply);
}

/* An index that has the own alias's name was made by a delete that found the alias gone. */
static void
took_leftover(IndexJob *job, const HttpReply *reply)
{
	if (reply->status == 200 && is_never_used(reply, job->own_alias))
		index_job_ask(job, took_end, "DELETE", psprintf("/%s", job->own_alias), NULL);
	else if (reply->status == 200 || reply->status == 404)
		index_job_end(job, NULL);
	else
		index_job_end_with_reply(job, reply);
}

/*
 * DELETE /INDEX has been answered.  One that is not there may still be on its way, by
 * a request that nobody waits for any more, since its worker died or lost patience:
 * the server makes one index after the other.
 */
static void
took_drop(IndexJob *job, const HttpReply *reply)
{
	if (reply->status == 404 && !job->awaited)
		index_job_ask(job, took_tasks, "GET", "/_cluster/pending_tasks?filter_path=tasks.source",
					  NULL);
	else if (reply->status == 200 || reply->status == 404)
		index_job_ask(job, took_leftover, "GET", psprintf("/%s", job->own_alias), NULL);
	else
		index_job_end_with_reply(job, reply);
}

/* Removes the index. */
static void
drop_index(IndexJob *job)
{
	if (job->part != NULL)
		index_shared_drop(job);
	else
		index_job_ask(job, took_drop, "DELETE", psprintf("/%s", job->index_name), NULL);
}

/* Sends the first request. */
void
index_job_start(IndexJob *job)
{
	if (!is_plain_name(job->index_name) || !is_plain_name(job->alias))
		index_job_end(job, "the name of the index or of its alias is not valid");
	else if (strcmp(job->state, "dropping") == 0)
		job->fence = es_bulk_begun(); /* those that are under way would make another one */
	else if (strcmp(job->state, "emptying") == 0 && !job->emptied && job->part == NULL)
		index_job_ask(job, took_emptying, "DELETE", psprintf("/%s", job->index_name), NULL);
	else if (job->replaces != NULL)
		index_switch(job);
	else if (job->part != NULL)
		index_shared_start(job);
	else if (is_altered(job) && strcmp(job->old_aliases, "[]") == 0)
		index_alter(job);
	else
		index_job_ask(job, took_alias, "GET", psprintf("/_alias/%s", telling_alias(job)), NULL);
}

/* Goes on if a reply has come; a job that an error left without a request ends. */
void
index_job_advance(IndexJob *job)
{
	HttpRequest		*request = job->request;
	const HttpReply *reply;

	if (job->done || (job->leader != NULL && !job->leader->done))
		return;
	if (job->step == NULL && strcmp(job->state, "dropping") == 0)
	{
		if (es_bulk_ended(job->fence))
			drop_index(job);
		return;
	}
	if (request == NULL)
	{
		index_job_end(job, "an error ended the work on this index early");
		return;
	}
	reply = http_reply(request);
	if (reply == NULL)
		return;
	es_server_heed(reply);
	job->request = NULL;
	PG_TRY();
	{
		job->step(job, reply);
	}
	PG_FINALLY();
	{
		http_free(request);
	}
	PG_END_TRY();
}
