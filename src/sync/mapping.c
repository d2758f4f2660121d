/*
 * mapping.c
 *		Bodies of indices: from a table's columns, or as the user gave them.
 *
 * A column whose name no field can have is left out, so that the others still get an index.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#include "common/jsonb.h"
#include "common/spi.h"
#include "sync/doc_source.h"
#include "sync/field_mapping.h"
#include "sync/mapping.h"
#include "sync/mapping_diff.h"

PG_FUNCTION_INFO_V1(tenancy_generate_mapping);
PG_FUNCTION_INFO_V1(tenancy_index_body);

#define FIELDS_LIMIT 1000 /* of an index, if nothing else is said */

/* What an index of a tenant is made from; texts and jsonb live as long as the SPI scope. */
typedef struct BodySource
{
	Jsonb *mapping;	 /* as the user gave it, NULL: it is to be generated */
	Jsonb *settings; /* of the index type's template, NULL: there is none */
	Jsonb *overrides;
	bool   by_expression; /* documents have fields that nobody knows */
	Oid	   relation;	  /* whose columns are fields, InvalidOid: it is not there */
} BodySource;

/* True if a field can have the name: no part of it is empty, and the server has none of its own. */
static bool
is_field_name(const char *name)
{
	static const char *const own[] = {"_id",	  "_index",
									  "_type",	  "_source",
									  "_routing", "_field_names",
									  "_version", "_seq_no",
									  "_ignored", "_doc_count",
									  "_tier",	  "_nested_path",
									  "_parent",  "_data_stream_timestamp",
									  "_tsid",	  "_primary_term",
									  "_uid",	  "_size"};

	for (int i = 0; i < lengthof(own); i++)
		if (strcmp(name, own[i]) == 0)
			return false;
	return name[0] != '.' && name[strlen(name) - 1] != '.' && strstr(name, "..") == NULL &&
		   name[strspn(name, " \t\r\n")] != '\0';
}

/* True if the server takes the two for an object and something in it. */
static bool
is_above(const char *name, const char *other)
{
	size_t length = strlen(name);

	return strncmp(name, other, length) == 0 && other[length] == '.';
}

/* True if the n-th column of the last result can be a field beside the others. */
static bool
can_be_field(int n)
{
	const char *name = tenancy_spi_text(n, 1);

	if (!is_field_name(name))
		return false;
	for (int i = 0; i < SPI_processed; i++)
	{
		const char *other = tenancy_spi_text(i, 1);

		if (is_above(name, other) || is_above(other, name))
			return false;
	}
	return true;
}

/* Mapping of the n-th column of the last result, NULL: it has none. */
static char *
column_mapping(int n, Jsonb *overrides, bool all)
{
	JsonbValue override;
	Oid		   type = (Oid) tenancy_spi_int64(n, 2);
	char	  *mapping;

	if (overrides != NULL &&
		tenancy_jsonb_field(&overrides->root, tenancy_spi_text(n, 1), &override))
		return override.type == jbvNull ? NULL : mapping_value_text(&override);
	if (!can_be_field(n))
		return NULL;
	mapping = field_mapping(type, (int32) tenancy_spi_int64(n, 3));
	if (mapping == NULL && all && type != TSVECTOROID)
		return "{\"type\":\"object\",\"enabled\":false}"; /* documents have it */
	return mapping;
}

/* Fields of a relation's columns. */
char *
mapping_fields(Oid relid, Jsonb *overrides, Jsonb *known, bool all)
{
	Oid			   types[1] = {OIDOID};
	Datum		   values[1] = {ObjectIdGetDatum(relid)};
	StringInfoData fields;

	tenancy_spi_exec("SELECT attname, atttypid::bigint, atttypmod::bigint FROM pg_attribute"
					 " WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
					 1, types, values, NULL);
	initStringInfo(&fields);
	appendStringInfoChar(&fields, '{');
	for (int n = 0; n < SPI_processed; n++)
	{
		const char *name = tenancy_spi_text(n, 1);
		char	   *mapping = column_mapping(n, overrides, all);
		JsonbValue	value;

		if (mapping != NULL && (known == NULL || !tenancy_jsonb_field(&known->root, name, &value)))
			mapping_append_member(&fields, name, mapping);
	}
	if (fields.len == 1)
		return NULL;
	appendStringInfoChar(&fields, '}');
	return fields.data;
}

