/*
 * backlog_table.h
 *		tenancy.backlog: what is written to it and read from it.
 */
#ifndef TENANCY_BACKLOG_TABLE_H
#define TENANCY_BACKLOG_TABLE_H

#include "sync/sink_worker.h"

/* Keys of one relation in the table. */
typedef struct BacklogRelation
{
	Oid		   relid; /* hash key */
	Oid		   schema;
	uint64	   count;
	int64	   after;	   /* rows up to this id are done */
	int64	   chunk_last; /* highest id of the open chunk */
	int64	   chunk_keys; /* of the open chunk, -1: it has no part in it */
	dlist_node turn;
} BacklogRelation;

/* All inside a transaction. */
extern void backlog_table_write(const char *sink, DirtyEntry **entries, int n);
extern void backlog_table_count(const char *sink, void (*found)(Oid relid, uint64 count));
extern void backlog_table_clear(const char *sink);
extern void backlog_table_delete(const char *sink, BacklogRelation **relations, int n);
extern void backlog_table_read(SinkWorker *worker, BacklogRelation **relations, int64 *most, int n);

#endif
