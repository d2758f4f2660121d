/*
 * suggest.h
 *		What the parts of tenant_suggest say to each other.
 */
#ifndef TENANCY_SEARCH_SUGGEST_H
#define TENANCY_SEARCH_SUGGEST_H

#include "search/search.h"

#define SUGGEST_SIZE_MAX 100
#define SUGGEST_TEXT_MAX 250 /* characters; longer texts are no suggestions */
#define SUGGEST_WORDS_MAX 16 /* of a prefix that are looked for */

/* A field whose values are suggested. */
typedef struct SuggestField
{
	char *name;
	bool  whole;   /* the value itself begins with the prefix, not a word of it */
	char *plain;   /* its part whose words are not stemmed, as the server knows it; NULL: none */
	char *term;	   /* its part that is one term; NULL: none */
	bool  counted; /* its terms can be counted */
	bool  once;	   /* term has each text found once */
} SuggestField;

typedef struct Suggest
{
	char		 *prefix; /* in small letters */
	int			  nwords;
	char		 *words[SUGGEST_WORDS_MAX]; /* of the prefix */
	bool		  open;						/* the last word may go on */
	bool		  hopeless;					/* nothing can go on from it */
	List		 *fields;					/* of SuggestField */
	List		 *names;					/* of char *: fields as the caller wants them */
	int			  size;
	SearchRequest request; /* its filters and engine */
	List		 *found;   /* of Suggestion */
} Suggest;

typedef struct Suggestion
{
	char	   *text;
	const char *field;
	bool		begins; /* with the prefix */
} Suggestion;

/* suggest.c: values to look at for each field; enough to have size of them after all */
extern int	suggest_candidates(const Suggest *suggest);
extern void suggest_take(Suggest *suggest, const SuggestField *field, const JsonbValue *value);

/* suggest_match.c */
extern void suggest_split(Suggest *suggest, const char *prefix);
extern bool suggest_matches(const Suggest *suggest, const char *text, bool whole, bool *begins);

/* suggest_postgres.c */
extern void suggest_postgres(const SearchTarget *target, Suggest *suggest);

/* suggest_server.c: false if the server has no answer, and why */
extern bool suggest_server(const SearchTarget *target, Suggest *suggest, const char **engine,
						   SearchFailure *failure);

/* suggest_fields.c */
extern void suggest_find_fields(const SearchTarget *target, Suggest *suggest);

#endif
