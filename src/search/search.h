/*
 * search.h
 *		What the parts of tenant_search say to each other.
 */
#ifndef TENANCY_SEARCH_H
#define TENANCY_SEARCH_H

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#include "cache/hot.h"
#include "search/request.h"
#include "tenant/tenant.h"

/* Where to look: the registry's word on an index type of the current tenant. */
typedef struct SearchTarget
{
	Tenant			tenant;
	char		   *table_name;
	Oid				relid;
	bool			row_security;  /* the caller may see some rows only */
	char		   *alias;		   /* NULL: there is no index yet */
	bool			shared;		   /* the index has, or may have, documents of other tenants */
	JsonbContainer *properties;	   /* of the mapping, NULL: none are declared */
	JsonbContainer *search_fields; /* of the mapping's _meta, NULL: not declared */
	List		   *key_columns;   /* of char *; empty: none is known */
	List		   *sources;	   /* of char *: what documents are made of besides the table */
	char		   *index_name;	   /* of the alias */
	char		   *cache_tag;	   /* that every change of the table drops, NULL: none */
	uint64			config;		   /* hash of what the index type is declared as */
} SearchTarget;

typedef struct SearchHit
{
	char		   *id;
	JsonbValue		score;
	JsonbContainer *document;  /* NULL: none is wanted */
	JsonbContainer *highlight; /* {"column": ["text", ...]}; NULL: nothing to highlight */
	JsonbValue	   *sort;	   /* as in SearchCursor, NULL: there is no going on after it */
} SearchHit;

typedef struct SearchBucket
{
	JsonbValue value; /* string, number or boolean */
	int64	   count;
} SearchBucket;

typedef struct SearchFacet
{
	char *name;
	List *buckets; /* of SearchBucket, most first */
	int64 other;   /* documents, or values of them, that are in none of the buckets */
} SearchFacet;

typedef struct SearchResult
{
	const char *engine;
	int64		total; /* less than 0: not counted */
	bool		total_is_exact;
	List	   *hits;		  /* of SearchHit */
	SearchHit  *last;		  /* of the page, even if its row has vanished */
	int			nsort;		  /* values of each hit's sort */
	List	   *facets;		  /* of SearchFacet, as they were asked for */
	char	   *did_you_mean; /* NULL: nothing better is known */
	int64		ranked;		  /* matches at the most that were ranked; 0: all */
	int64		vanished;	  /* hits without a row, left out; hydrate only */
	bool		from_server;
	char	   *snapshot; /* every change it sees is in the server's result; NULL: not known */
} SearchResult;

/* Why an engine gave no result. */
typedef struct SearchFailure
{
	int	  sqlstate;
	char *reason;
} SearchFailure;

/* target.c */
extern void search_target_load(SearchTarget *target, const char *index_type);

/* check.c */
extern void search_check_request(const SearchTarget *target, const SearchRequest *request);
extern void search_check_source(const SearchTarget *target, const SearchRequest *request);
/* fallback says why the server was not used */
extern void search_check_fallback(const SearchTarget *target, const SearchRequest *request,
								  const char *fallback);
/* The property, or its part, that holds a column's value as one term; NULL: there is none. */
extern char *search_term_property(const SearchTarget *target, const char *name);
/* Likewise, in a form that orders and counts. */
extern char *search_sort_property(const SearchTarget *target, const char *name);

/* cursor.c: NULL if there is no going on after the hit */
extern char *search_cursor_make(const SearchTarget *target, const SearchRequest *request,
								const SearchResult *result, const SearchHit *hit);
extern void	 search_cursor_open(const SearchTarget *target, SearchRequest *request);

/* server.c: false if the server has no answer, and why */
extern bool search_server(const SearchTarget *target, const SearchRequest *request,
						  SearchResult *result, SearchFailure *failure);

/* Path of something of an alias, such as "/_refresh". */
extern char *server_path(const char *alias, const char *what);

/* search.c: makes the answer of a search that was often asked for; true if it was stored */
extern bool search_warm(const HotSearch *search, int ttl);

/* postgres.c */
extern void search_postgres(const SearchTarget *target, const SearchRequest *request,
							SearchResult *result, const char *fallback);

#endif
