/*
 * capture.h
 *		The capture worker: from the WAL to dirty keys.
 */
#ifndef TENANCY_CAPTURE_H
#define TENANCY_CAPTURE_H

#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "replication/reorderbuffer.h"
#include "utils/rel.h"

#include "sync/shared.h"

typedef struct Capture
{
	DatabaseShared *database;
	uint64			streams[SINK_COUNT];  /* stream each sink was given */
	uint64			skip_to[SINK_COUNT];  /* a sink has agreed up to this LSN already */
	bool			left_out[SINK_COUNT]; /* it is switched off: nothing is sent, nor waited for */
	bool			restart;			  /* a sink has begun anew: decode again for it */
	uint64			announced;			  /* LSN the sinks were last told */
	uint64			settled;			  /* LSN that every sink agreed up to, ... */
	uint64			settled_at;			  /* ... noted when the WAL was written up to here */
	uint64			confirmed;			  /* LSN the slot is confirmed at in memory */
	uint64			saved;				  /* and on disk */
	TimestampTz		saved_at;
	TimestampTz		checked_at;		  /* last look whether the extension is there */
	TimestampTz		moved_at;		  /* last time there was WAL to read */
	TimestampTz		counted_at;		  /* wake-ups by commits are counted since */
	int				wakes;			  /* so many */
	int				naps;			  /* naps to take instead, since these are too many */
	uint8			told;			  /* bit per RingKind, told in the transaction being replayed */
	bool			old_registry;	  /* it began before the registry's last change */
	uint64			registry_lsn;	  /* commit of that change */
	bool			identity_changed; /* tenancy.instance is not what it was */
	uint64			identity_lsn;	  /* commit of that change */
	StringInfoData	key;
	MemoryContext	change_context; /* reset for every change */
} Capture;

/* What a change of a registry table means. */
typedef enum CaptureRegistry
{
	REGISTRY_NONE,	  /* a user's table, or nothing to anybody */
	REGISTRY_CONFIG,  /* the sinks look again */
	REGISTRY_DECIDES, /* and what is synced may have changed */
	REGISTRY_RESYNC,  /* tenancy.resync */
	REGISTRY_IDENTITY /* tenancy.instance */
} CaptureRegistry;

/* What capture has to know of a relation, as of the change being decoded. */
typedef struct CaptureRelation
{
	Oid				relid; /* hash key */
	bool			valid;
	uint64			generation;		 /* valid only if it is the cache's */
	CaptureRegistry registry;		 /* which of our own tables */
	uint8			sinks;			 /* bit per SinkKind; 0: not synced */
	Oid				root;			 /* the table that the registry names */
	Oid				schema;			 /* of root */
	MemoryContext	context;		 /* of what follows, NULL if there is none */
	int				nkeys;			 /* 0: its key is not known */
	bool			key_in_identity; /* an UPDATE of it brings the old row */
	AttrNumber	   *attributes;
	FmgrInfo	   *outputs;
	List		   *dependents; /* CaptureDependent: tables it is joined with */
} CaptureRelation;

/* capture.c */
extern Capture *capture_decoding;
extern void		capture_run(DatabaseShared *database);
extern void		capture_put(Capture *capture, SinkKind kind, RingRecord *record, const char *key);

/* relation.c */
extern void				capture_relation_init(void);
extern CaptureRelation *capture_relation(Relation relation);
extern void				capture_relation_forget_all(void);
extern List			   *capture_relation_changes(void);
extern void				capture_relation_begin(bool uncached);
extern MemoryContext	capture_relation_memory(CaptureRelation *info);
extern Datum	capture_column(Relation table, HeapTuple tuple, const char *name, bool *isnull);
extern Relation capture_open_registry(const char *table, const char *index, Oid *index_oid);
extern List	   *capture_names_in(Relation table, HeapTuple tuple, const char *name);
extern uint8	capture_find_sync_table(text *blueprint, const char *table_name, List **names);

/* plugin.c */
extern void capture_send(Capture *capture, ReorderBufferTXN *txn, uint8 sinks, RingKind kind,
						 Oid relid, Oid schema, const char *key, int key_length);
extern bool capture_value(Relation relation, AttrNumber attribute, HeapTuple tuple, HeapTuple other,
						  Datum *value, bool *isnull);

/* dependent.c */
extern void capture_load_dependents(CaptureRelation *info, Relation relation, text *blueprint,
									const char *table_name);
extern void capture_mark_parents(Capture *capture, ReorderBufferTXN *txn, CaptureRelation *info,
								 Relation relation, enum ReorderBufferChangeType action,
								 HeapTuple old_row, HeapTuple new_row);
extern void capture_mark_all_parents(Capture *capture, ReorderBufferTXN *txn,
									 CaptureRelation *info);

#endif
