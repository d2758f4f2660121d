/*
 * doc_check.c
 *		Whether a definition's documents can be made for the tenants there are.
 *
 * The queries are prepared in a subtransaction that is undone, so that the check of
 * many tenants does not gather their tables' locks.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/sysattr.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "common/attempt.h"
#include "common/errors.h"
#include "common/spi.h"
#include "sync/depends_on.h"
#include "sync/doc_check.h"
#include "sync/doc_query.h"
#include "sync/key.h"
#include "sync/parent_query.h"

/* One tenant's table, and the definition. */
typedef struct Check
{
	const char *table_name;
	const char *document;
	List	   *key_columns; /* NIL: the primary key */
	List	   *dependencies;
	Oid			relid;
	List	   *telltale; /* result: dependencies whose old values the WAL does not have */
} Check;

/* Takes the tenants' names and schemas. */
static int
read_tenants(const char *blueprint, char ***names, char ***schemas)
{
	Oid	  types[] = {TEXTOID};
	Datum values[] = {CStringGetTextDatum(blueprint)};
	int	  n;

	tenancy_spi_exec("SELECT name, schema_name FROM tenancy.tenant"
					 " WHERE blueprint = $1 AND status <> 'dropped' ORDER BY id",
					 1, types, values, NULL);
	n = SPI_processed;
	*names = palloc((n + 1) * sizeof(char *));
	*schemas = palloc((n + 1) * sizeof(char *));
	for (int i = 0; i < n; i++)
	{
		(*names)[i] = tenancy_spi_text(i, 1);
		(*schemas)[i] = tenancy_spi_text(i, 2);
	}
	return n;
}

/* Key columns that the definition names; NIL: it names none. */
static List *
read_key_columns(const char *blueprint, const char *table_name)
{
	Oid	  types[] = {TEXTOID, TEXTOID};
	Datum values[] = {CStringGetTextDatum(blueprint), CStringGetTextDatum(table_name)};
	List *names = NIL;

	tenancy_spi_exec("SELECT k.name FROM tenancy.sync_table s"
					 " CROSS JOIN unnest(s.key_columns) WITH ORDINALITY k(name, n)"
					 " WHERE s.blueprint = $1 AND s.table_name = $2::name ORDER BY k.n",
					 2, types, values, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
		names = lappend(names, tenancy_spi_text(i, 1));
	return names;
}

/* True if the WAL has the old values of the columns whenever they change. */
static bool
is_in_identity(Relation relation, const List *columns)
{
	Bitmapset *identity;
	ListCell  *cell;
	bool	   all = true;

	if (relation->rd_rel->relreplident == REPLICA_IDENTITY_FULL)
		return true;
	identity = RelationGetIndexAttrBitmap(relation, INDEX_ATTR_BITMAP_IDENTITY_KEY);
	foreach (cell, columns)
		all = all && bms_is_member(get_attnum(RelationGetRelid(relation), lfirst(cell)) -
									   FirstLowInvalidHeapAttributeNumber,
								   identity);
	return all;
}

/* Notes whether changes of a joined table tell the rows that it was joined with. */
static void
check_identity(Check *check, Dependency *dependency)
{
	Relation joined =
		relation_open(parent_query_joined(check->relid, dependency->joined), AccessShareLock);
	MemoryContext old;

	if (!is_in_identity(joined, dependency->columns))
	{
		old = MemoryContextSwitchTo(GetMemoryChunkContext(check->dependencies));
		check->telltale = lappend(check->telltale, dependency);
		MemoryContextSwitchTo(old);
	}
	relation_close(joined, NoLock);
}

/* Prepares everything for one table; it throws what is wrong. */
static void
check_table(void *arg)
{
	Check	   *check = arg;
	Relation	relation = relation_open(check->relid, AccessShareLock);
	List	   *names = check->key_columns != NIL ? check->key_columns : key_columns_of(relation);
	char	   *key[INDEX_MAX_KEYS];
	int			nkeys = 0;
	ParentQuery query;
	SpiScope	scope;
	ListCell   *cell;

	relation_close(relation, NoLock);
	if (names == NIL)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_SYNC_CONFIG),
						errmsg("table \"%s\" has no primary key", check->table_name)));
	foreach (cell, names)
		key[nkeys++] = lfirst(cell);
	if (check->document != NULL)
		doc_query_check(check->relid, check->document, key, nkeys);
	doc_query_begin(&scope, check->relid, NULL);
	foreach (cell, check->dependencies)
		parent_query_prepare(&query, check->relid, key, nkeys, lfirst(cell));
	tenancy_spi_end(&scope);
	foreach (cell, check->dependencies)
		check_identity(check, lfirst(cell));
}

/* Checks one tenant; a table that it does not have yet is checked when its rows are read. */
static void
check_tenant(Check *check, const char *tenant, const char *schema)
{
	Oid namespace = get_namespace_oid(schema, true);
	ErrorData *error;

	check->relid =
		OidIsValid(namespace) ? get_relname_relid(check->table_name, namespace) : InvalidOid;
	check->telltale = NIL;
	if (!OidIsValid(check->relid))
		return;
	error = tenancy_try(check_table, check, true);
	if (error == NULL)
		return;
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) ==
		ERRCODE_TO_CATEGORY(ERRCODE_OPERATOR_INTERVENTION))
		ReThrowError(error);
	ereport(ERROR, (errcode(ERRCODE_TENANCY_SYNC_CONFIG),
					errmsg("table \"%s\" of tenant \"%s\" cannot be synced like this",
						   check->table_name, tenant),
					errdetail("%s", error->message)));
}

/* Warns of a joined table whose changes do not tell enough. */
static void
warn(const Check *check, const Dependency *dependency, const char *schema)
{
	ereport(WARNING,
			(errmsg("every UPDATE and DELETE in \"%s\" will have all rows of \"%s\" sent again",
					dependency->joined, check->table_name),
			 errdetail("The WAL does not have the old values of the columns that depends_on names "
					   "for it."),
			 errhint("Run ALTER TABLE %s.%s REPLICA IDENTITY FULL, for every tenant.",
					 quote_identifier(schema), quote_identifier(dependency->joined))));
}

/* Checks a definition against every tenant of its blueprint. */
void
doc_check_tenants(const char *blueprint, const char *table_name, const char *document)
{
	Check	  check = {.table_name = table_name, .document = document};
	char	**names;
	char	**schemas;
	int		  n = read_tenants(blueprint, &names, &schemas);
	List	 *warned = NIL;
	ListCell *cell;

	check.key_columns = read_key_columns(blueprint, table_name);
	check.dependencies = depends_on_read(blueprint, table_name);
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		check_tenant(&check, names[i], schemas[i]);
		foreach (cell, check.telltale)
			if (!list_member_ptr(warned, lfirst(cell)))
			{
				warn(&check, lfirst(cell), schemas[i]);
				warned = lappend(warned, lfirst(cell));
			}
	}
}
