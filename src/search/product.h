/*
 * product.h
 *		Where Elasticsearch 7 to 9 and OpenSearch 2 and 3 differ for a search.
 */
#ifndef TENANCY_SEARCH_PRODUCT_H
#define TENANCY_SEARCH_PRODUCT_H

#include "utils/jsonb.h"

#define PRODUCT_HIGHLIGHT_MAX 1000000 /* characters; the servers' own limit, where they give up */

typedef struct Product
{
	bool known;
	bool opensearch;
	int	 major;
	int	 minor;
} Product;

/* Reads the reply of a server's root. */
extern void product_read(Product *product, JsonbContainer *root);
/* What the answer calls it. */
extern const char *product_name(const Product *product);
/* Setting by which highlighting ends early in a long text in place of failing; NULL: there is none. */
extern const char *product_highlight_limit(void);
/* A type that every product knows and that orders like this one. */
extern const char *product_plain_type(const char *type);

#endif