/* A body with these fields; more settings where the server's limit would not do. */
static char *
body_of_fields(const char *fields, int nfields)
{
	StringInfoData body;

	initStringInfo(&body);
	appendStringInfoString(&body, "{\"settings\":{\"index\":{\"gc_deletes\":\"1h\"");
	if (nfields * 2 > FIELDS_LIMIT)
		appendStringInfo(&body, ",\"mapping\":{\"total_fields\":{\"limit\":%d}}",
						 nfields * 2 + FIELDS_LIMIT);
	appendStringInfo(&body,
					 "}},\"mappings\":{\"_meta\":{\"generated\":true},\"dynamic\":false,"
					 "\"properties\":%s}}",
					 fields != NULL ? fields : "{}");
	return body.data;
}

/* The body that a relation's columns make. */
static char *
generate_body(Oid relid, Jsonb *overrides)
{
	char *fields = OidIsValid(relid) ? mapping_fields(relid, overrides, NULL, false) : NULL;

	return body_of_fields(fields, SPI_processed);
}

/* tenancy.generate_mapping(relation, columns) */
Datum
tenancy_generate_mapping(PG_FUNCTION_ARGS)
{
	Jsonb		 *overrides = PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1);
	MemoryContext context = CurrentMemoryContext;
	SpiScope	  scope;
	char		 *body;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	tenancy_spi_begin_as_owner(&scope);
	body = MemoryContextStrdup(context, generate_body(PG_GETARG_OID(0), overrides));
	tenancy_spi_end(&scope);
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(body));
}

/* A jsonb of the last result's row, NULL where it is null. */
static Jsonb *
jsonb_column(int column)
{
	bool  isnull;
	Datum value = tenancy_spi_datum(0, column, &isnull);

	return isnull ? NULL : DatumGetJsonbPCopy(value);
}

/* Overrides of a synced table's columns. */
Jsonb *
mapping_overrides(const char *blueprint, const char *table_name)
{
	Oid	  types[2] = {TEXTOID, TEXTOID};
	Datum values[2] = {CStringGetTextDatum(blueprint), CStringGetTextDatum(table_name)};

	tenancy_spi_exec("SELECT jsonb_object_agg(column_name, coalesce(mapping, 'null'))"
					 " FROM tenancy.column_mapping WHERE blueprint = $1 AND table_name = $2::name",
					 2, types, values, NULL);
	return jsonb_column(1);
}

/* The relation of a tenant's schema, InvalidOid: there is none that can have documents. */
static Oid
find_relation(const char *schema, const char *name)
{
	Oid	  types[2] = {TEXTOID, TEXTOID};
	Datum values[2] = {CStringGetTextDatum(schema), CStringGetTextDatum(name)};

	tenancy_spi_exec(
		"SELECT c.oid::bigint FROM pg_class c"
		" JOIN pg_namespace n ON n.oid = c.relnamespace"
		" WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm')",
		2, types, values, NULL);
	return SPI_processed > 0 ? (Oid) tenancy_spi_int64(0, 1) : InvalidOid;
}

