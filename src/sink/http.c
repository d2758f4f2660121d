/*
 * http.c
 *		HTTP requests that wait on the latch, not in curl.
 *
 * libcurl's multi interface tells which sockets and which timer it waits for; the
 * sockets are kept in an epoll descriptor of the client, so that a process waits
 * for one descriptor beside its latch.  Everything here is malloc'd, since curl's
 * callbacks must not throw and what curl holds must not go with a memory context.
 *
 * libcurl may start a thread to resolve a name.  All signals are blocked while it
 * can do so: PostgreSQL's handlers must only run in the main thread.
 */
#include "postgres.h"

#include <curl/curl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "lib/ilist.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/latch.h"

#include "common/compat.h"
#include "sink/http.h"
#include "sink/http_auth.h"

#define CONNECT_TIMEOUT_MAX 5000L /* ms */
#define EVENTS_PER_CALL 16

struct HttpClient
{
	CURLM	  *multi;
	int		   epoll_fd;
	int64	   deadline; /* of curl's timer, ms of the monotonic clock; -1: none */
	HttpAuth   auth;
	char	  *ca_file; /* NULL: the system's */
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
	char			  *buffer; /* of reply.body */
	size_t			   capacity;
	size_t			   max_reply;
	char			   curl_error[CURL_ERROR_SIZE];
};

/* Milliseconds of the monotonic clock. */
static int64
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Blocks every signal, so that a thread started now inherits that. */
static void
block_signals(sigset_t *saved)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, saved);
}

/* Complains about memory. */
static void
out_of_memory(void)
{
	ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
					errdetail("Failed in an HTTP client.")));
}

/* Initializes libcurl once per process; never in the postmaster: nobody must inherit it. */
static void
init_curl(void)
{
	static bool initialized = false;
	sigset_t	saved;
	CURLcode	rc;

	Assert(IsUnderPostmaster || !IsPostmasterEnvironment);
	if (initialized)
		return;
	block_signals(&saved);
	rc = curl_global_init(CURL_GLOBAL_DEFAULT);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	if (rc != CURLE_OK)
		ereport(ERROR, (errcode(ERRCODE_SYSTEM_ERROR),
						errmsg("could not initialize libcurl: %s", curl_easy_strerror(rc))));
	initialized = true;
}

/* curl: watch a socket.  A failure here ends in the request's time-out. */
static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	HttpClient		  *client = arg;
	struct epoll_event event = {0};

	if (what == CURL_POLL_REMOVE)
	{
		(void) epoll_ctl(client->epoll_fd, EPOLL_CTL_DEL, fd, &event);
		return 0;
	}
	event.data.fd = fd;
	if (what & CURL_POLL_IN)
		event.events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		event.events |= EPOLLOUT;
	if (epoll_ctl(client->epoll_fd, EPOLL_CTL_MOD, fd, &event) != 0)
		(void) epoll_ctl(client->epoll_fd, EPOLL_CTL_ADD, fd, &event);
	return 0;
}

/* curl: call me again after that time. */
static int
on_timer(CURLM *multi, long timeout_ms, void *arg)
{
	HttpClient *client = arg;

	client->deadline = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
	return 0;
}

/* Makes room for more bytes and a zero behind them. */
static bool
reserve(HttpRequest *request, size_t more)
{
	size_t needed = request->reply.length + more + 1;
	size_t capacity = Max(request->capacity, 4096);
	char  *larger;

	if (needed <= request->capacity)
		return true;
	while (capacity < needed)
		capacity *= 2;
	larger = realloc(request->buffer, capacity);
	if (larger == NULL)
		return false;
	request->buffer = larger;
	request->capacity = capacity;
	return true;
}

