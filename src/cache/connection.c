/*
 * connection.c
 *		A backend's connection to Redis: one command, one round trip.
 *
 * The connection is kept from the first call to the end of the backend.  It is only
 * ever kept idle: one whose reply has not come, for whatever reason, is closed, as
 * that reply would be taken for the answer to the next command.
 */
#include "postgres.h"

#include "storage/ipc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "cache/cache.h"
#include "common/guc.h"
#include "sink/breaker.h"
#include "sink/kept.h"
#include "sink/redis_conn.h"
#include "sink/redis_server.h"

/* The connection, and the settings it was opened with. */
static RedisConn   *connection = NULL;
static KeptSettings opened_with;

int	   cache_time_limit = 0;
uint64 cache_connections = 0;

/* What the reply handler, which must not throw, has to remember. */
typedef struct Answer
{
	MemoryContext context;
	CacheReply	 *reply;
	bool		  came;
	bool		  no_memory;
} Answer;

/* Closes the connection. */
static void
close_connection(void)
{
	RedisConn *closing = connection;

	connection = NULL;
	redis_close(closing);
}

/* At the end of the backend. */
static void
close_at_exit(int code, Datum arg)
{
	close_connection();
}

/* Starts to connect; false if the settings cannot work. */
static bool
open_connection(void)
{
	static bool		  registered = false;
	const char *const settings[] = {tenancy_redis_url, tenancy_redis_auth_file, NULL};
	char			  error[REDIS_ERROR_MAX];

	kept_set(&opened_with, settings);
	if (!registered)
		on_proc_exit(close_at_exit, (Datum) 0);
	registered = true;
	cache_connections++;
	connection = redis_open(tenancy_redis_url, tenancy_redis_auth_file, error);
	if (connection == NULL)
		ereport(DEBUG1, (errmsg_internal("could not connect to Redis: %s", error)));
	return connection != NULL;
}

/* Closes a connection that is not the one that the settings name, or has died since. */
static void
close_unless_usable(void)
{
	const char *const settings[] = {tenancy_redis_url, tenancy_redis_auth_file, NULL};

	if (connection == NULL)
		return;
	if (!kept_same(&opened_with, settings) || redis_poll(connection) != REDIS_IDLE)
		close_connection();
}

/* Takes the reply. */
static void
take_reply(void *arg, int index, RedisReplyType type, int64 integer, const char *text,
		   size_t length)
{
	Answer	   *answer = arg;
	CacheReply *reply = answer->reply;

	answer->came = true;
	reply->is_error = type == REDIS_ERROR;
	reply->is_integer = type == REDIS_INTEGER;
	reply->integer = reply->is_integer ? integer : 0;
	if (text == NULL)
		return;
	reply->text = MemoryContextAllocExtended(answer->context, length + 1,
											 MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
	answer->no_memory = reply->text == NULL;
	if (answer->no_memory)
		return;
	memcpy(reply->text, text, length);
	reply->text[length] = '\0';
	reply->length = length;
}

/* True if the server has become a replica: another one has its address now, or will have. */
static bool
is_of_replica(const CacheReply *reply)
{
	return reply->is_error && reply->text != NULL && redis_is_replica(reply->text);
}

/* Sends the command over the open connection; closes it unless it is fit for the next one. */
static bool
exchange(const CacheCommand *command, CacheReply *reply, long timeout_ms)
{
	Answer		answer = {.context = CurrentMemoryContext, .reply = reply};
	RedisStatus status = REDIS_FAILED;

	memset(reply, 0, sizeof(*reply));
	redis_expect(connection, take_reply, &answer);
	redis_command(connection, command->argc, command->argv, command->lengths);
	PG_TRY();
	{
		status = redis_wait(connection, timeout_ms);
	}
	PG_CATCH();
	{
		close_connection();
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (status == REDIS_IDLE && answer.came && !is_of_replica(reply))
		return !answer.no_memory;
	ereport(DEBUG1, (errmsg_internal("no answer from Redis: %s", redis_error(connection))));
	close_connection();
	return false;
}

/* Tries the kept connection, which may have died since, then a new one. */
static bool
try_call(const CacheCommand *command, CacheReply *reply)
{
	long most =
		cache_time_limit > 0 ? Min(cache_time_limit, tenancy_redis_timeout) : tenancy_redis_timeout;
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), most);
	long		left;

	close_unless_usable();
	if (connection != NULL && exchange(command, reply, most))
		return true;
	left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);
	if (left <= 0)
		return false;
	return (connection != NULL || open_connection()) && exchange(command, reply, left);
}

/* Sends a command and waits for its reply. */
bool
cache_call(const CacheCommand *command, CacheReply *reply)
{
	memset(reply, 0, sizeof(*reply));
	if (tenancy_redis_url[0] == '\0' || !breaker_allows(SINK_CACHE))
		return false;
	if (!try_call(command, reply))
	{
		breaker_failure(SINK_CACHE);
		return false;
	}
	breaker_success(SINK_CACHE);
	if (reply->is_error)
		ereport(DEBUG1,
				(errmsg_internal("Redis refused a command: %s", reply->text ? reply->text : "")));
	return !reply->is_error;
}

/* Runs a script by its name, then by its text if the server does not know it. */
bool
cache_run_script(RedisScript *script, CacheCommand *command, CacheReply *reply)
{
	command->argv[0] = "EVALSHA";
	command->argv[1] = redis_script_sha(script);
	if (command->lengths != NULL)
	{
		command->lengths[0] = strlen(command->argv[0]);
		command->lengths[1] = REDIS_SHA_LENGTH;
	}
	if (cache_call(command, reply))
		return true;
	if (!reply->is_error || reply->text == NULL || strncmp(reply->text, "NOSCRIPT", 8) != 0)
		return false;
	command->argv[0] = "EVAL";
	command->argv[1] = script->text;
	if (command->lengths != NULL)
	{
		command->lengths[0] = strlen(command->argv[0]);
		command->lengths[1] = strlen(script->text);
	}
	return cache_call(command, reply);
}
