/*
 * sync_table.c
 *		Which tables of a blueprint are synced, and the indices that follow from it.
 *
 * Only rows of the registry change here; the workers see them after commit and
 * do what they say.  Lock order: blueprint, then tenants.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/regproc.h"

#include "common/args.h"
#include "common/errors.h"
#include "common/guc.h"
#include "common/ident.h"
#include "common/spi.h"
#include "sync/depends_on.h"
#include "sync/doc_check.h"
#include "sync/doc_source.h"
#include "sync/shape.h"
#include "sync/sync_table.h"
#include "sync/sync_template.h"

PG_FUNCTION_INFO_V1(tenant_sync_table);
PG_FUNCTION_INFO_V1(tenant_unsync_table);
PG_FUNCTION_INFO_V1(tenancy_provision);

/* Arguments of tenant_sync_table in their order; a null pointer is a null. */
typedef struct SyncTable
{
	char	  *blueprint;
	char	  *table_name;
	char	  *index_type;
	ArrayType *key_columns;
	Jsonb	  *mapping;
	ArrayType *cache_keys;
	ArrayType *cache_tags;
	char	  *document;
	Jsonb	  *depends_on;
} SyncTable;

/* Runs a locking query for the owner of a blueprint. */
static Oid
lock_blueprint(const char *sql, const char *blueprint)
{
	Oid	  types[] = {TEXTOID};
	Datum values[] = {CStringGetTextDatum(blueprint)};
	bool  isnull;

	tenancy_spi_exec(sql, 1, types, values, NULL);
	if (SPI_processed == 0)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_BLUEPRINT),
						errmsg("blueprint \"%s\" does not exist", blueprint)));
	return DatumGetObjectId(tenancy_spi_datum(0, 1, &isnull));
}

/* Owner of a blueprint, locked against changes. */
Oid
tenancy_blueprint_owner(const char *blueprint)
{
	return lock_blueprint("SELECT owner FROM tenancy.blueprint WHERE name = $1 FOR KEY SHARE",
						  blueprint);
}

/* Locks a blueprint to change it, and refuses a caller who does not own it. */
void
tenancy_blueprint_require_owner(const char *blueprint, Oid caller)
{
	Oid owner = lock_blueprint("SELECT owner FROM tenancy.blueprint WHERE name = $1"
							   " FOR UPDATE",
							   blueprint);

	if (!has_privs_of_role(caller, owner))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("must be owner of blueprint \"%s\"", blueprint)));
}

/* A table name that must fit a column of type name. */
static char *
table_name_arg(FunctionCallInfo fcinfo, int n)
{
	char *name = tenancy_arg_text(fcinfo, n, "table_name");

	if (name[0] == '\0' || strlen(name) >= NAMEDATALEN)
		ereport(ERROR,
				(errcode(ERRCODE_TENANCY_SYNC_CONFIG), errmsg("invalid table name \"%s\"", name)));
	return name;
}

/* An array argument; a null is an empty array where empty_for_null. */
static ArrayType *
array_arg(FunctionCallInfo fcinfo, int n, bool empty_for_null)
{
	if (!PG_ARGISNULL(n))
		return PG_GETARG_ARRAYTYPE_P(n);
	return empty_for_null ? construct_empty_array(TEXTOID) : NULL;
}

/* Takes the arguments of tenant_sync_table. */
static void
read_arguments(FunctionCallInfo fcinfo, SyncTable *table)
{
	table->blueprint = tenancy_arg_text(fcinfo, 0, "blueprint");
	table->table_name = table_name_arg(fcinfo, 1);
	table->index_type = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));
	table->key_columns = array_arg(fcinfo, 3, false);
	table->mapping = PG_ARGISNULL(4) ? NULL : PG_GETARG_JSONB_P(4);
	table->cache_keys = array_arg(fcinfo, 5, true);
	table->cache_tags = array_arg(fcinfo, 6, true);
	table->document = PG_ARGISNULL(7) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(7));
	table->depends_on = PG_ARGISNULL(8) ? NULL : PG_GETARG_JSONB_P(8);
}

