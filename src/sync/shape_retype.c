/*
 * shape_retype.c
 *		Columns that have another type than when their index was made.
 *
 * A field keeps its type for ever: where the new one would have been mapped in another way, the
 * index is made anew.  Fields of the mapping that the user wrote are his; of one that was
 * generated they are what would be generated now.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "common/json.h"
#include "common/spi.h"
#include "sync/field_mapping.h"
#include "sync/shape.h"

/* Columns of $2 that had another type in index $1's shape, and what type. */
static const char *const retyped_query =
	"SELECT a.attname, a.atttypid::bigint, split_part(o.value, ' ', 1)::bigint, a.atttypmod::bigint"
	"  FROM tenancy.search_index i CROSS JOIN jsonb_each_text(i.shape -> 'columns') o"
	"  JOIN pg_attribute a ON a.attrelid = $2 AND a.attnum > 0 AND NOT a.attisdropped"
	"   AND a.attname = substr(o.value, strpos(o.value, ' ') + 1)"
	"   AND a.atttypid <> split_part(o.value, ' ', 1)::oid"
	"   AND a.atttypid <> 'pg_catalog.tsvector'::regtype"
	" WHERE i.index_name = $1 AND i.body #> '{mappings,_meta,generated}' IS NULL"
	"   AND coalesce(i.body #>> '{mappings,dynamic}', 'true') <> 'false'"
	"   AND NOT coalesce(i.body #> '{mappings,properties}' ? a.attname::text, false)";

/* Generated mapping of index $1 that has a field otherwise than it would be generated now. */
static const char *const outdated_query =
	"SELECT tenancy.adopt_body(i.tenant_id, i.index_type) IS NOT NULL"
	"  FROM tenancy.search_index i"
	" WHERE i.index_name = $1 AND i.body #> '{mappings,_meta,generated}' IS NOT NULL"
	"   AND EXISTS (SELECT FROM tenancy.index_body(i.tenant_id, i.index_type) w,"
	"     jsonb_each(tenancy.merged_body(i.body, i.fields) #> '{mappings,properties}') f"
	"    WHERE w #> ARRAY['mappings', 'properties', f.key] <> f.value)";

/* Mapping of a column that documents have. */
static char *
mapping_of(Oid type, int32 typmod)
{
	char *mapping = field_mapping(type, typmod);

	return mapping != NULL ? mapping : "{\"type\":\"object\",\"enabled\":false}";
}

/* True if values of the two types are mapped in the same way. */
static bool
same_mapping(Oid now, Oid before)
{
	return SearchSysCacheExists1(TYPEOID, ObjectIdGetDatum(before)) &&
		   strcmp(mapping_of(now, -1), mapping_of(before, -1)) == 0;
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
		appendStringInfo(&fields, ":%s", mapping_of(now, (int32) tenancy_spi_int64(row, 4)));
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

/* Brings the index of a change in line with the mapping that its table would have now. */
bool
shape_generate_anew(const ShapeChange *change)
{
	Oid	  types[1] = {TEXTOID};
	Datum values[1] = {CStringGetTextDatum(change->index_name)};
	bool  isnull;

	tenancy_spi_exec(outdated_query, 1, types, values, NULL);
	return SPI_processed > 0 && DatumGetBool(tenancy_spi_datum(0, 1, &isnull));
}
