/*
 * context.c
 *		tenant_use, tenant_current, tenant_reset: the tenant of a transaction.
 *
 * All state is in settings that are local to the transaction, so that commit,
 * rollback and ROLLBACK TO SAVEPOINT undo it without any code here.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "storage/sinval.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "common/args.h"
#include "common/compat.h"
#include "common/guc.h"
#include "common/xid.h"
#include "tenant/limits.h"
#include "tenant/tenant.h"

PG_FUNCTION_INFO_V1(tenant_use);
PG_FUNCTION_INFO_V1(tenant_current);
PG_FUNCTION_INFO_V1(tenant_reset);

static LocalTransactionId used_in = InvalidLocalTransactionId;
static char				 *used_with = NULL; /* in used_in's memory */

/* Sets search_path until the end of the transaction. */
static void
set_search_path(const char *path)
{
	(void) set_config_option("search_path", path, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL,
							 true, 0, false);
}

/*
 * Finds a tenant and locks its schema until the end of the transaction: else a
 * drop in between would leave the caller in schema public, or in the schema of
 * another tenant of the same name.
 */
static void
find_and_lock(const char *name, Tenant *tenant)
{
	for (;;)
	{
		uint64 seen = SharedInvalidMessageCounter;
		Oid	   schema;

		CHECK_FOR_INTERRUPTS();
		tenancy_tenant_require_usable(name, tenant);
		schema = get_namespace_oid(NameStr(tenant->schema), true);
		if (OidIsValid(schema))
			LockDatabaseObject(NamespaceRelationId, schema, 0, AccessShareLock);
		else
			AcceptInvalidationMessages();
		if (seen == SharedInvalidMessageCounter && OidIsValid(schema))
			return;
		if (seen == SharedInvalidMessageCounter)
			ereport(ERROR, (errcode(ERRCODE_UNDEFINED_SCHEMA),
							errmsg("schema \"%s\" of tenant \"%s\" does not exist",
								   NameStr(tenant->schema), name)));
		if (OidIsValid(schema))
			UnlockDatabaseObject(NamespaceRelationId, schema, 0, AccessShareLock);
	}
}

/* Makes a tenant whose schema is locked the one of this transaction. */
void
tenancy_tenant_set_current(const char *name, const char *schema)
{
	set_search_path(psprintf("%s, public", quote_identifier(schema)));
	tenancy_set_current_tenant(name);
}

/*
 * Remembers what was visible at the first tenant_use() of a transaction: what is read after
 * it is as new as that.
 */
static void
remember_snapshot(void)
{
	MemoryContext old;

	if (used_in == compat_local_xid() || !ActiveSnapshotSet())
		return;
	old = MemoryContextSwitchTo(TopTransactionContext);
	used_with = tenancy_snapshot_text(GetActiveSnapshot(), false);
	MemoryContextSwitchTo(old);
	used_in = compat_local_xid();
}

/* Snapshot of the first tenant_use() of this transaction, or NULL. */
const char *
tenancy_tenant_snapshot(void)
{
	return used_in == compat_local_xid() ? used_with : NULL;
}

/* Makes a tenant the one of this transaction. */
Datum
tenant_use(PG_FUNCTION_ARGS)
{
	char  *name = tenancy_arg_text(fcinfo, 0, "name");
	Tenant tenant;

	if (!IsTransactionBlock())
		ereport(ERROR, (errcode(ERRCODE_NO_ACTIVE_SQL_TRANSACTION),
						errmsg("tenant_use() can only be called in a transaction block"),
						errhint("Start one with BEGIN; the tenant is in use until its end.")));
	find_and_lock(name, &tenant);
	tenancy_limits_check(&tenant);
	tenancy_limits_end();
	remember_snapshot();
	if (tenancy_tenant_current_name() == NULL)
		tenancy_set_outer_search_path(namespace_search_path);
	tenancy_tenant_set_current(tenant.name, NameStr(tenant.schema));
	tenancy_limits_begin(&tenant);
	PG_RETURN_VOID();
}

/* Name of the tenant in use, or null. */
Datum
tenant_current(PG_FUNCTION_ARGS)
{
	const char *name = tenancy_tenant_current_name();

	if (name == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(name));
}

/* Puts everything back to what it was before the first tenant_use() of this transaction. */
void
tenancy_tenant_reset(void)
{
	if (tenancy_tenant_current_name() == NULL)
		return;
	set_search_path(tenancy_outer_search_path);
	tenancy_limits_end();
	tenancy_set_current_tenant("");
}

/* Ends the use of a tenant before the transaction ends. */
Datum
tenant_reset(PG_FUNCTION_ARGS)
{
	tenancy_tenant_reset();
	PG_RETURN_VOID();
}
