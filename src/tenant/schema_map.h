/*
 * schema_map.h
 *		Which tenant a schema belongs to, and what statements may do there.
 */
#ifndef TENANCY_SCHEMA_MAP_H
#define TENANCY_SCHEMA_MAP_H

/* What may be done to a tenant's tables, from most to least. */
typedef enum TenantAccess
{
	TENANT_ACCESS_FULL,
	TENANT_ACCESS_NO_GROWTH, /* over a quota: nothing may be added */
	TENANT_ACCESS_READ,
	TENANT_ACCESS_NONE
} TenantAccess;

typedef struct SchemaTenant
{
	char		 name[NAMEDATALEN];
	TenantAccess access;
} SchemaTenant;

/* Tenant that a schema belongs to; false: none. */
extern bool tenancy_schema_tenant(Oid schema, SchemaTenant *out);
/* True if some tenant's access is not full. */
extern bool tenancy_any_restricted(void);
/* Has all sessions look again, once this transaction has committed: some tenant's access changes. */
extern void tenancy_access_changed(void);

#endif
