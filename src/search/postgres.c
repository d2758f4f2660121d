/*
 * postgres.c
 *		Searches the table itself, by its full text column.
 *
 * Runs with the caller's rights.  Every name is quoted, every value a parameter, and
 * operators are named with their schema, since the search_path is the caller's.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"

#include "common/errors.h"
#include "common/spi.h"
#include "search/search.h"
#include "sink/doc_id.h"

#define TSQUERY "pg_catalog.websearch_to_tsquery('pg_catalog.english'::pg_catalog.regconfig, $1)"

/* A statement in the making. */
typedef struct Statement
{
	Relation	   table;
	const char	  *text_column; /* quoted; NULL: every row matches */
	StringInfoData where;
	int			   nargs;
	Oid			  *types;
	Datum		  *values;
} Statement;

/* Adds a parameter; returns its number. */
static int
add_parameter(Statement *statement, Oid type, Datum value)
{
	int n = statement->nargs++;

	statement->types[n] = type;
	statement->values[n] = value;
	return n + 1;
}

/* Adds the values of a filter as one parameter of type text[]. */
static int
add_array(Statement *statement, const SearchFilter *filter)
{
	Datum *elements = palloc(sizeof(Datum) * Max(filter->nvalues, 1));

	for (int i = 0; i < filter->nvalues; i++)
		elements[i] = CStringGetTextDatum(filter->values[i]);
	return add_parameter(statement, TEXTARRAYOID,
						 PointerGetDatum(construct_array(elements, filter->nvalues, TEXTOID, -1,
														 false, TYPALIGN_INT)));
}

/* Refuses a filter that this column cannot answer. */
static void
refuse(const SearchFilter *filter, const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("cannot filter by \"%s\"", filter->name), errdetail_internal("%s", why)));
}

/* Column of the table, NULL if it has none of that name. */
static Form_pg_attribute
find_column(Relation table, const char *name)
{
	TupleDesc desc = RelationGetDescr(table);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		if (!column->attisdropped && strcmp(NameStr(column->attname), name) == 0)
			return column;
	}
	return NULL;
}

/* Name of a type for a cast, without a length that would cut values. */
static char *
type_name(Oid type)
{
	return format_type_extended(type, -1, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
}

/* Operator of a bound. */
static const char *
bound_operator(const char *name)
{
	if (name[0] == 'g')
		return name[2] == 'e' ? ">=" : ">";
	return name[2] == 'e' ? "<=" : "<";
}

/* A column that holds many values: one of them is among the filter's. */
static void
append_overlap(Statement *statement, const char *column, Oid element, const SearchFilter *filter)
{
	if (filter->kind == FILTER_RANGE)
		refuse(filter, "The column holds many values, which have no order.");
	if (OidIsValid(element))
		appendStringInfo(&statement->where, " AND %s OPERATOR(pg_catalog.&&) CAST($%d AS %s[])",
						 column, add_array(statement, filter), type_name(element));
	else if (filter->kind == FILTER_ANY)
		appendStringInfo(&statement->where, " AND %s OPERATOR(pg_catalog.?|) $%d", column,
						 add_array(statement, filter));
	else
		appendStringInfo(&statement->where, " AND %s OPERATOR(pg_catalog.?) $%d", column,
						 add_parameter(statement, TEXTOID, CStringGetTextDatum(filter->values[0])));
}

/* Equality or bounds; each value is cast to the column's type. */
static void
append_comparisons(Statement *statement, const char *column, Oid type, const SearchFilter *filter)
{
	for (int i = 0; i < filter->nvalues; i++)
		appendStringInfo(&statement->where, " AND %s OPERATOR(pg_catalog.%s) CAST($%d AS %s)",
						 column,
						 filter->kind == FILTER_RANGE ? bound_operator(filter->operators[i]) : "=",
						 add_parameter(statement, TEXTOID, CStringGetTextDatum(filter->values[i])),
						 type_name(type));
}

/* A column that holds one value. */
static void
append_scalar(Statement *statement, const char *column, Oid type, const SearchFilter *filter)
{
	TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_EQ_OPR | TYPECACHE_LT_OPR);

	if (!OidIsValid(filter->kind == FILTER_RANGE ? entry->lt_opr : entry->eq_opr))
		refuse(filter, "The values of the column's type cannot be compared.");
	if (filter->kind == FILTER_ANY)
		appendStringInfo(&statement->where,
						 " AND %s OPERATOR(pg_catalog.=) ANY (CAST($%d AS %s[]))", column,
						 add_array(statement, filter), type_name(type));
	else
		append_comparisons(statement, column, type, filter);
}

