/*
 * redis_conn.c
 *		One Redis connection, never blocking.
 *
 * hiredis is used for its buffers, its protocol and its non-blocking connect; its
 * own waiting is not.  A host name, other than a number or localhost, is resolved
 * by redis_open, which waits for that.  Everything is malloc'd and owned by the
 * connection, so that redis_close is all the clean-up there is.
 */
#include "postgres.h"

#include <hiredis/hiredis.h>
#include <poll.h>
#include <sys/socket.h>

#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/timestamp.h"

#include "common/compat.h"
#include "sink/auth_file.h"
#include "sink/redis_conn.h"

#define DEFAULT_PORT 6379

/* Replies that are still to come and go to one handler; kept in order of the commands. */
typedef struct Expectation
{
	struct Expectation *next;
	RedisReplyHandler	handler; /* NULL: AUTH and SELECT, an error fails the connection */
	void			   *arg;
	int					pending;
	int					index;
} Expectation;

struct RedisConn
{
	redisContext *context;
	Expectation	 *first;
	Expectation	 *last;
	bool		  connected;
	bool		  unsent; /* hiredis' output buffer is not empty */
	bool		  failed;
	char		  error[REDIS_ERROR_MAX];
};

/* What a URL says. */
typedef struct RedisAddress
{
	char host[256];
	char path[256]; /* of a Unix socket, else "" */
	int	 port;
	int	 database;
} RedisAddress;

/* Remembers the first failure. */
static void
fail(RedisConn *conn, const char *error)
{
	if (conn->failed)
		return;
	conn->failed = true;
	strlcpy(conn->error, error, REDIS_ERROR_MAX);
}

/* Reads digits up to max; false if there is anything else. */
static bool
parse_number(const char *text, size_t length, int max, int *result)
{
	char  digits[8];
	char *end;
	long  number;

	if (length == 0 || length >= sizeof(digits))
		return false;
	memcpy(digits, text, length);
	digits[length] = '\0';
	number = strtol(digits, &end, 10);
	if (*end != '\0' || number < 0 || number > max)
		return false;
	*result = (int) number;
	return true;
}

/* Reads HOST[:PORT][/DATABASE], where HOST may be [IPv6]. */
static bool
parse_authority(const char *text, RedisAddress *address)
{
	size_t		authority = strcspn(text, "/");
	const char *after = memchr(text, ']', authority);
	const char *colon = memchr(after ? after : text, ':', authority - (after ? after - text : 0));
	size_t		host = colon ? colon - text : authority;
	const char *database = text + authority;

	if (colon != NULL && !parse_number(colon + 1, authority - host - 1, 65535, &address->port))
		return false;
	if (*database == '/' && database[1] != '\0' &&
		!parse_number(database + 1, strlen(database + 1), 999999, &address->database))
		return false;
	if (text[0] == '[' && host > 1)
	{
		text++;
		host -= 2;
	}
	if (host == 0 || host >= sizeof(address->host))
		return false;
	memcpy(address->host, text, host);
	return true;
}

/* Reads a URL; false and an error text if it is not one of ours. */
static bool
parse_url(const char *url, RedisAddress *address, char *error)
{
	memset(address, 0, sizeof(RedisAddress));
	address->port = DEFAULT_PORT;
	if (strncmp(url, "rediss://", 9) == 0)
		snprintf(error, REDIS_ERROR_MAX, "TLS to Redis (rediss://) is not supported");
	else if (strncmp(url, "unix://", 7) == 0)
	{
		if (url[7] == '/' && strlen(url + 7) < sizeof(address->path))
		{
			strlcpy(address->path, url + 7, sizeof(address->path));
			return true;
		}
		snprintf(error, REDIS_ERROR_MAX, "invalid Redis URL \"%s\": a path is missing", url);
	}
	else if (strncmp(url, "redis://", 8) == 0 && parse_authority(url + 8, address))
		return true;
	else
		snprintf(error, REDIS_ERROR_MAX, "invalid Redis URL \"%s\"", url);
	return false;
}

/* Queues SELECT where the URL names a database. */
static void
queue_select(RedisConn *conn, int database)
{
	char		number[16];
	const char *argv[] = {"SELECT", number};

	if (database == 0)
		return;
	snprintf(number, sizeof(number), "%d", database);
	redis_command(conn, 2, argv, NULL);
}

