/*
 * mapping.h
 *		Bodies of indices: from a table's columns, or as the user gave them.
 */
#ifndef TENANCY_MAPPING_H
#define TENANCY_MAPPING_H

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

/*
 * Fields of a relation's columns as the text of a JSON object, NULL: there are none.  overrides
 * (or NULL): column → mapping, or null for none.  But for those that are members of known (or
 * NULL).  all: a column that is not indexed needs a field too, since the mapping is not closed.
 * Inside an SPI scope.
 */
extern char *mapping_fields(Oid relid, Jsonb *overrides, Jsonb *known, bool all);

/* Overrides of a synced table's columns, NULL: there are none.  Inside an SPI scope. */
extern Jsonb *mapping_overrides(const char *blueprint, const char *table_name);

#endif
