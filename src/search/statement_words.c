/*
 * statement_words.c
 *		The words of a query: which rows have them, and what that is worth.
 *
 * A row matches that has any of the words.  Its score is the sum over the words of ts_rank,
 * each times how rare the word is, of which ts_rank alone knows nothing, times the number of
 * words that the row has.  bench/relevance says what each of these is good for.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "common/spi.h"
#include "search/statement.h"

#define GIVEN_MAX 64 /* words of a query that are looked for */
#define WORDS_MAX 200
#define ROWS_MAX 10000	/* of a word that are counted */
#define RANKED_MAX 2000 /* rows that are ranked for each of two reasons */

/* Splits a query at blanks; returns how many words there are. */
static int
split(const char *query, char **given)
{
	char *copy = pstrdup(query);
	int	  count = 0;

	for (char *word = strtok(copy, " \t\r\n\f\v"); word != NULL && count < GIVEN_MAX;
		 word = strtok(NULL, " \t\r\n\f\v"))
		given[count++] = word;
	return count;
}

/* A word as a tsquery is written, with the labels where it is looked for. */
static void
append_tsquery(StringInfo out, const char *word, const char *labels)
{
	appendStringInfoChar(out, '\'');
	for (; *word != '\0'; word++)
	{
		if (*word == '\'' || *word == '\\')
			appendStringInfoChar(out, *word);
		appendStringInfoChar(out, *word);
	}
	appendStringInfo(out, "'%s%s", labels[0] != '\0' ? ":" : "", labels);
}

/* Adds a word, or makes it heavier. */
static void
add_word(Words *words, char *text, int given, double weight)
{
	Word	 *word;
	ListCell *lc;

	foreach (lc, words->list)
	{
		word = lfirst(lc);
		if (strcmp(word->text, text) != 0)
			continue;
		word->weight = Max(word->weight, weight);
		return;
	}
	if (list_length(words->list) == WORDS_MAX)
		return;
	word = palloc0(sizeof(Word));
	word->text = text;
	word->given = given;
	word->weight = weight;
	word->rows = -1;
	words->list = lappend(words->list, word);
}

/* Adds what the configuration makes of the caller's words, or of ones like a word of theirs. */
static void
add_lexemes(Statement *statement, Words *words, char **texts, int count, int given,
			const double *weights)
{
	int	  n = statement_add_texts(statement, texts, count);
	char *sql =
		psprintf("SELECT x.lexeme, g.n FROM pg_catalog.unnest($%d) WITH ORDINALITY g (word, n), "
				 "LATERAL pg_catalog.unnest(pg_catalog.to_tsvector(%s, g.word)) x ORDER BY g.n",
				 n, words->config);

	statement_query(statement, sql);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		int from = (int) tenancy_spi_int64((int) i, 2) - 1;

		add_word(words, tenancy_spi_text((int) i, 1), given < 0 ? from : given,
				 weights ? weights[from] : 1);
	}
}

/* Gives each word its parameter, and all of them theirs. */
static void
add_queries(Statement *statement, Words *words)
{
	StringInfoData any;
	ListCell	  *lc;

	initStringInfo(&any);
	foreach (lc, words->list)
	{
		Word		  *word = lfirst(lc);
		StringInfoData one;

		initStringInfo(&one);
		append_tsquery(&one, word->text, words->labels);
		if (word->query == 0)
			word->query = statement_add_text(statement, one.data);
		appendStringInfo(&any, "%s%s", any.len > 0 ? " | " : "", one.data);
	}
	words->any = statement_add_text(statement, any.data);
}

/* SQL of the rows that have what a parameter asks for. */
static char *
match_sql(const Words *words, int parameter)
{
	return psprintf("%s OPERATOR(pg_catalog.@@) CAST($%d AS pg_catalog.tsquery)", words->vector,
					parameter);
}

