/*
 * server.h
 *		Requests to the search server about the current tenant's documents.
 */
#ifndef TENANCY_SEARCH_SERVER_H
#define TENANCY_SEARCH_SERVER_H

#include "search/body.h"

/* Reads a reply; false: it is none. */
typedef bool (*ServerParse)(Jsonb *reply, void *arg);

/* A request to _search. */
typedef struct ServerCall
{
	const SearchTarget *target;
	BodyFill			fill;
	const void		   *fill_arg;
	ServerParse			parse;
	void			   *parse_arg;
	bool				alone; /* nothing is to be done in the statement's time if it fails */
} ServerCall;

/* False if it is known beforehand that asking leads nowhere, and why. */
extern bool server_usable(const SearchTarget *target, SearchFailure *failure);
/* The only way to the server: confined to the tenant, within the statement's time.  False: no answer. */
extern bool server_call(const ServerCall *call, SearchFailure *failure);

#endif
