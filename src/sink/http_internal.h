/*
 * http_internal.h
 *		What http_client.c and http.c share; nobody else includes it.
 */
#ifndef TENANCY_HTTP_INTERNAL_H
#define TENANCY_HTTP_INTERNAL_H

#include <curl/curl.h>
#include <signal.h>

#include "lib/ilist.h"

#include "sink/http.h"
#include "sink/http_auth.h"

struct HttpClient
{
	CURLM	  *multi;
	int		   epoll_fd;
	int64	   deadline; /* of curl's timer, ms of the monotonic clock; -1: none */
	HttpAuth   auth;
	char	  *auth_file; /* this and the next ones: NULL if there is none */
	char	  *ca_file;
	char	  *cert_file;
	char	  *key_file;
	dlist_head requests;
	char	   setup_error[HTTP_ERROR_MAX]; /* every call fails with it, if set */
};

struct HttpRequest
{
	dlist_node		   node;
	HttpClient		  *client;
	CURL			  *easy;
	struct curl_slist *headers;
	bool			   added; /* to the multi handle */
	bool			   done;
	HttpReply		   reply;
	const char		  *body;
	size_t			   body_length;
	char			  *compressed; /* body, if it was made here */
	char			  *buffer;	   /* of reply.body */
	size_t			   capacity;
	size_t			   max_reply;
	char			   curl_error[CURL_ERROR_SIZE];
};

/* http_client.c */
extern void http_block_signals(sigset_t *saved);
extern void http_out_of_memory(void);
/* http.c */
extern void http_finish(HttpRequest *request, CURLcode result);
extern void http_abandon(HttpRequest *request);

#endif
