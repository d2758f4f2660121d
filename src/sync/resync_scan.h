/*
 * resync_scan.h
 *		Rows and documents of the table that a resync is about.
 */
#ifndef TENANCY_RESYNC_SCAN_H
#define TENANCY_RESYNC_SCAN_H

#include "sync/resync_row.h"
#include "sync/sink_worker.h"

/* The table that is being scanned. */
typedef struct Resync
{
	ResyncRow	   row;
	Oid			   relid;	  /* InvalidOid: there is none any more */
	Oid			   schema;	  /* of relid */
	bool		   ghosts;	  /* phase */
	StringInfoData position;  /* last one given out, empty: none */
	int64		   given;	  /* rows of the open chunk */
	int64		   read;	  /* of them, those read last */
	TimestampTz	   opened_at; /* when its first was read */
	bool		   at_end;	  /* the phase gave all it has */
	bool		   gone;	  /* there is no table any more */
	TransactionId  barrier;	  /* older transactions must have ended before the first row is read */
	uint64		   fence;	  /* batches up to this number must have ended before the listing */
	int			   place;	  /* of the target, that is being listed */
	int			   nplaces;	  /* of the target when the listing was opened */
	SinkListing	  *listing;
	StringInfoData keys; /* of the chunk */
} Resync;

typedef enum ScanResult
{
	SCAN_DONE,
	SCAN_LOCKED, /* the table cannot be had now */
	SCAN_BLOCKED /* it cannot be synced as it is: the row says so */
} ScanResult;

/* Both need a transaction. */
extern ScanResult resync_scan_rows(SinkWorker *worker, Resync *resync, int most);
extern ScanResult resync_scan_page(SinkWorker *worker, Resync *resync);
/* Starts listing the documents of the next place of the target. */
extern void resync_open_place(SinkWorker *worker, Resync *resync, const SinkTarget *target);

#endif
