/*
 * depends_on.h
 *		What a synced table's documents are made of besides its own rows.
 */
#ifndef TENANCY_DEPENDS_ON_H
#define TENANCY_DEPENDS_ON_H

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

/* A joined table; its parents are found by equal columns or by a query. */
typedef struct Dependency
{
	char *joined;		  /* name, in the schema of the synced table */
	List *columns;		  /* of the joined table */
	List *parent_columns; /* NIL: parents says who they are */
	char *parents;
} Dependency;

/* All inside an owner's SPI scope. */
extern void depends_on_write(const char *blueprint, const char *table_name, Jsonb *depends_on);
/* The lists live until spi_end. */
extern List *depends_on_read(const char *blueprint, const char *table_name);
/* That of one table; NULL: there is none any more. */
extern Dependency *depends_on_find(int64 tenant_id, Oid relid, const char *joined);

#endif
