/*
 * postgres.c
 *		Searches the table itself.
 */
#include "postgres.h"

#include "access/table.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "common/spi.h"
#include "search/caller.h"
#include "search/statement.h"
#include "sink/doc_id.h"

/* Columns of a page: these, the order's, the key's, then highlights. */
#define DOCUMENT_COLUMN 1
#define SCORE_COLUMN 2
#define FIRST_SORT_COLUMN 3

/* Writes the query for a page. */
static char *
page_query(Statement *statement)
{
	const SearchRequest *request = statement->request;
	StringInfoData		 sql;
	ListCell			*lc;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	if (request->no_source)
		appendStringInfoString(&sql, "CAST(NULL AS pg_catalog.jsonb)");
	else
		caller_append_document(&sql, statement->table, request);
	appendStringInfoString(&sql, ", ");
	if (search_sorts_by_score(request))
		appendStringInfoString(&sql, "NULL"); /* it is in a column of the order */
	else
		statement_append_score(statement, &sql);
	statement_append_sort_columns(statement, &sql);
	foreach (lc, statement->target->key_columns)
		appendStringInfo(&sql, ", %s", statement_name(lfirst(lc)));
	statement_append_highlights(statement, &sql);
	statement_append_rows(statement, &sql);
	statement_append_min_score(statement, &sql);
	statement_append_after(statement, &sql);
	statement_append_order(statement, &sql, FIRST_SORT_COLUMN);
	appendStringInfo(&sql, " LIMIT %d OFFSET %d", request->page_size,
					 (request->page - 1) * request->page_size);
	return sql.data;
}

/* Counts the matches, as far as the request wants that. */
static void
count_matches(Statement *statement, SearchResult *result)
{
	int64		   limit = statement->request->total;
	StringInfoData sql;

	result->total = -1;
	result->total_is_exact = true;
	if (limit == SEARCH_TOTAL_NONE)
		return;
	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT pg_catalog.count(*) FROM (SELECT FROM %s t WHERE true",
					 statement_table(statement->table));
	statement_append_match(statement, &sql);
	statement_append_filters(statement, &sql, NULL);
	statement_append_min_score(statement, &sql);
	if (limit != SEARCH_TOTAL_EXACT)
		appendStringInfo(&sql, " LIMIT " INT64_FORMAT, limit + 1);
	appendStringInfoString(&sql, ") s");
	statement_query(statement, sql.data);
	result->total = tenancy_spi_int64(0, 1);
	result->total_is_exact = limit == SEARCH_TOTAL_EXACT || result->total <= limit;
	if (!result->total_is_exact)
		result->total = limit;
}

/* Document id of a result row, as the sink makes it. */
static char *
row_id(int row, int first, int nkeys)
{
	StringInfoData key;

	initStringInfo(&key);
	for (int i = 0; i < nkeys; i++)
	{
		char *value = tenancy_spi_text(row, first + i);

		appendStringInfoString(&key, value ? value : "");
		appendStringInfoChar(&key, '\0');
	}
	return nkeys > 0 ? sink_doc_id(key.data, key.len) : pstrdup("");
}

/* What decides a row's place in the order. */
static JsonbValue *
copy_sort(int row, int count)
{
	JsonbValue *values = palloc0(sizeof(JsonbValue) * count);

	for (int i = 0; i < count; i++)
	{
		char *text = tenancy_spi_text(row, FIRST_SORT_COLUMN + i);

		values[i].type = text ? jbvString : jbvNull;
		values[i].val.string.val = text;
		values[i].val.string.len = text ? strlen(text) : 0;
	}
	return values;
}

/* Copies a result row out of SPI's memory. */
static SearchHit *
copy_hit(Statement *statement, int row)
{
	SearchHit *hit = palloc0(sizeof(SearchHit));
	int		   nsort = statement_sort_count(statement);
	int		   nkeys = list_length(statement->target->key_columns);
	int		   score_at = statement_score_at(statement);
	bool	   isnull;
	Datum	   score =
		tenancy_spi_datum(row, score_at < 0 ? SCORE_COLUMN : FIRST_SORT_COLUMN + score_at, &isnull);

	hit->id = row_id(row, FIRST_SORT_COLUMN + nsort, nkeys);
	if (!statement->request->no_source)
		hit->document = &DatumGetJsonbPCopy(tenancy_spi_datum(row, DOCUMENT_COLUMN, &isnull))->root;
	hit->score.type = jbvNumeric;
	hit->score.val.numeric = DatumGetNumeric(DirectFunctionCall1(float8_numeric, score));
	if (nkeys > 0)
		hit->sort = copy_sort(row, nsort);
	hit->highlight = statement_highlight(statement, row, FIRST_SORT_COLUMN + nsort + nkeys);
	return hit;
}

/* Copies a page's rows out of SPI's memory. */
static void
copy_hits(Statement *statement, SearchResult *result, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		CHECK_FOR_INTERRUPTS();
		result->hits = lappend(result->hits, copy_hit(statement, (int) i));
	}
	result->last = result->hits ? llast(result->hits) : NULL;
	result->nsort = statement_sort_count(statement);
	MemoryContextSwitchTo(old);
}

/* Runs everything that the request asks for; what comes of it is made in context. */
static void
run(Statement *statement, SearchResult *result, const char *fallback, MemoryContext context)
{
	char *better;

	statement_find_words(statement, fallback);
	statement_query(statement, page_query(statement));
	copy_hits(statement, result, context);
	count_matches(statement, result);
	statement_facets(statement, result, context);
	better = statement->request->suggest ? statement_did_you_mean(statement) : NULL;
	result->did_you_mean = better ? MemoryContextStrdup(context, better) : NULL;
	if (statement->words != NULL)
		result->ranked = statement->words->ranked;
}

/* Searches the table; fallback says why the server was not used, NULL: nobody asked for it. */
void
search_postgres(const SearchTarget *target, const SearchRequest *request, SearchResult *result,
				const char *fallback)
{
	MemoryContext context = CurrentMemoryContext;
	Statement	  statement;
	SpiScope	  scope;

	tenancy_spi_begin_as_caller(&scope);
	caller_pin_settings();
	statement_init(&statement, target, request);
	run(&statement, result, fallback, context);
	table_close(statement.table, NoLock);
	tenancy_spi_end(&scope);
	result->engine = "postgresql";
}
