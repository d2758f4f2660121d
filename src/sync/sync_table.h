/*
 * sync_table.h
 *		Which tables of a blueprint are synced, and the indices that follow from it.
 */
#ifndef TENANCY_SYNC_TABLE_H
#define TENANCY_SYNC_TABLE_H

/*
 * Both want to be called inside an owner's SPI scope and lock until the end of the
 * transaction: the first against changes of the blueprint, the second against
 * tenants being made from it too.  The second refuses a caller who is not the owner.
 */
extern Oid	tenancy_blueprint_owner(const char *blueprint);
extern void tenancy_blueprint_require_owner(const char *blueprint, Oid caller);

/* Has the indices of a table take the body they should have; inside an owner's SPI scope. */
extern void tenancy_sync_adopt_bodies(const char *blueprint, const char *table_name);

/* Records the indices that a living tenant should have and has not; may be called at any time. */
extern void tenancy_sync_provision(int64 tenant_id);
/* The same for every tenant that has no index row; needs a transaction. */
extern void tenancy_sync_provision_missing(void);

#endif