/* Refuses what could not work for any tenant. */
static void
check_arguments(const SyncTable *table)
{
	if (table->index_type != NULL)
		tenancy_check_name("index type", table->index_type);
	else if (table->mapping != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_TENANCY_SYNC_CONFIG), errmsg("a mapping needs an index_type")));
	else if (ARR_NDIM(table->cache_keys) == 0 && ARR_NDIM(table->cache_tags) == 0)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_SYNC_CONFIG),
						errmsg("table \"%s\" would go to no sink", table->table_name),
						errhint("Give an index_type, cache_keys or cache_tags.")));
	if (table->document != NULL && table->index_type == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_TENANCY_SYNC_CONFIG), errmsg("a document needs an index_type")));
	if (table->document != NULL)
		doc_source_check(table->document);
	if (table->key_columns != NULL)
		sync_check_key_columns(table->key_columns);
	if (table->mapping != NULL)
		sync_check_mapping(table->mapping);
	sync_check_templates("cache_keys", table->cache_keys, table->key_columns);
	sync_check_templates("cache_tags", table->cache_tags, table->key_columns);
}

/* Refuses an index type that another table of the blueprint has. */
static void
check_index_type_free(const SyncTable *table)
{
	Oid	  types[] = {TEXTOID, TEXTOID, TEXTOID};
	Datum values[] = {CStringGetTextDatum(table->blueprint), CStringGetTextDatum(table->table_name),
					  (Datum) 0};

	if (table->index_type == NULL)
		return;
	values[2] = CStringGetTextDatum(table->index_type);
	tenancy_spi_exec("SELECT table_name FROM tenancy.sync_table"
					 " WHERE blueprint = $1 AND index_type = $3 AND table_name <> $2::name",
					 3, types, values, NULL);
	if (SPI_processed > 0)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_SYNC_CONFIG),
						errmsg("index type \"%s\" of blueprint \"%s\" belongs to table \"%s\"",
							   table->index_type, table->blueprint, tenancy_spi_text(0, 1))));
}

/* Writes the definition; tables that logical decoding reads know no ON CONFLICT. */
static void
write_sync_table(const SyncTable *table)
{
	Oid	  types[] = {TEXTOID,	   TEXTOID,		 TEXTOID, TEXTARRAYOID, JSONBOID,
					 TEXTARRAYOID, TEXTARRAYOID, TEXTOID, JSONBOID};
	Datum values[] = {CStringGetTextDatum(table->blueprint),
					  CStringGetTextDatum(table->table_name),
					  table->index_type ? CStringGetTextDatum(table->index_type) : (Datum) 0,
					  PointerGetDatum(table->key_columns),
					  PointerGetDatum(table->mapping),
					  PointerGetDatum(table->cache_keys),
					  PointerGetDatum(table->cache_tags),
					  table->document ? CStringGetTextDatum(table->document) : (Datum) 0,
					  PointerGetDatum(table->depends_on)};
	char  nulls[] = "         ";

	for (int i = 0; i < lengthof(values); i++)
		nulls[i] = values[i] == (Datum) 0 ? 'n' : ' ';
	tenancy_spi_exec("UPDATE tenancy.sync_table SET index_type = $3, key_columns = $4,"
					 " mapping = $5, cache_keys = $6, cache_tags = $7, document = $8,"
					 " depends_on = $9"
					 " WHERE blueprint = $1 AND table_name = $2::name",
					 lengthof(values), types, values, nulls);
	if (SPI_processed == 0)
		tenancy_spi_exec("INSERT INTO tenancy.sync_table"
						 " VALUES ($1, $2::name, $3, $4, $5, $6, $7, $8, $9)",
						 lengthof(values), types, values, nulls);
	depends_on_write(table->blueprint, table->table_name, table->depends_on);
}

/* Lets indices that no definition asks for any more be removed. */
static void
drop_orphaned_indices(const char *blueprint)
{
	Oid	  types[] = {TEXTOID};
	Datum values[] = {CStringGetTextDatum(blueprint)};

	tenancy_spi_exec("UPDATE tenancy.search_index i SET state = 'dropping', updated_at = now()"
					 " FROM tenancy.tenant t"
					 " WHERE t.id = i.tenant_id AND t.blueprint = $1 AND i.state <> 'dropping'"
					 " AND NOT EXISTS (SELECT FROM tenancy.sync_table s"
					 " WHERE s.blueprint = $1 AND s.index_type = i.index_type)",
					 1, types, values, NULL);
}

/* Brings the indices of a table in line with the body they should have; some are made anew for it. */
void
tenancy_sync_adopt_bodies(const char *blueprint, const char *table_name)
{
	Oid	  types[] = {TEXTOID, TEXTOID};
	Datum values[] = {CStringGetTextDatum(blueprint), CStringGetTextDatum(table_name)};

	tenancy_spi_exec(
		"SELECT count(*) FILTER (WHERE tenancy.adopt_body(t.id, s.index_type) = 'reindex')"
		"  FROM tenancy.tenant t JOIN tenancy.sync_table s USING (blueprint)"
		" WHERE s.blueprint = $1 AND s.table_name = $2::name"
		"   AND s.index_type IS NOT NULL AND t.status <> 'dropped'",
		2, types, values, NULL);
	if (tenancy_spi_int64(0, 1) > 0)
		ereport(NOTICE, (errmsg("the indices that are there are made anew with the mapping"),
						 errhint("tenancy.stat_progress_reindex shows how far that is.")));
}

