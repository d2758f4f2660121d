/*
 * es_fetch.h
 *		Documents of an index, by key.
 */
#ifndef TENANCY_ES_FETCH_H
#define TENANCY_ES_FETCH_H

#include "sink/sink.h"

extern SinkFetch	  *es_fetch_open(const SinkPlace *place, SinkDocument **documents, int n,
									 size_t most_bytes);
extern SinkFetchResult es_fetch_poll(SinkFetch *fetch, const char **error);
extern void			   es_fetch_close(SinkFetch *fetch);

#endif
