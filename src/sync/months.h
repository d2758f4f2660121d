/*
 * months.h
 *		Where a document is whose index has a part for each partition.
 */
#ifndef TENANCY_MONTHS_H
#define TENANCY_MONTHS_H

#include "sink/place.h"

/*
 * Place of a key's document: the one given, or its month's.  NULL: one that does not serve has
 * no index for it yet.
 */
extern const SinkPlace *months_place(const SinkPlace *place, const char *key, int key_length);

/* Microseconds since 2000 of a date or a time as it is in keys; false: it is none. */
extern bool months_time(const char *text, int64 *time);

/* Puts months in the order in which they are looked up. */
extern void months_sort(SinkPlace *place);

#endif
