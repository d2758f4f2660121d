/*
 * ident.h
 *		Names that users give and names that are made from them.
 */
#ifndef TENANCY_IDENT_H
#define TENANCY_IDENT_H

#define TENANT_NAME_MAX 48 /* characters, without the terminating zero */

extern void	 tenancy_check_tenant_name(const char *name);
extern void	 tenancy_check_name(const char *kind, const char *name);
extern char *tenancy_tenant_schema(const char *tenant);

#endif