/* Queues AUTH for "password" or "user:password". */
static void
queue_auth(RedisConn *conn, char *line)
{
	char	   *colon = strchr(line, ':');
	const char *argv[] = {"AUTH", line, colon ? colon + 1 : NULL};

	if (line[0] == '\0')
		return;
	if (colon != NULL)
		*colon = '\0';
	redis_command(conn, colon ? 3 : 2, argv, NULL);
}

/* Starts connecting; NULL and an error text if the URL or the credentials file is not usable. */
RedisConn *
redis_open(const char *url, const char *auth_file, char *error)
{
	RedisAddress address;
	char		 line[AUTH_LINE_MAX];
	RedisConn	*conn;

	error[0] = '\0';
	if (!parse_url(url, &address, error) ||
		!sink_read_auth_file(auth_file, line, error, REDIS_ERROR_MAX))
		return NULL;
	conn = calloc(1, sizeof(RedisConn));
	if (conn == NULL)
	{
		strlcpy(error, "out of memory", REDIS_ERROR_MAX);
		return NULL;
	}
	ReserveExternalFD();
	conn->context = address.path[0] != '\0' ? redisConnectUnixNonBlock(address.path)
											: redisConnectNonBlock(address.host, address.port);
	if (conn->context == NULL || conn->context->err != 0)
		fail(conn, conn->context != NULL ? conn->context->errstr : "out of memory");
	redis_expect(conn, NULL, NULL);
	queue_auth(conn, line);
	queue_select(conn, address.database);
	explicit_bzero(line, sizeof(line));
	return conn;
}

/* Closes a connection in any state; handlers are not called any more. */
void
redis_close(RedisConn *conn)
{
	if (conn == NULL)
		return;
	while (conn->first != NULL)
	{
		Expectation *next = conn->first->next;

		free(conn->first);
		conn->first = next;
	}
	if (conn->context != NULL)
		redisFree(conn->context);
	ReleaseExternalFD();
	free(conn);
}

/* Handler of the replies to the commands queued from now on; index starts at 0 again. */
void
redis_expect(RedisConn *conn, RedisReplyHandler handler, void *arg)
{
	Expectation *expectation = calloc(1, sizeof(Expectation));

	if (expectation == NULL)
	{
		fail(conn, "out of memory");
		return;
	}
	expectation->handler = handler;
	expectation->arg = arg;
	if (conn->last != NULL)
		conn->last->next = expectation;
	else
		conn->first = expectation;
	conn->last = expectation;
}

/* Queues one command; without lengths the arguments end with a zero byte. */
void
redis_command(RedisConn *conn, int argc, const char **argv, const size_t *lengths)
{
	if (conn->failed)
		return;
	if (redisAppendCommandArgv(conn->context, argc, argv, lengths) != REDIS_OK)
	{
		fail(conn, conn->context->errstr);
		return;
	}
	conn->last->pending++;
	conn->unsent = true;
}

/* True if the socket is ready for the events now. */
static bool
socket_ready(RedisConn *conn, short events)
{
	struct pollfd pfd = {conn->context->fd, events, 0};

	return poll(&pfd, 1, 0) > 0;
}

