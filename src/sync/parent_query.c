/*
 * parent_query.c
 *		The query for the rows that a joined row is part of.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "sync/parent_query.h"

/* The joined table, in the schema of the relation. */
Oid
parent_query_joined(Oid relid, const char *name)
{
	Oid	 joined = get_relname_relid(name, get_rel_namespace(relid));
	char kind = OidIsValid(joined) ? get_rel_relkind(joined) : '\0';

	if (!OidIsValid(joined))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE), errmsg("relation \"%s\" does not exist", name)));
	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is not a table", name)));
	return joined;
}

/* Place of a column in the dependency's list of the parents' columns, -1: it is not there. */
static int
place_of(const Dependency *dependency, const char *name)
{
	ListCell *cell;

	foreach (cell, dependency->parent_columns)
		if (strcmp(lfirst(cell), name) == 0)
			return foreach_current_index(cell);
	return -1;
}

/* True if the columns are the parents' key, of the same types: no look-up is needed. */
static bool
is_key(ParentQuery *query, const SqlColumn *key, int nkeys, const Dependency *dependency)
{
	if (list_length(dependency->parent_columns) != nkeys)
		return false;
	for (int i = 0; i < nkeys; i++)
	{
		query->key_order[i] = place_of(dependency, key[i].name);
		if (query->key_order[i] < 0 || query->columns[query->key_order[i]].type != key[i].type)
			return false;
	}
	return true;
}

/* Appends a query for the rows whose columns have the values. */
static void
append_by_columns(StringInfo sql, const ParentQuery *query, Oid relid, const SqlColumn *key,
				  int nkeys, const Dependency *dependency)
{
	for (int i = 0; i < nkeys; i++)
		appendStringInfo(sql, "%s\"tenancy parent\".%s", i == 0 ? "SELECT " : ", ",
						 quote_identifier(key[i].name));
	appendStringInfo(sql, " FROM %s.%s AS \"tenancy parent\"",
					 quote_identifier(get_namespace_name(get_rel_namespace(relid))),
					 quote_identifier(get_rel_name(relid)));
	for (int i = 0; i < query->ncolumns; i++)
	{
		const SqlColumn *joined = &query->columns[i];
		SqlColumn		 own;

		sql_column_find(&own, relid, list_nth(dependency->parent_columns, i));
		appendStringInfo(
			sql, " %s \"tenancy parent\".%s %s $%d", i == 0 ? "WHERE" : "AND",
			quote_identifier(own.name),
			own.type == joined->type && own.equal ? own.equal : "OPERATOR(pg_catalog.=)", i + 1);
	}
}

/* Appends the user's query; its columns become the parents' key, of that one's types. */
static void
append_by_query(StringInfo sql, const SqlColumn *key, int nkeys, const Dependency *dependency)
{
	for (int i = 0; i < nkeys; i++)
		appendStringInfo(sql, "%s\"tenancy parents\".\"tenancy key %d\"::%s",
						 i == 0 ? "SELECT " : ", ", i, sql_type(key[i].type, key[i].typmod));
	appendStringInfo(sql, " FROM (%s\n) AS \"tenancy parents\"(", dependency->parents);
	for (int i = 0; i < nkeys; i++)
		appendStringInfo(sql, "%s\"tenancy key %d\"", i == 0 ? "" : ", ", i);
	appendStringInfoChar(sql, ')');
}

/* Prepares the query for the parents of a dependency's joined rows. */
void
parent_query_prepare(ParentQuery *query, Oid relid, char **key_columns, int nkeys,
					 const Dependency *dependency)
{
	Oid			   joined = parent_query_joined(relid, dependency->joined);
	SqlColumn	   key[INDEX_MAX_KEYS];
	Oid			   types[INDEX_MAX_KEYS];
	StringInfoData sql;

	query->ncolumns = list_length(dependency->columns);
	query->plan = NULL;
	for (int i = 0; i < query->ncolumns; i++)
	{
		sql_column_find(&query->columns[i], joined, list_nth(dependency->columns, i));
		types[i] = query->columns[i].type;
	}
	for (int i = 0; i < nkeys; i++)
		sql_column_find(&key[i], relid, key_columns[i]);
	query->is_key = is_key(query, key, nkeys, dependency);
	if (query->is_key)
		return;
	initStringInfo(&sql);
	if (dependency->parents == NULL)
		append_by_columns(&sql, query, relid, key, nkeys, dependency);
	else
		append_by_query(&sql, key, nkeys, dependency);
	query->plan = tenancy_spi_prepare(sql.data, query->ncolumns, types);
}

/* Opens the query for values, a NULL text being NULL; NULL: no row has such values. */
Portal
parent_query_open(ParentQuery *query, const char **texts)
{
	Datum values[INDEX_MAX_KEYS];
	char  nulls[INDEX_MAX_KEYS];

	for (int i = 0; i < query->ncolumns; i++)
	{
		nulls[i] = texts[i] == NULL ? 'n' : ' ';
		values[i] = (Datum) 0;
		if (texts[i] != NULL && !sql_column_value(&query->columns[i], texts[i], &values[i]))
			return NULL;
	}
	return tenancy_spi_open_plan(query->plan, values, nulls);
}
