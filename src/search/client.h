/*
 * client.h
 *		A backend's way to the search server, or to one of its hosts.
 */
#ifndef TENANCY_SEARCH_CLIENT_H
#define TENANCY_SEARCH_CLIENT_H

#include "search/product.h"
#include "sink/http.h"

/* Takes a reply, which lives no longer than the call. */
typedef bool (*SearchUse)(const HttpReply *reply, void *arg);

/* Sends call.url, which is a path, to a host that answers; gives up within call.timeout_ms. */
extern bool search_client_call(const HttpCall *call, SearchUse use, void *arg);
/* Product that answers there, or the usual one as long as that is not known; it is asked once. */
extern const Product *search_client_product(void);

#endif
