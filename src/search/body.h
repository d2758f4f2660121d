/*
 * body.h
 *		Making the bodies of requests to the search server.
 */
#ifndef TENANCY_SEARCH_BODY_H
#define TENANCY_SEARCH_BODY_H

#include <jansson.h>

#include "search/search.h"

/* What a document of a shared index has beside its row's columns: tenant and part. */
#define BODY_TENANCY "_tenancy"

/* Fills a body; each value must hang under root as soon as it is made.  It needs a query. */
typedef void (*BodyFill)(json_t *root, const SearchTarget *target, const void *arg);

/* The only way from values to text: whatever is filled in is confined to the tenant's documents. */
extern char *body_write(const SearchTarget *target, BodyFill fill, const void *arg, size_t *length);

extern json_t *body_object(void);
/* Hang a new value under its owner and return it; a key is UTF-8 already. */
extern json_t *body_put(json_t *object, const char *key, json_t *value);
extern json_t *body_put_object(json_t *object, const char *key);
extern json_t *body_put_array(json_t *object, const char *key);
extern json_t *body_put_text(json_t *object, const char *key, const char *text);
extern json_t *body_append(json_t *array, json_t *value);
/* Values from text in the server's encoding. */
extern json_t *body_string(const char *text);
extern json_t *body_number(const char *decimal);
extern json_t *body_scalar(const JsonbValue *value);
extern char	  *body_utf8(const char *text);

/* body_query.c: the clauses of a search that other requests need too */
extern void body_put_words(json_t *clause, const SearchTarget *target,
						   const SearchRequest *request);
/* Columns that the query looks into: of SearchField. */
extern List *body_fields(const SearchTarget *target, const SearchRequest *request);

/* body_search.c: BodyFill, arg is the SearchRequest */
extern void body_fill_search(json_t *root, const SearchTarget *target, const void *arg);

/* body_facets.c */
extern void body_put_facets(json_t *root, const SearchTarget *target, const SearchRequest *request);
extern bool body_is_facet(const SearchRequest *request, const char *name);

/* body_query.c */
extern void body_append_filter(json_t *list, const SearchTarget *target,
							   const SearchFilter *filter);

#endif
