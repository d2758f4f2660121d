/*
 * es_items.h
 *		What the reply of _bulk says of each item.
 */
#ifndef TENANCY_ES_ITEMS_H
#define TENANCY_ES_ITEMS_H

#include "sink/sink.h"

/* Gives the items without an outcome one, by position; false if some are left without. */
extern bool es_items_apply(SinkBatch *batch, const char *body);

#endif
