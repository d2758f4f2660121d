/*
 * shape_mapping.c
 *		Mapping of columns that were added to a table, from their types.
 *
 * A value must never be refused because of a mapping that nobody wrote: what a field cannot
 * index (a number beyond double, a year before Christ) is kept in the document all the same.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "common/json.h"
#include "common/spi.h"
#include "sync/shape.h"

/* Columns of $2 that are new to index $1, unless the user's mapping has them or wants none. */
static const char *const new_columns_query =
	"SELECT a.attname, a.atttypid::bigint FROM tenancy.search_index i"
	"  JOIN pg_attribute a ON a.attrelid = $2 AND a.attnum > 0 AND NOT a.attisdropped"
	"   AND a.atttypid <> 'pg_catalog.tsvector'::regtype"
	" WHERE i.index_name = $1 AND i.shape IS NOT NULL"
	"   AND coalesce(i.body #>> '{mappings,dynamic}', 'true') <> 'false'"
	"   AND NOT coalesce(i.body #> '{mappings,properties}' ? a.attname::text, false)"
	"   AND NOT EXISTS (SELECT FROM jsonb_each_text(i.shape -> 'columns') o"
	"        WHERE substr(o.value, strpos(o.value, ' ') + 1) = a.attname)"
	" ORDER BY a.attnum";

#define KEYWORD "{\"type\":\"keyword\",\"ignore_above\":1024}"
#define TEXT "{\"type\":\"text\",\"fields\":{\"raw\":" KEYWORD "}}"
#define DOUBLE "{\"type\":\"double\",\"ignore_malformed\":true}"
#define DATE                                                                           \
	"{\"type\":\"date\",\"format\":\"strict_date_optional_time||date_optional_time\"," \
	"\"ignore_malformed\":true}"
#define OPAQUE "{\"type\":\"object\",\"enabled\":false}"

/* Mapping of the types that document.c writes in a way of their own; NULL: none of these. */
static const char *
mapping_of_builtin(Oid type)
{
	switch (type)
	{
		case INT2OID:
		case INT4OID:
			return "{\"type\":\"integer\"}";
		case INT8OID:
			return "{\"type\":\"long\"}";
		case BOOLOID:
			return "{\"type\":\"boolean\"}";
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
			return DOUBLE;
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return DATE;
		case TEXTOID:
		case VARCHAROID:
			return TEXT;
		case JSONOID:
		case JSONBOID:
			return OPAQUE;
		default:
			return NULL;
	}
}

/* Mapping of any type; an array's is its elements'. */
const char *
shape_mapping_of(Oid type)
{
	Oid			base = getBaseType(type);
	Oid			element = get_element_type(base);
	const char *mapping;

	if (OidIsValid(element))
		return shape_mapping_of(element);
	mapping = mapping_of_builtin(base);
	if (mapping != NULL)
		return mapping;
	return type_is_rowtype(base) ? OPAQUE : KEYWORD;
}

/* Mapping of a change's new columns; inside an SPI scope. */
char *
shape_new_fields(const ShapeChange *change)
{
	Oid			   types[2] = {TEXTOID, OIDOID};
	Datum		   values[2];
	StringInfoData fields;

	values[0] = PointerGetDatum(cstring_to_text(change->index_name));
	values[1] = ObjectIdGetDatum(change->now);
	tenancy_spi_exec(new_columns_query, 2, types, values, NULL);
	initStringInfo(&fields);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		char *name = tenancy_spi_text(row, 1);

		appendStringInfoChar(&fields, row == 0 ? '{' : ',');
		tenancy_json_string(&fields, name, strlen(name));
		appendStringInfo(&fields, ":%s", shape_mapping_of((Oid) tenancy_spi_int64(row, 2)));
	}
	if (SPI_processed == 0)
		return NULL;
	appendStringInfoChar(&fields, '}');
	return fields.data;
}
