/*
 * statement.c
 *		Names, values and settings of the PostgreSQL engine's SQL.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "common/spi.h"
#include "search/statement.h"

/* Starts SQL about a table that is locked already. */
void
statement_init(Statement *statement, const SearchTarget *target, const SearchRequest *request)
{
	memset(statement, 0, sizeof(*statement));
	statement->table = table_open(target->relid, NoLock);
	statement->target = target;
	statement->request = request;
	statement->maxargs = 16;
	statement->types = palloc(sizeof(Oid) * statement->maxargs);
	statement->values = palloc(sizeof(Datum) * statement->maxargs);
}

/* Adds a parameter, whose value must live as long as the statement; returns its number. */
int
statement_add(Statement *statement, Oid type, Datum value)
{
	if (statement->nargs == statement->maxargs)
	{
		statement->maxargs *= 2;
		statement->types = repalloc(statement->types, sizeof(Oid) * statement->maxargs);
		statement->values = repalloc(statement->values, sizeof(Datum) * statement->maxargs);
	}
	statement->types[statement->nargs] = type;
	statement->values[statement->nargs] = value;
	return ++statement->nargs;
}

/* Adds a parameter of type text. */
int
statement_add_text(Statement *statement, const char *text)
{
	return statement_add(statement, TEXTOID, CStringGetTextDatum(text));
}

/* Adds a parameter of type text[]. */
int
statement_add_texts(Statement *statement, char **texts, int count)
{
	Datum *elements = palloc(sizeof(Datum) * Max(count, 1));

	for (int i = 0; i < count; i++)
		elements[i] = CStringGetTextDatum(texts[i]);
	return statement_add(
		statement, TEXTARRAYOID,
		PointerGetDatum(construct_array(elements, count, TEXTOID, -1, false, TYPALIGN_INT)));
}

/* Runs SQL that only reads; SPI has the rows. */
void
statement_query(const Statement *statement, const char *sql)
{
	tenancy_spi_query(sql, statement->nargs, statement->types, statement->values);
}

/* Column of the table, NULL if it has none of that name. */
Form_pg_attribute
statement_column(Relation table, const char *name)
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

/* SQL that names a column. */
char *
statement_name(const char *column)
{
	return psprintf("t.%s", quote_identifier(column));
}

/* Schema and name of the table, quoted. */
char *
statement_table(Relation table)
{
	return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(table)),
									  RelationGetRelationName(table));
}

/* Name of a type for a cast, without a length that would cut values. */
char *
statement_type(Oid type)
{
	return format_type_extended(type, -1, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
}

/* SQL of a column's text as it is split into plain words: what joins words is a blank. */
char *
statement_plain_text(const char *column)
{
	return psprintf("pg_catalog.translate(pg_catalog.\"left\"(CAST(%s AS pg_catalog.text), 20000), "
					"'-./:@_', '      ')",
					statement_name(column));
}

/* SQL of its words, unstemmed; an index on the same expression serves it. */
char *
statement_plain_vector(const char *column)
{
	return psprintf("pg_catalog.to_tsvector('pg_catalog.simple'::pg_catalog.regconfig, %s)",
					statement_plain_text(column));
}
