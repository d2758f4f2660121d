/*
 * limits.c
 *		Quotas that a transaction is given when it begins to use a tenant.
 *
 * How many transactions use a tenant is how many hold a lock that those of a tenant with such a
 * quota take: there is no counter that could be left wrong.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/guc.h"

#include "common/errors.h"
#include "common/guc.h"
#include "tenant/limits.h"

#define USERS_LOCK 1 /* of a tenant's schema; 0 is PostgreSQL's own */

/* Counts a transaction among the users of a tenant; returns the number of others. */
static int
join_users(const Tenant *tenant)
{
	Oid		schema = get_namespace_oid(NameStr(tenant->schema), false);
	LOCKTAG tag;
	int		count;

	LockDatabaseObject(NamespaceRelationId, schema, USERS_LOCK, AccessShareLock);
	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, NamespaceRelationId, schema, USERS_LOCK);
	(void) GetLockConflicts(&tag, AccessExclusiveLock, &count);
	return count;
}

/* Refuses one transaction too many. */
void
tenancy_limits_check(const Tenant *tenant)
{
	if (tenant->max_connections < 0 || join_users(tenant) < tenant->max_connections)
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
	tenancy_set_outer_statement_timeout(
		psprintf("%d %d", StatementTimeout, tenant->statement_timeout));
	set_timeout(psprintf("%d", tenant->statement_timeout));
}

/* Gives it its own one again, unless it has set another one since. */
void
tenancy_limits_end(void)
{
	int outer;
	int given;

	if (tenancy_outer_statement_timeout == NULL ||
		sscanf(tenancy_outer_statement_timeout, "%d %d", &outer, &given) != 2)
		return;
	if (StatementTimeout == given)
		set_timeout(psprintf("%d", outer));
	tenancy_set_outer_statement_timeout("");
}
