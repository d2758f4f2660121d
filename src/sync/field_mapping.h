/*
 * field_mapping.h
 *		What a column's type is in an index.
 */
#ifndef TENANCY_FIELD_MAPPING_H
#define TENANCY_FIELD_MAPPING_H

#include "postgres.h"

/* JSON text; NULL: the type is not indexed. */
extern char *field_mapping(Oid type, int32 typmod);

/* True if values of a type, domains looked through, are written as vectors. */
extern bool field_is_vector(Oid type);

#endif
