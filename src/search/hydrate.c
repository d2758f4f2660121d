/*
 * hydrate.c
 *		Rows of the table in place of the documents that the server found.
 *
 * One query as the caller, by key, for all hits.  A hit whose row is gone, or whose id
 * is no key of the table, is left out and counted.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "common/input.h"
#include "common/spi.h"
#include "search/caller.h"
#include "search/hydrate.h"
#include "search/statement.h"
#include "sink/doc_id.h"

/* A key column, and the hits' values of it. */
typedef struct KeyColumn
{
	char	*name;
	Oid		 type;
	Oid		 input_parameter;
	FmgrInfo input;
	Datum	*values;
} KeyColumn;

/* The question for rows. */
typedef struct Hydration
{
	Relation	table;
	int			nkeys;
	KeyColumn  *keys;
	int			nhits;
	SearchHit **hits; /* those whose id is a key */
} Hydration;

/* Reads what the key's columns are; false: the table does not have them. */
static bool
read_columns(Hydration *hydration, const SearchTarget *target)
{
	ListCell *lc;

	hydration->nkeys = list_length(target->key_columns);
	hydration->keys = palloc0(sizeof(KeyColumn) * Max(hydration->nkeys, 1));
	foreach (lc, target->key_columns)
	{
		KeyColumn *key = &hydration->keys[foreach_current_index(lc)];
		AttrNumber number = get_attnum(target->relid, lfirst(lc));
		Oid		   function;

		if (number <= 0)
			return false;
		key->name = lfirst(lc);
		key->type = getBaseType(get_atttype(target->relid, number));
		getTypeInputInfo(key->type, &function, &key->input_parameter);
		fmgr_info(function, &key->input);
	}
	return hydration->nkeys > 0;
}

/* Splits an id into the texts of its key columns; false: it has another number of parts. */
static bool
split_id(const char *id, int nkeys, char **parts)
{
	StringInfoData key;
	char		  *part;
	int			   n = 0;

	initStringInfo(&key);
	sink_append_doc_key(&key, id, nkeys);
	for (part = key.data; part < key.data + key.len && n < nkeys; part += strlen(part) + 1)
		parts[n++] = part;
	return n == nkeys && part == key.data + key.len;
}

/* Takes the key out of a hit's id; false: it is none. */
static bool
read_key(Hydration *hydration, const SearchHit *hit)
{
	char **parts = palloc0(sizeof(char *) * hydration->nkeys);

	if (!split_id(hit->id, hydration->nkeys, parts))
		return false;
	for (int i = 0; i < hydration->nkeys; i++)
	{
		KeyColumn *key = &hydration->keys[i];

		if (!tenancy_input(&key->input, parts[i], key->input_parameter, -1,
						   &key->values[hydration->nhits]))
			return false;
	}
	return true;
}

/* Takes the keys out of all hits. */
static void
read_keys(Hydration *hydration, List *hits)
{
	ListCell *lc;

	hydration->hits = palloc(sizeof(SearchHit *) * list_length(hits));
	for (int i = 0; i < hydration->nkeys; i++)
		hydration->keys[i].values = palloc(sizeof(Datum) * list_length(hits));
	foreach (lc, hits)
		if (read_key(hydration, lfirst(lc)))
			hydration->hits[hydration->nhits++] = lfirst(lc);
}

/* Writes the query: number of the hit, row. */
static char *
write_query(const Hydration *hydration, const SearchRequest *request)
{
	Relation	   table = hydration->table;
	StringInfoData sql;
	StringInfoData condition;

	initStringInfo(&sql);
	initStringInfo(&condition);
	appendStringInfoString(&sql, "SELECT u.n, ");
	caller_append_document(&sql, table, request);
	appendStringInfoString(&sql, " FROM ROWS FROM (");
	for (int i = 0; i < hydration->nkeys; i++)
	{
		appendStringInfo(&sql, "%spg_catalog.unnest($%d)", i > 0 ? ", " : "", i + 1);
		appendStringInfo(&condition, "%st.%s OPERATOR(pg_catalog.=) u.k%d", i > 0 ? " AND " : "",
						 quote_identifier(hydration->keys[i].name), i);
	}
	appendStringInfoString(&sql, ") WITH ORDINALITY u(");
	for (int i = 0; i < hydration->nkeys; i++)
		appendStringInfo(&sql, "k%d, ", i);
	appendStringInfo(&sql, "n) JOIN %s t ON %s", statement_table(table), condition.data);
	return sql.data;
}

/* Values of a key column as an array. */
static Datum
key_array(const KeyColumn *key, int n)
{
	int16 length;
	bool  by_value;
	char  align;

	get_typlenbyvalalign(key->type, &length, &by_value, &align);
	return PointerGetDatum(construct_array(key->values, n, key->type, length, by_value, align));
}

/* Runs the query and puts each row in its hit's place. */
static void
fetch_rows(Hydration *hydration, const SearchRequest *request)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			 *types = palloc(sizeof(Oid) * hydration->nkeys);
	Datum		 *values = palloc(sizeof(Datum) * hydration->nkeys);
	char		 *sql = write_query(hydration, request);
	SpiScope	  scope;
	MemoryContext old;

	for (int i = 0; i < hydration->nkeys; i++)
	{
		types[i] = get_array_type(hydration->keys[i].type);
		values[i] = key_array(&hydration->keys[i], hydration->nhits);
	}
	tenancy_spi_begin_as_caller(&scope);
	caller_pin_settings();
	tenancy_spi_query(sql, hydration->nkeys, types, values);
	old = MemoryContextSwitchTo(context);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool  isnull;
		int64 n = tenancy_spi_int64((int) i, 1);
		Datum row = tenancy_spi_datum((int) i, 2, &isnull);

		hydration->hits[n - 1]->document = &DatumGetJsonbPCopy(row)->root;
	}
	MemoryContextSwitchTo(old);
	tenancy_spi_end(&scope);
}

/* Leaves out hits that have got no row. */
static void
drop_vanished(SearchResult *result)
{
	ListCell *lc;

	foreach (lc, result->hits)
	{
		if (((SearchHit *) lfirst(lc))->document != NULL)
			continue;
		result->hits = foreach_delete_current(result->hits, lc);
		result->vanished++;
	}
}

/* Replaces each hit's document by its row. */
void
hydrate_hits(const SearchTarget *target, const SearchRequest *request, SearchResult *result)
{
	Hydration hydration = {.table = table_open(target->relid, NoLock)};

	if (result->hits != NIL && read_columns(&hydration, target))
	{
		read_keys(&hydration, result->hits);
		if (hydration.nhits > 0)
			fetch_rows(&hydration, request);
	}
	table_close(hydration.table, NoLock);
	drop_vanished(result);
}
