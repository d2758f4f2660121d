/*
 * utility.h
 *		Going on with a command from inside a hook.
 */
#ifndef TENANCY_UTILITY_H
#define TENANCY_UTILITY_H

#include "tcop/utility.h"

/* Runs a command as it would be without the hook: by the next one, or by PostgreSQL. */
extern void tenancy_next_utility(ProcessUtility_hook_type next, PlannedStmt *statement,
								 const char *query, bool read_only_tree,
								 ProcessUtilityContext context, ParamListInfo params,
								 QueryEnvironment *environment, DestReceiver *dest,
								 QueryCompletion *completion);

#endif
