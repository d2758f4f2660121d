/*
 * es_bulk.h
 *		The body of a _bulk request.
 */
#ifndef TENANCY_ES_BULK_H
#define TENANCY_ES_BULK_H

#include "lib/stringinfo.h"
#include "sink/es_server.h"

/* Start of a document in an index that tenants share: ids of tenant and part; then a comma or }. */
#define ES_PART_OBJECT "{\"_tenancy\":{\"tenant\":\"" INT64_FORMAT "\",\"part\":\"%s\"}"

/* Appends the items without an outcome, refuses those whose id can't be; returns how many. */
extern int		   es_bulk_build(StringInfo body, SinkBatch *batch, const EsServer *server);
extern const char *es_bulk_path(const EsServer *server);

/* elasticsearch.c: number of the last request begun; true if all up to a number have ended. */
extern uint64 es_bulk_begun(void);
extern bool	  es_bulk_ended(uint64 number);

#endif
