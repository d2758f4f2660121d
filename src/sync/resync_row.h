/*
 * resync_row.h
 *		One row of tenancy.resync, changed by the worker that works on it.
 */
#ifndef TENANCY_RESYNC_ROW_H
#define TENANCY_RESYNC_ROW_H

#include "datatype/timestamp.h"

/* Names the row; another requested_at means that it was asked for again. */
#define RESYNC_THIS_ROW "sink = $1 AND tenant_id = $2 AND table_name = $3 AND requested_at = $4"

typedef struct ResyncRow
{
	const char *sink;
	int64		tenant_id;
	char		table_name[NAMEDATALEN];
	TimestampTz requested_at;
} ResyncRow;

#define RESYNC_LIST_MOST 1000 /* rows of a list */

typedef enum RowLock
{
	ROW_LOCKED_BY_US,
	ROW_BUSY, /* somebody is changing it */
	ROW_GONE  /* it is there no more, or was asked for again */
} RowLock;

/* All inside an SPI scope. */
extern void	   resync_row_change(const ResyncRow *row, const char *sql, Oid type, Datum value,
								 int64 count);
extern RowLock resync_row_lock(const ResyncRow *row);
extern bool	   resync_row_unblock(const char *sink);
extern bool	   resync_row_is_fresh(const ResyncRow *row);
/* tenant_id, table_name, phase, last_key, relation, requested_at of rows that can be worked on. */
extern void resync_row_list(const char *sink, int64 skip);
/* The table is gone: so is what the sink had of it. */
extern void resync_row_table_gone(const ResyncRow *row);
extern void resync_row_filled(const ResyncRow *row);

#endif
