/*
 * redis_server.c
 *		The cache sink's connection: is Redis there, and does it let us in.
 *
 * A new connection loads the script and asks which server it is; the answers make READY.  A replica is
 * none: after a failover the address, of a proxy or a name, stands for another server, which only a new
 * connection finds.  The socket is kept in an epoll descriptor, since it waits for writing too.
 */
#include "postgres.h"

#include <sys/epoll.h>
#include <unistd.h>

#include "storage/fd.h"
#include "utils/timestamp.h"

#include "common/guc.h"
#include "sink/backoff.h"
#include "sink/redis_info.h"
#include "sink/redis_scripts.h"
#include "sink/redis_server.h"
#include "sink/text.h"

static RedisConn	   *conn = NULL;
static RedisLostHandler on_lost = NULL;
static int				epoll_fd = -1;
static uint32			watched = 0; /* events of conn's socket in epoll_fd, 0: not there */
static Backoff			backoff;
static TimestampTz		last_progress = 0;
static bool				busy = false; /* a reply is awaited */
static bool				opened = false;
static SinkHealth		health = SINK_CONNECTING;
static char				last_error[SINK_REASON_MAX];
static bool				knows_scripts = false;
static bool				knows_info = false;
static RedisInfo		info;
static bool				is_replica = false;

