/*
 * search.h
 *		What the parts of tenant_search say to each other.
 */
#ifndef TENANCY_SEARCH_H
#define TENANCY_SEARCH_H

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#include "tenant/tenant.h"

#define SEARCH_PAGE_SIZE_MAX 1000
#define SEARCH_WINDOW_MAX 10000 /* the servers' own index.max_result_window */
#define SEARCH_FILTER_VALUES_MAX 1000

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
	FILTER_RANGE  /* operators[i] values[i], all of them */
} FilterKind;

typedef struct SearchFilter
{
	char	  *name;
	FilterKind kind;
	int		   nvalues;
	char	 **values;
	char	 **operators; /* gt, gte, lt, lte; FILTER_RANGE only */
} SearchFilter;

/* What the caller asks for, checked as far as that goes without knowing the table. */
typedef struct SearchRequest
{
	char		*query; /* NULL: every document */
	char		*index_type;
	List		*filters; /* of SearchFilter */
	int			 page;
	int			 page_size;
	SearchEngine engine;
	bool		 newest_first;
} SearchRequest;

/* Where to look: the registry's word on an index type of the current tenant. */
typedef struct SearchTarget
{
	Tenant			tenant;
	char		   *table_name;
	Oid				relid;
	bool			row_security;  /* the caller may see some rows only */
	char		   *alias;		   /* NULL: there is no index yet */
	JsonbContainer *properties;	   /* of the mapping, NULL: none are declared */
	JsonbContainer *search_fields; /* of the mapping's _meta, NULL: not declared */
	List		   *key_columns;   /* of char *; empty: none is known */
} SearchTarget;

typedef struct SearchHit
{
	char		   *id;
	JsonbValue		score;
	JsonbContainer *document;
} SearchHit;

typedef struct SearchResult
{
	const char *engine;
	int64		total;
	bool		total_is_exact;
	List	   *hits; /* of SearchHit */
} SearchResult;

/* Why an engine gave no result. */
typedef struct SearchFailure
{
	int	  sqlstate;
	char *reason;
} SearchFailure;

/* request.c */
extern void search_request_parse(SearchRequest *request, Jsonb *filters, Jsonb *options);

/* target.c */
extern void search_target_load(SearchTarget *target, const char *index_type);
extern void search_check_request(const SearchTarget *target, const SearchRequest *request);
extern bool search_can_sort_by(const SearchTarget *target, const char *property);

/* body.c */
extern char *search_body(const SearchTarget *target, const SearchRequest *request, size_t *length);

/* reply.c */
extern bool	 search_reply_parse(const char *body, size_t length, SearchResult *result);
extern char *search_reply_error(const char *body, size_t length);

/* server.c: false if the server has no answer, and why */
extern bool search_server(const SearchTarget *target, const SearchRequest *request,
						  SearchResult *result, SearchFailure *failure);

/* postgres.c */
extern void search_postgres(const SearchTarget *target, const SearchRequest *request,
							SearchResult *result, const char *fallback);

#endif
