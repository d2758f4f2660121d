/*
 * index_alter.c
 *		The requests that give an index that is there another alias, or more fields.
 *
 * The last steps of every job on an index that is kept.  Each field has a request of its own,
 * so that one that the server refuses does not take others with it.
 */
#include "postgres.h"

#include <jansson.h>

#include "sink/es_reply.h"
#include "sink/flavour.h"
#include "sink/index_job.h"
#include "sink/text.h"

/* Text of a JSON value in the current memory context, which is then given up. */
static char *
text_of(json_t *value)
{
	size_t size = json_dumpb(value, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY);
	char *volatile text = NULL;

	PG_TRY();
	{
		text = palloc(size + 1);
	}
	PG_FINALLY();
	{
		if (text != NULL)
			text[json_dumpb(value, text, size, JSON_COMPACT | JSON_ENCODE_ANY)] = '\0';
		json_decref(value);
	}
	PG_END_TRY();
	return text;
}

/* Body that puts the n-th field of those wanted, NULL: there are no more. */
static char *
put_body(IndexJob *job, int n)
{
	char	   *fields;
	json_t	   *root;
	json_t	   *body = NULL;
	const char *name;
	json_t	   *field;

	if (job->note == NULL)
		job->note = makeStringInfo();
	fields = flavour_fields(job->to_put, job->note);
	root = fields != NULL ? json_loads(fields, 0, NULL) : NULL;
	json_object_foreach(root, name, field)
	{
		if (n-- == 0)
			body = json_pack("{s:{s:O}}", "properties", name, field);
	}
	json_decref(root);
	return body != NULL ? text_of(body) : NULL;
}

/* PUT /INDEX/_mapping has been answered. */
static void
took_put(IndexJob *job, const HttpReply *reply)
{
	if (reply->status == 400 && flavour_learn(reply->body))
	{
		index_alter(job); /* the same again, as the server knows it */
		return;
	}
	job->nput++;
	if (reply->status == 404)
		job->missing = true;
	if (reply->status == 400)
	{
		job->refused = true;
		es_reply_error(reply, job->error, SINK_REASON_MAX);
	}
	else if (reply->status != 200)
	{
		index_job_end_with_reply(job, reply);
		job->refused = false;
		return;
	}
	index_alter(job);
}

/* POST /_aliases has moved the alias. */
static void
took_aliases(IndexJob *job, const HttpReply *reply)
{
	job->realiased = reply->status == 200;
	if (job->releasing)
		job->done = true;
	else if (job->realiased)
		index_alter(job);
	else if (reply->status == 400 && strstr(reply->body, "invalid_alias_name_exception"))
		index_job_find_name(job);
	else
		index_job_end_with_reply(job, reply);
}

/* Action of POST /_aliases that gives or takes away an alias. */
static json_t *
action(const char *what, const char *index, const char *alias)
{
	return json_pack("{s:{s:s,s:s}}", what, "index", index, "alias", alias);
}

/* Appends what gives an index its alias and takes old ones away that it has. */
static void
append_actions(const IndexJob *job, json_t *actions, const char *index, json_t *owner)
{
	json_t *old = json_loads(job->old_aliases, 0, NULL);
	size_t	i;
	json_t *alias;

	if (!job->releasing)
		json_array_append_new(
			actions, job->part == NULL ? action("add", index, job->alias)
									   : json_loads(index_alias_action(job, job->alias), 0, NULL));
	json_array_foreach(old, i, alias)
	{
		const char *name = json_string_value(alias);

		if (name != NULL && strcmp(name, job->alias) != 0 &&
			index_is_alias_of(owner, name, job->part))
			json_array_append_new(actions, action("remove", index, name));
	}
	json_decref(old);
}

/* Body that does so to the job's index, and its months with it; NULL: nothing to do. */
static char *
aliases_body(const IndexJob *job, json_t *owners)
{
	json_t	   *actions = json_array();
	const char *index;
	json_t	   *owner;

	json_object_foreach(owners, index, owner)
	{
		if (strcmp(index, job->physical) == 0 ||
			(job->monthly && index_is_month_of(index, job->physical)))
			append_actions(job, actions, index, owner);
	}
	if (json_array_size(actions) == 0)
	{
		json_decref(actions);
		return NULL;
	}
	return text_of(json_pack("{s:o}", "actions", actions));
}

/* GET /INDEX/_alias says which aliases it has. */
static void
took_present(IndexJob *job, const HttpReply *reply)
{
	json_t *root;
	char *volatile body = NULL;

	if (reply->status != 200 && (job->part == NULL || reply->status != 404))
	{
		job->missing = reply->status == 404;
		index_job_end_with_reply(job, reply);
		return;
	}
	root = json_loadb(reply->body, reply->length, 0, NULL);
	if (!json_is_object(root))
	{
		json_decref(root);
		index_job_end(job, "the answer about the aliases is not understood");
		return;
	}
	PG_TRY();
	{
		if (job->part != NULL && json_object_get(root, job->physical) == NULL)
			json_object_set_new(root, job->physical, json_object()); /* all are to be made */
		job->missing = json_object_get(root, job->physical) == NULL;
		if (!job->missing)
			body = aliases_body(job, root);
	}
	PG_FINALLY();
	{
		json_decref(root);
	}
	PG_END_TRY();
	if (body != NULL)
		index_job_ask(job, took_aliases, "POST", "/_aliases", body);
	else
		job->done = true;
}

/* Asks for the aliases; a shared index has many, and without some of those asked for it is a 404. */
static void
ask_present(IndexJob *job)
{
	StringInfoData path;

	initStringInfo(&path);
	appendStringInfo(&path, "/%s/_alias", index_job_all(job));
	if (job->part != NULL)
		appendStringInfoChar(&path, '/');
	for (const char *c = job->old_aliases; job->part != NULL && *c != '\0'; c++)
		if (strchr("[]\" ", *c) == NULL)
			appendStringInfoChar(&path, *c);
	index_job_ask(job, took_present, "GET", path.data, NULL);
}

/* Takes old aliases away and ends the job with the error it has. */
void
index_release(IndexJob *job)
{
	job->done = false;
	job->releasing = true;
	ask_present(job);
}

/* Changes what is still to be changed, then ends the job. */
void
index_alter(IndexJob *job)
{
	char *body;

	if (!job->realiased && strcmp(job->old_aliases, "[]") != 0)
	{
		ask_present(job);
		return;
	}
	if (index_set(job))
		return;
	body = put_body(job, job->nput);
	if (body != NULL)
		index_job_ask(job, took_put, "PUT",
					  psprintf("/%s/_mapping%s", index_job_all(job), index_job_typed()), body);
	else if (job->refused)
		job->done = true;
	else
		index_job_end(job, NULL);
}
