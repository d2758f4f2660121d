/*
 * statement_like.c
 *		Words of the table that are like a word of the caller's.
 *
 * They are looked for in the heaviest field.  Where pg_trgm is installed, the most similar of
 * many texts are taken, else the first ones that have a word with the same first letter.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/formatting.h"

#include "common/spi.h"
#include "search/statement.h"

#define WORD_MAX 50			 /* letters of a word that has similar ones */
#define TEXTS_MAX 2000		 /* whose words are compared */
#define CANDIDATES_MAX 20000 /* texts whose similarity is asked of pg_trgm */
#define LIKE_MAX 50

/* Letters that may differ, as on the server. */
static int
most_edits(int letters)
{
	return letters < 3 ? 0 : letters < 6 ? 1 : 2;
}

/* Letters that must be changed, left out, added or swapped with the next to make a of b. */
static int
distance(const pg_wchar *a, int na, const pg_wchar *b, int nb)
{
	int rows[3][WORD_MAX + 2];

	for (int j = 0; j <= nb; j++)
		rows[0][j] = j;
	for (int i = 1; i <= na; i++)
	{
		int *now = rows[i % 3];
		int *last = rows[(i - 1) % 3];
		int *before = rows[(i + 1) % 3];

		now[0] = i;
		for (int j = 1; j <= nb; j++)
		{
			now[j] = Min(Min(last[j], now[j - 1]) + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				now[j] = Min(now[j], before[j - 2] + 1);
		}
	}
	return rows[na % 3][nb];
}

/* Turns a word into letters; their number, 0 if it is too long. */
static int
to_letters(const char *word, pg_wchar *letters)
{
	int length = strlen(word);

	if (length > WORD_MAX * MAX_MULTIBYTE_CHAR_LEN || pg_mbstrlen(word) > WORD_MAX)
		return 0;
	return pg_mb2wchar_with_len(word, letters, length);
}

/* Schema of pg_trgm if the caller may use it, quoted; NULL: there is none. */
static char *
trigram_schema(void)
{
	tenancy_spi_query("SELECT pg_catalog.quote_ident(n.nspname) FROM pg_catalog.pg_extension e, "
					  "pg_catalog.pg_namespace n WHERE e.extname OPERATOR(pg_catalog.=) 'pg_trgm' "
					  "AND n.oid OPERATOR(pg_catalog.=) e.extnamespace AND "
					  "pg_catalog.has_schema_privilege(n.oid, 'USAGE')",
					  0, NULL, NULL);
	return SPI_processed > 0 ? tenancy_spi_text(0, 1) : NULL;
}

/* SQL of the texts that may have similar words. */
static char *
texts_sql(Statement *statement, const char *field, int word, int first)
{
	char *schema = trigram_schema();
	char *vector = statement_plain_vector(field);
	char *texts = psprintf("SELECT %s AS text FROM %s t WHERE %s OPERATOR(pg_catalog.@@) "
						   "CAST($%d AS pg_catalog.tsquery) LIMIT %d",
						   statement_plain_text(field), statement_table(statement->table), vector,
						   first, schema ? CANDIDATES_MAX : TEXTS_MAX);

	if (schema == NULL)
		return texts;
	return psprintf(
		"SELECT c.text FROM (%s) c ORDER BY %s.word_similarity($%d, c.text) DESC LIMIT %d", texts,
		schema, word, TEXTS_MAX);
}

/* Asks for the words of the heaviest field that begin with the same letter. */
static void
query_words(Statement *statement, const char *word)
{
	const char *field = linitial(statement->words->fields);
	char	   *letter = pnstrdup(word, pg_mblen(word));
	int			n = statement_add_text(statement, word);
	int			start = statement_add_text(statement, letter);
	int			first = statement_add_text(statement, psprintf("'%s':*", letter));

	statement_query(
		statement,
		psprintf("SELECT x.lexeme, pg_catalog.count(*) FROM (%s) s, LATERAL "
				 "pg_catalog.unnest(pg_catalog.to_tsvector('pg_catalog.simple'::"
				 "pg_catalog.regconfig, s.text)) x WHERE pg_catalog.starts_with(x.lexeme, $%d) "
				 "GROUP BY x.lexeme",
				 texts_sql(statement, field, n, first), start));
}

/* The nearer first, then the more frequent. */
static int
compare_like(const ListCell *a, const ListCell *b)
{
	const LikeWord *first = lfirst(a);
	const LikeWord *second = lfirst(b);

	if (first->distance != second->distance)
		return first->distance - second->distance;
	if (first->rows != second->rows)
		return first->rows > second->rows ? -1 : 1;
	return strcmp(first->text, second->text);
}

/* A word of the last result, if it is near enough but not the same. */
static LikeWord *
near_word(int row, const pg_wchar *letters, int count)
{
	char	 *text = tenancy_spi_text(row, 1);
	pg_wchar  others[WORD_MAX + 1];
	int		  nothers = to_letters(text, others);
	int		  edits = most_edits(count);
	LikeWord *like;

	if (nothers == 0 || abs(nothers - count) > edits)
		return NULL;
	like = palloc(sizeof(LikeWord));
	like->text = text;
	like->rows = tenancy_spi_int64(row, 2);
	like->distance = distance(letters, count, others, nothers);
	like->weight = 1 - (double) like->distance / Min(count, nothers);
	return like->distance == 0 || like->distance > edits ? NULL : like;
}

/* Words of the table that are like one, as LikeWord, the best first. */
List *
statement_like(Statement *statement, const char *word)
{
	char	*lower = str_tolower(word, strlen(word), DEFAULT_COLLATION_OID);
	pg_wchar letters[WORD_MAX + 1];
	int		 count = to_letters(lower, letters);
	List	*list = NIL;

	if (most_edits(count) == 0 || statement->words->fields == NIL || lower[0] == '\'' ||
		lower[0] == '\\')
		return NIL;
	query_words(statement, lower);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		LikeWord *like = near_word((int) i, letters, count);

		CHECK_FOR_INTERRUPTS();
		if (like != NULL)
			list = lappend(list, like);
	}
	list_sort(list, compare_like);
	return list_truncate(list, LIKE_MAX);
}

/* True if a word of the caller's is looked for, but in no row. */
static bool
is_unknown(const Words *words, int given)
{
	bool	  any = false;
	ListCell *lc;

	foreach (lc, words->list)
	{
		const Word *word = lfirst(lc);

		if (word->given != given || word->weight < 1)
			continue;
		if (word->rows != 0)
			return false;
		any = true;
	}
	return any;
}

/* The query with other words in place of those that no row has; NULL: there is nothing better. */
char *
statement_did_you_mean(Statement *statement)
{
	const Words	  *words = statement->words;
	bool		   better = false;
	int			   asked = 0;
	StringInfoData query;

	initStringInfo(&query);
	for (int i = 0; words != NULL && i < words->ngiven; i++)
	{
		bool  ask = asked < SEARCH_SIMILAR_MAX && is_unknown(words, i);
		List *like = ask ? statement_like(statement, words->given[i]) : NIL;

		asked += ask;
		better |= like != NIL;
		appendStringInfo(&query, "%s%s", i > 0 ? " " : "",
						 like ? ((LikeWord *) linitial(like))->text : words->given[i]);
	}
	return better ? query.data : NULL;
}
