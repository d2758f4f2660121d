/*
 * limits.c
 *		Quotas that a transaction is given when it begins to use a tenant.
 *
 * How many transactions use a tenant is how many hold the lock on its schema that tenant_use()
 * takes: there is no counter that could be left wrong.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/guc.h"

#include "common/errors.h"
#include "common/guc.h"
#include "tenant/limits.h"

/* Number of other transactions that use a tenant. */
static int
other_users(const Tenant *tenant)
{
	LOCKTAG tag;
	int		count;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, NamespaceRelationId,
					   get_namespace_oid(NameStr(tenant->schema), false), 0);
	(void) GetLockConflicts(&tag, AccessExclusiveLock, &count);
	return count;
}

/* Refuses one transaction too many. */
void
tenancy_limits_check(const Tenant *tenant)
{
	if (tenant->max_connections < 0 || other_users(tenant) < tenant->max_connections)
		return;
	ereport(ERROR, (errcode(ERRCODE_TENANCY_QUOTA),
					errmsg("too many connections for tenant \"%s\"", tenant->name),
					errdetail("Its quota is %d.", tenant->max_connections)));
}

/* Sets statement_timeout until the end of the transaction. */
static void
set_timeout(const char *value)
{
	(void) set_config_option("statement_timeout", value, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
}

/* Gives the transaction the tenant's statement_timeout, unless its own is shorter. */
void
tenancy_limits_begin(const Tenant *tenant)
{
	if (tenant->statement_timeout == 0 ||
		(StatementTimeout > 0 && StatementTimeout <= tenant->statement_timeout))
		return;
	tenancy_set_outer_statement_timeout(psprintf("%d", StatementTimeout));
	set_timeout(psprintf("%d", tenant->statement_timeout));
}

/* Gives it its own one again. */
void
tenancy_limits_end(void)
{
	if (tenancy_outer_statement_timeout == NULL || *tenancy_outer_statement_timeout == '\0')
		return;
	set_timeout(tenancy_outer_statement_timeout);
	tenancy_set_outer_statement_timeout("");
}
