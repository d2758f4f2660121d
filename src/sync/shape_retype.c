/*
 * shape_retype.c
 *		Columns that have another type than when their index was made.
 *
 * A field keeps its type for ever: where the new one would have been mapped in another way, the
 * index is made anew.  Fields of the mapping that the user wrote are his.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "common/json.h"
#include "common/spi.h"
#include "sync/shape.h"

/* Columns of $2 that had another type in index $1's shape, and what type. */
static const char *const retyped_query =
	"SELECT a.attname, a.atttypid::bigint, split_part(o.value, ' ', 1)::bigint"
	"  FROM tenancy.search_index i CROSS JOIN jsonb_each_text(i.shape -> 'columns') o"
	"  JOIN pg_attribute a ON a.attrelid = $2 AND a.attnum > 0 AND NOT a.attisdropped"
	"   AND a.attname = substr(o.value, strpos(o.value, ' ') + 1)"
	"   AND a.atttypid <> split_part(o.value, ' ', 1)::oid"
	"   AND a.atttypid <> 'pg_catalog.tsvector'::regtype"
	" WHERE i.index_name = $1 AND coalesce(i.body #>> '{mappings,dynamic}', 'true') <> 'false'"
	"   AND NOT coalesce(i.body #> '{mappings,properties}' ? a.attname::text, false)";

/* True if values of the two types are mapped in the same way. */
static bool
same_mapping(Oid now, Oid before)
{
	return SearchSysCacheExists1(TYPEOID, ObjectIdGetDatum(before)) &&
		   strcmp(shape_mapping_of(now), shape_mapping_of(before)) == 0;
}

/* Mapping of the change's columns that need another one as jsonb text, NULL: none do; inside a scope. */
char *
shape_retyped_fields(const ShapeChange *change)
{
	Oid	  types[2] = {TEXTOID, OIDOID};
	Datum values[2] = {CStringGetTextDatum(change->index_name), ObjectIdGetDatum(change->now)};
	StringInfoData fields;
	int			   n = 0;

	tenancy_spi_exec(retyped_query, 2, types, values, NULL);
	initStringInfo(&fields);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		char *name = tenancy_spi_text(row, 1);
		Oid	  now = (Oid) tenancy_spi_int64(row, 2);

		if (same_mapping(now, (Oid) tenancy_spi_int64(row, 3)))
			continue;
		appendStringInfoChar(&fields, n++ == 0 ? '{' : ',');
		tenancy_json_string(&fields, name, strlen(name));
		appendStringInfo(&fields, ":%s", shape_mapping_of(now));
	}
	if (n == 0)
		return NULL;
	appendStringInfoChar(&fields, '}');
	return fields.data;
}

/* Has the index of a change made anew, with fields of these types. */
void
shape_make_anew(const ShapeChange *change, const char *fields)
{
	Oid	  types[2] = {TEXTOID, TEXTOID};
	Datum values[2] = {CStringGetTextDatum(change->index_name), CStringGetTextDatum(fields)};

	tenancy_spi_exec("UPDATE tenancy.search_index SET fields = fields || $2::jsonb"
					 " WHERE index_name = $1",
					 2, types, values, NULL);
	tenancy_spi_exec("SELECT tenancy.queue_reindex(tenant_id, index_type,"
					 "  'the type of a column was changed')"
					 "  FROM tenancy.search_index WHERE index_name = $1 AND $2 IS NOT NULL",
					 2, types, values, NULL);
}