/* curl: part of the body.  A short count ends the request. */
static size_t
on_body(char *data, size_t size, size_t nmemb, void *arg)
{
	HttpRequest *request = arg;
	HttpReply	*reply = &request->reply;
	size_t		 length = size * nmemb;

	if (length > request->max_reply - reply->length)
	{
		reply->truncated = true;
		snprintf(reply->error, HTTP_ERROR_MAX, "the reply is longer than %zu bytes",
				 request->max_reply);
		return 0;
	}
	if (!reserve(request, length))
	{
		strlcpy(reply->error, "out of memory for the reply", HTTP_ERROR_MAX);
		return 0;
	}
	memcpy(request->buffer + reply->length, data, length);
	reply->length += length;
	request->buffer[reply->length] = '\0';
	return length;
}

/* Takes the settings over; a file that can't be read is remembered for every call. */
static bool
set_up(HttpClient *client, const char *auth_file, const char *ca_file)
{
	if (ca_file != NULL && ca_file[0] != '\0' && (client->ca_file = strdup(ca_file)) == NULL)
		return false;
	return http_auth_read(&client->auth, auth_file, client->setup_error, HTTP_ERROR_MAX);
}

/* Makes curl's multi handle report to the client. */
static bool
make_multi(HttpClient *client)
{
	client->multi = curl_multi_init();
	return client->multi != NULL &&
		   curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK &&
		   curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client) == CURLM_OK &&
		   curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, on_timer) == CURLM_OK &&
		   curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client) == CURLM_OK;
}

/* Makes a client; it reads the credentials now and not again. */
HttpClient *
http_client_open(const char *auth_file, const char *ca_file)
{
	HttpClient *client;

	init_curl();
	client = calloc(1, sizeof(HttpClient));
	if (client == NULL)
		out_of_memory();
	dlist_init(&client->requests);
	client->deadline = -1;
	ReserveExternalFD();
	client->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (client->epoll_fd < 0 || !set_up(client, auth_file, ca_file) || !make_multi(client))
	{
		http_client_close(client);
		out_of_memory();
	}
	return client;
}

/* Becomes readable when http_client_drive has something to do. */
pgsocket
http_client_fd(HttpClient *client)
{
	return client->epoll_fd;
}

/* Milliseconds after which http_client_drive wants to run without an event, -1: never. */
long
http_client_timeout(HttpClient *client)
{
	if (client->deadline < 0)
		return -1;
	return (long) Max(client->deadline - now_ms(), 0);
}

/* Writes down how a request ended. */
static void
finish(HttpRequest *request, CURLcode result)
{
	HttpReply *reply = &request->reply;
	long	   status = 0;
	curl_off_t retry_after = 0;

	request->done = true;
	reply->body = request->buffer != NULL ? request->buffer : "";
	if (result == CURLE_OK || reply->truncated)
	{
		curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
		curl_easy_getinfo(request->easy, CURLINFO_RETRY_AFTER, &retry_after);
		reply->status = (int) status;
		reply->retry_after = (long) Min(Max(retry_after, 0), 86400);
	}
	else if (reply->error[0] == '\0')
		strlcpy(reply->error,
				request->curl_error[0] != '\0' ? request->curl_error : curl_easy_strerror(result),
				HTTP_ERROR_MAX);
}

/* Takes a request away from curl. */
static void
detach(HttpRequest *request)
{
	sigset_t saved;

	block_signals(&saved);
	if (request->added)
		curl_multi_remove_handle(request->client->multi, request->easy);
	if (request->easy != NULL)
		curl_easy_cleanup(request->easy);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	curl_slist_free_all(request->headers);
	dlist_delete(&request->node);
	request->client = NULL;
}

/* Ends a request whose client goes. */
static void
abandon(HttpRequest *request)
{
	detach(request);
	if (request->done)
		return;
	strlcpy(request->reply.error, "the connection was closed", HTTP_ERROR_MAX);
	finish(request, CURLE_ABORTED_BY_CALLBACK);
}

/* Closes its connections; requests that run end with an error, and are still to be freed. */
void
http_client_close(HttpClient *client)
{
	sigset_t saved;

	if (client == NULL)
		return;
	while (!dlist_is_empty(&client->requests))
		abandon(dlist_head_element(HttpRequest, node, &client->requests));
	block_signals(&saved);
	if (client->multi != NULL)
		curl_multi_cleanup(client->multi);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	if (client->epoll_fd >= 0)
		close(client->epoll_fd);
	ReleaseExternalFD();
	http_auth_free(&client->auth);
	free(client->ca_file);
	free(client);
}

