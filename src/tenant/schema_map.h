/*
 * schema_map.h
 *		Which tenant a schema belongs to.
 */
#ifndef TENANCY_SCHEMA_MAP_H
#define TENANCY_SCHEMA_MAP_H

/* Name of the tenant that a schema belongs to, or NULL; valid until the next call. */
extern const char *tenancy_schema_tenant(Oid schema);

#endif
