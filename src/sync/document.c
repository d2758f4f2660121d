/*
 * document.c
 *		A row as a JSON document.
 *
 * Every column is a field, NULL too.  What JSON cannot say (NaN, infinity) is
 * null.  A value of a column that its index flattens is one that such a field takes.  Columns of type tsvector are left out: they are an index, not data.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "common/array.h"
#include "common/json.h"
#include "common/uuid.h"
#include "sync/document.h"
#include "sync/document_value.h"
#include "sync/field_mapping.h"

#include <math.h>

#define NUMBER_MAX 1000 /* characters */

typedef void (*ValueWriter)(StringInfo out, Datum value, FmgrInfo *output);

typedef struct DocumentColumn
{
	int			attribute; /* from 0 */
	char	   *prefix;	   /* "name": with the comma before it */
	int			prefix_length;
	ValueWriter write;
	FmgrInfo	output;
	bool		flat; /* its index has it as a flattened object */
} DocumentColumn;

struct DocumentWriter
{
	int			   ncolumns;
	DocumentColumn columns[FLEXIBLE_ARRAY_MEMBER];
};

/* smallint */
static void
write_int2(StringInfo out, Datum value, FmgrInfo *output)
{
	appendStringInfo(out, "%d", DatumGetInt16(value));
}

/* integer */
static void
write_int4(StringInfo out, Datum value, FmgrInfo *output)
{
	char digits[12];

	appendBinaryStringInfo(out, digits, pg_ltoa(DatumGetInt32(value), digits));
}

/* bigint */
static void
write_int8(StringInfo out, Datum value, FmgrInfo *output)
{
	char digits[MAXINT8LEN + 1];

	appendBinaryStringInfo(out, digits, pg_lltoa(DatumGetInt64(value), digits));
}

/* boolean */
static void
write_bool(StringInfo out, Datum value, FmgrInfo *output)
{
	appendStringInfoString(out, DatumGetBool(value) ? "true" : "false");
}

/* Appends what the type's output function says, as it is. */
static void
write_bare(StringInfo out, Datum value, FmgrInfo *output)
{
	char *text = OutputFunctionCall(output, value);

	appendStringInfoString(out, text);
	pfree(text);
}

/* real */
static void
write_float4(StringInfo out, Datum value, FmgrInfo *output)
{
	if (isfinite(DatumGetFloat4(value)))
		write_bare(out, value, output);
	else
		appendStringInfoString(out, "null");
}

/* double precision */
static void
write_float8(StringInfo out, Datum value, FmgrInfo *output)
{
	if (isfinite(DatumGetFloat8(value)))
		write_bare(out, value, output);
	else
		appendStringInfoString(out, "null");
}

/* numeric; servers refuse a document with a number of more than 1,000 characters */
static void
write_numeric(StringInfo out, Datum value, FmgrInfo *output)
{
	Numeric number = DatumGetNumeric(value);
	int		start = out->len;
	char   *text;

	if (numeric_is_nan(number) || numeric_is_inf(number))
	{
		appendStringInfoString(out, "null");
		return;
	}
	write_bare(out, NumericGetDatum(number), output);
	if (out->len - start <= NUMBER_MAX)
		return;
	text = pnstrdup(out->data + start, out->len - start);
	out->len = start;
	appendStringInfo(out, "\"%s\"", text);
	pfree(text);
}

/* text and its like: no copy unless it is toasted */
static void
write_text(StringInfo out, Datum value, FmgrInfo *output)
{
	text *packed = DatumGetTextPP(value);

	tenancy_json_string(out, VARDATA_ANY(packed), VARSIZE_ANY_EXHDR(packed));
	if ((Pointer) packed != DatumGetPointer(value))
		pfree(packed);
}

