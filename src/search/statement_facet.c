/*
 * statement_facet.c
 *		How many of the rows have which values of a column.
 *
 * A filter on the column itself does not narrow what is counted, so that several values
 * can be chosen.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "common/spi.h"
#include "search/statement.h"

/* SQL of the values of a column, and from where they come; elements of an array count once a row. */
static const char *
values_sql(Relation table, const SearchFacetWish *wish, const char **from)
{
	Form_pg_attribute column = statement_column(table, wish->name);
	Oid				  type = column ? getBaseType(column->atttypid) : InvalidOid;
	char			 *name = statement_name(wish->name);
	char			  category = TYPCATEGORY_INVALID;
	bool			  preferred;

	*from = "";
	if (OidIsValid(type))
		get_type_category_preferred(type, &category, &preferred);
	if (type == JSONBOID)
		*from = psprintf(", LATERAL (SELECT DISTINCT e.v FROM "
						 "pg_catalog.jsonb_path_query(%s, '$[*] ? (@ != null)') e (v)) e",
						 name);
	else if (OidIsValid(get_element_type(type)))
		*from =
			psprintf(", LATERAL (SELECT DISTINCT e.v FROM pg_catalog.unnest(%s) e (v)) e", name);
	else if (!OidIsValid(type) || !OidIsValid(lookup_type_cache(type, TYPECACHE_LT_OPR)->lt_opr))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("cannot count the values of \"%s\"", wish->name),
						errdetail("The table has no such column with an order.")));
	else if (category == TYPCATEGORY_STRING || category == TYPCATEGORY_ENUM)
		return psprintf("CAST(%s AS pg_catalog.text) COLLATE pg_catalog.\"C\"", name);
	else if (type == NUMERICOID)
		return psprintf("pg_catalog.trim_scale(%s)", name);
	return (*from)[0] != '\0' ? "e.v" : name;
}

/* SQL of one facet: value, its count, and the sum of all counts. */
static char *
facet_sql(Statement *statement, const SearchFacetWish *wish)
{
	const char	  *from;
	const char	  *value = values_sql(statement->table, wish, &from);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql,
					 "SELECT pg_catalog.to_jsonb(g.v), g.n, CAST(pg_catalog.sum(g.n) OVER () AS "
					 "pg_catalog.int8) FROM (SELECT %s AS v, pg_catalog.count(*) AS n FROM %s t%s "
					 "WHERE true",
					 value, statement_table(statement->table), from);
	statement_append_match(statement, &sql);
	statement_append_filters(statement, &sql, wish->name);
	statement_append_min_score(statement, &sql);
	appendStringInfo(&sql, " GROUP BY 1) g WHERE g.v IS NOT NULL ORDER BY 2 DESC, g.v LIMIT %d",
					 wish->size);
	return sql.data;
}

/* Copies the buckets of the last result. */
static SearchFacet *
copy_facet(const SearchFacetWish *wish)
{
	SearchFacet *facet = palloc0(sizeof(SearchFacet));
	bool		 isnull;

	facet->name = pstrdup(wish->name);
	if (SPI_processed > 0)
		facet->other = tenancy_spi_int64(0, 3);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		SearchBucket *bucket = palloc0(sizeof(SearchBucket));
		Jsonb		 *value = DatumGetJsonbPCopy(tenancy_spi_datum((int) i, 1, &isnull));

		CHECK_FOR_INTERRUPTS();
		if (!JsonbExtractScalar(&value->root, &bucket->value))
			continue;
		bucket->count = tenancy_spi_int64((int) i, 2);
		facet->other -= bucket->count;
		facet->buckets = lappend(facet->buckets, bucket);
	}
	return facet;
}

/* Counts what the request asks for. */
void
statement_facets(Statement *statement, SearchResult *result, MemoryContext context)
{
	ListCell *lc;

	foreach (lc, statement->request->facets)
	{
		const SearchFacetWish *wish = lfirst(lc);
		MemoryContext		   old;

		statement_query(statement, facet_sql(statement, wish));
		old = MemoryContextSwitchTo(context);
		result->facets = lappend(result->facets, copy_facet(wish));
		MemoryContextSwitchTo(old);
	}
}
