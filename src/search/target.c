/*
 * target.c
 *		Where the current tenant's documents of an index type are.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"

#include "common/array.h"
#include "common/errors.h"
#include "common/jsonb.h"
#include "common/spi.h"
#include "search/search.h"
#include "sync/doc_source.h"
#include "sync/key.h"

/*
 * Row of tenancy.sync_table for a blueprint's index type, and what its documents are made of; the
 * mapping may be a generated one.
 */
static const char config_sql[] =
	"SELECT table_name, coalesce(mapping,"
	"  (SELECT tenancy.merged_body(i.body, i.fields) FROM tenancy.search_index i"
	"    WHERE i.tenant_id = $3 AND i.index_type = $2 AND i.state <> 'dropping'"
	"     AND i.role = 'serving' LIMIT 1), tenancy.index_body($3, $2)), key_columns, document,"
	"  (SELECT array_agg(d.joined_table::text ORDER BY d.joined_table)"
	"     FROM tenancy.sync_dependency d"
	"    WHERE d.blueprint = s.blueprint AND d.table_name = s.table_name),"
	"  (SELECT c FROM unnest(cache_tags) c WHERE strpos(c, '{') = 0 LIMIT 1)"
	"  FROM tenancy.sync_table s WHERE blueprint = $1 AND index_type = $2";

/* Only an index that is ours for certain: the alias of one to be made may be somebody else's. */
static const char alias_sql[] =
	"SELECT alias, (SELECT count(*) FROM tenancy.search_index p"
	"   WHERE p.tenant_id = $1 AND p.index_type = $2 AND p.shared IS NOT NULL), index_name"
	"  FROM tenancy.search_index i"
	" WHERE tenant_id = $1 AND index_type = $2 AND role = 'serving' AND state = 'ready' AND filled"
	/* one that was lost and made again, or took the place of another one, lacks documents */
	"   AND NOT EXISTS (SELECT FROM tenancy.search_index m WHERE m.month_of = i.index_name"
	"         AND NOT m.filled AND m.state <> 'dropping')"
	" LIMIT 1";

/* Copies the parts of the mapping that searches need out of SPI's memory. */
static void
copy_mapping(SearchTarget *target, MemoryContext context)
{
	bool			isnull;
	Datum			mapping = tenancy_spi_datum(0, 2, &isnull);
	MemoryContext	old = MemoryContextSwitchTo(context);
	JsonbContainer *mappings;
	Jsonb		   *copy;

	if (!isnull)
	{
		copy = DatumGetJsonbPCopy(mapping);
		target->config = DatumGetUInt64(
			hash_any_extended((unsigned char *) VARDATA(copy), VARSIZE(copy) - VARHDRSZ, 0));
		mappings = tenancy_jsonb_object(&copy->root, "mappings");
		target->properties = tenancy_jsonb_object(mappings, "properties");
		target->search_fields =
			tenancy_jsonb_array(tenancy_jsonb_object(mappings, "_meta"), "search_fields");
	}
	MemoryContextSwitchTo(old);
}

/* Copies a list of names out of SPI's memory. */
static List *
copy_names(int column, MemoryContext context)
{
	bool		  isnull;
	Datum		  names = tenancy_spi_datum(0, column, &isnull);
	MemoryContext old = MemoryContextSwitchTo(context);
	List		 *list = isnull ? NIL : tenancy_text_list(names);

	MemoryContextSwitchTo(old);
	return list;
}

/* Copies the names of what documents are made of besides the table's rows: tables, and a view. */
static void
copy_sources(SearchTarget *target, MemoryContext context)
{
	char		 *document = tenancy_spi_text(0, 4);
	MemoryContext old;
	char		 *view;

	target->sources = copy_names(5, context);
	old = MemoryContextSwitchTo(context);
	view = document != NULL ? doc_source_view(document) : NULL;
	if (view != NULL)
		target->sources = lappend(target->sources, view);
	MemoryContextSwitchTo(old);
}

/*
 * Reads which index serves, as that is now: a transaction's snapshot may be from before a move,
 * when the documents were others.
 */
static void
read_alias(SearchTarget *target, const char *index_type, MemoryContext context)
{
	static SPIPlanPtr plan = NULL;

	tenancy_spi_query_now(
		&plan, alias_sql, 2, (Oid[]){INT8OID, TEXTOID},
		(Datum[]){Int64GetDatum(target->tenant.id), CStringGetTextDatum(index_type)});
	if (SPI_processed == 0)
		return;
	target->alias = MemoryContextStrdup(context, tenancy_spi_text(0, 1));
	target->shared = tenancy_spi_int64(0, 2) > 0;
	target->index_name = MemoryContextStrdup(context, tenancy_spi_text(0, 3));
}

/* Reads the registry; false if the blueprint has no such index type. */
static bool
read_registry(SearchTarget *target, const char *index_type)
{
	static SPIPlanPtr plan = NULL;
	MemoryContext	  context = CurrentMemoryContext;
	SpiScope		  scope;
	bool			  found;

	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec_saved(&plan, config_sql, 3, (Oid[]){TEXTOID, TEXTOID, INT8OID},
						   (Datum[]){CStringGetTextDatum(target->tenant.blueprint),
									 CStringGetTextDatum(index_type),
									 Int64GetDatum(target->tenant.id)},
						   NULL);
	found = SPI_processed > 0;
	if (found)
	{
		target->table_name = MemoryContextStrdup(context, tenancy_spi_text(0, 1));
		target->cache_tag = tenancy_spi_text(0, 6);
		if (target->cache_tag != NULL)
			target->cache_tag = MemoryContextStrdup(context, target->cache_tag);
		copy_mapping(target, context);
		target->key_columns = copy_names(3, context);
		copy_sources(target, context);
		read_alias(target, index_type, context);
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

/* Locks a relation of the tenant's; the caller needs the rights to it that a plain SELECT needs. */
static Oid
open_relation(SearchTarget *target, char *name)
{
	char	 *schema = NameStr(target->tenant.schema);
	Oid		  relid = RangeVarGetRelid(makeRangeVar(schema, name, -1), AccessShareLock, true);
	AclResult acl;

	if (!OidIsValid(relid))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("relation \"%s.%s\" does not exist", schema, name)));
	acl = pg_class_aclcheck(relid, GetUserId(), ACL_SELECT);
	if (acl != ACLCHECK_OK)
		aclcheck_error(acl, get_relkind_objtype(get_rel_relkind(relid)), name);
	target->row_security |= check_enable_rls(relid, InvalidOid, false) == RLS_ENABLED;
	return relid;
}

/*
 * Opens the table, and what else documents are made of: they are read as their owner, and show the
 * caller all of it.  For any engine, as what is refused does not depend on which one answers.
 */
static void
open_tables(SearchTarget *target)
{
	ListCell *lc;

	target->relid = open_relation(target, target->table_name);
	foreach (lc, target->sources)
		(void) open_relation(target, lfirst(lc));
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
	open_tables(target);
	if (target->key_columns == NIL)
		default_key_columns(target);
}
