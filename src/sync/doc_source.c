/*
 * doc_source.c
 *		What makes the documents of a table, if not its rows themselves.
 *
 * Text that a user wrote goes into a statement only after it was parsed alone: then it
 * is a whole expression or a whole SELECT, and nothing in it can end the place it has.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "nodes/parsenodes.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "common/attempt.h"
#include "common/errors.h"
#include "sync/doc_source.h"

/* The only statement of a text, if that is a SELECT; NULL: it is something else. */
static SelectStmt *
parse_select(const char *sql)
{
	List *statements = raw_parser(sql, RAW_PARSE_DEFAULT);
	Node *statement;

	if (list_length(statements) != 1)
		return NULL;
	statement = linitial_node(RawStmt, statements)->stmt;
	if (!IsA(statement, SelectStmt) || ((SelectStmt *) statement)->intoClause != NULL)
		return NULL;
	return (SelectStmt *) statement;
}

/* The expression that a text is, nothing before or after it; NULL: it is something else. */
static Node *
parse_expression(const char *text)
{
	SelectStmt *select = parse_select(psprintf("SELECT %s\n", text));
	SelectStmt *bare = makeNode(SelectStmt);
	ResTarget  *target;

	if (select == NULL || list_length(select->targetList) != 1)
		return NULL;
	target = linitial_node(ResTarget, select->targetList);
	bare->targetList = select->targetList;
	bare->limitOption = select->limitOption;
	if (target->name != NULL || !equal(select, bare))
		return NULL;
	return target->val;
}

/* Name of the view, if the document is written as a plain name. */
char *
doc_source_view(const char *document)
{
	Node	  *expression = parse_expression(document);
	ColumnRef *name = (ColumnRef *) expression;

	if (expression == NULL)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_SYNC_CONFIG),
						errmsg("it must be the name of a view or one expression")));
	if (!IsA(expression, ColumnRef) || list_length(name->fields) != 1 ||
		!IsA(linitial(name->fields), String))
		return NULL;
	return strVal(linitial(name->fields));
}

/* Parses a document. */
static void
parse_document(void *text)
{
	(void) doc_source_view(text);
}

/* Parses a query for parents. */
static void
parse_parents(void *text)
{
	if (parse_select(text) == NULL)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_SYNC_CONFIG), errmsg("it must be one SELECT")));
}

/* Calls a parser, whose position in the text would mean nothing to who called us. */
static void
check(AttemptFunction parser, const char *what, const char *text)
{
	ErrorData *error = tenancy_try(parser, (void *) text, true);

	if (error != NULL)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_SYNC_CONFIG), errmsg("invalid %s", what),
						errdetail("%s", error->message)));
}

/* Refuses text that is no document. */
void
doc_source_check(const char *document)
{
	check(parse_document, "document", document);
}

/* Refuses text that is not one SELECT. */
void
doc_source_check_select(const char *text)
{
	check(parse_parents, "query for parents", text);
}

/* Appends the conditions that the row has the key of parameter row "tenancy keys". */
static void
append_conditions(StringInfo sql, const char *alias, const SqlColumn *key, int nkeys)
{
	for (int i = 0; i < nkeys; i++)
		appendStringInfo(sql, "%s%s.%s %s \"tenancy keys\".\"tenancy key %d\"",
						 i == 0 ? " WHERE " : " AND ", alias, quote_identifier(key[i].name),
						 key[i].equal, i);
}

/* Appends the keys: $1, $2 and so on are arrays of their columns' values. */
static void
append_keys(StringInfo sql, int nkeys)
{
	appendStringInfoString(sql, " FROM ROWS FROM (");
	for (int i = 0; i < nkeys; i++)
		appendStringInfo(sql, "%spg_catalog.unnest($%d)", i == 0 ? "" : ", ", i + 1);
	appendStringInfoString(sql, ") WITH ORDINALITY AS \"tenancy keys\"(");
	for (int i = 0; i < nkeys; i++)
		appendStringInfo(sql, "\"tenancy key %d\", ", i);
	appendStringInfoString(sql, "\"tenancy number\")");
}

/*
 * The query for the documents of many keys: number of the key, array of its documents.  A
 * subquery is run anew for every key and never flattened into a join, so each key is
 * looked up through the index, and the condition gets into a view with GROUP BY too.
 */
char *
doc_source_sql(Oid relid, const char *document, const SqlColumn *key, int nkeys)
{
	const char	  *schema = quote_identifier(get_namespace_name(get_rel_namespace(relid)));
	char		  *view = doc_source_view(document);
	const char	  *relation = quote_identifier(view ? view : get_rel_name(relid));
	const char	  *alias = view ? "\"tenancy document\"" : relation;
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT \"tenancy keys\".\"tenancy number\", ARRAY(SELECT ");
	if (view != NULL)
		appendStringInfo(&sql, "%s.*::%s.%s", alias, schema, relation);
	else
		appendStringInfo(&sql, "(%s\n)", document);
	appendStringInfo(&sql, " FROM %s.%s AS %s", schema, relation, alias);
	append_conditions(&sql, alias, key, nkeys);
	appendStringInfoString(&sql, " LIMIT 2)");
	append_keys(&sql, nkeys);
	return sql.data;
}
