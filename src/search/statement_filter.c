/*
 * statement_filter.c
 *		Conditions on columns.
 *
 * A negated condition holds where the column has no value, as on the server.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "search/statement.h"

/* Refuses a filter that this column cannot answer. */
static void
refuse(const SearchFilter *filter, const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("cannot filter by \"%s\"", filter->name), errdetail_internal("%s", why)));
}

/* Operator of a bound. */
static const char *
bound_operator(const char *name)
{
	if (name[0] == 'g')
		return name[2] == 'e' ? ">=" : ">";
	return name[2] == 'e' ? "<=" : "<";
}

/* The column has a value: an array an element. */
static void
append_exists(StringInfo sql, const char *column, Oid type, Oid element)
{
	if (OidIsValid(element))
		appendStringInfo(
			sql,
			"pg_catalog.cardinality(pg_catalog.array_remove(%s, NULL)) OPERATOR(pg_catalog.>) 0",
			column);
	else if (type == JSONBOID)
		appendStringInfo(sql, "pg_catalog.jsonb_path_exists(%s, '$[*] ? (@ != null)')", column);
	else
		appendStringInfo(sql, "%s IS NOT NULL", column);
}

/* A column that holds many values: one of them is among the filter's. */
static void
append_overlap(Statement *statement, StringInfo sql, const char *column, Oid element,
			   const SearchFilter *filter)
{
	if (filter->kind == FILTER_RANGE)
		refuse(filter, "The column holds many values, which have no order.");
	if (OidIsValid(element))
		appendStringInfo(sql, "%s OPERATOR(pg_catalog.&&) CAST($%d AS %s[])", column,
						 statement_add_texts(statement, filter->values, filter->nvalues),
						 statement_type(element));
	else if (filter->kind == FILTER_ANY)
		appendStringInfo(sql, "%s OPERATOR(pg_catalog.?|) $%d", column,
						 statement_add_texts(statement, filter->values, filter->nvalues));
	else
		appendStringInfo(sql, "%s OPERATOR(pg_catalog.?) $%d", column,
						 statement_add_text(statement, filter->values[0]));
}

/* Equality or bounds; each value is cast to the column's type. */
static void
append_comparisons(Statement *statement, StringInfo sql, const char *column, Oid type,
				   const SearchFilter *filter)
{
	for (int i = 0; i < filter->nvalues; i++)
		appendStringInfo(sql, "%s%s OPERATOR(pg_catalog.%s) CAST($%d AS %s)", i > 0 ? " AND " : "",
						 column,
						 filter->kind == FILTER_RANGE ? bound_operator(filter->operators[i]) : "=",
						 statement_add_text(statement, filter->values[i]), statement_type(type));
}

/* A column that holds one value. */
static void
append_scalar(Statement *statement, StringInfo sql, const char *column, Oid type,
			  const SearchFilter *filter)
{
	TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_EQ_OPR | TYPECACHE_LT_OPR);

	if (!OidIsValid(filter->kind == FILTER_RANGE ? entry->lt_opr : entry->eq_opr))
		refuse(filter, "The values of the column's type cannot be compared.");
	if (filter->kind == FILTER_ANY)
		appendStringInfo(sql, "%s OPERATOR(pg_catalog.=) ANY (CAST($%d AS %s[]))", column,
						 statement_add_texts(statement, filter->values, filter->nvalues),
						 statement_type(type));
	else
		append_comparisons(statement, sql, column, type, filter);
}

/* The condition of a filter, without its negation. */
static void
append_condition(Statement *statement, StringInfo sql, const SearchFilter *filter)
{
	Form_pg_attribute attribute = statement_column(statement->table, filter->name);
	char			 *column = statement_name(filter->name);
	Oid				  type;
	Oid				  element;

	if (attribute == NULL)
		refuse(filter, "The table has no such column.");
	type = getBaseType(attribute->atttypid);
	element = get_element_type(type);
	if (filter->kind == FILTER_EXISTS)
		append_exists(sql, column, type, element);
	else if (type == JSONBOID || OidIsValid(element))
		append_overlap(statement, sql, column, element, filter);
	else
		append_scalar(statement, sql, column, type, filter);
}

/* Adds the conditions of all filters but those of the column that is excepted. */
void
statement_append_filters(Statement *statement, StringInfo sql, const char *except)
{
	ListCell *lc;

	foreach (lc, statement->request->filters)
	{
		const SearchFilter *filter = lfirst(lc);

		if (except != NULL && strcmp(filter->name, except) == 0)
			continue;
		appendStringInfoString(sql, filter->negated ? " AND (" : " AND ");
		append_condition(statement, sql, filter);
		appendStringInfoString(sql, filter->negated ? ") IS NOT TRUE" : "");
	}
}
