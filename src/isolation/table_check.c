/*
 * table_check.c
 *		Which tenants' tables a statement may touch: tenancy.require_context, tenants that are
 *		suspended or read-only, and those over a quota.
 *
 * The check is where PostgreSQL checks privileges, once for every execution, so that it sees the
 * plan's own tables: a qualified name, a view, a function with a search_path of its own and a plan
 * made for another tenant come by here.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/transam.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/acl.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"

#include "common/compat.h"
#include "common/errors.h"
#include "common/guc.h"
#include "isolation/isolation.h"
#include "tenant/schema_map.h"
#include "tenant/tenant.h"

#define ACL_GROWS (ACL_INSERT | ACL_UPDATE)
#define ACL_LOCKS ((AclMode) 1 << 31) /* rows are locked; no privilege of PostgreSQL's */
#define ACL_WRITES (ACL_INSERT | ACL_UPDATE | ACL_DELETE | ACL_TRUNCATE | ACL_LOCKS)

static ExecutorCheckPerms_hook_type next_check_perms = NULL;
static object_access_hook_type		next_object_access = NULL;

/* True if statements are bound to the tenant in use; a parallel worker is not told of it. */
static bool
is_context_required(void)
{
	return tenancy_require_context && !IsParallelWorker();
}

/* True if what a tenant's status forbids is forbidden to the caller. */
static bool
is_access_checked(void)
{
	return tenancy_allow_suspended == ALLOW_NOBODY ||
		   (tenancy_allow_suspended == ALLOW_SUPERUSER && !superuser());
}

/*
 * True if there is anything to check.  Statements of foreign keys are not: they know no
 * tenant, and what they do follows from a statement that was checked.
 */
static bool
is_on(void)
{
	if (InNoForceRLSOperation())
		return false;
	AcceptInvalidationMessages(); /* a lock that is held already brings none */
	return is_context_required() || (tenancy_any_restricted() && is_access_checked());
}

/* Refuses a table of a tenant that is not in use. */
static void
check_context(Oid relation, const SchemaTenant *tenant)
{
	const char *current = tenancy_tenant_current_name();

	if (current != NULL && strcmp(tenant->name, current) == 0)
		return;
	ereport(ERROR, (errcode(ERRCODE_TENANCY_OTHER_TENANT),
					errmsg("relation \"%s.%s\" belongs to tenant \"%s\", which is not in use",
						   get_namespace_name(get_rel_namespace(relation)), get_rel_name(relation),
						   tenant->name),
					current ? errdetail("The transaction uses tenant \"%s\".", current)
							: errdetail("The transaction uses no tenant."),
					errhint("Call tenant_use() in this transaction first.")));
}

/* Refuses what a tenant's status does not allow. */
static void
check_access(const SchemaTenant *tenant, AclMode wanted)
{
	if (tenant->access == TENANT_ACCESS_NONE)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_TENANT_SUSPENDED),
						errmsg("tenant \"%s\" is suspended", tenant->name)));
	if (tenant->access == TENANT_ACCESS_READ && (wanted & ACL_WRITES) != 0)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_READ_ONLY),
						errmsg("tenant \"%s\" is read-only", tenant->name)));
	if (tenant->access == TENANT_ACCESS_NO_GROWTH && (wanted & ACL_GROWS) != 0)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_QUOTA),
						errmsg("tenant \"%s\" is over its quota", tenant->name),
						errhint("Rows can be read and deleted; or have its quota raised.")));
}

/* Checks one table. */
static void
check_table(Oid relation, AclMode wanted)
{
	SchemaTenant tenant;
	Oid			 schema;

	if (relation < FirstNormalObjectId)
		return;
	schema = get_rel_namespace(relation);
	if (!OidIsValid(schema) || !tenancy_schema_tenant(schema, &tenant))
		return;
	if (is_context_required())
		check_context(relation, &tenant);
	if (is_access_checked())
		check_access(&tenant, wanted);
}

/* What a statement does with a table and its columns; a row that is only locked does not grow. */
static AclMode
wanted_of(RangeTblEntry *entry, COMPAT_PRIVILEGES)
{
	AclMode wanted = compat_required_privileges(entry);

	if ((wanted & ACL_UPDATE) != 0 && bms_is_empty(compat_updated_columns(entry)))
		wanted = (wanted & ~ACL_UPDATE) | ACL_LOCKS;
	return wanted;
}

/* What a statement does with tables that have others below them, whose own entries do not say. */
static AclMode
wanted_of_parents(List *range_table, COMPAT_PRIVILEGES)
{
	AclMode	  wanted = 0;
	ListCell *cell;

	foreach (cell, range_table)
	{
		RangeTblEntry *entry = lfirst_node(RangeTblEntry, cell);

		if (entry->rtekind == RTE_RELATION && entry->inh)
			wanted |= wanted_of(entry, COMPAT_PRIVILEGES_PASS);
	}
	return wanted;
}

/* Checks the tables of a statement that is about to run. */
static bool
on_check_perms(COMPAT_CHECK_PERMS_ARGUMENTS)
{
	AclMode	  inherited;
	ListCell *cell;

	if (next_check_perms && !next_check_perms(COMPAT_CHECK_PERMS_PASS))
		return false;
	if (!is_on())
		return true;
	inherited = wanted_of_parents(range_table, COMPAT_PRIVILEGES_PASS);
	foreach (cell, range_table)
	{
		RangeTblEntry *entry = lfirst_node(RangeTblEntry, cell);
		AclMode		   wanted = wanted_of(entry, COMPAT_PRIVILEGES_PASS);

		if (OidIsValid(entry->relid)) /* a view's too */
			check_table(entry->relid, wanted != 0 ? wanted : inherited);
	}
	return true;
}

/* Checks a table that is about to be truncated. */
static void
on_object_access(ObjectAccessType access, Oid class, Oid object, int sub, void *arg)
{
	if (next_object_access)
		next_object_access(access, class, object, sub, arg);
	if (access == OAT_TRUNCATE && class == RelationRelationId && is_on())
		check_table(object, ACL_TRUNCATE);
}

/* Installs the checks. */
void
isolation_table_init(void)
{
	next_check_perms = ExecutorCheckPerms_hook;
	ExecutorCheckPerms_hook = on_check_perms;
	next_object_access = object_access_hook;
	object_access_hook = on_object_access;
}
