/*
 * client.h
 *		A backend's way to the search server, or to one of its hosts.
 */
#ifndef TENANCY_SEARCH_CLIENT_H
#define TENANCY_SEARCH_CLIENT_H

#include "sink/http.h"

/* Takes a reply, which lives no longer than the call. */
typedef bool (*SearchUse)(const HttpReply *reply, void *arg);

/* Sends call.url, which is a path, to a host that answers; gives up within call.timeout_ms. */
extern bool search_client_call(const HttpCall *call, SearchUse use, void *arg);
/* Product that answers there; it is asked once. */
extern const char *search_client_engine(void);

#endif
