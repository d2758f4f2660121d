/*
 * redis_server.h
 *		The cache sink's connection: is Redis there, and does it let us in.
 */
#ifndef TENANCY_REDIS_SERVER_H
#define TENANCY_REDIS_SERVER_H

#include "sink/redis_conn.h"
#include "sink/redis_info.h"
#include "sink/sink.h"

/* Called before a connection is dropped: what waits for its replies must give up. */
typedef void (*RedisLostHandler)(const char *error);

extern void		  redis_server_open(RedisLostHandler lost);
extern void		  redis_server_close(void);
extern void		  redis_server_poll(void);
extern long		  redis_server_timeout(void);
extern SinkHealth redis_server_health(const char **error);
extern pgsocket	  redis_server_event_fd(void);
/* NULL unless READY; commands queued on it go out with the next poll. */
extern RedisConn *redis_server_conn(void);
/* Asks for what redis_server_info tells; the connection must be there. */
extern void redis_server_ask(void);
/* What the server said of itself, while READY. */
extern const RedisInfo *redis_server_info(void);
/* A reply has come: the time for the next one starts again. */
extern void redis_server_progress(void);
/* Looks at an error reply: from one who has become a replica we go to whoever has the address now. */
extern void redis_server_refused(const char *error);
/* True if an error reply is that of a replica. */
extern bool redis_is_replica(const char *error);
/* True if an error reply means that we may not do that. */
extern bool redis_is_denial(const char *error);

#endif
