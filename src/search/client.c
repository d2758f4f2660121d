/*
 * client.c
 *		A backend's way to the search server, or to one of its hosts.
 *
 * A backend keeps one client, and with it its connections, from its first search to
 * its end.  Of several hosts each is asked for its cluster before its first search: one
 * of another cluster would find another's documents.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "common/guc.h"
#include "common/jsonb.h"
#include "common/spi.h"
#include "search/client.h"
#include "sink/hosts.h"
#include "sink/kept.h"

#define ROOT_TIMEOUT_MAX 1000 /* ms, when only the product is asked for */
#define ROOT_REPLY_MAX (64 * 1024)

/* The client, and the settings it was opened with. */
static HttpClient  *client = NULL;
static KeptSettings opened_with;
static Hosts		hosts;
static Product		product;

/* Closes the connections. */
static void
close_client(void)
{
	http_client_close(client);
	client = NULL;
	memset(&product, 0, sizeof(product));
}

/* At the end of the backend. */
static void
close_at_exit(int code, Datum arg)
{
	close_client();
}

/* Cluster that the rows are sent to, if that is known. */
static void
read_cluster(void)
{
	SpiScope scope;
	char	*uuid;

	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec("SELECT identity FROM tenancy.sink WHERE name = 'search'", 0, NULL, NULL,
					 NULL);
	uuid = SPI_processed > 0 ? tenancy_spi_text(0, 1) : NULL;
	strlcpy(hosts.uuid, uuid != NULL ? uuid : "", HOSTS_UUID_MAX);
	tenancy_spi_end(&scope);
}

/* Opens the client, again if the settings have changed. */
static void
open_client(void)
{
	static bool		  registered = false;
	const char *const settings[] = {tenancy_search_url,		 tenancy_search_auth_file,
									tenancy_search_ca_file,	 tenancy_search_cert_file,
									tenancy_search_key_file, NULL};
	HttpFiles files = {tenancy_search_auth_file, tenancy_search_ca_file, tenancy_search_cert_file,
					   tenancy_search_key_file};

	if (client != NULL && kept_same(&opened_with, settings))
		return;
	close_client();
	kept_set(&opened_with, settings);
	hosts_set(&hosts, tenancy_search_url);
	hosts.turn = MyProcPid % Max(hosts.n, 1);
	if (hosts.n == 1)
		hosts.list[0].state = HOST_LIVE; /* there is none to compare it with */
	else
		read_cluster();
	if (!registered)
		on_proc_exit(close_at_exit, (Datum) 0);
	registered = true;
	client = http_client_open(&files);
}

/* Milliseconds until a time. */
static long
left_until(TimestampTz deadline)
{
	return TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);
}

/* Sends a call to one host and hands its reply over. */
static bool
exchange(int host, const HttpCall *call, long timeout_ms, SearchUse use, void *arg)
{
	HttpCall	  sent = *call;
	HttpRequest	 *request;
	volatile bool done = false;

	sent.url = hosts_url(&hosts, host, call->url);
	sent.host = host;
	sent.timeout_ms = timeout_ms;
	request = http_start(client, &sent);
	PG_TRY();
	{
		done = use(http_wait(request), arg);
	}
	PG_FINALLY();
	{
		http_free(request);
	}
	PG_END_TRY();
	return done;
}

/* Leaves a host out and logs that once. */
static void
leave_out(int host, HostState state, const HttpReply *reply, const char *why)
{
	if (hosts.n > 1 && hosts_leave_out(&hosts, host, state, reply))
		ereport(LOG, (errmsg("search server \"%s\" is left out: %s", hosts.list[host].url, why)));
}

/* A string of the reply's JSON object, NULL if there is none. */
static char *
reply_string(Jsonb *root, const char *key)
{
	return root != NULL ? tenancy_jsonb_string(&root->root, key) : NULL;
}

