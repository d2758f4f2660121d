/*
 * session_path.c
 *		tenancy.forbid_session_path and tenancy.report_search_path: a pool of connections
 *		hands a session's settings to the next client, who then reads another tenant's rows.
 *
 * What a transaction is about to leave in search_path and role is looked at when it
 * commits, whichever way it was set: SET, set_config(), a function.  A cursor WITH HOLD
 * would stay too.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "utils/guc_tables.h"
#include "utils/varlena.h"

#include "common/compat.h"
#include "common/errors.h"
#include "common/guc.h"
#include "common/utility.h"
#include "isolation/isolation.h"
#include "tenant/schema_map.h"
#include "tenant/tenant.h"

static ProcessUtility_hook_type next_utility = NULL;
static struct config_generic   *search_path = NULL;
static struct config_generic   *role = NULL;

/* Value that a setting made in this transaction has when it is over; NULL: the one before. */
static const char *
lasting_value(struct config_generic *setting)
{
	struct config_string *string = (struct config_string *) setting;
	const char			 *value = NULL;

	if (setting->stack == NULL)
		return NULL;
	if (setting->stack->state == GUC_SET)
		value = *string->variable;
	else if (setting->stack->state == GUC_SET_LOCAL)
		value = setting->stack->masked.val.stringval;
	if (value == NULL || (string->reset_val != NULL && strcmp(value, string->reset_val) == 0))
		return NULL;
	return value;
}

/* Tenant whose schema has this name, or NULL. */
static const char *
tenant_of_schema(const char *name)
{
	Oid			 schema = get_namespace_oid(name, true);
	SchemaTenant tenant;

	return OidIsValid(schema) && tenancy_schema_tenant(schema, &tenant) ? pstrdup(tenant.name)
																		: NULL;
}

/* First tenant whose schema is in a search_path, or NULL. */
static const char *
tenant_of_path(const char *path)
{
	const char *tenant = NULL;
	List	   *names;
	ListCell   *cell;

	if (!SplitIdentifierString(pstrdup(path), ',', &names))
		return NULL;
	foreach (cell, names)
	{
		tenant = tenant_of_schema(lfirst(cell));
		if (tenant != NULL)
			break;
	}
	return tenant;
}

/* How loud to be about what outlives its transaction. */
static int
complaint_level(void)
{
	return tenancy_forbid_session_path == SESSION_PATH_ERROR ? ERROR : WARNING;
}

/* Refuses, or warns of, a setting that outlives its transaction and names a tenant. */
static void
complain(const char *setting, const char *tenant)
{
	if (tenant == NULL)
		return;
	ereport(complaint_level(),
			(errcode(ERRCODE_TENANCY_SESSION_PATH),
			 errmsg("%s of the session names tenant \"%s\"", setting, tenant),
			 errdetail("Behind a connection pool the next client would have it."),
			 errhint("Use tenant_use() or SET LOCAL in a transaction.")));
}

/* Refuses, or warns of, a cursor that outlives the use of a tenant. */
static void
check_cursor(DeclareCursorStmt *cursor)
{
	const char *tenant = tenancy_tenant_current_name();

	if (tenant == NULL || (cursor->options & CURSOR_OPT_HOLD) == 0 ||
		tenancy_forbid_session_path == SESSION_PATH_OFF)
		return;
	ereport(
		complaint_level(),
		(errcode(ERRCODE_TENANCY_SESSION_PATH),
		 errmsg("cursor \"%s\" would outlive the use of tenant \"%s\"", cursor->portalname, tenant),
		 errdetail("Behind a connection pool the next client could fetch from it.")));
}

/* Runs a command. */
static void
on_utility(PlannedStmt *statement, const char *query, bool read_only_tree,
		   ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
		   DestReceiver *dest, QueryCompletion *completion)
{
	if (IsA(statement->utilityStmt, DeclareCursorStmt))
		check_cursor((DeclareCursorStmt *) statement->utilityStmt);
	tenancy_next_utility(next_utility, statement, query, read_only_tree, context, params,
						 environment, dest, completion);
}

/* A transaction is about to commit. */
static void
on_commit(XactEvent event, void *arg)
{
	const char *value;

	if ((event != XACT_EVENT_PRE_COMMIT && event != XACT_EVENT_PRE_PREPARE) ||
		tenancy_forbid_session_path == SESSION_PATH_OFF)
		return;
	value = lasting_value(search_path);
	if (value != NULL)
		complain("search_path", tenant_of_path(value));
	value = lasting_value(role);
	if (value != NULL)
		complain("role", tenant_of_schema(value));
}

/* Installs the check, and has clients and poolers told of every search_path if that is wanted. */
void
isolation_path_init(void)
{
	search_path = compat_find_setting("search_path");
	role = compat_find_setting("role");
	if (tenancy_report_search_path)
		search_path->flags |= GUC_REPORT;
	RegisterXactCallback(on_commit, NULL);
	next_utility = ProcessUtility_hook;
	ProcessUtility_hook = on_utility;
}
