/*
 * reply.h
 *		Reading the search server's replies.
 *
 * Whatever does not have the expected form is refused as a whole: false or NULL.
 */
#ifndef TENANCY_SEARCH_REPLY_H
#define TENANCY_SEARCH_REPLY_H

#include "search/search.h"

/* Fills a result from a reply's text. */
extern bool reply_parse_search(Jsonb *reply, const SearchTarget *target,
							   const SearchRequest *request, SearchResult *result);
/* Reason in an error reply, the root cause before the summary; NULL if there is none. */
extern char *reply_error(const char *body, size_t length);
/* A whole number that is not negative. */
extern bool reply_count(JsonbContainer *object, const char *key, int64 *count);
/* Takes what a shared index adds to a document away; false: it is another tenant's. */
extern bool reply_strip(const SearchTarget *target, char **id, JsonbContainer **document);
/* True if a hit is a document of the tenant, as far as it tells. */
extern bool reply_is_own(const SearchTarget *target, JsonbContainer *hit);
/* reply_facets.c */
extern bool reply_parse_facets(JsonbContainer *root, const SearchRequest *request,
							   SearchResult *result);

#endif
