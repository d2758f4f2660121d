/*
 * es_listing.h
 *		Keys of all documents of an index, page by page.
 */
#ifndef TENANCY_ES_LISTING_H
#define TENANCY_ES_LISTING_H

#include "sink/sink.h"

extern SinkListing	 *es_listing_open(const SinkTarget *target, const SinkPlace *place);
extern SinkListing	 *es_listing_sample(const SinkTarget *target, const SinkPlace *place, int most);
extern SinkListResult es_listing_next(SinkListing *listing, StringInfo keys);
extern void			  es_listing_close(SinkListing *listing);

#endif
