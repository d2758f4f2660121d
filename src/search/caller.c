/*
 * caller.c
 *		What queries of the table that run as the caller have in common.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "common/array.h"
#include "search/caller.h"

/*
 * Sets what a value's text depends on as sync does, so that ids and documents are the
 * same, and silences the notice about queries of nothing but stop words.
 */
void
caller_pin_settings(void)
{
	static const char *const settings[][2] = {
		{"datestyle", "ISO, MDY"},
		{"intervalstyle", "postgres"},
		{"timezone", "UTC"},
		{"extra_float_digits", "1"},
		{"bytea_output", "hex"},
		{"client_min_messages", "warning"},
		{"jit", "off"},
	};

	for (int i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
}

/* True if a column is wanted in the answer. */
static bool
is_wanted(const SearchRequest *request, Form_pg_attribute column)
{
	if (column->attisdropped || column->atttypid == TSVECTOROID || request->no_source)
		return false;
	return request->source == NIL || tenancy_has_string(request->source, NameStr(column->attname));
}

/* Appends the row t as a document. */
void
caller_append_document(StringInfo sql, Relation table, const SearchRequest *request)
{
	TupleDesc	desc = RelationGetDescr(table);
	const char *separator = "";

	appendStringInfoString(sql, "(SELECT pg_catalog.to_jsonb(d) FROM (SELECT ");
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		if (!is_wanted(request, column))
			continue;
		appendStringInfo(sql, "%st.%s", separator, quote_identifier(NameStr(column->attname)));
		separator = ", ";
	}
	appendStringInfoString(sql, ") d)");
}
