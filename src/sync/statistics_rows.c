/*
 * statistics_rows.c
 *		From rows as they are now to the cells that they count in.
 *
 * What a row counted as before is in tenancy.benchmark_row, so that it does not matter how often
 * a key comes, nor what happened in between.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "common/json.h"
#include "common/spi.h"
#include "sync/key.h"
#include "sync/statistics.h"

#define KEYS_AT_ONCE 1000

/* Starts with none. */
void
statistics_rows_init(StatisticsRows *rows)
{
	initStringInfo(&rows->keys);
	initStringInfo(&rows->rows);
	rows->nkeys = rows->nrows = 0;
}

/* Appends a key as a JSON array of text. */
static void
append_key(StringInfo out, const char *key, int key_length)
{
	const char *part = key;

	appendStringInfoChar(out, '[');
	while (part < key + key_length)
	{
		if (part > key)
			appendStringInfoChar(out, ',');
		tenancy_json_string(out, part, strlen(part));
		part += strlen(part) + 1;
	}
	appendStringInfoChar(out, ']');
}

/* Adds a row, or that there is none; documents are UTF-8 always. */
void
statistics_rows_add(StatisticsRows *rows, const char *key, int key_length, const char *doc,
					int doc_length)
{
	char *text;

	appendStringInfoChar(&rows->keys, rows->nkeys++ == 0 ? '[' : ',');
	append_key(&rows->keys, key, key_length);
	if (doc == NULL)
		return;
	text = pg_any_to_server(doc, doc_length, PG_UTF8);
	appendStringInfoString(&rows->rows, rows->nrows++ == 0 ? "[{\"key\":" : ",{\"key\":");
	append_key(&rows->rows, key, key_length);
	appendStringInfoString(&rows->rows, ",\"row\":");
	appendBinaryStringInfo(&rows->rows, text, text == doc ? doc_length : strlen(text));
	appendStringInfoChar(&rows->rows, '}');
}

/* Makes the cells agree with what was read; returns how many changed. */
int64
statistics_rows_apply(StatisticsRows *rows, int64 tenant_id)
{
	Oid		 types[3] = {INT8OID, TEXTOID, TEXTOID};
	Datum	 values[3] = {Int64GetDatum(tenant_id)};
	SpiScope scope;
	int64	 cells;

	appendStringInfoString(&rows->keys, rows->nkeys == 0 ? "[]" : "]");
	appendStringInfoString(&rows->rows, rows->nrows == 0 ? "[]" : "]");
	values[1] = CStringGetTextDatum(rows->keys.data);
	values[2] = CStringGetTextDatum(rows->rows.data);
	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec("SELECT tenancy.benchmark_apply($1, $2::jsonb, $3::jsonb)", 3, types, values,
					 NULL);
	cells = tenancy_spi_int64(0, 1);
	tenancy_spi_end(&scope);
	return cells;
}

/* Appends the keys of the last query's rows, each with its length before it; the last is *after. */
static void
take_keys(MemoryContext context, StringInfo after, StringInfo keys)
{
	MemoryContext old = MemoryContextSwitchTo(context);

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool  isnull;
		Datum key = tenancy_spi_datum(i, 1, &isnull);
		int32 length;

		resetStringInfo(after);
		key_from_array(after, DatumGetArrayTypeP(key));
		length = after->len;
		appendBinaryStringInfo(keys, (char *) &length, sizeof(length));
		appendBinaryStringInfo(keys, after->data, after->len);
	}
	MemoryContextSwitchTo(old);
}

/* Appends keys of what counts that follow one; returns how many. */
int
statistics_next_keys(int64 tenant_id, StringInfo after, StringInfo keys)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			  types[3] = {INT8OID, INT8OID, TEXTARRAYOID};
	Datum		  values[3] = {Int64GetDatum(tenant_id), Int64GetDatum(KEYS_AT_ONCE)};
	SpiScope	  scope;
	int			  n;

	values[2] = PointerGetDatum(key_to_array(after->data, after->len));
	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec("SELECT key FROM tenancy.benchmark_row"
					 " WHERE tenant_id = $1 AND key > $3 ORDER BY key LIMIT $2",
					 3, types, values, NULL);
	n = (int) SPI_processed;
	take_keys(context, after, keys);
	tenancy_spi_end(&scope);
	return n;
}
