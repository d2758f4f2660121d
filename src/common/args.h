/*
 * args.h
 *		Arguments of SQL functions that are not strict.
 */
#ifndef TENANCY_ARGS_H
#define TENANCY_ARGS_H

#include "fmgr.h"

extern void	 tenancy_arg_required(FunctionCallInfo fcinfo, int n, const char *name);
extern char *tenancy_arg_text(FunctionCallInfo fcinfo, int n, const char *name);
extern bool	 tenancy_arg_bool(FunctionCallInfo fcinfo, int n, const char *name);

#endif
