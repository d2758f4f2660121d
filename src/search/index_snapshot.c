/*
 * index_snapshot.c
 *		How new an answer of the search server is: a snapshot whose every change searches find.
 *
 * An index lags the table, and shows what it has only after a refresh.  The search sink knows a
 * snapshot that the server has reached (sync/reached.h); after a refresh that begins later,
 * every search finds what it sees.  It is noted in Redis for all sessions, so that there is one
 * refresh for all answers of a while, and none for an index of which no answer is kept.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "common/guc.h"
#include "common/jsonb.h"
#include "common/spi.h"
#include "search/client.h"
#include "search/kept.h"
#include "sink/redis_keys.h"
#include "sync/control.h"
#include "sync/reached.h"

#define REFRESH_EVERY_TEXT "2000" /* ms, at most so often */
#define REFRESH_TIMEOUT 2000
#define REPLY_MAX (64 * 1024)

/* Where it is noted. */
static char *
note_key(const SearchTarget *target, const char *what)
{
	return psprintf("tenant:%s:#%s:%s", target->tenant.name, what, target->index_name);
}

/* The one that is noted, or NULL. */
static char *
read_note(const SearchTarget *target)
{
	const char	*argv[] = {"GET", note_key(target, "index")};
	CacheCommand command = {lengthof(argv), argv};
	CacheReply	 reply;

	return cache_call(&command, &reply) ? reply.text : NULL;
}

/* Notes one; not for longer than fills heed it. */
static void
write_note(const SearchTarget *target, const char *snapshot)
{
	char		*life = psprintf("%d", cache_lease_life());
	const char	*argv[] = {"SET", note_key(target, "index"), snapshot, "PX", life};
	CacheCommand command = {lengthof(argv), argv};
	CacheReply	 reply;

	(void) cache_call(&command, &reply);
}

/* True for one session of many, once in a while. */
static bool
is_our_turn(const SearchTarget *target)
{
	const char	*argv[] = {"SET", note_key(target, "refresh"), "1", "NX", "PX", REFRESH_EVERY_TEXT};
	CacheCommand command = {lengthof(argv), argv};
	CacheReply	 reply;

	return cache_call(&command, &reply) && reply.text != NULL;
}

/* True if the table's rows are still to be looked at again: what the sink has reached leaves them out. */
static bool
is_resyncing(const SearchTarget *target)
{
	static SPIPlanPtr plan = NULL;
	Oid				  types[2] = {INT8OID, TEXTOID};
	Datum values[2] = {Int64GetDatum(target->tenant.id), CStringGetTextDatum(target->table_name)};
	SpiScope scope;
	bool	 found;

	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec_saved(&plan,
						   "SELECT FROM tenancy.resync"
						   " WHERE sink = 'search' AND tenant_id = $1 AND table_name = $2",
						   2, types, values, NULL);
	found = SPI_processed > 0;
	tenancy_spi_end(&scope);
	return found;
}

/* True if every copy of every shard was refreshed. */
static bool
use_refresh_reply(const HttpReply *reply, void *arg)
{
	Jsonb		   *root = tenancy_jsonb_parse(reply->body, reply->length);
	JsonbContainer *shards = root != NULL ? tenancy_jsonb_object(&root->root, "_shards") : NULL;
	JsonbValue		failed;

	return reply->status == 200 && shards != NULL &&
		   tenancy_jsonb_field(shards, "failed", &failed) &&
		   strcmp(tenancy_jsonb_scalar(&failed), "0") == 0;
}

/* Makes searches find what the index has. */
static bool
refresh(const SearchTarget *target)
{
	HttpCall call = {.method = "POST",
					 .url = server_path(target->alias, "/_refresh"),
					 .max_reply = REPLY_MAX,
					 .timeout_ms = Min(tenancy_search_timeout, REFRESH_TIMEOUT)};

	return search_client_call(&call, use_refresh_reply, NULL);
}

/* A snapshot whose every change a search that begins now finds. */
char *
index_snapshot_find(const SearchTarget *target)
{
	char *snapshot = read_note(target);

	if (snapshot != NULL || !is_our_turn(target))
		return snapshot;
	snapshot = reached_snapshot();
	if (snapshot == NULL || !control_is_followed(SINK_SEARCH, target->tenant.id) ||
		is_resyncing(target) || !refresh(target))
		return NULL;
	write_note(target, snapshot);
	return snapshot;
}

/* There was a change since: the next search looks for a newer one. */
void
index_snapshot_forget(const SearchTarget *target)
{
	const char	*argv[] = {"UNLINK", note_key(target, "index")};
	CacheCommand command = {lengthof(argv), argv};
	CacheReply	 reply;

	(void) cache_call(&command, &reply);
}