/* Ids of a blueprint's living tenants, which stay alive until the end of the transaction. */
static int64 *
lock_tenants(const char *blueprint, int *count)
{
	Oid	   types[] = {TEXTOID};
	Datum  values[] = {CStringGetTextDatum(blueprint)};
	int64 *ids;

	tenancy_spi_exec("SELECT id FROM tenancy.tenant WHERE blueprint = $1 AND status <> 'dropped'"
					 " ORDER BY id FOR SHARE",
					 1, types, values, NULL);
	*count = SPI_processed;
	ids = palloc(sizeof(int64) * (*count + 1));
	for (int i = 0; i < *count; i++)
		ids[i] = tenancy_spi_int64(i, 1);
	return ids;
}

/* Asks the sinks for every row of the table; one that is under way starts again, or ends. */
static void
request_resync(const SyncTable *table)
{
	Oid	  types[] = {TEXTOID, TEXTOID};
	Datum values[] = {CStringGetTextDatum(table->blueprint),
					  CStringGetTextDatum(table->table_name)};

	tenancy_spi_exec("DELETE FROM tenancy.resync r USING tenancy.tenant t, tenancy.sync_table s"
					 " WHERE t.id = r.tenant_id AND t.blueprint = $1 AND s.blueprint = $1"
					 " AND s.table_name = $2::name AND r.table_name = $2::name"
					 " AND CASE r.sink WHEN 'search' THEN s.index_type IS NULL"
					 " WHEN 'statistics' THEN NOT s.benchmark ELSE s.cache_keys = '{}' AND "
					 "s.cache_tags = '{}' END",
					 2, types, values, NULL);
	tenancy_spi_exec("SELECT tenancy.request_resync(NULL, NULL, $1, $2)", 2, types, values, NULL);
}

/* Makes the row that names this database, if there is none. */
static void
ensure_instance(void)
{
	tenancy_spi_exec("INSERT INTO tenancy.instance (epoch) SELECT 1"
					 " WHERE NOT EXISTS (SELECT FROM tenancy.instance)",
					 0, NULL, NULL, NULL);
}

/*
 * Inserts the index rows that a tenant lacks; generations tell apart what had the same alias.
 * Those of an epoch are above those of the one before: a restore or a promotion may have lost a
 * tenant, and its index must not become that of another tenant with its id.
 */
static void
insert_missing_indices(int64 tenant_id)
{
	Oid	  types[] = {INT8OID, TEXTOID};
	Datum values[] = {Int64GetDatum(tenant_id), CStringGetTextDatum(tenancy_search_index_prefix)};

	tenancy_spi_exec("INSERT INTO tenancy.search_index"
					 " (index_name, tenant_id, index_type, alias, body)"
					 " SELECT format('%s%s.%s.%s.%s', $2, s.index_type, n.id, t.id,"
					 " greatest((SELECT max(substring(i.index_name from '[0-9]+$')::integer)"
					 " FROM tenancy.search_index i"
					 " WHERE i.tenant_id = t.id AND i.index_type = s.index_type),"
					 " (n.epoch - 1) * 100000) + 1),"
					 " t.id, s.index_type, format('%s%s_tenant_%s', $2, s.index_type, t.name),"
					 " tenancy.index_body(t.id, s.index_type)"
					 " FROM tenancy.tenant t JOIN tenancy.sync_table s USING (blueprint)"
					 " CROSS JOIN tenancy.instance n"
					 " WHERE t.id = $1 AND s.index_type IS NOT NULL AND NOT EXISTS"
					 " (SELECT FROM tenancy.search_index i WHERE i.tenant_id = t.id"
					 " AND i.index_type = s.index_type AND i.state <> 'dropping')"
					 " ON CONFLICT (index_name) DO NOTHING",
					 2, types, values, NULL);
	if (SPI_processed == 0)
		return;
	shape_record(tenant_id);
	values[1] =
		CStringGetTextDatum(tenancy_default_placement == PLACEMENT_SHARED ? "shared" : "dedicated");
	tenancy_spi_exec("SELECT tenancy.place_new($1, $2)", 2, types, values, NULL);
}

