/*
 * depends_on.c
 *		What a synced table's documents are made of besides its own rows.
 *
 * tenant_sync_table() takes JSON; capture looks a joined table up by its name, in
 * tenancy.sync_dependency, where no value it reads is ever toasted.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "common/array.h"
#include "common/errors.h"
#include "common/jsonb.h"
#include "common/spi.h"
#include "sync/depends_on.h"
#include "sync/doc_source.h"

/* Refuses a definition. */
static void
refuse(const char *joined, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_TENANCY_SYNC_CONFIG),
			 errmsg("invalid depends_on for table \"%s\"", joined), errdetail("%s", detail)));
}

/* A name of a column or a table. */
static char *
name_of(const char *joined, const JsonbValue *value)
{
	if (value->type != jbvString || value->val.string.len == 0 ||
		value->val.string.len >= NAMEDATALEN)
		refuse(joined, "Names of tables and columns are strings of 1 to 63 bytes.");
	return pnstrdup(value->val.string.val, value->val.string.len);
}

/* Takes the names in an array. */
static List *
names_of(const char *joined, JsonbContainer *array)
{
	List *names = NIL;

	for (uint32 i = 0; i < JsonContainerSize(array); i++)
		names = lappend(names, name_of(joined, getIthJsonbValueFromContainer(array, i)));
	return names;
}

/* Reads {"columns": [...], "parents": "SELECT ..."}. */
static void
parse_query(Dependency *dependency, JsonbContainer *object)
{
	dependency->columns = names_of(dependency->joined, tenancy_jsonb_array(object, "columns"));
	dependency->parents = tenancy_jsonb_string(object, "parents");
	if (dependency->parents == NULL || JsonContainerSize(object) != 2)
		refuse(dependency->joined, "With \"columns\" goes \"parents\", a query, and nothing else.");
	doc_source_check_select(dependency->parents);
}