/* Looks whether connect() has ended, and how. */
static void
check_connected(RedisConn *conn)
{
	int		  error = 0;
	socklen_t length = sizeof(error);

	if (!socket_ready(conn, POLLOUT))
		return;
	if (getsockopt(conn->context->fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0)
		error = errno;
	if (error != 0)
		fail(conn, strerror(error));
	else
		conn->connected = true;
}

/* Writes what the socket takes. */
static void
write_commands(RedisConn *conn)
{
	int done = 0;

	while (conn->unsent && socket_ready(conn, POLLOUT))
	{
		if (redisBufferWrite(conn->context, &done) != REDIS_OK)
		{
			fail(conn, conn->context->errstr);
			return;
		}
		conn->unsent = !done;
	}
}

/* Our word for hiredis' type. */
static RedisReplyType
reply_type(const redisReply *reply)
{
	switch (reply->type)
	{
		case REDIS_REPLY_STRING:
			return REDIS_STRING;
		case REDIS_REPLY_STATUS:
			return REDIS_STATUS;
		case REDIS_REPLY_ERROR:
			return REDIS_ERROR;
		case REDIS_REPLY_INTEGER:
			return REDIS_INTEGER;
		case REDIS_REPLY_ARRAY:
			return REDIS_ARRAY;
		default:
			return REDIS_NIL;
	}
}

/* Drops the expectations that have all their replies, except the last one. */
static void
skip_answered(RedisConn *conn)
{
	while (conn->first->pending == 0 && conn->first->next != NULL)
	{
		Expectation *next = conn->first->next;

		free(conn->first);
		conn->first = next;
	}
}

/* Gives a reply to whom it belongs. */
static void
deliver(RedisConn *conn, const redisReply *reply)
{
	RedisReplyType type = reply_type(reply);
	bool		   has_text = type == REDIS_STRING || type == REDIS_STATUS || type == REDIS_ERROR;
	Expectation	  *expectation;
	int64		   integer = type == REDIS_INTEGER ? reply->integer : 0;

	skip_answered(conn);
	expectation = conn->first;
	if (expectation->pending == 0)
	{
		fail(conn, type == REDIS_ERROR ? reply->str : "a reply came that nobody asked for");
		return;
	}
	expectation->pending--;
	if (expectation->handler == NULL)
	{
		if (type == REDIS_ERROR)
			fail(conn, reply->str);
		return;
	}
	if (type == REDIS_ARRAY)
		integer = (int64) reply->elements;
	expectation->handler(expectation->arg, expectation->index++, type, integer,
						 has_text ? reply->str : NULL, has_text ? reply->len : 0);
}

/* Delivers the replies that are complete. */
static void
deliver_replies(RedisConn *conn)
{
	void *reply;

	while (!conn->failed)
	{
		if (redisGetReplyFromReader(conn->context, &reply) != REDIS_OK)
			fail(conn, conn->context->errstr);
		else if (reply == NULL)
			return;
		else
		{
			deliver(conn, reply);
			freeReplyObject(reply);
		}
	}
}

/* Reads what has come, a closed connection too. */
static void
read_replies(RedisConn *conn)
{
	while (!conn->failed && socket_ready(conn, POLLIN))
	{
		if (redisBufferRead(conn->context) != REDIS_OK)
			fail(conn, conn->context->errstr);
		else
			deliver_replies(conn);
	}
}

/* True if a reply is still to come. */
static bool
replies_pending(RedisConn *conn)
{
	for (Expectation *e = conn->first; e != NULL; e = e->next)
		if (e->pending > 0)
			return true;
	return false;
}

/* Does what can be done without waiting. */
RedisStatus
redis_poll(RedisConn *conn)
{
	if (!conn->failed && !conn->connected)
		check_connected(conn);
	if (!conn->failed && conn->connected)
	{
		write_commands(conn);
		read_replies(conn);
	}
	if (conn->failed)
		return REDIS_FAILED;
	return !conn->connected || conn->unsent || replies_pending(conn) ? REDIS_BUSY : REDIS_IDLE;
}

/* Why it failed. */
const char *
redis_error(RedisConn *conn)
{
	return conn->error;
}

/* The socket, PGINVALID_SOCKET if there is none. */
pgsocket
redis_fd(RedisConn *conn)
{
	return conn->context != NULL ? conn->context->fd : PGINVALID_SOCKET;
}

/* True if it waits to write too. */
bool
redis_wants_write(RedisConn *conn)
{
	return !conn->connected || conn->unsent;
}

/* Waits for the latch, the socket or the time. */
static void
wait_for_event(RedisConn *conn, long timeout_ms)
{
	static uint32 wait_event = 0;
	int			  events = WL_LATCH_SET | WL_SOCKET_READABLE | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH;

	if (wait_event == 0)
		wait_event = compat_wait_event("TenancyRedis");
	if (redis_wants_write(conn))
		events |= WL_SOCKET_WRITEABLE;
	(void) WaitLatchOrSocket(MyLatch, events, conn->context->fd, timeout_ms, wait_event);
	ResetLatch(MyLatch);
}

/*
 * Polls on the latch until the connection is idle, failed or late.  A cancel throws;
 * then the caller closes the connection, since the replies to come belong to nobody.
 */
RedisStatus
redis_wait(RedisConn *conn, long timeout_ms)
{
	TimestampTz start = GetCurrentTimestamp();

	for (;;)
	{
		RedisStatus status;
		long		left;

		CHECK_FOR_INTERRUPTS();
		status = redis_poll(conn);
		if (status != REDIS_BUSY)
			return status;
		left = timeout_ms - TimestampDifferenceMilliseconds(start, GetCurrentTimestamp());
		if (left <= 0)
		{
			fail(conn, "no reply in time");
			return REDIS_FAILED;
		}
		wait_for_event(conn, left);
	}
}
