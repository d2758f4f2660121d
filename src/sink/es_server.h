/*
 * es_server.h
 *		The search server as a whole: is it there, and what is it.
 */
#ifndef TENANCY_ES_SERVER_H
#define TENANCY_ES_SERVER_H

#include "sink/http.h"
#include "sink/sink.h"

/* What GET / told. */
typedef struct EsServer
{
	bool opensearch;
	int	 major;
	int	 minor;
	char uuid[64];
} EsServer;

/* The cluster that the hosts should be of, NULL: not known. */
extern void es_server_expect(const char *cluster);
extern void es_server_open(void);
extern void es_server_close(void);
extern void es_server_poll(void);
/* Asks the hosts GET / again: it may be another server by now. */
extern void		  es_server_recheck(void);
extern long		  es_server_timeout(void);
extern SinkHealth es_server_health(const char **error);
/* Why a host was left out since the last call, NULL: none was. */
extern const char *es_server_trouble(void);
/* NULL before open. */
extern HttpClient	  *es_server_client(void);
extern const EsServer *es_server_info(void);
/* Learns from any request's reply whether the server is still there and lets us in. */
extern void es_server_heed(const HttpReply *reply);
/* Starts a request to url + path. */
extern HttpRequest *es_server_call(const char *method, const char *path, const char *content_type,
								   const char *body, size_t length, size_t max_reply);

#endif
