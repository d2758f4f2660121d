/*
 * http.h
 *		HTTP requests that wait on the latch, not in curl.
 */
#ifndef TENANCY_HTTP_H
#define TENANCY_HTTP_H

#define HTTP_ERROR_MAX 256

typedef struct HttpClient  HttpClient;
typedef struct HttpRequest HttpRequest;

/* What a request ended with; body is owned by the request and ends with a zero byte. */
typedef struct HttpReply
{
	int			status; /* 0: no answer, see error */
	const char *body;
	size_t		length;
	long		retry_after; /* seconds of Retry-After, 0 if none */
	bool		truncated;	 /* longer than max_reply */
	bool		timed_out;	 /* no answer within timeout_ms */
	bool		compressed;	 /* the body was sent with gzip */
	int			host;		 /* as in the call */
	char		error[HTTP_ERROR_MAX];
} HttpReply;

typedef struct HttpCall
{
	const char *method;
	const char *url;
	const char *content_type; /* NULL: no body */
	const char *body;		  /* must stay until the request is freed */
	size_t		body_length;
	size_t		max_reply; /* bytes */
	long		timeout_ms;
	bool		compress; /* the body with gzip, if it is large enough for that */
	int			host;	  /* number by which the caller knows the URL's host */
} HttpCall;

/* Files with what a client needs to be let in and to know its server; "" or NULL: none. */
typedef struct HttpFiles
{
	const char *auth; /* credentials */
	const char *ca;	  /* empty: the system's */
	const char *cert; /* client certificate */
	const char *key;  /* its key; empty: it is in the certificate's file */
} HttpFiles;

/* The client keeps connections alive. */
extern HttpClient *http_client_open(const HttpFiles *files);
/* Reads the credentials again: true if they are others than before. */
extern bool http_client_renew(HttpClient *client);
/* Requests that run end with an error; they are still to be freed. */
extern void		http_client_close(HttpClient *client);
extern pgsocket http_client_fd(HttpClient *client);
extern long		http_client_timeout(HttpClient *client);
extern void		http_client_drive(HttpClient *client);

extern HttpRequest *http_start(HttpClient *client, const HttpCall *call);
/* NULL while it runs. */
extern const HttpReply *http_reply(HttpRequest *request);
/* Ends it if it still runs. */
extern void http_free(HttpRequest *request);

/*
 * For a backend: waits on the latch, answers cancel and shutdown at once.  Call it
 * in PG_TRY with http_free in PG_FINALLY: an error does not free the request.
 */
extern const HttpReply *http_wait(HttpRequest *request);

#endif