/* Adds the condition of a filter. */
static void
append_filter(Statement *statement, const SearchFilter *filter)
{
	Form_pg_attribute attribute = find_column(statement->table, filter->name);
	char			 *column;
	Oid				  type;
	Oid				  element;

	if (attribute == NULL)
		refuse(filter, "The table has no such column.");
	column = psprintf("t.%s", quote_identifier(filter->name));
	type = getBaseType(attribute->atttypid);
	element = get_element_type(type);
	if (type == JSONBOID || OidIsValid(element))
		append_overlap(statement, column, element, filter);
	else
		append_scalar(statement, column, type, filter);
}

/* Name of the first full text column, quoted. */
static const char *
find_text_column(Relation table, const char *fallback)
{
	TupleDesc desc = RelationGetDescr(table);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		if (!column->attisdropped && column->atttypid == TSVECTOROID)
			return quote_identifier(NameStr(column->attname));
	}
	ereport(ERROR, (errcode(ERRCODE_TENANCY_SEARCH_UNAVAILABLE),
					errmsg("table \"%s\" cannot be searched in PostgreSQL",
						   RelationGetRelationName(table)),
					fallback ? errdetail("The search server was not used: %s.", fallback) : 0,
					errhint("Add a column of type tsvector, generated from the text columns.")));
}

/* Collects conditions and parameters. */
static void
prepare(Statement *statement, const SearchRequest *request, const char *fallback)
{
	int		  most = 1;
	ListCell *lc;

	foreach (lc, request->filters)
		most += Max(((SearchFilter *) lfirst(lc))->nvalues, 1);
	statement->types = palloc(sizeof(Oid) * most);
	statement->values = palloc(sizeof(Datum) * most);
	initStringInfo(&statement->where);
	if (request->query == NULL)
		appendStringInfoString(&statement->where, "true");
	else
	{
		statement->text_column = find_text_column(statement->table, fallback);
		add_parameter(statement, TEXTOID, CStringGetTextDatum(request->query));
		appendStringInfo(&statement->where, "t.%s OPERATOR(pg_catalog.@@) " TSQUERY,
						 statement->text_column);
	}
	foreach (lc, request->filters)
		append_filter(statement, lfirst(lc));
}

/* Schema and name of the table, quoted. */
static char *
table_name(Relation table)
{
	return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(table)),
									  RelationGetRelationName(table));
}

/* Counts the matches. */
static int64
count_matches(Statement *statement)
{
	char *sql = psprintf("SELECT pg_catalog.count(*) FROM %s t WHERE %s",
						 table_name(statement->table), statement->where.data);

	tenancy_spi_query(sql, statement->nargs, statement->types, statement->values);
	return tenancy_spi_int64(0, 1);
}

/* Appends the row as a document: all columns but the full text ones. */
static void
append_document(StringInfo sql, Relation table)
{
	TupleDesc	desc = RelationGetDescr(table);
	const char *separator = "";

	appendStringInfoString(sql, "(SELECT pg_catalog.to_jsonb(d) FROM (SELECT ");
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		if (column->attisdropped || column->atttypid == TSVECTOROID)
			continue;
		appendStringInfo(sql, "%st.%s", separator, quote_identifier(NameStr(column->attname)));
		separator = ", ";
	}
	appendStringInfoString(sql, ") d)");
}

/* Appends the order: relevance or age, then the key, so that pages do not overlap. */
static void
append_order(StringInfo sql, Relation table, const SearchTarget *target,
			 const SearchRequest *request)
{
	Form_pg_attribute created_at = find_column(table, "created_at");
	bool			  newest_first = !search_sorts_by_score(request);
	ListCell		 *lc;

	if (newest_first && created_at == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("cannot sort table \"%s\" by age", RelationGetRelationName(table)),
						errdetail("It has no column \"%s\".", "created_at")));
	appendStringInfoString(sql, " ORDER BY ");
	if (!newest_first)
		appendStringInfoString(sql, "2 DESC");
	else
		appendStringInfo(sql, "t.created_at DESC%s", created_at->attnotnull ? "" : " NULLS LAST");
	foreach (lc, target->key_columns)
		appendStringInfo(sql, ", t.%s", quote_identifier(lfirst(lc)));
}

