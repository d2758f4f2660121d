/*
 * dsl.c
 *		tenant_search_dsl(): an administrator's own words to the search server.
 */
#include "postgres.h"

#include "fmgr.h"

#include "common/args.h"
#include "common/errors.h"
#include "common/jsonb.h"
#include "search/dsl_check.h"
#include "search/reply.h"
#include "search/server.h"

PG_FUNCTION_INFO_V1(tenant_search_dsl);

/* Hangs the parts of a body that passed under root. */
static void
fill_body(json_t *root, const SearchTarget *target, const void *arg)
{
	const char *text = arg;
	json_t	   *body = json_loads(text, 0, NULL);
	bool		copied = body != NULL && json_object_update(root, body) == 0;

	json_decref(body);
	if (!copied)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("body has a number that the search server cannot be told")));
	if (json_object_get(root, "query") == NULL)
		body_put_object(body_put_object(root, "query"), "match_all");
}

/* A reply, and whose it must be. */
typedef struct DslReply
{
	const SearchTarget *target;
	Jsonb			   *reply;
} DslReply;

/* Takes a reply; one with another tenant's document is none. */
static bool
take_reply(Jsonb *reply, void *arg)
{
	DslReply	   *taken = arg;
	JsonbContainer *hits = tenancy_jsonb_object(&reply->root, "hits");
	JsonbContainer *list = tenancy_jsonb_array(hits, "hits");

	if (list == NULL)
		return false;
	for (int i = 0; i < JsonContainerSize(list); i++)
	{
		JsonbValue *hit = getIthJsonbValueFromContainer(list, i);

		if (hit->type != jbvBinary || !reply_is_own(taken->target, hit->val.binary.data))
			return false;
	}
	taken->reply = reply;
	return true;
}

/* Sends a body that passed. */
static Jsonb *
send_body(const SearchTarget *target, Jsonb *body)
{
	char		 *text = JsonbToCString(NULL, &body->root, VARSIZE(body));
	DslReply	  taken = {.target = target};
	SearchFailure failure;
	ServerCall	  call = {.target = target,
						  .fill = fill_body,
						  .fill_arg = body_utf8(text),
						  .parse = take_reply,
						  .parse_arg = &taken,
						  .alone = true};

	if (!server_usable(target, &failure) || !server_call(&call, &failure))
		ereport(ERROR, (errcode(failure.sqlstate),
						errmsg("could not search on the server: %s", failure.reason)));
	return taken.reply;
}

/* Sends a body to the current tenant's index and returns the server's reply. */
Datum
tenant_search_dsl(PG_FUNCTION_ARGS)
{
	SearchTarget target;

	tenancy_arg_required(fcinfo, 0, "body");
	dsl_check_body(PG_GETARG_JSONB_P(0));
	search_target_load(&target, tenancy_arg_text(fcinfo, 1, "index_type"));
	PG_RETURN_JSONB_P(send_body(&target, PG_GETARG_JSONB_P(0)));
}