/* Reads {"joined column": "column", ...}. */
static void
parse_columns(Dependency *dependency, JsonbContainer *object)
{
	JsonbIterator	  *at = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue		   value;

	while ((token = JsonbIteratorNext(&at, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			dependency->columns = lappend(dependency->columns, name_of(dependency->joined, &value));
		else if (token == WJB_VALUE)
			dependency->parent_columns =
				lappend(dependency->parent_columns, name_of(dependency->joined, &value));
	}
}

/* Reads what stands for one joined table. */
static Dependency *
parse_dependency(char *joined, const JsonbValue *value)
{
	Dependency	   *dependency = palloc0(sizeof(Dependency));
	JsonbContainer *object = value->type == jbvBinary ? value->val.binary.data : NULL;

	dependency->joined = joined;
	if (object == NULL || !JsonContainerIsObject(object))
		refuse(joined, "It must be a JSON object.");
	if (tenancy_jsonb_array(object, "columns") != NULL)
		parse_query(dependency, object);
	else
		parse_columns(dependency, object);
	if (dependency->columns == NIL || list_length(dependency->columns) > INDEX_MAX_KEYS)
		refuse(joined, psprintf("It must name 1 to %d columns.", INDEX_MAX_KEYS));
	return dependency;
}

/* All joined tables of an argument. */
static List *
parse(Jsonb *depends_on)
{
	JsonbIterator	  *at = JsonbIteratorInit(&depends_on->root);
	JsonbIteratorToken token;
	JsonbValue		   value;
	char			  *joined = NULL;
	List			  *list = NIL;

	if (!JB_ROOT_IS_OBJECT(depends_on))
		ereport(ERROR,
				(errcode(ERRCODE_TENANCY_SYNC_CONFIG), errmsg("depends_on must be a JSON object")));
	while ((token = JsonbIteratorNext(&at, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			joined = name_of("", &value);
		else if (token == WJB_VALUE)
			list = lappend(list, parse_dependency(joined, &value));
	}
	return list;
}

/* Names as text[]; NIL is NULL. */
static Datum
names_or_null(List *names)
{
	return names == NIL ? (Datum) 0 : tenancy_text_array(names);
}

/* Inserts one row. */
static void
insert_dependency(const char *blueprint, const char *table_name, const Dependency *dependency)
{
	Oid	  types[] = {TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTARRAYOID, TEXTOID};
	Datum values[] = {CStringGetTextDatum(blueprint),
					  CStringGetTextDatum(dependency->joined),
					  CStringGetTextDatum(table_name),
					  names_or_null(dependency->columns),
					  names_or_null(dependency->parent_columns),
					  dependency->parents ? CStringGetTextDatum(dependency->parents) : (Datum) 0};
	char  nulls[] = "      ";

	for (int i = 0; i < lengthof(values); i++)
		nulls[i] = values[i] == (Datum) 0 ? 'n' : ' ';
	tenancy_spi_exec("INSERT INTO tenancy.sync_dependency"
					 " (blueprint, joined_table, table_name, columns, parent_columns, parents)"
					 " VALUES ($1, $2::name, $3::name, $4, $5, $6)",
					 lengthof(values), types, values, nulls);
}

/* Replaces what a table depends on; NULL: nothing. */
void
depends_on_write(const char *blueprint, const char *table_name, Jsonb *depends_on)
{
	Oid		  types[] = {TEXTOID, TEXTOID};
	Datum	  values[] = {CStringGetTextDatum(blueprint), CStringGetTextDatum(table_name)};
	ListCell *cell;

	tenancy_spi_exec("DELETE FROM tenancy.sync_dependency"
					 " WHERE blueprint = $1 AND table_name = $2::name",
					 2, types, values, NULL);
	if (depends_on == NULL)
		return;
	foreach (cell, parse(depends_on))
		insert_dependency(blueprint, table_name, lfirst(cell));
}

/* Names in a text[] of the last result. */
static List *
name_list(int row, int column)
{
	bool  isnull;
	Datum value = tenancy_spi_datum(row, column, &isnull);

	return isnull ? NIL : tenancy_text_list(value);
}

/* Takes a row of a query for joined_table, columns, parent_columns, parents. */
static Dependency *
dependency_of(int row)
{
	Dependency *dependency = palloc0(sizeof(Dependency));

	dependency->joined = tenancy_spi_text(row, 1);
	dependency->columns = name_list(row, 2);
	dependency->parent_columns = name_list(row, 3);
	dependency->parents = tenancy_spi_text(row, 4);
	return dependency;
}

/* What a table depends on; it lives until spi_end. */
List *
depends_on_read(const char *blueprint, const char *table_name)
{
	Oid	  types[] = {TEXTOID, TEXTOID};
	Datum values[] = {CStringGetTextDatum(blueprint), CStringGetTextDatum(table_name)};
	List *list = NIL;

	tenancy_spi_exec("SELECT joined_table, columns, parent_columns, parents"
					 " FROM tenancy.sync_dependency"
					 " WHERE blueprint = $1 AND table_name = $2::name ORDER BY joined_table",
					 2, types, values, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
		list = lappend(list, dependency_of(i));
	return list;
}

/* How a relation depends on a joined table; NULL: it does not, or does not any more. */
Dependency *
depends_on_find(int64 tenant_id, Oid relid, const char *joined)
{
	static SPIPlanPtr plan = NULL;
	Oid				  types[] = {INT8OID, TEXTOID, TEXTOID};
	char			 *table = get_rel_name(relid);
	Datum			  values[3];

	if (table == NULL)
		return NULL;
	values[0] = Int64GetDatum(tenant_id);
	values[1] = CStringGetTextDatum(table);
	values[2] = CStringGetTextDatum(joined);
	tenancy_spi_exec_saved(
		&plan,
		"SELECT d.joined_table, d.columns, d.parent_columns, d.parents"
		"  FROM tenancy.tenant t"
		"  JOIN tenancy.sync_dependency d ON d.blueprint = t.blueprint"
		" WHERE t.id = $1 AND d.table_name = $2::name AND d.joined_table = $3::name",
		3, types, values, NULL);
	return SPI_processed > 0 ? dependency_of(0) : NULL;
}
