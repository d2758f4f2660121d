/*
 * mapping_config.c
 *		What users say about generated mappings: columns and settings.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "common/args.h"
#include "common/errors.h"
#include "common/ident.h"
#include "common/jsonb.h"
#include "common/spi.h"
#include "sync/mapping_diff.h"
#include "sync/sync_table.h"

PG_FUNCTION_INFO_V1(tenancy_map_column);
PG_FUNCTION_INFO_V1(tenancy_unmap_column);
PG_FUNCTION_INFO_V1(tenancy_index_template);

/* A name that must fit a column of type name. */
static Datum
name_arg(FunctionCallInfo fcinfo, int n, const char *argument)
{
	char *name = tenancy_arg_text(fcinfo, n, argument);

	if (name[0] == '\0' || strlen(name) >= NAMEDATALEN)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_SYNC_CONFIG),
						errmsg("invalid %s \"%s\"", argument, name)));
	return CStringGetTextDatum(name);
}

/* Refuses what is no mapping of a field. */
static void
check_field(Jsonb *mapping)
{
	if (!JB_ROOT_IS_OBJECT(mapping) || (tenancy_jsonb_string(&mapping->root, "type") == NULL &&
										tenancy_jsonb_object(&mapping->root, "properties") == NULL))
		ereport(ERROR, (errcode(ERRCODE_TENANCY_SYNC_CONFIG),
						errmsg("a column's mapping must be an object with a type"),
						errhint("NULL means that the column is not indexed.")));
}

/* Refuses a table whose mapping is the user's own: nothing is generated there. */
static void
require_generated(Datum *names)
{
	Oid types[2] = {TEXTOID, TEXTOID};

	tenancy_spi_exec("SELECT FROM tenancy.sync_table WHERE blueprint = $1"
					 " AND table_name = $2::name AND mapping IS NOT NULL",
					 2, types, names, NULL);
	if (SPI_processed > 0)
		ereport(ERROR,
				(errcode(ERRCODE_TENANCY_SYNC_CONFIG),
				 errmsg("table \"%s\" has a mapping of its own", TextDatumGetCString(names[1])),
				 errhint("Say it there, or call tenant_sync_table() without a mapping.")));
}

/* Refuses a column that no tenant has, if one has the table. */
static void
require_column(Datum *names)
{
	Oid types[3] = {TEXTOID, TEXTOID, TEXTOID};

	tenancy_spi_exec("SELECT FROM tenancy.sync_table s WHERE s.blueprint = $1"
					 "  AND s.table_name = $2::name AND s.document IS NULL AND NOT EXISTS"
					 " (SELECT FROM tenancy.tenant t"
					 "  JOIN pg_namespace n ON n.nspname = t.schema_name"
					 "  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = $2::name"
					 "  WHERE t.blueprint = $1 AND (SELECT count(*) FROM pg_attribute a"
					 "    WHERE a.attrelid = c.oid AND a.attname = $3::name"
					 "      AND a.attnum > 0 AND NOT a.attisdropped) > 0)"
					 " AND EXISTS (SELECT FROM tenancy.tenant t"
					 "  JOIN pg_namespace n ON n.nspname = t.schema_name"
					 "  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = $2::name"
					 "  WHERE t.blueprint = $1)",
					 3, types, names, NULL);
	if (SPI_processed > 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("no tenant's table \"%s\" has a column \"%s\"",
							   TextDatumGetCString(names[1]), TextDatumGetCString(names[2]))));
}

/* Has the indices take the new mapping, and every row sent again. */
static void
apply(Datum *names)
{
	Oid types[2] = {TEXTOID, TEXTOID};

	tenancy_sync_adopt_bodies(TextDatumGetCString(names[0]), TextDatumGetCString(names[1]));
	tenancy_spi_exec("SELECT tenancy.request_resync('search', NULL, $1, $2)", 2, types, names,
					 NULL);
}

/* Takes the three names and opens the scope of the blueprint's owner. */
static void
begin(FunctionCallInfo fcinfo, Datum *names, SpiScope *scope)
{
	char *blueprint = tenancy_arg_text(fcinfo, 0, "blueprint");
	Oid	  caller = GetUserId();

	names[0] = CStringGetTextDatum(blueprint);
	names[1] = name_arg(fcinfo, 1, "table_name");
	names[2] = name_arg(fcinfo, 2, "column_name");
	tenancy_spi_begin_as_owner(scope);
	tenancy_blueprint_require_owner(blueprint, caller);
}

