/*
 * hosts.c
 *		The hosts of one search cluster: which of them to ask.
 *
 * A host of another cluster is left out as long as one of the list may be of the known
 * cluster, even if that one does not answer now: else documents would go astray.  Only
 * when every host has named another cluster, the known one is gone and the next answer
 * decides.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/memutils.h"

#include "sink/hosts.h"

/* Frees the list. */
static void
forget(Hosts *hosts)
{
	for (int i = 0; i < hosts->n; i++)
		pfree(hosts->list[i].url);
	if (hosts->list != NULL)
		pfree(hosts->list);
	hosts->list = NULL;
	hosts->n = hosts->turn = 0;
}

/* Number of parts of a list. */
static int
count_parts(const char *urls)
{
	int n = 1;

	for (const char *c = urls; *c != '\0'; c++)
		n += *c == ',' ? 1 : 0;
	return n;
}

/* Copies one URL without white space around it and slashes at its end, NULL if nothing is left. */
static char *
copy_url(const char *start, size_t length)
{
	while (length > 0 && isspace((unsigned char) *start))
		start++, length--;
	while (length > 0 && (start[length - 1] == '/' || isspace((unsigned char) start[length - 1])))
		length--;
	if (length == 0)
		return NULL;
	return pnstrdup(start, length);
}

/* Takes a list of URLs. */
void
hosts_set(Hosts *hosts, const char *urls)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	forget(hosts);
	hosts->list = palloc0(count_parts(urls) * sizeof(Host));
	for (;;)
	{
		size_t length = strcspn(urls, ",");
		char  *url = copy_url(urls, length);

		if (url != NULL)
			hosts->list[hosts->n++].url = url;
		if (urls[length] == '\0')
			break;
		urls += length + 1;
	}
	MemoryContextSwitchTo(old);
}

/* A live host, each in its turn. */
int
hosts_next(Hosts *hosts)
{
	for (int i = 1; i <= hosts->n; i++)
	{
		int candidate = (hosts->turn + i) % hosts->n;

		if (hosts->list[candidate].state == HOST_LIVE)
			return hosts->turn = candidate;
	}
	return -1;
}

/* Address of a path at a host. */
char *
hosts_url(const Hosts *hosts, int i, const char *path)
{
	return psprintf("%s%s", hosts->list[i].url, path);
}

/* True if a host that is not live may be asked. */
bool
hosts_is_due(const Hosts *hosts, int i)
{
	return hosts->list[i].state != HOST_LIVE && sink_backoff_left(&hosts->list[i].backoff) <= 0;
}

/* True if a host may be of the known cluster: it said so, or has not said anything yet. */
static bool
has_members(const Hosts *hosts)
{
	for (int i = 0; i < hosts->n; i++)
		if (hosts->list[i].uuid[0] == '\0' || strcmp(hosts->list[i].uuid, hosts->uuid) == 0)
			return true;
	return false;
}

/* A host has told its cluster. */
bool
hosts_join(Hosts *hosts, int i, const char *uuid)
{
	Host *host = &hosts->list[i];

	strlcpy(host->uuid, uuid, HOSTS_UUID_MAX);
	if (hosts->uuid[0] == '\0' || !has_members(hosts))
		strlcpy(hosts->uuid, host->uuid, HOSTS_UUID_MAX);
	if (strcmp(host->uuid, hosts->uuid) != 0)
		return false;
	host->state = HOST_LIVE;
	return true;
}

/* A host is left out for a while, at least as long as it asked for. */
bool
hosts_leave_out(Hosts *hosts, int i, HostState state, const HttpReply *reply)
{
	Host *host = &hosts->list[i];
	bool  is_new = host->state != state;

	host->state = state;
	sink_backoff_failed(&host->backoff);
	sink_backoff_postpone(&host->backoff, (int64) reply->retry_after * 1000);
	return is_new;
}
