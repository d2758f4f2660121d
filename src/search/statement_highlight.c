/*
 * statement_highlight.c
 *		Where the words are in a row's texts.
 *
 * ts_headline works on text that is safe to be HTML already; what marks the words are
 * control characters, which are taken out of the text before and become tags after.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/lsyscache.h"

#include "common/spi.h"
#include "search/statement.h"

#define START '\001'
#define STOP '\002'
#define BETWEEN '\003'
#define TEXT_MAX 200000		/* characters of a text that are looked through */
#define LETTERS_OF_A_WORD 6 /* on average, with a blank */

/* Columns whose texts are shown. */
static List *
columns(const Statement *statement)
{
	const SearchHighlight *highlight = statement->request->highlight;
	List				  *list = NIL;
	ListCell			  *lc;

	if (highlight == NULL || statement->words == NULL)
		return NIL;
	foreach (lc, highlight->fields ? highlight->fields : statement->words->fields)
	{
		Form_pg_attribute column = statement_column(statement->table, lfirst(lc));
		char			  category;
		bool			  preferred;

		if (column == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("option \"%s\" cannot have \"%s\"", "highlight", (char *) lfirst(lc)),
					 errdetail("The table has no such column.")));
		get_type_category_preferred(getBaseType(column->atttypid), &category, &preferred);
		if (category == TYPCATEGORY_STRING)
			list = lappend(list, lfirst(lc));
	}
	return list;
}

/* SQL of a column's text as HTML, as the server escapes it. */
static char *
html_sql(const char *column)
{
	static const char *const escapes[][2] = {{"&", "&amp;"},   {"<", "&lt;"},	 {">", "&gt;"},
											 {"\"", "&quot;"}, {"''", "&#x27;"}, {"/", "&#x2F;"}};
	char *sql = psprintf("pg_catalog.translate(pg_catalog.\"left\"(CAST(%s AS pg_catalog.text), "
						 "%d), E'\\x01\\x02\\x03', '')",
						 statement_name(column), TEXT_MAX);

	for (int i = 0; i < lengthof(escapes); i++)
		sql = psprintf("pg_catalog.replace(%s, '%s', '%s')", sql, escapes[i][0], escapes[i][1]);
	return sql;
}

/* Options of ts_headline. */
static char *
headline_options(const SearchHighlight *highlight)
{
	int words = Max(highlight->fragment_size / LETTERS_OF_A_WORD, 5);

	if (highlight->fragments == 0)
		return psprintf("HighlightAll=true, StartSel=%c, StopSel=%c", START, STOP);
	return psprintf("MaxFragments=%d, MaxWords=%d, MinWords=%d, ShortWord=0, StartSel=%c, "
					"StopSel=%c, FragmentDelimiter=%c",
					highlight->fragments, words, Max(words / 2, 1), START, STOP, BETWEEN);
}

/* Adds a column for each text that is to be shown. */
void
statement_append_highlights(Statement *statement, StringInfo sql)
{
	List	 *list = columns(statement);
	ListCell *lc;
	int		  options;

	if (list == NIL)
		return;
	options = statement_add_text(statement, headline_options(statement->request->highlight));
	foreach (lc, list)
		appendStringInfo(
			sql, ", pg_catalog.ts_headline(%s, %s, CAST($%d AS pg_catalog.tsquery), $%d)",
			statement->words->config, html_sql(lfirst(lc)), statement->words->any, options);
}

/* Adds a fragment to an array, with tags in place of the marks. */
static void
push_fragment(JsonbParseState **state, const SearchHighlight *highlight, const char *text,
			  int length)
{
	StringInfoData out;
	JsonbValue	   value = {.type = jbvString};

	initStringInfo(&out);
	for (int i = 0; i < length; i++)
	{
		if (text[i] == START)
			appendStringInfoString(&out, highlight->pre_tag);
		else if (text[i] == STOP)
			appendStringInfoString(&out, highlight->post_tag);
		else
			appendStringInfoChar(&out, text[i]);
	}
	value.val.string.val = out.data;
	value.val.string.len = out.len;
	pushJsonbValue(state, WJB_ELEM, &value);
}

/* Adds the fragments of a column that have a word; false: there are none. */
static void
push_column(JsonbParseState **state, const SearchHighlight *highlight, const char *column,
			const char *text)
{
	JsonbValue key = {.type = jbvString};

	key.val.string.val = unconstify(char *, column);
	key.val.string.len = strlen(column);
	pushJsonbValue(state, WJB_KEY, &key);
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	while (*text != '\0')
	{
		int length = strcspn(text, "\003");

		if (memchr(text, START, length) != NULL)
			push_fragment(state, highlight, text, length);
		text += length + (text[length] != '\0');
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

/* Reads what statement_append_highlights has asked for; NULL: there is nothing to show. */
JsonbContainer *
statement_highlight(const Statement *statement, int row, int first_column)
{
	JsonbParseState *state = NULL;
	bool			 any = false;
	Jsonb			*object;
	ListCell		*lc;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	foreach (lc, columns(statement))
	{
		char *text = tenancy_spi_text(row, first_column++);

		if (text == NULL || strchr(text, START) == NULL)
			continue;
		push_column(&state, statement->request->highlight, lfirst(lc), text);
		any = true;
	}
	object = JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
	return any ? &object->root : NULL;
}
