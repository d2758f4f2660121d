/*
 * http.c
 *		HTTP requests that wait on the latch, not in curl.
 *
 * With http_client.c the only user of libcurl.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/latch.h"

#include "common/compat.h"
#include "sink/gzip.h"
#include "sink/http_internal.h"

#define CONNECT_TIMEOUT_MAX 5000L /* ms */
#define COMPRESS_MIN 1024		  /* bytes; below that it does not pay */
#define EXPECT_MIN (1024 * 1024)  /* bytes; above that the server may refuse before they are sent */
#define EXPECT_TIMEOUT 300L		  /* ms for a server that does not know how to */

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

/* Writes down how a request ended. */
void
http_finish(HttpRequest *request, CURLcode result)
{
	HttpReply *reply = &request->reply;
	long	   status = 0;
	curl_off_t retry_after = 0;

	request->done = true;
	if (request->easy != NULL)
		curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
	reply->body = request->buffer != NULL ? request->buffer : "";
	/* A server may close the connection with its 413 before it has the whole body. */
	if (result == CURLE_OK || reply->truncated || status == 413)
	{
		curl_easy_getinfo(request->easy, CURLINFO_RETRY_AFTER, &retry_after);
		reply->status = (int) status;
		reply->retry_after = (long) Min(Max(retry_after, 0), 86400);
	}
	else
		reply->timed_out = result == CURLE_OPERATION_TIMEDOUT;
	if (reply->status == 0 && reply->error[0] == '\0')
		strlcpy(reply->error,
				request->curl_error[0] != '\0' ? request->curl_error : curl_easy_strerror(result),
				HTTP_ERROR_MAX);
}

/* Takes a request away from curl. */
static void
detach(HttpRequest *request)
{
	sigset_t saved;

	http_block_signals(&saved);
	if (request->added)
		curl_multi_remove_handle(request->client->multi, request->easy);
	if (request->easy != NULL)
		curl_easy_cleanup(request->easy);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	request->easy = NULL;
	curl_slist_free_all(request->headers);
	dlist_delete(&request->node);
	request->client = NULL;
}

/* Ends a request whose client goes. */
void
http_abandon(HttpRequest *request)
{
	detach(request);
	if (request->done)
		return;
	strlcpy(request->reply.error, "the connection was closed", HTTP_ERROR_MAX);
	http_finish(request, CURLE_ABORTED_BY_CALLBACK);
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
	CURLcode rc = CURLE_OK;

	SET(CURLOPT_PRIVATE, request);
	SET(CURLOPT_ERRORBUFFER, request->curl_error);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_TCP_NODELAY, 1L);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
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
	SET(CURLOPT_EXPECT_100_TIMEOUT_MS, EXPECT_TIMEOUT);
	return rc;
}

/* What lets us in, and shows that it is the right server. */
static CURLcode
set_trust_options(HttpRequest *request, CURL *easy)
{
	HttpClient *client = request->client;
	CURLcode	rc = CURLE_OK;

	if (client->ca_file != NULL)
		SET(CURLOPT_CAINFO, client->ca_file);
	if (client->cert_file != NULL)
	{
		SET(CURLOPT_SSLCERT, client->cert_file);
		SET(CURLOPT_SSLKEY, client->key_file != NULL ? client->key_file : client->cert_file);
	}
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
	if (call->compress)
		SET(CURLOPT_ACCEPT_ENCODING, "gzip");
	if (call->content_type != NULL)
	{
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) request->body_length);
		SET(CURLOPT_POSTFIELDS, request->body);
	}
	SET(CURLOPT_CUSTOMREQUEST, call->method);
	return rc;
}

/*
 * Headers of a request.  "100 Continue" is a round trip, which a small body can do without;
 * a large one that the server refuses would else end in a broken connection, not in a 413.
 */
static bool
make_headers(HttpRequest *request, const HttpCall *call)
{
	char		type[128];
	const char *lines[] = {request->body_length < EXPECT_MIN ? "Expect:" : "Expect: 100-continue",
						   request->client->auth.header, call->content_type != NULL ? type : NULL,
						   request->reply.compressed ? "Content-Encoding: gzip" : NULL};

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

/* The body as it is sent; without memory for that it stays as it is. */
static void
set_body(HttpRequest *request, const HttpCall *call)
{
	request->body = call->body != NULL ? call->body : "";
	request->body_length = call->body_length;
	if (!call->compress || call->body_length < COMPRESS_MIN)
		return;
	request->compressed = gzip_compress(call->body, call->body_length, &request->body_length);
	if (request->compressed == NULL)
		return;
	request->body = request->compressed;
	request->reply.compressed = true;
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
		rc = set_trust_options(request, request->easy);
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
		http_out_of_memory();
	request->client = client;
	request->reply.host = call->host;
	set_body(request, call);
	request->max_reply = call->max_reply;
	dlist_push_tail(&client->requests, &request->node);
	if (client->setup_error[0] != '\0')
	{
		strlcpy(request->reply.error, client->setup_error, HTTP_ERROR_MAX);
		http_finish(request, CURLE_FAILED_INIT);
		return request;
	}
	http_block_signals(&saved);
	rc = launch(request, call);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	if (rc != CURLE_OK)
		http_finish(request, rc);
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
	free(request->compressed);
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