/* True if an error reply means that we may not do that. */
bool
redis_is_denial(const char *error)
{
	static const char *const prefixes[] = {"NOAUTH",
										   "WRONGPASS",
										   "NOPERM",
										   "ERR AUTH",
										   "ERR invalid password",
										   "ERR Client sent AUTH"};

	for (int i = 0; i < lengthof(prefixes); i++)
		if (strncmp(error, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return false;
}

/* True if an error reply is that of a replica; a script's has more around it. */
bool
redis_is_replica(const char *error)
{
	return strstr(error, "READONLY ") != NULL;
}

/* Looks at an error reply: from one who has become a replica we go to whoever has the address now. */
void
redis_server_refused(const char *error)
{
	is_replica |= redis_is_replica(error);
}

/* Closes the connection and tells who waits for it. */
static void
drop_connection(const char *error)
{
	if (conn == NULL)
		return;
	if (on_lost != NULL)
		on_lost(error);
	redis_close(conn);
	conn = NULL;
	watched = 0;
	busy = false;
}

/* Goes into a state of failure and logs that once, not at each try. */
static void
become(const char *error)
{
	SinkHealth state = redis_is_denial(error) ? SINK_UNAUTHORIZED : SINK_UNREACHABLE;

	if (health != state)
		ereport(LOG,
				(errmsg("Redis server \"%s\" is %s: %s", tenancy_redis_url,
						state == SINK_UNAUTHORIZED ? "not accessible" : "unreachable", error)));
	health = state;
	sink_set_text(last_error, sizeof(last_error), error, strlen(error));
	sink_backoff_failed(&backoff);
	drop_connection(last_error);
}

/* The answer to SCRIPT LOAD; an error is left for poll, which may close the connection. */
static void
took_script(void *arg, int index, RedisReplyType type, int64 integer, const char *text,
			size_t length)
{
	last_error[0] = '\0';
	knows_scripts = type == REDIS_STRING && length == REDIS_SHA_LENGTH;
	if (!knows_scripts)
		sink_set_textf(last_error, sizeof(last_error), "%s",
					   text != NULL ? text : "SCRIPT LOAD has an unexpected answer");
}

/* The answer to INFO; it may be asked for again later, and is then kept if the new one is none. */
static void
took_info(void *arg, int index, RedisReplyType type, int64 integer, const char *text, size_t length)
{
	if (type == REDIS_STRING && redis_info_read(text, &info))
	{
		knows_info = true;
		is_replica |= info.is_replica;
	}
	else if (!knows_info && last_error[0] == '\0')
		sink_set_textf(last_error, sizeof(last_error), "%s",
					   type == REDIS_ERROR ? text : "INFO has an unexpected answer");
	if (health == SINK_READY)
		redis_server_progress();
}

/* Asks the server what it is. */
void
redis_server_ask(void)
{
	static const char *argv[] = {"INFO"};

	redis_expect(conn, took_info, NULL);
	redis_command(conn, lengthof(argv), argv, NULL);
}

/* What it has said last, while READY. */
const RedisInfo *
redis_server_info(void)
{
	return &info;
}

/* Starts connecting when that is due. */
static void
try_connect(void)
{
	const char *argv[] = {"SCRIPT", "LOAD", redis_unlink_script.text};
	char		error[REDIS_ERROR_MAX];

	if (!opened || conn != NULL || sink_backoff_left(&backoff) > 0)
		return;
	conn = redis_open(tenancy_redis_url, tenancy_redis_auth_file, error);
	if (conn == NULL)
	{
		become(error);
		return;
	}
	knows_scripts = knows_info = is_replica = false;
	redis_expect(conn, took_script, NULL);
	redis_command(conn, lengthof(argv), argv, NULL);
	redis_server_ask();
	last_progress = GetCurrentTimestamp();
}

/* Has epoll_fd watch the connection for what it waits for. */
static void
watch_socket(void)
{
	struct epoll_event event = {0};

	if (conn == NULL || redis_fd(conn) == PGINVALID_SOCKET)
		return;
	event.events = EPOLLIN | (redis_wants_write(conn) ? EPOLLOUT : 0);
	if (event.events == watched)
		return;
	(void) epoll_ctl(epoll_fd, watched != 0 ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, redis_fd(conn),
					 &event);
	watched = event.events;
}

/* The answers to the first commands have come. */
static void
end_connecting(void)
{
	if (!knows_scripts || !knows_info)
	{
		char error[SINK_REASON_MAX];

		strlcpy(error, last_error, sizeof(error));
		become(error);
		return;
	}
	ereport(LOG, (errmsg("Redis server \"%s\" is ready", tenancy_redis_url)));
	health = SINK_READY;
}

/* Milliseconds until a reply is late. */
static long
time_left(void)
{
	return TimestampDifferenceMilliseconds(
		GetCurrentTimestamp(), TimestampTzPlusMilliseconds(last_progress, tenancy_redis_timeout));
}

/* Drives the connection, or makes a new one. */
void
redis_server_poll(void)
{
	RedisStatus status;

	try_connect();
	if (conn == NULL)
		return;
	status = redis_poll(conn);
	busy = status == REDIS_BUSY;
	if (status == REDIS_FAILED)
		become(redis_error(conn));
	else if (busy && time_left() == 0)
		become("no reply in time");
	else if (is_replica)
		become("the server is a replica");
	else if (!busy && health != SINK_READY)
		end_connecting();
	watch_socket();
}

/* Reads the settings and starts connecting; poll does the rest. */
void
redis_server_open(RedisLostHandler lost)
{
	redis_server_close();
	ReserveExternalFD();
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
	{
		ReleaseExternalFD();
		ereport(ERROR,
				(errcode_for_file_access(), errmsg("could not create an epoll descriptor: %m")));
	}
	opened = true;
	on_lost = lost;
	sink_backoff_reset(&backoff);
	redis_server_poll();
}

/* Drops the connection. */
void
redis_server_close(void)
{
	drop_connection("the connection was closed");
	if (epoll_fd >= 0)
	{
		close(epoll_fd);
		ReleaseExternalFD();
	}
	epoll_fd = -1;
	opened = false;
	last_error[0] = '\0';
	health = SINK_CONNECTING;
}

/* Milliseconds after which poll wants to run. */
long
redis_server_timeout(void)
{
	if (!opened)
		return -1;
	if (conn == NULL)
		return sink_backoff_left(&backoff);
	return busy ? time_left() : -1;
}

/* State of the connection and why it is so. */
SinkHealth
redis_server_health(const char **error)
{
	if (error != NULL)
		*error = last_error;
	return health;
}

/* Readable when poll has something to do. */
pgsocket
redis_server_event_fd(void)
{
	return epoll_fd;
}

/* NULL unless READY; commands queued on it go out with the next poll. */
RedisConn *
redis_server_conn(void)
{
	if (health != SINK_READY)
		return NULL;
	if (!busy)
		last_progress = GetCurrentTimestamp();
	busy = true;
	return conn;
}

/* A reply has come: the time for the next one starts again, and so does the back-off. */
void
redis_server_progress(void)
{
	sink_backoff_reset(&backoff);
	last_progress = GetCurrentTimestamp();
}
