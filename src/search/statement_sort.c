/*
 * statement_sort.c
 *		The order of the rows, and where a page after another one begins.
 *
 * What has no value comes last in either direction, and text is ordered by its bytes, both
 * as on the server.  The key comes last, so that pages do not overlap.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "common/input.h"
#include "search/statement.h"

/* A criterion as SQL. */
typedef struct Criterion
{
	char *sql; /* of the value that is compared */
	Oid	  type;
	bool  descending;
	bool  has_nulls;
} Criterion;

/* Refuses a column that has no order. */
static void
refuse_column(Relation table, const char *name, const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("cannot sort table \"%s\" by \"%s\"", RelationGetRelationName(table), name),
			 errdetail_internal("%s", why)));
}

/* The criterion that is a column. */
static Criterion *
column_criterion(Relation table, const char *name, bool descending)
{
	Form_pg_attribute column = statement_column(table, name);
	Criterion		 *criterion = palloc(sizeof(Criterion));
	char			  category;
	bool			  preferred;

	if (column == NULL)
		refuse_column(table, name, "It has no such column.");
	criterion->type = getBaseType(column->atttypid);
	get_type_category_preferred(criterion->type, &category, &preferred);
	if (category == TYPCATEGORY_ARRAY || criterion->type == JSONBOID ||
		!OidIsValid(lookup_type_cache(criterion->type, TYPECACHE_LT_OPR)->lt_opr))
		refuse_column(table, name, "The values of the column have no order.");
	criterion->sql = statement_name(name);
	if (category == TYPCATEGORY_STRING || category == TYPCATEGORY_ENUM)
	{
		criterion->sql =
			psprintf("CAST(%s AS pg_catalog.text) COLLATE pg_catalog.\"C\"", criterion->sql);
		criterion->type = TEXTOID;
	}
	criterion->descending = descending;
	criterion->has_nulls = !column->attnotnull;
	return criterion;
}

/* The criterion that is the score. */
static Criterion *
score_criterion(Statement *statement, bool descending)
{
	Criterion	  *criterion = palloc0(sizeof(Criterion));
	StringInfoData sql;

	initStringInfo(&sql);
	statement_append_score(statement, &sql);
	criterion->sql = sql.data;
	criterion->type = FLOAT8OID;
	criterion->descending = descending;
	return criterion;
}

/* All criteria: those of the request, then the key. */
static List *
list_criteria(Statement *statement)
{
	List	 *list = NIL;
	ListCell *lc;

	foreach (lc, statement->request->sort)
	{
		const SearchSort *sort = lfirst(lc);

		if (sort->name == NULL)
			list = lappend(list, score_criterion(statement, sort->descending));
		else
			list = lappend(list, column_criterion(statement->table, sort->name, sort->descending));
	}
	foreach (lc, statement->target->key_columns)
		list = lappend(list, column_criterion(statement->table, lfirst(lc), false));
	return list;
}

/* The criteria, found once. */
static List *
criteria(Statement *statement)
{
	if (statement->criteria == NIL)
		statement->criteria = list_criteria(statement);
	return statement->criteria;
}

/* Number of criteria. */
int
statement_sort_count(Statement *statement)
{
	return list_length(criteria(statement));
}

/* Place of the score among the criteria, -1: it is none. */
int
statement_score_at(Statement *statement)
{
	int		  place = 0;
	ListCell *lc;

	foreach (lc, statement->request->sort)
	{
		if (((SearchSort *) lfirst(lc))->name == NULL)
			return place;
		place++;
	}
	return -1;
}

/* Adds the values that decide the order, as columns. */
void
statement_append_sort_columns(Statement *statement, StringInfo sql)
{
	ListCell *lc;

	foreach (lc, criteria(statement))
		appendStringInfo(sql, ", %s", ((Criterion *) lfirst(lc))->sql);
}

/* Adds the order; first is the number of the first of the columns that decide it. */
void
statement_append_order(Statement *statement, StringInfo sql, int first)
{
	const char *separator = " ORDER BY ";
	ListCell   *lc;

	foreach (lc, criteria(statement))
	{
		const Criterion *criterion = lfirst(lc);

		appendStringInfo(sql, "%s%d%s%s", separator, first++, criterion->descending ? " DESC" : "",
						 criterion->descending && criterion->has_nulls ? " NULLS LAST" : "");
		separator = ", ";
	}
}

/* Adds a value of a cursor as a parameter; who made it up may have written anything. */
static int
add_value(Statement *statement, const Criterion *criterion, const JsonbValue *value)
{
	Oid		 input;
	Oid		 ioparam;
	FmgrInfo function;
	Datum	 datum;
	char	*text = NULL;

	if (value->type == jbvString)
		text = pnstrdup(value->val.string.val, value->val.string.len);
	getTypeInputInfo(criterion->type, &input, &ioparam);
	fmgr_info(input, &function);
	if (text == NULL || !tenancy_input(&function, text, ioparam, -1, &datum))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid search cursor")));
	return statement_add(statement, criterion->type, datum);
}

/* Adds the condition that a criterion's value is the cursor's. */
static void
append_same(StringInfo sql, const Criterion *criterion, int parameter)
{
	if (parameter == 0)
		appendStringInfo(sql, "%s IS NULL", criterion->sql);
	else
		appendStringInfo(sql, "%s OPERATOR(pg_catalog.=) $%d", criterion->sql, parameter);
}

/* Adds the condition that it comes after the cursor's; false: nothing does. */
static bool
append_later(StringInfo sql, const Criterion *criterion, int parameter)
{
	if (parameter == 0)
		return false;
	appendStringInfo(sql, "(%s OPERATOR(pg_catalog.%s) $%d", criterion->sql,
					 criterion->descending ? "<" : ">", parameter);
	if (criterion->has_nulls)
		appendStringInfo(sql, " OR %s IS NULL", criterion->sql);
	appendStringInfoChar(sql, ')');
	return true;
}

/* Adds the condition that a row comes after the cursor's in one criterion, being the same before. */
static void
append_step(StringInfo sql, List *list, const int *parameters, int last)
{
	int mark = sql->len;

	appendStringInfoString(sql, mark > 0 ? " OR (" : "(");
	for (int i = 0; i < last; i++)
	{
		append_same(sql, list_nth(list, i), parameters[i]);
		appendStringInfoString(sql, " AND ");
	}
	if (append_later(sql, list_nth(list, last), parameters[last]))
		appendStringInfoChar(sql, ')');
	else
	{
		sql->len = mark;
		sql->data[mark] = '\0';
	}
}

/* Adds the condition that a row comes after the request's cursor. */
void
statement_append_after(Statement *statement, StringInfo sql)
{
	const SearchCursor *after = statement->request->after;
	List			   *list = criteria(statement);
	StringInfoData		later;
	int				   *parameters;

	if (after == NULL)
		return;
	if (after->nvalues != list_length(list))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid search cursor")));
	parameters = palloc0(sizeof(int) * after->nvalues);
	for (int i = 0; i < after->nvalues; i++)
		if (after->values[i].type != jbvNull)
			parameters[i] = add_value(statement, list_nth(list, i), &after->values[i]);
	initStringInfo(&later);
	for (int i = 0; i < after->nvalues; i++)
		append_step(&later, list, parameters, i);
	appendStringInfo(sql, " AND (%s)", later.len > 0 ? later.data : "false");
}
