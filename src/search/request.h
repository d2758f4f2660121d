/*
 * request.h
 *		What a caller of tenant_search asks for.
 */
#ifndef TENANCY_SEARCH_REQUEST_H
#define TENANCY_SEARCH_REQUEST_H

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#define SEARCH_PAGE_SIZE_MAX 1000
#define SEARCH_WINDOW_MAX 10000 /* the servers' own index.max_result_window */
#define SEARCH_FILTER_VALUES_MAX 1000
#define SEARCH_NAMES_MAX 100				 /* of one option */
#define SEARCH_WORDS_MAX 10000				 /* characters of a query */
#define SEARCH_OBJECT_MAX (16 * 1024 * 1024) /* bytes of filters, and of options */
#define SEARCH_SIMILAR_MAX 8				 /* words of a query for which others are looked for */
#define SEARCH_FACET_SIZE_MAX 1000

#define SEARCH_TOTAL_EXACT -1
#define SEARCH_TOTAL_NONE 0

typedef enum SearchEngine
{
	ENGINE_AUTO, /* the server, else PostgreSQL */
	ENGINE_SERVER,
	ENGINE_POSTGRESQL
} SearchEngine;

typedef enum FilterKind
{
	FILTER_VALUE, /* equal to values[0] */
	FILTER_ANY,	  /* equal to one of values */
	FILTER_RANGE, /* operators[i] values[i], all of them */
	FILTER_EXISTS /* not null */
} FilterKind;

/* Several filters may have the same name: all of them must hold. */
typedef struct SearchFilter
{
	char	  *name;
	FilterKind kind;
	bool	   negated; /* holds also where there is no value */
	int		   nvalues;
	char	 **values;
	char	 **operators; /* gt, gte, lt, lte; FILTER_RANGE only */
} SearchFilter;

typedef struct SearchSort
{
	char *name; /* NULL: the score */
	bool  descending;
} SearchSort;

/* A field that the query looks into. */
typedef struct SearchField
{
	char *name;
	char *boost; /* a decimal number */
} SearchField;

/* Values of a column that are to be counted. */
typedef struct SearchFacetWish
{
	char *name;
	int	  size; /* values at the most */
} SearchFacetWish;

typedef struct SearchHighlight
{
	List *fields; /* of char *; NIL: those that the query looks into */
	char *pre_tag;
	char *post_tag;
	int	  fragments; /* of a field at the most; 0: all of its text */
	int	  fragment_size;
} SearchHighlight;

/* Where the page before ended: values[i] of the i-th sort criterion, then those of the key. */
typedef struct SearchCursor
{
	int			nvalues;
	JsonbValue *values; /* strings, numbers, booleans and nulls */
} SearchCursor;

/* Checked as far as that goes without knowing the table. */
typedef struct SearchRequest
{
	char			*query; /* NULL: every document */
	char			*index_type;
	List			*filters; /* of SearchFilter */
	int				 page;
	int				 page_size;
	SearchEngine	 engine;
	List			*sort;	 /* of SearchSort, at least one; the key is not in it */
	int64			 total;	 /* SEARCH_TOTAL_EXACT, SEARCH_TOTAL_NONE, or where counting ends */
	List			*fields; /* of SearchField; NIL: the mapping's choice */
	List			*facets; /* of SearchFacetWish */
	SearchHighlight *highlight;
	char			*min_score; /* a decimal number */
	bool			 fuzzy;
	bool			 suggest; /* did_you_mean is wanted */
	bool			 hydrate; /* rows in place of documents */
	int	  cache_ttl; /* seconds to keep the answer, 0: not at all, -1: as the setting says */
	bool  warming;	 /* nobody asks: make the answer anew unless it is there for long */
	bool  keep;		 /* the answer is to be kept, if it is known how new it is */
	bool  no_source;
	List *source;	  /* of char *; NIL: every field */
	char *after_text; /* the cursor as it was given */
	SearchCursor *after;
} SearchRequest;

/* Checks and fills a request whose query, index_type, page and page_size are set. */
extern void search_request_parse(SearchRequest *request, Jsonb *filters, Jsonb *options);
/* List of SearchFilter. */
extern List *search_filters_parse(Jsonb *filters);
extern void	 search_options_parse(SearchRequest *request, Jsonb *options);
/* Starts reading an argument that must be an object. */
extern JsonbIterator *search_open_object(Jsonb *argument, const char *name);
/* True if the score decides the order, or is part of it. */
extern bool search_sorts_by_score(const SearchRequest *request);
/* Reads words; name is that of the argument. */
extern char *search_read_words(Datum argument, const char *name);

#endif