/* Reads what an index of a tenant is made from; false if no table has the index type. */
static bool
read_source(int64 tenant_id, text *index_type, BodySource *source)
{
	Oid	  types[2] = {INT8OID, TEXTOID};
	Datum values[2] = {Int64GetDatum(tenant_id), PointerGetDatum(index_type)};
	char *blueprint;
	char *table_name;
	char *schema;
	char *document;

	tenancy_spi_exec("SELECT s.mapping, x.settings, s.blueprint, s.table_name, t.schema_name,"
					 "  s.document"
					 " FROM tenancy.tenant t JOIN tenancy.sync_table s USING (blueprint)"
					 " LEFT JOIN tenancy.index_template x USING (blueprint, index_type)"
					 " WHERE t.id = $1 AND s.index_type = $2",
					 2, types, values, NULL);
	if (SPI_processed == 0)
		return false;
	memset(source, 0, sizeof(BodySource));
	source->mapping = jsonb_column(1);
	source->settings = jsonb_column(2);
	blueprint = tenancy_spi_text(0, 3);
	table_name = tenancy_spi_text(0, 4);
	schema = tenancy_spi_text(0, 5);
	document = tenancy_spi_text(0, 6);
	if (source->mapping != NULL)
		return true;
	source->overrides = mapping_overrides(blueprint, table_name);
	if (document != NULL)
		table_name = doc_source_view(document);
	source->by_expression = table_name == NULL;
	if (table_name != NULL)
		source->relation = find_relation(schema, table_name);
	return true;
}

/* The fields that overrides name, where nothing else is known of the documents. */
static char *
override_fields(Jsonb *overrides)
{
	StringInfoData fields;
	ListCell	  *cell;

	initStringInfo(&fields);
	appendStringInfoChar(&fields, '{');
	foreach (cell, mapping_members(&overrides->root))
	{
		MappingMember *member = lfirst(cell);

		if (member->value.type != jbvNull)
			mapping_append_member(&fields, member->name, mapping_value_text(&member->value));
	}
	appendStringInfoChar(&fields, '}');
	return fields.data;
}

/* The body without a template's settings. */
static Jsonb *
plain_body(const BodySource *source)
{
	char *body;

	if (source->mapping != NULL)
		return source->mapping;
	if (!source->by_expression)
		body = generate_body(source->relation, source->overrides);
	else if (source->overrides != NULL)
		body = body_of_fields(override_fields(source->overrides), 0);
	else
		body = "{}";
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(body)));
}

/* The body with a template's settings below its own; all of them by their names in full. */
static Jsonb *
add_settings(Jsonb *body, Jsonb *template)
{
	List		  *own = mapping_flat_settings(tenancy_jsonb_object(&body->root, "settings"));
	List		  *settings = mapping_flat_settings(&template->root);
	StringInfoData text;
	StringInfoData all;
	ListCell	  *cell;

	initStringInfo(&all);
	appendStringInfoChar(&all, '{');
	foreach (cell, settings)
	{
		MappingMember *member = lfirst(cell);

		if (!mapping_has_setting(own, member->name))
			mapping_append_member(&all, member->name, mapping_value_text(&member->value));
	}
	foreach (cell, own)
	{
		MappingMember *member = lfirst(cell);

		mapping_append_member(&all, member->name, mapping_value_text(&member->value));
	}
	appendStringInfoChar(&all, '}');
	initStringInfo(&text);
	appendStringInfo(&text, "{\"settings\":%s}", all.data);
	return DatumGetJsonbP(
		DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(body),
							DirectFunctionCall1(jsonb_in, CStringGetDatum(text.data))));
}

/* tenancy.index_body(tenant, index_type) */
Datum
tenancy_index_body(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	MemoryContext scoped;
	BodySource	  source;
	SpiScope	  scope;
	Jsonb		 *body = NULL;

	tenancy_spi_begin_as_owner(&scope);
	if (read_source(PG_GETARG_INT64(0), PG_GETARG_TEXT_PP(1), &source))
	{
		body = plain_body(&source);
		if (source.settings != NULL)
			body = add_settings(body, source.settings);
		scoped = MemoryContextSwitchTo(context);
		body = DatumGetJsonbPCopy(JsonbPGetDatum(body));
		MemoryContextSwitchTo(scoped);
	}
	tenancy_spi_end(&scope);
	if (body == NULL)
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(body);
}