/* Counts the rows of words that are not counted yet. */
static void
count_rows(Statement *statement, Words *words)
{
	StringInfoData sql;
	int			   column = 0;
	ListCell	  *lc;

	if (words->made) /* every row would have to be read again for every word */
		return;
	initStringInfo(&sql);
	foreach (lc, words->list)
		if (((Word *) lfirst(lc))->rows < 0)
			appendStringInfo(&sql,
							 "%s(SELECT pg_catalog.count(*) FROM (SELECT FROM %s t WHERE %s LIMIT "
							 "%d) s)",
							 sql.len > 0 ? ", " : "SELECT ", statement_table(statement->table),
							 match_sql(words, ((Word *) lfirst(lc))->query), ROWS_MAX);
	if (sql.len == 0)
		return;
	statement_query(statement, sql.data);
	foreach (lc, words->list)
		if (((Word *) lfirst(lc))->rows < 0)
			((Word *) lfirst(lc))->rows = tenancy_spi_int64(0, ++column);
}

/* Adds words that are like one of the caller's. */
static void
add_similar(Statement *statement, Words *words, int given)
{
	char	**texts = palloc(sizeof(char *) * WORDS_MAX);
	double	 *weights = palloc(sizeof(double) * WORDS_MAX);
	int		  count = 0;
	ListCell *lc;

	foreach (lc, statement_like(statement, words->given[given]))
	{
		const LikeWord *like = lfirst(lc);

		if (count == WORDS_MAX)
			break;
		texts[count] = like->text;
		weights[count++] = like->weight;
	}
	if (count > 0)
		add_lexemes(statement, words, texts, count, given, weights);
}

/* Fewer rows first. */
static int
compare_words(const ListCell *a, const ListCell *b)
{
	int64 first = ((Word *) lfirst(a))->rows;
	int64 second = ((Word *) lfirst(b))->rows;

	return first < second ? -1 : first > second ? 1 : 0;
}

/* A tsquery of words, joined by an operator; rows of the rarest words only, if they are limited. */
static char *
join_words(const Words *words, const char *operator, bool limited)
{
	StringInfoData query;
	int64		   rows = 0;
	ListCell	  *lc;

	initStringInfo(&query);
	foreach (lc, words->list)
	{
		const Word *word = lfirst(lc);

		if (limited && query.len > 0 && rows + word->rows > RANKED_MAX)
			continue;
		appendStringInfoString(&query, query.len > 0 ? operator : "");
		append_tsquery(&query, word->text, words->labels);
		rows += word->rows;
	}
	return query.data;
}

/*
 * Where many rows match, says which are ranked: those that have every word, and those that
 * have one of the rarest, as the others' scores cannot be high.
 */
static void
limit_ranking(Statement *statement, Words *words)
{
	int64	  rows = 0;
	ListCell *lc;

	if (!search_sorts_by_score(statement->request) || words->made)
		return;
	foreach (lc, words->list)
		rows += ((Word *) lfirst(lc))->rows;
	if (rows <= 2 * RANKED_MAX)
		return;
	list_sort(words->list, compare_words);
	words->every = statement_add_text(statement, join_words(words, " & ", false));
	words->rare = statement_add_text(statement, join_words(words, " | ", true));
	words->ranked = 2 * RANKED_MAX;
}

/* Adds the boosts as ts_rank takes them: from D to A. */
static void
add_boosts(Statement *statement, Words *words)
{
	Datum boosts[STATEMENT_LABELS];

	for (int i = 0; i < STATEMENT_LABELS; i++)
		boosts[STATEMENT_LABELS - 1 - i] = Float4GetDatum((float4) words->boosts[i]);
	words->boost =
		statement_add(statement, FLOAT4ARRAYOID,
					  PointerGetDatum(construct_array(boosts, STATEMENT_LABELS, FLOAT4OID,
													  sizeof(float4), true, TYPALIGN_INT)));
}

/* Finds the words of the query; fallback says why the server was not used. */
void
statement_find_words(Statement *statement, const char *fallback)
{
	Words *words;

	if (statement->request->query == NULL)
		return;
	words = statement->words = palloc0(sizeof(Words));
	statement_find_vector(statement, words, fallback);
	add_boosts(statement, words);
	words->given = palloc(sizeof(char *) * GIVEN_MAX);
	words->ngiven = split(statement->request->query, words->given);
	add_lexemes(statement, words, words->given, words->ngiven, -1, NULL);
	for (int i = 0; i < Min(words->ngiven, SEARCH_SIMILAR_MAX) && statement->request->fuzzy; i++)
		add_similar(statement, words, i);
	add_queries(statement, words);
	count_rows(statement, words);
	limit_ranking(statement, words);
}

