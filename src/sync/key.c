/*
 * key.c
 *		Keys of rows: the key columns' values as text, each ended by a zero byte.
 *
 * Capture writes keys and the row reader reads them back, so both run with the
 * settings that key_pin_settings sets: a key's text must not depend on the
 * server's configuration.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/relcache.h"

#include "common/uuid.h"
#include "sync/key.h"

/* Appends the text of one key column. */
void
key_append_part(StringInfo key, const char *text)
{
	appendBinaryStringInfo(key, text, strlen(text) + 1);
}

/* Appends the value of one key column; output is its type's output function. */
void
key_append_value(StringInfo key, FmgrInfo *output, Datum value)
{
	char text[UUID_TEXT_LENGTH + 1];

	if (output->fn_oid != F_UUID_OUT)
	{
		key_append_part(key, OutputFunctionCall(output, value));
		return;
	}
	tenancy_uuid_write(DatumGetUUIDP(value), text);
	text[UUID_TEXT_LENGTH] = '\0';
	appendBinaryStringInfo(key, text, sizeof(text));
}

/* Finds the parts of a key; returns how many there are, at most `most`. */
int
key_parts(const char *key, int key_length, const char **parts, int most)
{
	const char *end = key + key_length;
	int			n = 0;

	while (key < end && n < most)
	{
		parts[n++] = key;
		key += strlen(key) + 1;
	}
	return n;
}

/* Length of the first n parts at p, or less if they end before. */
int
key_parts_length(const char *p, const char *end, int n)
{
	const char *start = p;

	while (n-- > 0 && p < end)
		p += strlen(p) + 1;
	return p - start;
}

/* A key as text[]. */
ArrayType *
key_to_array(const char *key, int key_length)
{
	const char *parts[INDEX_MAX_KEYS];
	Datum		values[INDEX_MAX_KEYS];
	int			n = key_parts(key, key_length, parts, INDEX_MAX_KEYS);

	for (int i = 0; i < n; i++)
		values[i] = CStringGetTextDatum(parts[i]);
	return construct_array(values, n, TEXTOID, -1, false, TYPALIGN_INT);
}

/* A key from text[]; NULL elements are left out. */
void
key_from_array(StringInfo key, ArrayType *array)
{
	Datum *values;
	bool  *nulls;
	int	   n;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &n);
	for (int i = 0; i < n; i++)
		if (!nulls[i])
			key_append_part(key, TextDatumGetCString(values[i]));
}

/* Names of an index's key columns, in the current context. */
static List *
index_columns(Relation relation, Relation index)
{
	List *names = NIL;

	for (int i = 0; i < index->rd_index->indnkeyatts; i++)
	{
		Form_pg_attribute attribute =
			TupleDescAttr(RelationGetDescr(relation), index->rd_index->indkey.values[i] - 1);

		names = lappend(names, pstrdup(NameStr(attribute->attname)));
	}
	return names;
}

/*
 * Names of the primary key's columns, in the current context; NIL: it has none.  A
 * deferrable one counts, which the relation cache's own answer leaves out before 18.
 */
List *
key_columns_of(Relation relation)
{
	List	 *names = NIL;
	ListCell *cell;

	foreach (cell, RelationGetIndexList(relation))
	{
		Relation index = RelationIdGetRelation(lfirst_oid(cell));

		if (!RelationIsValid(index))
			continue;
		if (index->rd_index->indisprimary)
			names = index_columns(relation, index);
		RelationClose(index);
	}
	return names;
}

/*
 * Fixes, for this process, every setting that the text of a value depends on, and those
 * with which ALTER DATABASE could keep a worker from working.
 */
void
key_pin_settings(void)
{
	static const char *const settings[][2] = {
		{"search_path", "pg_catalog, pg_temp"},
		{"datestyle", "ISO, MDY"},
		{"intervalstyle", "postgres"},
		{"timezone", "UTC"},
		{"extra_float_digits", "1"},
		{"bytea_output", "hex"},
		{"xmlbinary", "base64"},
		{"lc_monetary", "C"},
		{"client_min_messages", "warning"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_deferrable", "off"},
		{"statement_timeout", "0"},
		{"lock_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
		{"transaction_timeout", "0"},
		{"synchronous_commit", "local"},
	};

	for (int i = 0; i < lengthof(settings); i++)
		if (GetConfigOption(settings[i][0], true, false) != NULL)
			SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
}