/* Takes over what curl has finished. */
static void
collect_finished(HttpClient *client)
{
	CURLMsg *message;
	int		 left;

	while ((message = curl_multi_info_read(client->multi, &left)) != NULL)
	{
		HttpRequest *request = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **) &request);
		finish(request, message->data.result);
	}
}

/* Hands the sockets' events to curl. */
static void
drive_sockets(HttpClient *client)
{
	struct epoll_event events[EVENTS_PER_CALL];
	int				   running;
	int				   n = epoll_wait(client->epoll_fd, events, EVENTS_PER_CALL, 0);

	for (int i = 0; i < n; i++)
	{
		int what = 0;

		if (events[i].events & EPOLLIN)
			what |= CURL_CSELECT_IN;
		if (events[i].events & EPOLLOUT)
			what |= CURL_CSELECT_OUT;
		if (events[i].events & (EPOLLERR | EPOLLHUP))
			what |= CURL_CSELECT_ERR;
		curl_multi_socket_action(client->multi, events[i].data.fd, what, &running);
	}
}

/* Does what can be done without waiting; cheap if that is nothing. */
void
http_client_drive(HttpClient *client)
{
	sigset_t saved;
	int		 running;

	block_signals(&saved);
	drive_sockets(client);
	if (http_client_timeout(client) == 0)
	{
		client->deadline = -1;
		curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
	collect_finished(client);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
}

/* True if the URL names this machine: no proxy is asked for it. */
static bool
is_loopback(const char *url)
{
	CURLU *parsed = curl_url();
	char  *host = NULL;
	bool   result = false;

	if (parsed != NULL && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
		curl_url_get(parsed, CURLUPART_HOST, &host, 0) == CURLUE_OK)
		result = pg_strcasecmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 ||
				 strcmp(host, "[::1]") == 0;
	curl_free(host);
	curl_url_cleanup(parsed);
	return result;
}

/* Sets one option unless an earlier one failed. */
#define SET(option, value)                              \
	do                                                  \
	{                                                   \
		if (rc == CURLE_OK)                             \
			rc = curl_easy_setopt(easy, option, value); \
	} while (0)

/* Options that are the same for every request. */
static CURLcode
set_common_options(HttpRequest *request, CURL *easy)
{
	HttpClient *client = request->client;
	CURLcode	rc = CURLE_OK;

	SET(CURLOPT_PRIVATE, request);
	SET(CURLOPT_ERRORBUFFER, request->curl_error);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_TCP_NODELAY, 1L);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_ACCEPT_ENCODING, "");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
#if LIBCURL_VERSION_NUM >= 0x075500
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
#else
	SET(CURLOPT_PROTOCOLS, (long) (CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
#if LIBCURL_VERSION_NUM >= 0x075700
	/* A cancelled request does not wait for its name to be resolved. */
	SET(CURLOPT_QUICK_EXIT, 1L);
#endif
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, request);
	if (client->ca_file != NULL)
		SET(CURLOPT_CAINFO, client->ca_file);
	if (client->auth.user_password != NULL)
	{
		SET(CURLOPT_HTTPAUTH, (long) CURLAUTH_BASIC);
		SET(CURLOPT_USERPWD, client->auth.user_password);
	}
	return rc;
}

/* Method, URL, times and body of this request. */
static CURLcode
set_call_options(HttpRequest *request, CURL *easy, const HttpCall *call)
{
	CURLcode rc = CURLE_OK;

	SET(CURLOPT_URL, call->url);
	if (is_loopback(call->url))
		SET(CURLOPT_PROXY, "");
	SET(CURLOPT_TIMEOUT_MS, call->timeout_ms);
	SET(CURLOPT_CONNECTTIMEOUT_MS, Min(call->timeout_ms, CONNECT_TIMEOUT_MAX));
	SET(CURLOPT_HTTPHEADER, request->headers);
	if (call->content_type != NULL)
	{
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) call->body_length);
		SET(CURLOPT_POSTFIELDS, call->body != NULL ? call->body : "");
	}
	SET(CURLOPT_CUSTOMREQUEST, call->method);
	return rc;
}