/* tenancy.map_column(blueprint, table_name, column_name, mapping) */
Datum
tenancy_map_column(PG_FUNCTION_ARGS)
{
	Oid		 types[4] = {TEXTOID, TEXTOID, TEXTOID, JSONBOID};
	Datum	 names[4];
	SpiScope scope;

	if (!PG_ARGISNULL(3))
		check_field(PG_GETARG_JSONB_P(3));
	begin(fcinfo, names, &scope);
	require_generated(names);
	require_column(names);
	names[3] = PG_ARGISNULL(3) ? (Datum) 0 : PG_GETARG_DATUM(3);
	tenancy_spi_exec("INSERT INTO tenancy.column_mapping VALUES ($1, $2::name, $3::name, $4)"
					 " ON CONFLICT (blueprint, table_name, column_name)"
					 " DO UPDATE SET mapping = excluded.mapping",
					 4, types, names, PG_ARGISNULL(3) ? "   n" : "    ");
	apply(names);
	tenancy_spi_end(&scope);
	PG_RETURN_VOID();
}

/* tenancy.unmap_column(blueprint, table_name, column_name) */
Datum
tenancy_unmap_column(PG_FUNCTION_ARGS)
{
	Oid		 types[3] = {TEXTOID, TEXTOID, TEXTOID};
	Datum	 names[3];
	SpiScope scope;
	bool	 found;

	begin(fcinfo, names, &scope);
	tenancy_spi_exec("DELETE FROM tenancy.column_mapping WHERE blueprint = $1"
					 " AND table_name = $2::name AND column_name = $3::name",
					 3, types, names, NULL);
	found = SPI_processed > 0;
	if (found)
		apply(names);
	tenancy_spi_end(&scope);
	PG_RETURN_BOOL(found);
}

/* Refuses what is no object of settings. */
static void
check_settings(Jsonb *settings)
{
	ListCell *cell;

	if (!JB_ROOT_IS_OBJECT(settings))
		ereport(ERROR,
				(errcode(ERRCODE_TENANCY_SYNC_CONFIG), errmsg("settings must be a JSON object")));
	foreach (cell, mapping_members(&settings->root))
	{
		const char *name = ((MappingMember *) lfirst(cell))->name;

		if (strcmp(name, "settings") == 0 || strcmp(name, "mappings") == 0 ||
			strcmp(name, "aliases") == 0)
			ereport(ERROR, (errcode(ERRCODE_TENANCY_SYNC_CONFIG),
							errmsg("settings must not contain \"%s\"", name),
							errhint("A template has settings such as number_of_shards, "
									"refresh_interval and analysis, and nothing else.")));
	}
}

/* Writes a template's settings, or forgets it. */
static void
write_template(Datum *values, bool forget)
{
	Oid types[3] = {TEXTOID, TEXTOID, JSONBOID};

	if (forget)
		tenancy_spi_exec("DELETE FROM tenancy.index_template"
						 " WHERE blueprint = $1 AND index_type = $2",
						 2, types, values, NULL);
	else
		tenancy_spi_exec("INSERT INTO tenancy.index_template VALUES ($1, $2, $3)"
						 " ON CONFLICT (blueprint, index_type)"
						 " DO UPDATE SET settings = excluded.settings",
						 3, types, values, NULL);
}

/* tenancy.index_template(blueprint, index_type, settings) */
Datum
tenancy_index_template(PG_FUNCTION_ARGS)
{
	Oid		 caller = GetUserId();
	char	*blueprint = tenancy_arg_text(fcinfo, 0, "blueprint");
	char	*index_type = tenancy_arg_text(fcinfo, 1, "index_type");
	Oid		 types[2] = {TEXTOID, TEXTOID};
	Datum	 values[3] = {CStringGetTextDatum(blueprint), CStringGetTextDatum(index_type),
						  PG_ARGISNULL(2) ? (Datum) 0 : PG_GETARG_DATUM(2)};
	SpiScope scope;

	tenancy_check_name("index type", index_type);
	if (!PG_ARGISNULL(2))
		check_settings(PG_GETARG_JSONB_P(2));
	tenancy_spi_begin_as_owner(&scope);
	tenancy_blueprint_require_owner(blueprint, caller);
	write_template(values, PG_ARGISNULL(2));
	tenancy_spi_exec("SELECT table_name FROM tenancy.sync_table"
					 " WHERE blueprint = $1 AND index_type = $2",
					 2, types, values, NULL);
	if (SPI_processed > 0)
		tenancy_sync_adopt_bodies(blueprint, tenancy_spi_text(0, 1));
	tenancy_spi_end(&scope);
	PG_RETURN_VOID();
}
