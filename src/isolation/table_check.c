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
#define ACL_WRITES (ACL_INSERT | ACL_UPDATE | ACL_DELETE | ACL_TRUNCATE)

static ExecutorCheckPerms_hook_type next_check_perms = NULL;
static object_access_hook_type		next_object_access = NULL;

/*
 * True if there is anything to check.  Statements of foreign keys are not: they know no
 * tenant, and what they do follows from a statement that was checked.
 */
static bool
is_on(void)
{
	if (IsParallelWorker() || InNoForceRLSOperation())
		return false;
	AcceptInvalidationMessages(); /* a lock that is held already brings none */
	return tenancy_require_context || (!tenancy_allow_suspended && tenancy_any_restricted());
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
	if (tenancy_require_context)
		check_context(relation, &tenant);
	if (!tenancy_allow_suspended)
		check_access(&tenant, wanted);
}

/* Checks the tables of a statement that is about to run. */
static bool
on_check_perms(COMPAT_CHECK_PERMS_ARGUMENTS)
{
	ListCell *cell;

	if (next_check_perms && !next_check_perms(COMPAT_CHECK_PERMS_PASS))
		return false;
	if (!is_on())
		return true;
	foreach (cell, range_table)
	{
		RangeTblEntry *entry = lfirst_node(RangeTblEntry, cell);

		if (entry->rtekind == RTE_RELATION)
			check_table(entry->relid, compat_required_privileges(entry));
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
