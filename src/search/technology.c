/*
 * technology.c
 *		tenant_get_technology_by_id(): a row of the shipped blueprint, from Redis or the table.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "cache/cache.h"
#include "common/compat.h"
#include "common/guc.h"
#include "common/spi.h"
#include "common/uuid.h"
#include "common/xid.h"
#include "sink/redis_keys.h"

PG_FUNCTION_INFO_V1(tenant_get_technology_by_id);

/* Reads the row as the caller, in the active snapshot. */
static Jsonb *
read_row(const Tenant *tenant, Datum id)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			  types[1] = {UUIDOID};
	SpiScope	  scope;
	Jsonb		 *row = NULL;

	tenancy_spi_begin_as_caller(&scope);
	tenancy_spi_query(
		psprintf("SELECT pg_catalog.to_jsonb(t) OPERATOR(pg_catalog.-) 'search_vector'"
				 " FROM %s.technologies t WHERE t.id OPERATOR(pg_catalog.=) $1",
				 quote_identifier(NameStr(tenant->schema))),
		1, types, &id);
	if (SPI_processed > 0)
	{
		bool		  isnull;
		Datum		  value = tenancy_spi_datum(0, 1, &isnull);
		MemoryContext old = MemoryContextSwitchTo(context);

		row = DatumGetJsonbPCopy(value);
		MemoryContextSwitchTo(old);
	}
	tenancy_spi_end(&scope);
	return row;
}

/* True if a change of the row unlinks its key. */
static bool
is_tied(const Tenant *tenant)
{
	static SPIPlanPtr plan = NULL;
	Oid				  types[1] = {TEXTOID};
	Datum			  values[1] = {CStringGetTextDatum(tenant->blueprint)};
	SpiScope		  scope;
	bool			  found;

	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec_saved(
		&plan,
		"SELECT FROM tenancy.sync_table WHERE blueprint = $1"
		" AND table_name = 'technologies' AND 'technology:{id}' = ANY (cache_keys)",
		1, types, values, NULL);
	found = SPI_processed > 0;
	tenancy_spi_end(&scope);
	return found;
}

/* True if the caller may have the row from Redis, where it may be newer than the caller's snapshot. */
static bool
may_be_kept(const Tenant *tenant)
{
	Oid schema;
	Oid relid;

	if (tenancy_redis_url[0] == '\0' || tenancy_read_cache_ttl == 0 || !cache_may_fill() ||
		IsolationUsesXactSnapshot())
		return false;
	schema = get_namespace_oid(NameStr(tenant->schema), true);
	relid = get_relname_relid("technologies", schema);
	return OidIsValid(relid) &&
		   compat_schema_aclcheck(schema, GetUserId(), ACL_USAGE) == ACLCHECK_OK &&
		   pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK &&
		   check_enable_rls(relid, InvalidOid, true) != RLS_ENABLED &&
		   cache_is_for_all(relid, false) && is_tied(tenant);
}

/* Reads the row with a snapshot of its own, and stores it. */
static Jsonb *
read_and_store(CacheFill *fill, Datum id)
{
	TimestampTz start = GetCurrentTimestamp();
	Jsonb	   *row;

	PushActiveSnapshot(GetTransactionSnapshot());
	fill->snapshot = tenancy_snapshot_text(GetActiveSnapshot(), false);
	row = read_row(fill->tenant, id);
	PopActiveSnapshot();
	fill->cost = (int) TimestampDifferenceMilliseconds(start, GetCurrentTimestamp());
	(void) cache_store(fill, row);
	return row;
}

/* The row from Redis, or else from the table. */
static Jsonb *
find_row(const Tenant *tenant, Datum id)
{
	char	  uuid[UUID_TEXT_LENGTH + 1] = "";
	CacheFill fill = {.tenant = tenant, .ttl = tenancy_read_cache_ttl};
	Jsonb	 *row = NULL;
	CacheLook look;

	if (!may_be_kept(tenant))
		return read_row(tenant, id);
	tenancy_uuid_write(DatumGetUUIDP(id), uuid);
	fill.key = redis_tenant_key(tenant->name, psprintf("technology:%s", uuid));
	fill.sets = palloc(sizeof(char *));
	fill.sets[0] = cache_tag_set(tenant, "");
	fill.nsets = 1;
	look = cache_look(&fill, &row);
	if (look == CACHE_FOUND)
		return row;
	return look == CACHE_OURS ? read_and_store(&fill, id) : read_row(tenant, id);
}

/* The current tenant's technology of that id, or null. */
Datum
tenant_get_technology_by_id(PG_FUNCTION_ARGS)
{
	Tenant tenant;
	Jsonb *row;

	tenancy_tenant_require_current(&tenant);
	row = find_row(&tenant, PG_GETARG_DATUM(0));
	if (row == NULL)
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(row);
}