/* Writes the query for a page: document, score, key columns. */
static char *
page_query(Statement *statement, const SearchTarget *target, const SearchRequest *request)
{
	StringInfoData sql;
	ListCell	  *lc;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	append_document(&sql, statement->table);
	if (statement->text_column != NULL)
		appendStringInfo(&sql, ", pg_catalog.ts_rank(t.%s, " TSQUERY ")", statement->text_column);
	else
		appendStringInfoString(&sql, ", 1::pg_catalog.float4");
	foreach (lc, target->key_columns)
		appendStringInfo(&sql, ", t.%s", quote_identifier(lfirst(lc)));
	appendStringInfo(&sql, " FROM %s t WHERE %s", table_name(statement->table),
					 statement->where.data);
	append_order(&sql, statement->table, target, request);
	appendStringInfo(&sql, " LIMIT %d OFFSET %d", request->page_size,
					 (request->page - 1) * request->page_size);
	return sql.data;
}

/* Document id of a result row, as the sink makes it. */
static char *
row_id(int row, int nkeys)
{
	StringInfoData key;

	initStringInfo(&key);
	for (int i = 0; i < nkeys; i++)
	{
		char *value = tenancy_spi_text(row, i + 3);

		appendStringInfoString(&key, value ? value : "");
		appendStringInfoChar(&key, '\0');
	}
	return nkeys > 0 ? sink_doc_id(key.data, key.len) : pstrdup("");
}

/* Copies a result row out of SPI's memory. */
static SearchHit *
copy_hit(int row, int nkeys)
{
	SearchHit *hit = palloc0(sizeof(SearchHit));
	bool	   isnull;
	Datum	   score = tenancy_spi_datum(row, 2, &isnull);

	hit->id = row_id(row, nkeys);
	hit->document = &DatumGetJsonbPCopy(tenancy_spi_datum(row, 1, &isnull))->root;
	hit->score.type = jbvNumeric;
	hit->score.val.numeric = DatumGetNumeric(DirectFunctionCall1(float4_numeric, score));
	return hit;
}

/*
 * Sets what a value's text depends on as sync does, so that ids and documents are the
 * same, and silences the notice about queries of nothing but stop words.
 */
static void
pin_settings(void)
{
	static const char *const settings[][2] = {
		{"datestyle", "ISO, MDY"}, {"intervalstyle", "postgres"},
		{"timezone", "UTC"},	   {"extra_float_digits", "1"},
		{"bytea_output", "hex"},   {"client_min_messages", "warning"},
	};

	for (int i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
}

/* Runs the statement. */
static void
run(Statement *statement, const SearchTarget *target, const SearchRequest *request,
	SearchResult *result)
{
	MemoryContext context = CurrentMemoryContext;
	char		 *sql = page_query(statement, target, request);
	SpiScope	  scope;
	MemoryContext old;

	tenancy_spi_begin_as_caller(&scope);
	pin_settings();
	result->total = count_matches(statement);
	tenancy_spi_query(sql, statement->nargs, statement->types, statement->values);
	old = MemoryContextSwitchTo(context);
	for (uint64 i = 0; i < SPI_processed; i++)
		result->hits = lappend(result->hits, copy_hit((int) i, list_length(target->key_columns)));
	MemoryContextSwitchTo(old);
	tenancy_spi_end(&scope);
}

/* Refuses what only the server can do. */
static void
refuse_unsupported(const SearchRequest *request)
{
	const char *what = NULL;
	SearchSort *sort = linitial(request->sort);
	ListCell   *lc;

	foreach (lc, request->filters)
		if (((SearchFilter *) lfirst(lc))->negated ||
			((SearchFilter *) lfirst(lc))->kind == FILTER_EXISTS)
			what = "filters with null, exists or not";
	if (list_length(request->sort) > 1 ||
		(sort->name != NULL && (strcmp(sort->name, "created_at") != 0 || !sort->descending)))
		what = "sort by a column";
	if (request->total != SEARCH_TOTAL_EXACT)
		what = "total";
	if (request->fields != NIL || request->fuzzy || request->min_score != NULL)
		what = "fields, fuzzy and min_score";
	if (request->facets != NIL || request->highlight != NULL || request->suggest)
		what = "facets, highlight and suggest";
	if (request->source != NIL || request->no_source || request->after != NULL)
		what = "source and after";
	if (what != NULL)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("the PostgreSQL engine does not know %s", what)));
}

/* Searches the table; fallback says why the server was not used, NULL: nobody asked for it. */
void
search_postgres(const SearchTarget *target, const SearchRequest *request, SearchResult *result,
				const char *fallback)
{
	Statement statement = {.table = table_open(target->relid, NoLock)};

	refuse_unsupported(request);
	prepare(&statement, request, fallback);
	run(&statement, target, request, result);
	result->engine = "postgresql";
	result->total_is_exact = true;
	table_close(statement.table, NoLock);
}
