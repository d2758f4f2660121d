/*
 * tenant.h
 *		Finding tenants.
 */
#ifndef TENANCY_TENANT_H
#define TENANCY_TENANT_H

#include "common/ident.h"

struct LOCKTAG;

typedef enum TenantStatus
{
	TENANT_ACTIVE, /* perhaps read-only */
	TENANT_SUSPENDED
} TenantStatus;

/* A tenant that is not dropped. */
typedef struct Tenant
{
	int64		 id;
	char		 name[TENANT_NAME_MAX + 1];
	NameData	 schema;
	char		 blueprint[TENANT_NAME_MAX + 1];
	TenantStatus status;
	uint64		 cache_from;		/* LSN; see tenancy.tenant */
	int			 max_connections;	/* -1: any number */
	int			 statement_timeout; /* ms, 0: as the session says */
	char		 reason[200]; /* why it is suspended, as far as there is room; empty: nobody said */
} Tenant;

/*
 * Locks a name that a row of a registry table has or will have until the end of
 * the transaction: tables that logical decoding reads know no ON CONFLICT.
 */
extern void tenancy_lock_name(const char *table, const char *name);
extern void tenancy_name_locktag(struct LOCKTAG *tag, const char *table, const char *name);
extern bool tenancy_tenant_find(const char *name, Tenant *out);
/* Refuses an unknown and a suspended tenant. */
extern void tenancy_tenant_require_usable(const char *name, Tenant *out);
/* The tenant that tenant_use() set; refuses none, an unknown and a suspended one. */
extern void tenancy_tenant_require_current(Tenant *out);
/* Name of the tenant that tenant_use() set, or NULL. */
extern const char *tenancy_tenant_current_name(void);
/*
 * Snapshot, as text, of the first tenant_use() of this transaction: statements after it see as
 * much.  NULL: there was none.
 */
extern const char *tenancy_tenant_snapshot(void);
/* Makes a tenant the one of this transaction. */
extern void tenancy_tenant_set_current(const char *name, const char *schema);
/* What tenant_reset() does. */
extern void tenancy_tenant_reset(void);

#endif
