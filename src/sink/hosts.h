/*
 * hosts.h
 *		The hosts of one search cluster: which of them to ask.
 *
 * Each process has its own view of them.
 */
#ifndef TENANCY_HOSTS_H
#define TENANCY_HOSTS_H

#include "sink/backoff.h"
#include "sink/http.h"

#define HOSTS_UUID_MAX 64

typedef enum HostState
{
	HOST_UNKNOWN, /* to be asked */
	HOST_LIVE,
	HOST_DOWN,	 /* does not answer */
	HOST_DENIED, /* does not let us in */
	HOST_FOREIGN /* belongs to another cluster */
} HostState;

typedef struct Host
{
	char	 *url; /* without a slash at its end */
	HostState state;
	Backoff	  backoff;				/* of a host that is left out */
	char	  uuid[HOSTS_UUID_MAX]; /* of its cluster as it last said, "": never asked */
} Host;

typedef struct Hosts
{
	int	  n;
	int	  turn;					/* the last one asked */
	Host *list;					/* in TopMemoryContext */
	char  uuid[HOSTS_UUID_MAX]; /* of the cluster, "": the first answer decides */
} Hosts;

/* Takes a list of URLs, separated by commas; what is known of the cluster stays. */
extern void hosts_set(Hosts *hosts, const char *urls);
/* A live host, each in its turn; -1: there is none. */
extern int hosts_next(Hosts *hosts);
/* Address of a path there, palloc'd. */
extern char *hosts_url(const Hosts *hosts, int i, const char *path);
/* True if a host that is not live may be asked whether it is now. */
extern bool hosts_is_due(const Hosts *hosts, int i);
/* A host has told its cluster: true if it is ours, and then live. */
extern bool hosts_join(Hosts *hosts, int i, const char *uuid);
/* A host is left out for a while; true if that is new. */
extern bool hosts_leave_out(Hosts *hosts, int i, HostState state, const HttpReply *reply);

#endif