/* Adds the condition that a row has one of the words. */
void
statement_append_match(const Statement *statement, StringInfo sql)
{
	if (statement->words != NULL)
		appendStringInfo(sql, " AND %s", match_sql(statement->words, statement->words->any));
}

/* How much a word is worth: the rarer the more. */
static double
worth(const Statement *statement, const Word *word)
{
	double all = Max(statement->table->rd_rel->reltuples, word->rows);

	if (word->rows < 0)
		return word->weight;
	return word->weight * log(1 + (all - word->rows + 0.5) / (word->rows + 0.5));
}

/* Multiplies a score by the number of words that the row has. */
static void
append_coordination(const Words *words, StringInfo sql)
{
	const char *separator = " OPERATOR(pg_catalog.*) (";
	ListCell   *lc;

	if (list_length(words->list) < 2)
		return;
	foreach (lc, words->list)
	{
		appendStringInfo(sql, "%sCAST(%s AS pg_catalog.int4)", separator,
						 match_sql(words, ((Word *) lfirst(lc))->query));
		separator = " OPERATOR(pg_catalog.+) ";
	}
	appendStringInfoChar(sql, ')');
}

/* Adds the score of a row. */
void
statement_append_score(Statement *statement, StringInfo sql)
{
	const Words *words = statement->words;
	ListCell	*lc;

	if (words == NULL)
	{
		appendStringInfoString(sql, "CAST(1 AS pg_catalog.float8)");
		return;
	}
	appendStringInfoString(sql, "(CAST(0 AS pg_catalog.float8)");
	foreach (lc, words->list)
	{
		Word *word = lfirst(lc);

		if (word->factor == 0)
			word->factor =
				statement_add(statement, FLOAT8OID, Float8GetDatum(worth(statement, word)));
		if (word->rows != 0)
			appendStringInfo(sql,
							 " OPERATOR(pg_catalog.+) ($%d OPERATOR(pg_catalog.*) "
							 "pg_catalog.ts_rank($%d, %s, CAST($%d AS pg_catalog.tsquery)))",
							 word->factor, words->boost, words->vector, word->query);
	}
	appendStringInfoChar(sql, ')');
	append_coordination(words, sql);
}

/* Adds rows that match and pass the filters, as many as are ranked for one reason. */
static void
append_limited(Statement *statement, StringInfo sql, const char *match, const char *before)
{
	appendStringInfo(sql, "%sSELECT * FROM %s t WHERE %s", before,
					 statement_table(statement->table), match);
	statement_append_filters(statement, sql, NULL);
	appendStringInfo(sql, " LIMIT %d", RANKED_MAX);
}

/* Adds the rows that match, as t: where they are many, those that are worth ranking. */
void
statement_append_rows(Statement *statement, StringInfo sql)
{
	const Words *words = statement->words;

	if (words == NULL || words->rare == 0)
	{
		appendStringInfo(sql, " FROM %s t WHERE true", statement_table(statement->table));
		statement_append_match(statement, sql);
		statement_append_filters(statement, sql, NULL);
		return;
	}
	append_limited(statement, sql, match_sql(words, words->every), " FROM ((");
	append_limited(statement, sql,
				   psprintf("%s AND (%s) IS NOT TRUE", match_sql(words, words->rare),
							match_sql(words, words->every)),
				   ") UNION ALL (");
	appendStringInfoString(sql, ")) t WHERE true");
}

/* Adds the condition that the score is not less than the request wants. */
void
statement_append_min_score(Statement *statement, StringInfo sql)
{
	if (statement->request->min_score == NULL)
		return;
	if (statement->min_score == 0)
		statement->min_score = statement_add_text(statement, statement->request->min_score);
	appendStringInfoString(sql, " AND ");
	statement_append_score(statement, sql);
	appendStringInfo(sql, " OPERATOR(pg_catalog.>=) CAST($%d AS pg_catalog.float8)",
					 statement->min_score);
}