/* Records the indices that a living tenant should have and has not. */
void
tenancy_sync_provision(int64 tenant_id)
{
	Oid		 types[] = {INT8OID};
	Datum	 values[] = {Int64GetDatum(tenant_id)};
	SpiScope scope;

	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec("SELECT FROM tenancy.tenant WHERE id = $1 AND status <> 'dropped' FOR SHARE",
					 1, types, values, NULL);
	if (SPI_processed > 0)
	{
		ensure_instance();
		insert_missing_indices(tenant_id);
	}
	tenancy_spi_end(&scope);
}

/* tenancy.provision(tenant) */
Datum
tenancy_provision(PG_FUNCTION_ARGS)
{
	tenancy_sync_provision(PG_GETARG_INT64(0));
	PG_RETURN_VOID();
}

/* Brings every living tenant of the table's blueprint in line with the definition. */
static void
apply_to_tenants(const SyncTable *table)
{
	int	   count;
	int64 *ids = lock_tenants(table->blueprint, &count);

	if (table->document != NULL || table->depends_on != NULL)
		doc_check_tenants(table->blueprint, table->table_name, table->document);
	drop_orphaned_indices(table->blueprint);
	tenancy_sync_adopt_bodies(table->blueprint, table->table_name);
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		tenancy_sync_provision(ids[i]);
	}
	request_resync(table);
}

/* Defines how a table of a blueprint is synced. */
Datum
tenant_sync_table(PG_FUNCTION_ARGS)
{
	Oid		  caller = GetUserId();
	SyncTable table;
	SpiScope  scope;

	read_arguments(fcinfo, &table);
	check_arguments(&table);
	tenancy_spi_begin_as_owner(&scope);
	tenancy_blueprint_require_owner(table.blueprint, caller);
	check_index_type_free(&table);
	write_sync_table(&table);
	apply_to_tenants(&table);
	tenancy_spi_end(&scope);
	PG_RETURN_VOID();
}

/* Forgets what was still to be done for a table that is no longer synced. */
static void
forget_table_work(Datum blueprint, Datum table_name)
{
	Oid	  types[] = {TEXTOID, TEXTOID};
	Datum values[] = {blueprint, table_name};

	tenancy_spi_exec("DELETE FROM tenancy.resync r USING tenancy.tenant t"
					 " WHERE t.id = r.tenant_id AND t.blueprint = $1 AND r.table_name = $2::name",
					 2, types, values, NULL);
	tenancy_spi_exec("DELETE FROM tenancy.dead_letter d USING tenancy.tenant t, pg_class c"
					 " WHERE t.id = d.tenant_id AND t.blueprint = $1 AND c.oid = d.relation"
					 " AND c.relname = $2::name",
					 2, types, values, NULL);
}

/* Ends the sync of a table; false if it was not synced. */
Datum
tenant_unsync_table(PG_FUNCTION_ARGS)
{
	Oid		 caller = GetUserId();
	char	*blueprint = tenancy_arg_text(fcinfo, 0, "blueprint");
	Oid		 types[] = {TEXTOID, TEXTOID};
	Datum	 values[] = {CStringGetTextDatum(blueprint),
						 CStringGetTextDatum(table_name_arg(fcinfo, 1))};
	SpiScope scope;
	bool	 found;

	tenancy_spi_begin_as_owner(&scope);
	tenancy_blueprint_require_owner(blueprint, caller);
	tenancy_spi_exec("DELETE FROM tenancy.sync_table"
					 " WHERE blueprint = $1 AND table_name = $2::name",
					 2, types, values, NULL);
	found = SPI_processed > 0;
	if (found)
	{
		drop_orphaned_indices(blueprint);
		forget_table_work(values[0], values[1]);
	}
	tenancy_spi_end(&scope);
	PG_RETURN_BOOL(found);
}

/* Makes the index rows of tenants that have none: a dump does not carry them. */
void
tenancy_sync_provision_missing(void)
{
	SpiScope scope;
	int64	*ids;
	uint64	 n;

	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec(
		"SELECT id FROM tenancy.tenant t WHERE status <> 'dropped'"
		"   AND EXISTS (SELECT FROM tenancy.sync_table s"
		"                WHERE s.blueprint = t.blueprint AND s.index_type IS NOT NULL)"
		"   AND NOT EXISTS (SELECT FROM tenancy.search_index i WHERE i.tenant_id = t.id)",
		0, NULL, NULL, NULL);
	n = SPI_processed;
	ids = palloc((n + 1) * sizeof(int64));
	for (uint64 i = 0; i < n; i++)
		ids[i] = tenancy_spi_int64(i, 1);
	for (uint64 i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		tenancy_sync_provision(ids[i]);
	}
	tenancy_spi_end(&scope);
}
