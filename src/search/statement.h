/*
 * statement.h
 *		What the parts of the PostgreSQL engine say to each other.
 *
 * The SQL runs with the caller's rights and search_path: names are quoted, values are
 * parameters, and functions, operators and types carry their schema.
 */
#ifndef TENANCY_SEARCH_STATEMENT_H
#define TENANCY_SEARCH_STATEMENT_H

#include "lib/stringinfo.h"
#include "utils/rel.h"

#include "search/search.h"

#define STATEMENT_LABELS 4 /* of words in a tsvector: A to D */

/* Parameters that all SQL of one search has in common. */
typedef struct Statement
{
	Relation			 table;
	const SearchTarget	*target;
	const SearchRequest *request;
	int					 nargs;
	int					 maxargs;
	Oid					*types;
	Datum				*values;
	struct Words		*words;		/* NULL: every row matches */
	List				*criteria;	/* of the order, see statement_sort.c */
	int					 min_score; /* number of its parameter */
} Statement;

/* A word that rows are looked for by. */
typedef struct Word
{
	char  *text;   /* as it is in tsvectors */
	int	   given;  /* number of the caller's word that it comes from */
	double weight; /* less than 1: only like the caller's word */
	int64  rows;   /* that have it, as far as they are counted; -1: not counted */
	int	   query;  /* number of the parameter that is its tsquery */
	int	   factor; /* likewise, what having it is worth */
} Word;

/* A word of the table that is like one of the caller's. */
typedef struct LikeWord
{
	char  *text;
	int	   distance; /* letters that differ */
	int64  rows;
	double weight;
} LikeWord;

/* Where words are looked for, and which. */
typedef struct Words
{
	char  *vector;					 /* SQL of the tsvector */
	bool   made;					 /* it is made on the fly */
	char  *config;					 /* SQL of its text search configuration */
	char  *labels;					 /* of the fields looked into, "": all */
	double boosts[STATEMENT_LABELS]; /* of A to D */
	List  *fields;					 /* of char *: columns looked into, the heaviest first */
	char **given;					 /* the caller's words */
	int	   ngiven;
	List  *list;   /* of Word */
	int	   any;	   /* number of the parameter that is the tsquery of all */
	int	   every;  /* likewise, of the rows that have every word */
	int	   rare;   /* likewise, of those whose rows are ranked; 0: all */
	int	   ranked; /* rows at the most, 0: all */
	int	   boost;  /* number of the parameter with boosts as ts_rank takes them */
} Words;

/* statement.c */
extern void				 statement_init(Statement *statement, const SearchTarget *target,
										const SearchRequest *request);
extern int				 statement_add(Statement *statement, Oid type, Datum value);
extern int				 statement_add_text(Statement *statement, const char *text);
extern int				 statement_add_texts(Statement *statement, char **texts, int count);
extern void				 statement_query(const Statement *statement, const char *sql);
extern Form_pg_attribute statement_column(Relation table, const char *name);
extern char				*statement_name(const char *column);
extern char				*statement_table(Relation table);
extern char				*statement_type(Oid type);
extern char				*statement_plain_text(const char *column);
extern char				*statement_plain_vector(const char *column);

/* statement_filter.c: " AND ..." for each filter but those of a column */
extern void statement_append_filters(Statement *statement, StringInfo sql, const char *except);

/* statement_words.c; they need SPI */
extern void statement_find_words(Statement *statement, const char *fallback);
extern void statement_append_match(const Statement *statement, StringInfo sql);
extern void statement_append_score(Statement *statement, StringInfo sql);
extern void statement_append_rows(Statement *statement, StringInfo sql);
extern void statement_append_min_score(Statement *statement, StringInfo sql);

/* statement_vector.c */
extern void statement_find_vector(Statement *statement, Words *words, const char *fallback);

/* statement_like.c */
extern List *statement_like(Statement *statement, const char *word);
extern char *statement_did_you_mean(Statement *statement);

/* statement_sort.c */
extern void statement_append_sort_columns(Statement *statement, StringInfo sql);
extern void statement_append_order(Statement *statement, StringInfo sql, int first);
extern void statement_append_after(Statement *statement, StringInfo sql);
extern int	statement_sort_count(Statement *statement);
extern int	statement_score_at(Statement *statement);

/* statement_facet.c */
extern void statement_facets(Statement *statement, SearchResult *result, MemoryContext context);

/* statement_highlight.c */
extern void			   statement_append_highlights(Statement *statement, StringInfo sql);
extern JsonbContainer *statement_highlight(const Statement *statement, int row, int first_column);

#endif
