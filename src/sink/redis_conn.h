/*
 * redis_conn.h
 *		One Redis connection, never blocking.  redis_conn.c alone uses hiredis.
 */
#ifndef TENANCY_REDIS_CONN_H
#define TENANCY_REDIS_CONN_H

#define REDIS_ERROR_MAX 256

typedef struct RedisConn RedisConn;

typedef enum RedisStatus
{
	REDIS_BUSY,	 /* connecting, or replies are still to come */
	REDIS_IDLE,	 /* connected, every reply has come */
	REDIS_FAILED /* see redis_error(); close it */
} RedisStatus;

typedef enum RedisReplyType
{
	REDIS_NIL,
	REDIS_INTEGER,
	REDIS_STRING,
	REDIS_STATUS,
	REDIS_ERROR,
	REDIS_ARRAY
} RedisReplyType;

/*
 * Called for each reply in order of the commands; must not throw.  text is NULL where
 * there is none and lives only during the call; integer of an array is its length.
 */
typedef void (*RedisReplyHandler)(void *arg, int index, RedisReplyType type, int64 integer,
								  const char *text, size_t length);

/* Starts connecting (with AUTH and SELECT); NULL and an error text if the URL is not usable. */
extern RedisConn *redis_open(const char *url, const char *auth_file, char *error);
extern void		  redis_close(RedisConn *conn);
/* Queues one command; sent by redis_poll.  lengths may be NULL for C strings. */
extern void redis_command(RedisConn *conn, int argc, const char **argv, const size_t *lengths);
/* Handler of the replies to the commands queued from now on; index starts at 0 again. */
extern void		   redis_expect(RedisConn *conn, RedisReplyHandler handler, void *arg);
extern RedisStatus redis_poll(RedisConn *conn);
extern const char *redis_error(RedisConn *conn);
extern pgsocket	   redis_fd(RedisConn *conn);
/* True if it waits to write too. */
extern bool redis_wants_write(RedisConn *conn);
/*
 * For a backend: polls on the latch until idle, failed or late; answers cancel at
 * once.  After an error the connection must be closed: its replies have no owner.
 */
extern RedisStatus redis_wait(RedisConn *conn, long timeout_ms);

#endif
