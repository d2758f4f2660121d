/*
 * index_job.h
 *		The requests that make or remove one index.
 */
#ifndef TENANCY_INDEX_JOB_H
#define TENANCY_INDEX_JOB_H

#include "sink/http.h"
#include "sink/sink.h"

typedef struct IndexJob IndexJob;

/* What is asked at the moment. */
typedef void (*IndexStep)(IndexJob *job, const HttpReply *reply);

/* A row of tenancy.search_index and how far the server is with it. */
struct IndexJob
{
	char *index_name;
	char *index_type;
	char *alias;
	char *state; /* that it was read with: pending, missing or dropping */
	char *body;	 /* of the create-index request */
	int64 tenant_id;

	HttpRequest *request;
	IndexStep	 step;		 /* takes the request's reply */
	bool		 simplified; /* scaled_float was replaced */
	bool		 cleared;	 /* an empty index with the alias's name was removed */
	bool		 done;
	char		 error[SINK_REASON_MAX]; /* "" if it went well */
};

/* Both use the current memory context, which must live until the job is done. */
extern void index_job_start(IndexJob *job);
extern void index_job_advance(IndexJob *job);

#endif
