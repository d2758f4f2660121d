/*
 * lifecycle_work.h
 *		What is to be done for the lifecycle of indices, from the registry and back to it.
 */
#ifndef TENANCY_LIFECYCLE_WORK_H
#define TENANCY_LIFECYCLE_WORK_H

#include "nodes/pg_list.h"

/* What the server is like. */
typedef struct LifecycleServer
{
	bool  known;
	bool  has_api; /* for policies, which it carries out */
	List *nodes;   /* of char *: values of the attribute data that nodes have */
	List *put;	   /* of char *: policies that it was given since it is known */
} LifecycleServer;

/* What is to be done about one index, or one policy of the server. */
typedef struct LifecycleJob
{
	char *index_name; /* NULL: it is about the policy */
	char *policy;
	bool  removed;	 /* the policy is */
	char *phase;	 /* NULL: none, or the server knows it */
	char *lifecycle; /* to be noted once it is done, NULL: readonly was lifted */
	char *remark;
	List *requests; /* of FlavourRequest *, still to be sent */
} LifecycleJob;

/* Each in a transaction of its own; what they return is in the context given. */

/* False: nothing follows a policy, or did. */
extern bool lifecycle_is_used(void);
/* Jobs that are due; blocked: indices that refused a change. */
extern List *lifecycle_read_jobs(const LifecycleServer *server, List *blocked,
								 MemoryContext context);
/* Writes what came of a job; error "" if all went well. */
extern void lifecycle_write_result(const LifecycleJob *job, const char *error);

/* lifecycle_nodes.c: values of the attribute data in the answer to GET /_cat/nodeattrs, NIL too if it is none. */
extern List *lifecycle_nodes(const char *reply);

#endif