/* Headers of a request; the one against "100 Continue" saves a round trip per bulk. */
static bool
make_headers(HttpRequest *request, const HttpCall *call)
{
	char		type[128];
	const char *lines[] = {"Expect:", request->client->auth.header,
						   call->content_type != NULL ? type : NULL};

	if (call->content_type != NULL)
		snprintf(type, sizeof(type), "Content-Type: %s", call->content_type);
	for (int i = 0; i < lengthof(lines); i++)
	{
		struct curl_slist *longer;

		if (lines[i] == NULL)
			continue;
		longer = curl_slist_append(request->headers, lines[i]);
		if (longer == NULL)
			return false;
		request->headers = longer;
	}
	return true;
}

/* Gives the request to curl, which starts it with the next drive. */
static CURLcode
launch(HttpRequest *request, const HttpCall *call)
{
	CURLcode rc;

	request->easy = curl_easy_init();
	if (request->easy == NULL || !make_headers(request, call))
		return CURLE_OUT_OF_MEMORY;
	rc = set_common_options(request, request->easy);
	if (rc == CURLE_OK)
		rc = set_call_options(request, request->easy, call);
	if (rc != CURLE_OK)
		return rc;
	if (curl_multi_add_handle(request->client->multi, request->easy) != CURLM_OK)
		return CURLE_FAILED_INIT;
	request->added = true;
	return CURLE_OK;
}

/* Starts a request; what is wrong with it is told by its reply, only memory throws. */
HttpRequest *
http_start(HttpClient *client, const HttpCall *call)
{
	HttpRequest *request = calloc(1, sizeof(HttpRequest));
	sigset_t	 saved;
	CURLcode	 rc;

	if (request == NULL)
		out_of_memory();
	request->client = client;
	request->max_reply = call->max_reply;
	dlist_push_tail(&client->requests, &request->node);
	if (client->setup_error[0] != '\0')
	{
		strlcpy(request->reply.error, client->setup_error, HTTP_ERROR_MAX);
		finish(request, CURLE_FAILED_INIT);
		return request;
	}
	block_signals(&saved);
	rc = launch(request, call);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	if (rc != CURLE_OK)
		finish(request, rc);
	return request;
}

/* What it ended with, NULL while it runs. */
const HttpReply *
http_reply(HttpRequest *request)
{
	return request->done ? &request->reply : NULL;
}

/* Frees a request in any state; one that still runs is ended. */
void
http_free(HttpRequest *request)
{
	if (request == NULL)
		return;
	if (request->client != NULL)
		detach(request);
	free(request->buffer);
	free(request);
}

/* Waits for the latch, the client's sockets or its timer. */
static void
wait_for_event(HttpClient *client)
{
	static uint32 wait_event = 0;
	long		  timeout = http_client_timeout(client);
	int			  events = WL_LATCH_SET | WL_SOCKET_READABLE | WL_EXIT_ON_PM_DEATH;

	if (wait_event == 0)
		wait_event = compat_wait_event("TenancyHttp");
	if (timeout >= 0)
		events |= WL_TIMEOUT;
	(void) WaitLatchOrSocket(MyLatch, events, client->epoll_fd, timeout, wait_event);
	ResetLatch(MyLatch);
}

/*
 * Waits for the end of a request.  A cancel throws and leaves the request as it is:
 * the caller frees it in PG_FINALLY, as its body may go with the caller's memory.
 */
const HttpReply *
http_wait(HttpRequest *request)
{
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		http_client_drive(request->client);
		if (request->done)
			return &request->reply;
		wait_for_event(request->client);
	}
}
