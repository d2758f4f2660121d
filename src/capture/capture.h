/*
 * capture.h
 *		The capture worker: from the WAL to dirty keys.
 */
#ifndef TENANCY_CAPTURE_H
#define TENANCY_CAPTURE_H

#include "lib/stringinfo.h"
#include "utils/rel.h"

#include "sync/shared.h"

typedef struct Capture
{
	DatabaseShared *database;
	uint64			streams[SINK_COUNT]; /* stream each sink was given */
	uint64			skip_to[SINK_COUNT]; /* a sink has agreed up to this LSN already */
	bool			restart;			 /* a sink has begun anew: decode again for it */
	uint64			announced;			 /* LSN the sinks were last told */
	uint64			confirmed;			 /* LSN the slot is confirmed at in memory */
	uint64			saved;				 /* and on disk */
	TimestampTz		saved_at;
	TimestampTz		checked_at;		  /* last look whether the extension is there */
	TimestampTz		moved_at;		  /* last time there was WAL to read */
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
} CaptureRelation;

/* capture.c */
extern Capture *capture_decoding;
extern void		capture_run(DatabaseShared *database);
extern void		capture_put(Capture *capture, SinkKind kind, RingRecord *record, const char *key);

/* relation.c */
extern void				capture_relation_init(void);
extern CaptureRelation *capture_relation(Relation relation);
extern void				capture_relation_forget_all(void);
extern void				capture_relation_begin(bool uncached);

#endif
