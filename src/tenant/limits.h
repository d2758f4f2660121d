/*
 * limits.h
 *		Quotas that a transaction is given when it begins to use a tenant.
 */
#ifndef TENANCY_LIMITS_H
#define TENANCY_LIMITS_H

#include "tenant/tenant.h"

/* Refuses one transaction too many; the tenant's schema is locked. */
extern void tenancy_limits_check(const Tenant *tenant);
/* Gives the transaction the tenant's statement_timeout. */
extern void tenancy_limits_begin(const Tenant *tenant);
/* Gives it its own one again. */
extern void tenancy_limits_end(void);

#endif
