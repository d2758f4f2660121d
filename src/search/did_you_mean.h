/*
 * did_you_mean.h
 *		Better spellings of a query's words.
 */
#ifndef TENANCY_SEARCH_DID_YOU_MEAN_H
#define TENANCY_SEARCH_DID_YOU_MEAN_H

#include "search/body.h"

/* Asks for spellings, in the body of the search itself. */
extern void did_you_mean_put(json_t *root, const SearchTarget *target,
							 const SearchRequest *request);
/* Words of the reply for which there are others; NIL: none. */
extern List *did_you_mean_words(const SearchTarget *target, const SearchRequest *request,
								JsonbContainer *root);
/* The query with other words where the tenant has none of those; NULL: it needs none. */
extern char *did_you_mean_ask(const SearchTarget *target, const SearchRequest *request,
							  List *words);

#endif