/* True if a host may be asked: it is the only one, of our cluster, or does not let us in. */
static bool
is_ours(const HttpReply *reply, const char *uuid)
{
	if (hosts.n == 1)
		hosts.list[reply->host].state = HOST_LIVE;
	else if (reply->status == 0)
		leave_out(reply->host, HOST_DOWN, reply, reply->error);
	else if (reply->status == 401)
		return true; /* it says so to the search too, and is asked again before the next one */
	else if (uuid == NULL || strcmp(uuid, "_na_") == 0)
	{
		(void) http_client_renew(client); /* others may be allowed to know */
		leave_out(reply->host, HOST_DOWN, reply, "it does not tell its cluster");
	}
	else if (!hosts_join(&hosts, reply->host, uuid))
		leave_out(reply->host, HOST_FOREIGN, reply,
				  psprintf("it belongs to cluster %s, not to cluster %s", uuid, hosts.uuid));
	return hosts.list[reply->host].state == HOST_LIVE;
}

/* Reads what answers at the root. */
static bool
use_root_reply(const HttpReply *reply, void *arg)
{
	Jsonb *root = tenancy_jsonb_parse(reply->body, reply->length);

	if (!is_ours(reply, reply_string(root, "cluster_uuid")))
		return false;
	if (reply->status != 0)
		product_read(&product, root != NULL ? &root->root : NULL);
	return true;
}

/* Asks a host what it is. */
static bool
ask_root(int host, long timeout_ms)
{
	HttpCall call = {.method = "GET", .url = "/", .max_reply = ROOT_REPLY_MAX};

	return exchange(host, &call, Max(timeout_ms, 1), use_root_reply, NULL);
}

/* The next host that is live, or turns out to be; anyway: even one that is not due. */
static int
find_host(TimestampTz deadline, bool anyway)
{
	int first = hosts.turn;

	for (int i = 1; i <= hosts.n && left_until(deadline) > 0; i++)
	{
		int	  candidate = (first + i) % hosts.n;
		Host *host = &hosts.list[candidate];

		hosts.turn = candidate;
		if (host->state == HOST_LIVE)
			return candidate;
		if ((hosts_is_due(&hosts, candidate) || (anyway && host->state == HOST_DOWN)) &&
			ask_root(candidate, left_until(deadline) / 2))
			return candidate;
	}
	return -1;
}

/* A call to one host after the other. */
typedef struct Attempt
{
	SearchUse use;
	void	 *arg;
	bool	  last;	   /* the reply is used whatever it is */
	bool	  renewed; /* the credentials were read again already */
	bool	  again;   /* out: another attempt makes sense */
} Attempt;

/* Uses the reply, unless another host or fresh credentials may give a better one. */
static bool
use_attempt(const HttpReply *reply, void *arg)
{
	Attempt *attempt = arg;
	bool	 gone = reply->status == 0 || reply->status == 502 || reply->status == 504;

	attempt->again = false;
	if (gone)
		leave_out(reply->host, HOST_DOWN, reply,
				  reply->status == 0 ? reply->error : "its gateway does not reach it");
	if (!attempt->renewed && (reply->status == 0 || reply->status == 401 || reply->status == 403))
		attempt->again = attempt->renewed = http_client_renew(client);
	attempt->again |= gone && hosts.n > 1;
	attempt->again &= !attempt->last;
	return attempt->again ? false : attempt->use(reply, attempt->arg);
}

/* No host can be asked. */
static bool
use_nothing(SearchUse use, void *arg)
{
	HttpReply none = {0};

	strlcpy(none.error, "none of its hosts answers", sizeof(none.error));
	return use(&none, arg);
}

/* Sends a call to a host that answers. */
bool
search_client_call(const HttpCall *call, SearchUse use, void *arg)
{
	Attempt		attempt = {.use = use, .arg = arg};
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), call->timeout_ms);
	int			left;

	open_client();
	left = hosts.n + 1; /* the one more is for fresh credentials */
	do
	{
		int	 host = find_host(deadline, false);
		long time;
		bool done;

		if (host < 0)
			host = find_host(deadline, true);
		time = left_until(deadline);
		if (host < 0 || time <= 0)
			return use_nothing(use, arg);
		attempt.last = --left == 0;
		done = exchange(host, call, hosts.n > 1 && left > 1 ? Max(time / 2, 1) : time, use_attempt,
						&attempt);
		if (!attempt.again)
			return done;
	} while (true);
}

/* Product that answers there. */
const Product *
search_client_product(void)
{
	open_client();
	if (!product.known)
		(void) ask_root(hosts.turn, Min(tenancy_search_timeout, ROOT_TIMEOUT_MAX));
	return &product;
}
