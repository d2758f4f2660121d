/*
 * shape_mapping.c
 *		Fields of columns that an index does not know yet.
 *
 * An index whose mapping was generated gets every column that it lacks.  To a mapping of the
 * user's own a field is added only for a column that is new to the table, and only where the
 * server would map it by itself.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "common/spi.h"
#include "sync/mapping.h"
#include "sync/shape.h"

/*
 * Columns: 1 blueprint, 2 the mapping was generated, 3 what the index has already as members.
 * No row: its documents are not the rows, or it wants no fields.
 */
static const char *const index_query =
	"SELECT s.blueprint, i.body #> '{mappings,_meta,generated}' IS NOT NULL AND s.mapping IS NULL,"
	"  coalesce(i.body #> '{mappings,properties}', '{}') || i.fields"
	"   || CASE WHEN i.body #> '{mappings,_meta,generated}' IS NOT NULL THEN '{}' ELSE"
	"    (SELECT coalesce(jsonb_object_agg(substr(o.value, strpos(o.value, ' ') + 1), true), '{}')"
	"     FROM jsonb_each_text(i.shape -> 'columns') o"
	/* one that was dropped and added again under its name is new */
	"     WHERE i.relation <> $2 OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = $2"
	"      AND a.attnum = o.key::smallint AND NOT a.attisdropped"
	"      AND a.attname = substr(o.value, strpos(o.value, ' ') + 1))) END"
	" FROM tenancy.search_index i JOIN tenancy.tenant t ON t.id = i.tenant_id"
	" JOIN tenancy.sync_table s ON s.blueprint = t.blueprint AND s.index_type = i.index_type"
	" WHERE i.index_name = $1"
	"   AND (i.body #> '{mappings,_meta,generated}' IS NOT NULL AND s.document IS NULL"
	"     OR i.body #> '{mappings,_meta,generated}' IS NULL AND i.shape IS NOT NULL"
	"       AND coalesce(i.body #>> '{mappings,dynamic}', 'true') <> 'false')";

/* Mapping of a change's new columns; inside an SPI scope. */
char *
shape_new_fields(const ShapeChange *change)
{
	Oid	   types[2] = {TEXTOID, OIDOID};
	Datum  values[2] = {CStringGetTextDatum(change->index_name), ObjectIdGetDatum(change->now)};
	Jsonb *overrides = NULL;
	Jsonb *known;
	char  *blueprint;
	bool   generated;
	bool   isnull;

	tenancy_spi_exec(index_query, 2, types, values, NULL);
	if (SPI_processed == 0)
		return NULL;
	blueprint = tenancy_spi_text(0, 1);
	known = DatumGetJsonbPCopy(tenancy_spi_datum(0, 3, &isnull));
	generated = DatumGetBool(tenancy_spi_datum(0, 2, &isnull));
	if (generated)
		overrides = mapping_overrides(blueprint, change->table_name);
	return mapping_fields(change->now, overrides, known, !generated);
}
