/*
 * find.c
 *		Finding tenants, and locking their names.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/pg_lsn.h"

#include "common/compat.h"
#include "common/errors.h"
#include "common/guc.h"
#include "common/spi.h"
#include "tenant/tenant.h"

/* Number of a name among the locks. */
static uint32
name_hash(const char *name)
{
	return hash_bytes((const unsigned char *) name, strlen(name));
}

/* Locks a name of a registry table. */
void
tenancy_lock_name(const char *table, const char *name)
{
	LockDatabaseObject(get_relname_relid(table, tenancy_schema_oid(false)), name_hash(name), 0,
					   ExclusiveLock);
}

/* The lock that tenancy_lock_name() takes. */
void
tenancy_name_locktag(LOCKTAG *tag, const char *table, const char *name)
{
	SET_LOCKTAG_OBJECT(*tag, MyDatabaseId, get_relname_relid(table, tenancy_schema_oid(false)),
					   name_hash(name), 0);
}

/* Keeps as much of a reason as there is room for. */
static void
read_reason(const char *reason, Tenant *out)
{
	int length = pg_mbcliplen(reason, strlen(reason), sizeof(out->reason) - 1);

	memcpy(out->reason, reason, length);
	out->reason[length] = '\0';
}

/* Takes a tenant from the last result. */
static void
read_tenant(Tenant *out)
{
	bool isnull;

	out->id = tenancy_spi_int64(0, 1);
	strlcpy(out->name, tenancy_spi_text(0, 2), sizeof(out->name));
	namestrcpy(&out->schema, tenancy_spi_text(0, 3));
	strlcpy(out->blueprint, tenancy_spi_text(0, 4), sizeof(out->blueprint));
	out->cache_from = DatumGetLSN(tenancy_spi_datum(0, 6, &isnull));
	out->status =
		strcmp(tenancy_spi_text(0, 5), "suspended") == 0 ? TENANT_SUSPENDED : TENANT_ACTIVE;
	out->max_connections = (int) tenancy_spi_int64(0, 7);
	out->statement_timeout = (int) tenancy_spi_int64(0, 8);
	read_reason(tenancy_spi_text(0, 9), out);
}

/* Finds a tenant that is not dropped. */
bool
tenancy_tenant_find(const char *name, Tenant *out)
{
	static SPIPlanPtr plan = NULL;
	Oid				  types[] = {TEXTOID};
	Datum			  values[] = {CStringGetTextDatum(name)};
	SpiScope		  scope;
	bool			  found;

	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec_saved(&plan,
						   "SELECT id, name, schema_name, blueprint, status, cache_from, "
						   "coalesce(max_connections, -1)::bigint,"
						   " coalesce(statement_timeout, 0)::bigint, coalesce(suspended_reason, "
						   "'') FROM tenancy.tenant"
						   " WHERE name = $1 AND status <> 'dropped'",
						   1, types, values, NULL);
	found = SPI_processed > 0;
	if (found)
		read_tenant(out);
	tenancy_spi_end(&scope);
	return found;
}

/* Finds a tenant that may be used; refuses an unknown and a suspended one. */
void
tenancy_tenant_require_usable(const char *name, Tenant *out)
{
	if (!tenancy_tenant_find(name, out))
		ereport(ERROR, (errcode(ERRCODE_TENANCY_UNDEFINED_TENANT),
						errmsg("tenant \"%s\" does not exist", name)));
	if (out->status == TENANT_SUSPENDED)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_TENANT_SUSPENDED),
						errmsg("tenant \"%s\" is suspended", name),
						out->reason[0] ? errdetail("The reason given is: %s", out->reason) : 0));
}

/* Name of the tenant in use, or NULL. */
const char *
tenancy_tenant_current_name(void)
{
	return tenancy_current_tenant && *tenancy_current_tenant ? tenancy_current_tenant : NULL;
}

/*
 * The tenant in use.  It is asked for once in a transaction that has not written: others wait with
 * dropping and renaming it, so that only a suspension is noticed as late as in the next transaction.
 */
void
tenancy_tenant_require_current(Tenant *out)
{
	static LocalTransactionId known_in = InvalidLocalTransactionId;
	static Tenant			  known;
	const char				 *name = tenancy_tenant_current_name();
	bool					  unwritten = !TransactionIdIsValid(GetTopTransactionIdIfAny());

	if (name == NULL)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_NO_TENANT), errmsg("no tenant is in use"),
						errhint("Call tenant_use() in this transaction first.")));
	if (!unwritten || known_in != compat_local_xid() || strcmp(known.name, name) != 0)
	{
		known_in = InvalidLocalTransactionId;
		tenancy_tenant_require_usable(name, &known);
		known_in = unwritten ? compat_local_xid() : InvalidLocalTransactionId;
	}
	*out = known;
}
