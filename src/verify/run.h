/*
 * run.h
 *		What the parts of one verify share.
 */
#ifndef TENANCY_VERIFY_RUN_H
#define TENANCY_VERIFY_RUN_H

#include "sync/row_reader.h"
#include "sync/shared.h"

/* A synced table of a tenant that has an index. */
typedef struct VerifyTable
{
	int64 tenant_id;
	char *tenant;
	char *schema;
	char *name;
} VerifyTable;

typedef struct VerifyCounts
{
	int64 missing; /* row without a document */
	int64 stale;   /* row whose document is another one */
	int64 ghost;   /* document without a row */
	int64 checked; /* rows looked at */
} VerifyCounts;

typedef enum VerifyState
{
	VERIFY_READY,
	VERIFY_GONE,	 /* the table, or its tenant, is not there any more */
	VERIFY_NOT_READY /* cannot be compared now; VerifyRun.reason says why */
} VerifyState;

/* A row as it was read. */
typedef struct VerifyRow
{
	bool  there;
	bool  unreadable;
	char *doc;
	int	  length;
} VerifyRow;

/* A key that is looked at. */
typedef struct VerifyKey
{
	SinkDocument document; /* the key, and what the index has */
	VerifyRow	 row;
	VerifyRow	 before;		/* the row of the reading before */
	VerifyRow	 fresh;			/* while it is being read */
	char		*kept;			/* document.doc, if it outlives the reply */
	uint64		 first_version; /* of the document when it was found to differ */
	uint64		 last_version;	/* of the document of the round before */
	int			 rounds;		/* in which it differed */
	bool		 moved;			/* the document has not always been first_version */
	bool		 agrees;		/* document and row */
} VerifyKey;

typedef struct VerifyRun
{
	DatabaseShared	  *database;
	const SinkDriver  *driver;
	bool			   repair;
	bool			   new_index; /* the one that is to replace the serving one is compared */
	int				   epoch;
	const VerifyTable *table; /* the one at hand, and what follows is about it */
	Oid				   relid;
	const SinkTarget  *target; /* until the next verify_begin_rows */
	const SinkPlace	  *place;  /* of it */
	VerifyCounts	   counts;
	char			   reason[SINK_REASON_MAX];
	MemoryContext	   batch_context; /* rows and documents being compared */
	uint64			   stuck_at; /* the sink's position when it was waited for in vain, 0: never */
	bool			   not_waiting; /* for resyncs: one took too long */
} VerifyRun;

/* table.c */
extern VerifyRun	   *verify_run_make(DatabaseShared *database, bool repair);
extern List			   *verify_tables(const char *tenant, const char *relation);
extern VerifyState		verify_table(VerifyRun *run, const VerifyTable *table);
extern VerifyState		verify_table_begin(VerifyRun *run, const VerifyTable *table);
extern VerifyState		verify_table_end(VerifyRun *run, VerifyState state);
extern VerifyState		verify_positions(VerifyRun *run, StringInfo positions);
extern VerifyState		verify_listing(VerifyRun *run, SinkListing *listing);
extern const SinkPlace *verify_place(const VerifyRun *run);

/* rows.c */
extern VerifyState verify_begin_rows(VerifyRun *run, RowReader **reader);
extern void		   verify_end_rows(RowReader *reader);
extern VerifyState verify_read_rows(VerifyRun *run, VerifyKey **keys, int n, Size most, int *read);

/* network.c */
extern void		   verify_connect(VerifyRun *run);
extern void		   verify_wait(VerifyRun *run, long ms);
extern void		   verify_pause(VerifyRun *run, long ms);
extern VerifyState verify_fetch(VerifyRun *run, VerifyKey **keys, int n);

/* compare.c */
extern void verify_judge(VerifyRun *run, VerifyKey **keys, int n);
extern bool verify_same_row(const VerifyRow *a, const VerifyRow *b);
extern bool verify_agrees(VerifyRun *run, const VerifyKey *key, const VerifyRow *row);
extern bool verify_never_issued(VerifyRun *run, const VerifyKey *key);

/* keys.c */
extern VerifyState verify_keys(VerifyRun *run, VerifyKey *keys, int n);

/* settle.c */
extern VerifyState verify_settle(VerifyRun *run, VerifyKey **keys, int n);
extern void		   verify_repair(VerifyRun *run, VerifyKey **keys, int n);

/* moves.c: leaves those that were refused out; returns how many are left. */
extern int verify_without_letters(VerifyRun *run, VerifyKey **keys, int n);

/* sink_wait.c */
extern uint64 verify_sink_wait(VerifyRun *run);

#endif
