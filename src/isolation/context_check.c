/*
 * context_check.c
 *		tenancy.require_context: no statement reads or writes the tables of a tenant
 *		that its transaction does not use.
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
#include "utils/lsyscache.h"

#include "common/compat.h"
#include "common/errors.h"
#include "common/guc.h"
#include "isolation/isolation.h"
#include "tenant/schema_map.h"
#include "tenant/tenant.h"

static ExecutorCheckPerms_hook_type next_check_perms = NULL;
static object_access_hook_type		next_object_access = NULL;

/* True if the caller's statements are checked: not those of foreign keys, which know no tenant. */
static bool
is_on(void)
{
	return tenancy_require_context && !InNoForceRLSOperation() && !IsParallelWorker();
}

/* Tenant that a relation belongs to, if it is not the one in use; else NULL. */
static const char *
other_tenant(Oid relation)
{
	const char *current = tenancy_tenant_current_name();
	const char *tenant;
	Oid			schema;

	if (relation < FirstNormalObjectId)
		return NULL;
	schema = get_rel_namespace(relation);
	tenant = OidIsValid(schema) ? tenancy_schema_tenant(schema) : NULL;
	return tenant == NULL || (current != NULL && strcmp(tenant, current) == 0) ? NULL : tenant;
}

/* Refuses a relation of a tenant that is not in use. */
static void
refuse(Oid relation, const char *tenant)
{
	const char *current = tenancy_tenant_current_name();

	ereport(ERROR, (errcode(ERRCODE_TENANCY_OTHER_TENANT),
					errmsg("relation \"%s.%s\" belongs to tenant \"%s\", which is not in use",
						   get_namespace_name(get_rel_namespace(relation)), get_rel_name(relation),
						   tenant),
					current ? errdetail("The transaction uses tenant \"%s\".", current)
							: errdetail("The transaction uses no tenant."),
					errhint("Call tenant_use() in this transaction first.")));
}

/* Checks the relations of a statement that is about to run. */
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
		const char	  *tenant = entry->rtekind == RTE_RELATION ? other_tenant(entry->relid) : NULL;

		if (tenant != NULL && !raise)
			return false;
		if (tenant != NULL)
			refuse(entry->relid, tenant);
	}
	return true;
}

/* Checks a relation that is about to be truncated. */
static void
on_object_access(ObjectAccessType access, Oid class, Oid object, int sub, void *arg)
{
	const char *tenant;

	if (next_object_access)
		next_object_access(access, class, object, sub, arg);
	if (access != OAT_TRUNCATE || class != RelationRelationId || !is_on())
		return;
	tenant = other_tenant(object);
	if (tenant != NULL)
		refuse(object, tenant);
}

/* Installs the checks. */
void
isolation_context_init(void)
{
	next_check_perms = ExecutorCheckPerms_hook;
	ExecutorCheckPerms_hook = on_check_perms;
	next_object_access = object_access_hook;
	object_access_hook = on_object_access;
}
