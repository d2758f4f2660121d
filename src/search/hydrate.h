/*
 * hydrate.h
 *		Rows of the table in place of the documents that the server found.
 */
#ifndef TENANCY_SEARCH_HYDRATE_H
#define TENANCY_SEARCH_HYDRATE_H

#include "search/search.h"

extern void hydrate_hits(const SearchTarget *target, const SearchRequest *request,
						 SearchResult *result);

#endif
