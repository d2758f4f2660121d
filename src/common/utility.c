/*
 * utility.c
 *		Going on with a command from inside a hook.
 */
#include "postgres.h"

#include "common/utility.h"

/* Runs a command as it would be without the hook. */
void
tenancy_next_utility(ProcessUtility_hook_type next, PlannedStmt *statement, const char *query,
					 bool read_only_tree, ProcessUtilityContext context, ParamListInfo params,
					 QueryEnvironment *environment, DestReceiver *dest, QueryCompletion *completion)
{
	(next ? next : standard_ProcessUtility)(statement, query, read_only_tree, context, params,
											environment, dest, completion);
}
