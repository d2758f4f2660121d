/*
 * http_client.c
 *		The sockets and the timer of HTTP requests, waited for without blocking.
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

#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"

#include "sink/http_internal.h"

#define EVENTS_PER_CALL 16

/* Milliseconds of the monotonic clock. */
static int64
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Blocks every signal, so that a thread started now inherits that. */
void
http_block_signals(sigset_t *saved)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, saved);
}

/* Complains about memory. */
void
http_out_of_memory(void)
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
	http_block_signals(&saved);
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

/* Copies the name of a file; false without memory. */
static bool
copy_name(char **copy, const char *name)
{
	*copy = name != NULL && name[0] != '\0' ? strdup(name) : NULL;
	return *copy != NULL || name == NULL || name[0] == '\0';
}

/* Takes the settings over; a file that can't be read is remembered for every call. */
static bool
set_up(HttpClient *client, const HttpFiles *files)
{
	return copy_name(&client->auth_file, files->auth) && copy_name(&client->ca_file, files->ca) &&
		   copy_name(&client->cert_file, files->cert) && copy_name(&client->key_file, files->key) &&
		   http_auth_read(&client->auth, client->auth_file, client->setup_error, HTTP_ERROR_MAX);
}

/* Reads the credentials again; true if they are others than before. */
bool
http_client_renew(HttpClient *client)
{
	HttpAuth fresh = {0};
	char	 error[HTTP_ERROR_MAX] = "";
	bool	 changed;

	if (!http_auth_read(&fresh, client->auth_file, error, sizeof(error)))
		http_out_of_memory();
	changed = !http_auth_same(&fresh, &client->auth) || strcmp(error, client->setup_error) != 0;
	http_auth_free(&client->auth);
	client->auth = fresh;
	strlcpy(client->setup_error, error, sizeof(client->setup_error));
	return changed;
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

/* Makes a client; it reads the credentials now, and again when it is told to. */
HttpClient *
http_client_open(const HttpFiles *files)
{
	HttpClient *client;

	init_curl();
	client = calloc(1, sizeof(HttpClient));
	if (client == NULL)
		http_out_of_memory();
	dlist_init(&client->requests);
	client->deadline = -1;
	ReserveExternalFD();
	client->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (client->epoll_fd < 0 || !set_up(client, files) || !make_multi(client))
	{
		http_client_close(client);
		http_out_of_memory();
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

/* Closes its connections; requests that run end with an error, and are still to be freed. */
void
http_client_close(HttpClient *client)
{
	sigset_t saved;

	if (client == NULL)
		return;
	while (!dlist_is_empty(&client->requests))
		http_abandon(dlist_head_element(HttpRequest, node, &client->requests));
	http_block_signals(&saved);
	if (client->multi != NULL)
		curl_multi_cleanup(client->multi);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	if (client->epoll_fd >= 0)
		close(client->epoll_fd);
	ReleaseExternalFD();
	http_auth_free(&client->auth);
	free(client->auth_file);
	free(client->ca_file);
	free(client->cert_file);
	free(client->key_file);
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
		http_finish(request, message->data.result);
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

	http_block_signals(&saved);
	drive_sockets(client);
	if (http_client_timeout(client) == 0)
	{
		client->deadline = -1;
		curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
	collect_finished(client);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
}