/* uuid */
static void
write_uuid(StringInfo out, Datum value, FmgrInfo *output)
{
	char text[UUID_TEXT_LENGTH + 2];

	text[0] = text[UUID_TEXT_LENGTH + 1] = '"';
	tenancy_uuid_write(DatumGetUUIDP(value), text + 1);
	appendBinaryStringInfo(out, text, sizeof(text));
}

/* Any other type: its text as a string. */
static void
write_quoted(StringInfo out, Datum value, FmgrInfo *output)
{
	char *text = OutputFunctionCall(output, value);

	tenancy_json_string(out, text, strlen(text));
	pfree(text);
}

/* Appends JSON text on one line: a line break can only be white space there. */
static void
append_one_line(StringInfo out, const char *json, int length)
{
	int start = out->len;

	appendBinaryStringInfo(out, json, length);
	for (char *c = out->data + start; c < out->data + out->len; c++)
		if (*c == '\n' || *c == '\r')
			*c = ' ';
}

/* json */
static void
write_json(StringInfo out, Datum value, FmgrInfo *output)
{
	text *packed = DatumGetTextPP(value);

	append_one_line(out, VARDATA_ANY(packed), VARSIZE_ANY_EXHDR(packed));
}

/* jsonb */
static void
write_jsonb(StringInfo out, Datum value, FmgrInfo *output)
{
	Jsonb *json = DatumGetJsonbP(value);

	(void) JsonbToCString(out, &json->root, VARSIZE(json));
}

/* Appends a date or time in ISO 8601. */
static void
append_datetime(StringInfo out, Datum value, Oid type)
{
	char text[MAXDATELEN + 1];

	(void) JsonEncodeDateTime(text, value, type, NULL);
	appendStringInfoCharMacro(out, '"');
	appendStringInfoString(out, text);
	appendStringInfoCharMacro(out, '"');
}

/* date */
static void
write_date(StringInfo out, Datum value, FmgrInfo *output)
{
	if (DATE_NOT_FINITE(DatumGetDateADT(value)))
		appendStringInfoString(out, "null");
	else
		append_datetime(out, value, DATEOID);
}

/* timestamp */
static void
write_timestamp(StringInfo out, Datum value, FmgrInfo *output)
{
	if (TIMESTAMP_NOT_FINITE(DatumGetTimestamp(value)))
		appendStringInfoString(out, "null");
	else
		append_datetime(out, value, TIMESTAMPOID);
}

/* timestamptz */
static void
write_timestamptz(StringInfo out, Datum value, FmgrInfo *output)
{
	if (TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(value)))
		appendStringInfoString(out, "null");
	else
		append_datetime(out, value, TIMESTAMPTZOID);
}

/* any array */
static void
write_array(StringInfo out, Datum value, FmgrInfo *output)
{
	text *json = DatumGetTextPP(DirectFunctionCall1(array_to_json, value));

	append_one_line(out, VARDATA_ANY(json), VARSIZE_ANY_EXHDR(json));
}

/* any composite */
static void
write_row(StringInfo out, Datum value, FmgrInfo *output)
{
	text *json = DatumGetTextPP(DirectFunctionCall1(row_to_json, value));

	append_one_line(out, VARDATA_ANY(json), VARSIZE_ANY_EXHDR(json));
}

/* Writer of the types that have one of their own; NULL: none. */
static ValueWriter
builtin_writer(Oid type)
{
	switch (type)
	{
		case INT2OID:
			return write_int2;
		case INT4OID:
			return write_int4;
		case INT8OID:
			return write_int8;
		case BOOLOID:
			return write_bool;
		case FLOAT4OID:
			return write_float4;
		case FLOAT8OID:
			return write_float8;
		case NUMERICOID:
			return write_numeric;
		case TEXTOID:
		case VARCHAROID:
			return write_text;
		case UUIDOID:
			return write_uuid;
		case JSONOID:
			return write_json;
		case JSONBOID:
			return write_jsonb;
		case DATEOID:
			return write_date;
		case TIMESTAMPOID:
			return write_timestamp;
		case TIMESTAMPTZOID:
			return write_timestamptz;
		case INTERVALOID:
			return document_write_interval;
		case POINTOID:
			return document_write_point;
		case INT4RANGEOID:
		case INT8RANGEOID:
		case NUMRANGEOID:
		case DATERANGEOID:
		case TSRANGEOID:
		case TSTZRANGEOID:
			return document_write_range;
		default:
			return NULL;
	}
}

