/*
 * product.c
 *		Where Elasticsearch 7 to 9 and OpenSearch 2 and 3 differ for a search.
 *
 * Everything else that is sent is the same for all of them.
 */
#include "postgres.h"

#include "common/jsonb.h"
#include "search/client.h"
#include "search/product.h"

/* Reads the reply of a server's root; OpenSearch may give itself out for Elasticsearch 7.10. */
void
product_read(Product *product, JsonbContainer *root)
{
	JsonbContainer *version = tenancy_jsonb_object(root, "version");
	char		   *distribution = tenancy_jsonb_string(version, "distribution");
	char		   *number = tenancy_jsonb_string(version, "number");

	product->known = true;
	product->opensearch = distribution != NULL && strcmp(distribution, "opensearch") == 0;
	if (number == NULL || sscanf(number, "%d.%d", &product->major, &product->minor) != 2)
		product->major = product->minor = 0;
}

/* What the answer calls it; where that is not told it is the usual one. */
const char *
product_name(const Product *product)
{
	return product->opensearch ? "opensearch" : "elasticsearch";
}

/* True from a version on. */
static bool
is_at_least(const Product *product, int major, int minor)
{
	return product->major > major || (product->major == major && product->minor >= minor);
}

/* Both have the setting, under names of their own. */
const char *
product_highlight_limit(void)
{
	const Product *product = search_client_product();

	if (product->opensearch)
		return is_at_least(product, 2, 2) ? "max_analyzer_offset" : NULL;
	return is_at_least(product, 7, 12) ? "max_analyzed_offset" : NULL;
}

/* Elasticsearch without mapper-extras has no scaled_float. */
const char *
product_plain_type(const char *type)
{
	static const char *const same[] = {"date", "boolean", "ip", "long", "double", "keyword"};

	for (int i = 0; i < lengthof(same); i++)
		if (strcmp(type, same[i]) == 0)
			return same[i];
	if (strcmp(type, "date_nanos") == 0)
		return "date";
	if (strstr(type, "float") != NULL)
		return "double";
	return strcmp(type, "constant_keyword") == 0 || strcmp(type, "version") == 0 ? "keyword"
																				 : "long";
}
