/*
 * index_set.c
 *		The requests that change settings of an index, and what its mapping has besides fields.
 */
#include "postgres.h"

#include <jansson.h>

#include "sink/es_reply.h"
#include "sink/index_job.h"

static const char *const members[] = {"settings", "root"};

/* A member of the job's to_set as JSON text in the current memory context, NULL: nothing. */
static char *
member_text(const IndexJob *job, const char *member)
{
	json_t *root = json_loads(job->to_set, 0, NULL);
	json_t *value = json_object_get(root, member);
	char *volatile text = NULL;

	PG_TRY();
	{
		if (json_object_size(value) > 0)
		{
			size_t size = json_dumpb(value, NULL, 0, JSON_COMPACT);

			text = palloc(size + 1);
			text[json_dumpb(value, text, size, JSON_COMPACT)] = '\0';
		}
	}
	PG_FINALLY();
	{
		json_decref(root);
	}
	PG_END_TRY();
	return text;
}

/* PUT has been answered: what the server refuses, only a new index can have. */
static void
took_set(IndexJob *job, const HttpReply *reply)
{
	if (reply->status == 404)
		job->missing = true;
	if (reply->status != 200 && reply->status != 400)
	{
		index_job_end_with_reply(job, reply);
		job->refused = false;
		return;
	}
	if (reply->status == 400)
	{
		job->refused = true;
		es_reply_error(reply, job->error, SINK_REASON_MAX);
	}
	index_alter(job);
}

/* Starts the next request that the job's to_set needs. */
bool
index_set(IndexJob *job)
{
	while (job->nset < lengthof(members))
	{
		bool  settings = job->nset == 0;
		char *body = member_text(job, members[job->nset++]);

		if (body == NULL)
			continue;
		index_job_ask(job, took_set, "PUT",
					  psprintf("/%s/%s%s", index_job_all(job), settings ? "_settings" : "_mapping",
							   settings ? "" : index_job_typed()),
					  body);
		return true;
	}
	return false;
}
