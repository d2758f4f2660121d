/*
 * shape.h
 *		What a table is like, compared with what its index was filled from.
 */
#ifndef TENANCY_SHAPE_H
#define TENANCY_SHAPE_H

#include "sync/sink_worker.h"

/* What a table that is not what it was needs. */
typedef enum ShapeNeed
{
	SHAPE_NOTHING, /* its documents are right */
	SHAPE_GHOSTS,  /* documents may lack their row */
	SHAPE_ROWS	   /* every row may be another one */
} ShapeNeed;

/* An index whose table is not what it was; texts live as long as the SPI scope. */
typedef struct ShapeChange
{
	char	 *index_name;
	char	 *alias;
	int64	  tenant_id;
	char	 *tenant; /* name */
	char	 *table_name;
	Oid		  before; /* relation that it was filled from, InvalidOid: none */
	Oid		  now;
	char	 *shape; /* jsonb, NULL if the relation is gone */
	bool	  cached;
	ShapeNeed need;
} ShapeChange;

/* shape_query.c; both inside an SPI scope of the owner */
extern List *shape_find_changes(const Oid *relids, int nrelids); /* relids NULL: all indices */
extern void	 shape_record(int64 tenant_id);

/* shape_mapping.c: mapping of the index's new columns as jsonb text, NULL: none; inside a scope */
extern char *shape_new_fields(const ShapeChange *change);

/* shape_retype.c; all inside a scope */
extern char *shape_retyped_fields(const ShapeChange *change);
extern void	 shape_make_anew(const ShapeChange *change, const char *fields);
extern bool	 shape_generate_anew(const ShapeChange *change); /* true: the index is to be changed */

/* shape.c; the search worker's */
extern void		   shape_init(void);
extern void		   shape_note(Oid relid); /* its shape may have changed; InvalidOid: that of all */
extern void		   shape_settle(Oid relid);
extern bool		   shape_pending(void);
extern TimestampTz shape_due(void);
extern bool		   shape_pump(SinkWorker *worker);

#endif