/* Writer of any type, domains already looked through. */
static ValueWriter
writer_of(Oid type)
{
	ValueWriter writer = builtin_writer(type);

	if (writer != NULL)
		return writer;
	if (OidIsValid(get_element_type(type)))
		return write_array;
	if (type_is_rowtype(type))
		return write_row;
	return field_is_vector(type) ? write_bare : write_quoted;
}

/* Prepares one column. */
static void
init_column(DocumentColumn *column, Form_pg_attribute attribute, bool first, List *flat)
{
	Oid			   type = getBaseType(attribute->atttypid);
	StringInfoData prefix;
	Oid			   output;
	bool		   varlena;

	initStringInfo(&prefix);
	appendStringInfoChar(&prefix, first ? '{' : ',');
	tenancy_json_string(&prefix, NameStr(attribute->attname), strlen(NameStr(attribute->attname)));
	appendStringInfoChar(&prefix, ':');
	column->attribute = attribute->attnum - 1;
	column->prefix = prefix.data;
	column->prefix_length = prefix.len;
	column->write = writer_of(type);
	column->flat = (type == JSONOID || type == JSONBOID) &&
				   tenancy_has_string(flat, NameStr(attribute->attname));
	getTypeOutputInfo(type, &output, &varlena);
	fmgr_info(output, &column->output);
}

/*
 * Prepares the documents of a row type, in the current context; flat: names (char *) of columns
 * that the index flattens; only: names of the columns that documents have, NIL: all.
 */
DocumentWriter *
document_writer_make(TupleDesc desc, List *flat, List *only)
{
	DocumentWriter *writer =
		palloc(offsetof(DocumentWriter, columns) + desc->natts * sizeof(DocumentColumn));

	writer->ncolumns = 0;
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (attribute->attisdropped || attribute->atttypid == TSVECTOROID ||
			(only != NIL && !tenancy_has_string(only, NameStr(attribute->attname))))
			continue;
		init_column(&writer->columns[writer->ncolumns], attribute, writer->ncolumns == 0, flat);
		writer->ncolumns++;
	}
	return writer;
}

/* Turns what was appended into UTF-8 where the database is in another encoding. */
static void
convert_to_utf8(StringInfo out, int start)
{
	char *converted;

	if (GetDatabaseEncoding() == PG_UTF8)
		return;
	converted = pg_server_to_any(out->data + start, out->len - start, PG_UTF8);
	if (converted == out->data + start)
		return;
	out->len = start;
	out->data[start] = '\0';
	appendStringInfoString(out, converted);
	pfree(converted);
}

/* Appends a column's value. */
static void
append_value(StringInfo out, DocumentColumn *column, Datum value)
{
	int start = out->len;

	column->write(out, value, &column->output);
	if (column->flat)
		document_flatten(out, start);
}

/* Appends a row's document on one line. */
void
document_append(DocumentWriter *writer, TupleTableSlot *slot, StringInfo out)
{
	int start = out->len;

	slot_getallattrs(slot);
	for (int i = 0; i < writer->ncolumns; i++)
	{
		DocumentColumn *column = &writer->columns[i];

		appendBinaryStringInfo(out, column->prefix, column->prefix_length);
		if (slot->tts_isnull[column->attribute])
			appendBinaryStringInfo(out, "null", 4);
		else
			append_value(out, column, slot->tts_values[column->attribute]);
	}
	appendStringInfoString(out, writer->ncolumns == 0 ? "{}" : "}");
	convert_to_utf8(out, start);
}
