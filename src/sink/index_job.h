/*
 * index_job.h
 *		The requests that make or remove one index.
 */
#ifndef TENANCY_INDEX_JOB_H
#define TENANCY_INDEX_JOB_H

struct json_t; /* jansson.h and builtins.h do not go together */

#include "sink/http.h"
#include "sink/sink.h"

typedef struct IndexJob IndexJob;

/* What is asked at the moment. */
typedef void (*IndexStep)(IndexJob *job, const HttpReply *reply);

/* What an index's own alias has behind the index's name. */
#define INDEX_OWN_ALIAS ".w"

/* A row of tenancy.search_index and how far the server is with it. */
struct IndexJob
{
	char *index_name;
	char *index_type;
	char *alias;
	char *state;	   /* that it was read with; not ready */
	char *body;		   /* of the create-index request */
	char *to_put;	   /* JSON object: fields that it does not have yet */
	char *to_set;	   /* JSON object: settings and root, what else it does not have yet */
	char *old_aliases; /* JSON array: aliases to be removed */
	char *physical;	   /* index of the server: index_name, or the shared one */
	char *part;		   /* of the shared one, NULL: the index is no part */
	char *own_alias;
	char *replaces;		 /* physical index that it takes the public alias from, NULL: none */
	char *replaces_part; /* of that one */
	char *relic;		 /* later generation that a lost registry had, and that had the alias */
	List *relics;		 /* of char *: all its indices that had it */
	bool  monthly;		 /* its documents are in those of its months */
	List *months;		 /* of char *: these, as far as they are there */
	char *whole;		 /* index that it is a month of, NULL: it is none */
	char *lost;			 /* month of its own that was found to be gone, NULL: none */
	bool  serving;		 /* it has the public alias, or is to get it */
	int64 revision;
	int64 tenant_id;

	bool	  together; /* it may wait for other jobs, to ask with them */
	bool	  waits;	/* it does */
	IndexJob *leader;	/* job that asks for this one too, NULL: none */
	IndexJob *next;		/* of those that ask together */

	HttpRequest *request;
	IndexStep	 step;		/* takes the request's reply */
	StringInfo	 note;		/* what of the body the server got otherwise, NULL: nothing */
	bool		 barred;	/* the server says nothing of the public alias, or does not give it */
	bool		 realiased; /* old aliases were removed */
	bool		 releasing; /* just that: the new one is not to be had yet */
	bool		 emptied;	/* the index was removed, to be made again */
	int			 nset;		/* members of to_set that were looked at so far */
	int			 nput;		/* fields put so far */
	bool		 refused;	/* one of them with an error that stays; the index can be used */
	bool		 missing;	/* the index is not there */
	const char	*named;		/* alias that is looked at as the name of an index */
	bool		 cleared;	/* an empty index with that name was removed */
	bool		 realigned; /* the aliases of an index that was missing were added */
	bool		 created;	/* it was not there before */
	bool		 awaited;	/* no request to make it is under way any more */
	uint64		 fence;		/* bulk requests up to this one may still write to it */
	bool		 done;
	char		 error[SINK_REASON_MAX]; /* "" if it went well */
};

/* Both use the current memory context, which must live until the job is done. */
extern void index_job_start(IndexJob *job);
extern void index_job_advance(IndexJob *job);

/* Steps of index_job.c that index_alter.c needs, and the other way round. */
extern void index_job_ask(IndexJob *job, IndexStep step, const char *method, const char *path,
						  const char *body);
extern void index_job_end(IndexJob *job, const char *error);
extern void index_job_end_with_reply(IndexJob *job, const HttpReply *reply);
extern void index_job_find_name(IndexJob *job);
extern const char *index_job_typed(void);
extern void		   index_alter(IndexJob *job);
extern void		   index_job_add_aliases(IndexJob *job);
/* index_set.c: starts the next request that the job's to_set needs; false: there is none */
extern bool index_set(IndexJob *job);
/* index_shared.c: an index that is part of a shared one */
extern void	 index_shared_start(IndexJob *job);
extern void	 index_shared_drop(IndexJob *job);
extern void	 index_shared_ask(IndexJob *job);
extern bool	 index_is_alias_of(const struct json_t *owner, const char *alias, const char *part);
extern char *index_alias_action(const IndexJob *job, const char *alias);
/* index_shared_lot.c: jobs that are to get their aliases together */
extern void index_shared_start_lots(IndexJob *jobs, int njobs);
/* index_month.c: an index with a part for each partition, and such a part */
extern bool		   index_is_month_of(const char *index, const char *whole);
extern bool		   index_month_owners(const IndexJob *job, struct json_t *owners, bool *has_own);
extern char		  *index_month_actions(const IndexJob *job, const char *alias);
extern void		   index_month_more_aliases(const IndexJob *job, StringInfo actions);
extern const char *index_job_all(const IndexJob *job);
extern void		   index_month_find_lost(IndexJob *job);
/* index_switch.c: takes the public alias over from another index */
extern void index_switch(IndexJob *job);
/* Takes old aliases away and ends the job with the error it has. */
extern void index_release(IndexJob *job);

#endif
