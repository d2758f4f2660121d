/*
 * place.h
 *		Where the rows of a relation go.
 */
#ifndef TENANCY_PLACE_H
#define TENANCY_PLACE_H

#include "nodes/pg_list.h"

/* What a place that documents are written to is for. */
typedef enum SinkRole
{
	SINK_SERVING, /* the public alias stands for it: searches see it */
	SINK_FILLING, /* it is going to */
	SINK_RETIRED  /* it did until a moment ago */
} SinkRole;

struct SinkMonth;

/* An index that the rows of a relation are written to. */
typedef struct SinkPlace
{
	SinkRole role;
	char	*index_name;
	char	*alias; /* it is written and read by */
	char *part; /* what its documents have in an index that tenants share, NULL: it shares none */
	bool
		monthly; /* each partition's documents are in a place of their own; read by the alias too */
	int nmonths;
	struct SinkMonth *months;	 /* in the order of time */
	int				  month_key; /* key column that tells the month */
} SinkPlace;

/* Where the documents of one partition are. */
typedef struct SinkMonth
{
	int64	  from;	 /* microseconds since 2000 */
	int64	  to;	 /* exclusive */
	bool	  last;	 /* it has no upper bound */
	bool	  rest;	 /* it has what no other one has */
	bool	  there; /* the index is made */
	SinkPlace place;
} SinkMonth;

/* Where the rows of one relation go; made by sync/target.c, read-only for a sink. */
typedef struct SinkTarget
{
	Oid		   relid;
	int64	   tenant_id;
	char	  *tenant; /* name */
	char	  *alias;  /* public name of the index, NULL: the relation is not indexed */
	int		   nplaces;
	SinkPlace *places; /* the first one is serving; none where alias is NULL */
	int		   nkeys;
	char	 **key_columns;
	int		   ncache_keys;
	char	 **cache_keys; /* templates such as technology:{id} */
	int		   ncache_tags;
	char	 **cache_tags; /* templates too */
	List	  *flat;	   /* of char *: columns that an index has as flattened objects */
	char	  *document;   /* view or expression that makes the documents, NULL: the row itself */
	bool	   benchmark;  /* benchmark statistics are of it */
	List	  *columns;	   /* of char *: the only ones in documents, NIL: all */
	Oid		   writer;	   /* who had the relation synced: the blueprint's owner */
	char	  *problem;	   /* why it cannot be kept in step as it is, NULL: it can */
} SinkTarget;

#endif
