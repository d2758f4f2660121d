/*
 * suggest_postgres.c
 *		Suggestions from the table itself.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"

#include "common/spi.h"
#include "search/caller.h"
#include "search/statement.h"
#include "search/suggest.h"

/* Where the texts of a field come from. */
typedef struct Source
{
	char *text; /* SQL of one text */
	char *from; /* SQL after the table, for a column that holds many */
} Source;

/* Finds out where the texts of a field come from. */
static Source
find_source(Relation table, SuggestField *field)
{
	Form_pg_attribute column = statement_column(table, field->name);
	char			 *name = statement_name(field->name);
	Source			  source = {psprintf("CAST(%s AS pg_catalog.text)", name), ""};
	Oid				  type;

	if (column == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("cannot suggest values of \"%s\"", field->name),
						errdetail("The table has no such column.")));
	type = getBaseType(column->atttypid);
	if (type == JSONBOID)
		source.from =
			psprintf(", LATERAL (SELECT j.v OPERATOR(pg_catalog.#>>) '{}' AS v FROM "
					 "pg_catalog.jsonb_path_query(%s, '$[*] ? (@.type() == \"string\")') j (v)) e",
					 name);
	else if (OidIsValid(get_element_type(type)))
		source.from = psprintf(", LATERAL (SELECT CAST(u.v AS pg_catalog.text) AS v FROM "
							   "pg_catalog.unnest(%s) u (v)) e",
							   name);
	if (source.from[0] != '\0')
		source.text = "e.v";
	field->whole |= source.from[0] != '\0';
	return source;
}

/* The prefix' words as a tsquery is written; they are letters and digits. */
static char *
tsquery(const Suggest *suggest)
{
	StringInfoData query;

	initStringInfo(&query);
	for (int i = 0; i < suggest->nwords; i++)
		appendStringInfo(&query, "%s'%s'%s", i > 0 ? " & " : "", suggest->words[i],
						 suggest->open && i == suggest->nwords - 1 ? ":*" : "");
	return query.data;
}

/* Writes the query for the values of a field: those that begin with the prefix first. */
static char *
values_query(Statement *statement, const Suggest *suggest, SuggestField *field)
{
	Source source = find_source(statement->table, field);
	int	   prefix = statement_add_text(statement, suggest->prefix);
	char  *begins =
		psprintf("pg_catalog.starts_with(pg_catalog.lower(%s), $%d)", source.text, prefix);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT pg_catalog.to_jsonb(s.v) FROM (SELECT DISTINCT %s AS v, %s AS b",
					 source.text, begins);
	appendStringInfo(&sql, " FROM %s t%s WHERE ", statement_table(statement->table), source.from);
	if (field->whole)
		appendStringInfoString(&sql, begins);
	else
		appendStringInfo(&sql, "%s OPERATOR(pg_catalog.@@) CAST($%d AS pg_catalog.tsquery)",
						 statement_plain_vector(field->name),
						 statement_add_text(statement, tsquery(suggest)));
	appendStringInfo(&sql, " AND pg_catalog.length(%s) OPERATOR(pg_catalog.<=) %d", source.text,
					 SUGGEST_TEXT_MAX);
	statement_append_filters(statement, &sql, NULL);
	appendStringInfo(&sql, ") s ORDER BY s.b DESC, pg_catalog.length(s.v), s.v LIMIT %d",
					 suggest_candidates(suggest));
	return sql.data;
}

/* Takes the values of the last result. */
static void
take_values(Suggest *suggest, const SuggestField *field, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool	   isnull;
		JsonbValue value;
		Jsonb	  *json = DatumGetJsonbP(tenancy_spi_datum((int) i, 1, &isnull));

		CHECK_FOR_INTERRUPTS();
		if (JsonbExtractScalar(&json->root, &value))
			suggest_take(suggest, field, &value);
	}
	MemoryContextSwitchTo(old);
}

/* Finds suggestions in the table. */
void
suggest_postgres(const SearchTarget *target, Suggest *suggest)
{
	MemoryContext context = CurrentMemoryContext;
	Statement	  statement;
	SpiScope	  scope;
	ListCell	 *lc;

	tenancy_spi_begin_as_caller(&scope);
	caller_pin_settings();
	statement_init(&statement, target, &suggest->request);
	foreach (lc, suggest->fields)
	{
		SuggestField *field = lfirst(lc);

		statement_query(&statement, values_query(&statement, suggest, field));
		take_values(suggest, field, context);
	}
	table_close(statement.table, NoLock);
	tenancy_spi_end(&scope);
}
