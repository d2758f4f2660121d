/*
 * target.c
 *		Where the current tenant's documents of an index type are.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/rls.h"

#include "common/errors.h"
#include "common/jsonb.h"
#include "common/spi.h"
#include "search/search.h"
#include "sync/key.h"

/* Row of tenancy.sync_table for a blueprint's index type. */
static const char config_sql[] = "SELECT table_name, mapping, key_columns FROM tenancy.sync_table "
								 "WHERE blueprint = $1 AND index_type = $2";

/* Only an index that is ours for certain: the alias of one to be made may be somebody else's. */
static const char alias_sql[] =
	"SELECT alias, (SELECT count(*) FROM tenancy.search_index p"
	"   WHERE p.tenant_id = $1 AND p.index_type = $2 AND p.shared IS NOT NULL)"
	"  FROM tenancy.search_index"
	" WHERE tenant_id = $1 AND index_type = $2 AND role = 'serving' AND state = 'ready' AND filled"
	" LIMIT 1";

/* Copies the parts of the mapping that searches need out of SPI's memory. */
static void
copy_mapping(SearchTarget *target, MemoryContext context)
{
	bool			isnull;
	Datum			mapping = tenancy_spi_datum(0, 2, &isnull);
	MemoryContext	old = MemoryContextSwitchTo(context);
	JsonbContainer *mappings;

	if (!isnull)
	{
		mappings = tenancy_jsonb_object(&DatumGetJsonbPCopy(mapping)->root, "mappings");
		target->properties = tenancy_jsonb_object(mappings, "properties");
		target->search_fields =
			tenancy_jsonb_array(tenancy_jsonb_object(mappings, "_meta"), "search_fields");
	}
	MemoryContextSwitchTo(old);
}

/* Copies the configured key columns out of SPI's memory. */
static void
copy_key_columns(SearchTarget *target, MemoryContext context)
{
	bool		  isnull;
	Datum		  columns = tenancy_spi_datum(0, 3, &isnull);
	MemoryContext old = MemoryContextSwitchTo(context);
	Datum		 *names;
	bool		 *nulls;
	int			  count;

	if (!isnull)
	{
		deconstruct_array(DatumGetArrayTypeP(columns), TEXTOID, -1, false, TYPALIGN_INT, &names,
						  &nulls, &count);
		for (int i = 0; i < count; i++)
			if (!nulls[i])
				target->key_columns = lappend(target->key_columns, TextDatumGetCString(names[i]));
	}
	MemoryContextSwitchTo(old);
}

/* Reads the registry; false if the blueprint has no such index type. */
static bool
read_registry(SearchTarget *target, const char *index_type)
{
	static SPIPlanPtr config_plan = NULL;
	static SPIPlanPtr alias_plan = NULL;
	MemoryContext	  context = CurrentMemoryContext;
	SpiScope		  scope;
	bool			  found;

	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec_saved(
		&config_plan, config_sql, 2, (Oid[]){TEXTOID, TEXTOID},
		(Datum[]){CStringGetTextDatum(target->tenant.blueprint), CStringGetTextDatum(index_type)},
		NULL);
	found = SPI_processed > 0;
	if (found)
	{
		target->table_name = MemoryContextStrdup(context, tenancy_spi_text(0, 1));
		copy_mapping(target, context);
		copy_key_columns(target, context);
		tenancy_spi_exec_saved(
			&alias_plan, alias_sql, 2, (Oid[]){INT8OID, TEXTOID},
			(Datum[]){Int64GetDatum(target->tenant.id), CStringGetTextDatum(index_type)}, NULL);
		if (SPI_processed > 0)
		{
			target->alias = MemoryContextStrdup(context, tenancy_spi_text(0, 1));
			target->shared = tenancy_spi_int64(0, 2) > 0;
		}
	}
	tenancy_spi_end(&scope);
	return found;
}

/* Takes the primary key's columns where the registry names none. */
static void
default_key_columns(SearchTarget *target)
{
	Relation table = table_open(target->relid, NoLock);

	target->key_columns = key_columns_of(table);
	table_close(table, NoLock);
}

/* Locks the table; the caller needs the rights to it that a plain SELECT needs, for any engine. */
static void
open_table(SearchTarget *target)
{
	char	 *schema = NameStr(target->tenant.schema);
	AclResult acl;

	target->relid =
		RangeVarGetRelid(makeRangeVar(schema, target->table_name, -1), AccessShareLock, true);
	if (!OidIsValid(target->relid))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("relation \"%s.%s\" does not exist", schema, target->table_name)));
	acl = pg_class_aclcheck(target->relid, GetUserId(), ACL_SELECT);
	if (acl != ACLCHECK_OK)
		aclcheck_error(acl, OBJECT_TABLE, target->table_name);
	target->row_security = check_enable_rls(target->relid, InvalidOid, false) == RLS_ENABLED;
}

/* Finds everything about an index type of the current tenant. */
void
search_target_load(SearchTarget *target, const char *index_type)
{
	memset(target, 0, sizeof(*target));
	tenancy_tenant_require_current(&target->tenant);
	if (!read_registry(target, index_type))
		ereport(ERROR, (errcode(ERRCODE_TENANCY_SYNC_CONFIG),
						errmsg("blueprint \"%s\" has no index type \"%s\"",
							   target->tenant.blueprint, index_type),
						errhint("Index types are declared by tenant_sync_table().")));
	open_table(target);
	if (target->key_columns == NIL)
		default_key_columns(target);
}
