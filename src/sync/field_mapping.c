/*
 * field_mapping.c
 *		What a column's type is in an index.
 *
 * A value must never be refused because of a mapping that nobody wrote: what a field cannot
 * index (a year before Christ, a string too long for a term) is kept in the document all the
 * same.  So each mapping fits what document.c writes for the type.  Types are the ones of
 * Elasticsearch 7.17; the sink rewrites what its server calls otherwise or does not have.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "sync/field_mapping.h"

/* A term has at most 32,766 bytes, and a character up to four. */
#define KEYWORD "{\"type\":\"keyword\",\"ignore_above\":8191}"
#define TEXT                                                                         \
	"{\"type\":\"text\",\"fields\":{\"raw\":{\"type\":\"keyword\",\"ignore_above\":" \
	"256}}}"
#define NUMBER(type) "{\"type\":\"" type "\",\"ignore_malformed\":true}"
#define EXACT "{\"type\":\"double\",\"ignore_malformed\":true,\"fields\":{\"exact\":" KEYWORD "}}"
#define SCALED "{\"type\":\"scaled_float\",\"scaling_factor\":1%0*d,\"ignore_malformed\":true}"
#define DATE_FORMAT "\"format\":\"strict_date_optional_time||date_optional_time\""
#define DATE "{\"type\":\"date\"," DATE_FORMAT ",\"ignore_malformed\":true}"
#define ADDRESS "{\"type\":\"ip\",\"ignore_malformed\":true,\"fields\":{\"raw\":" KEYWORD "}}"
#define FLATTENED "{\"type\":\"flattened\",\"ignore_above\":1024}"
#define OPAQUE "{\"type\":\"object\",\"enabled\":false}"

#define EXACT_DIGITS 15 /* that a double has */
#define VECTOR_MAX 2048 /* dimensions that every server takes */

/* Mapping of a numeric. */
static char *
numeric_mapping(int32 typmod)
{
	int precision = ((typmod - VARHDRSZ) >> 16) & 0xffff;
	int scale = (((typmod - VARHDRSZ) & 0x7ff) ^ 1024) - 1024;

	if (typmod < (int32) VARHDRSZ || precision > EXACT_DIGITS || scale < 0 || scale > EXACT_DIGITS)
		return pstrdup(EXACT);
	if (scale == 0)
		return pstrdup(
			"{\"type\":\"scaled_float\",\"scaling_factor\":1,\"ignore_malformed\":true}");
	return psprintf(SCALED, scale, 0);
}

/* Mapping of the types of numbers and truth. */
static char *
number_mapping(Oid type, int32 typmod)
{
	switch (type)
	{
		case INT2OID:
			return pstrdup("{\"type\":\"short\"}");
		case INT4OID:
			return pstrdup("{\"type\":\"integer\"}");
		case INT8OID:
			return pstrdup("{\"type\":\"long\"}");
		case BOOLOID:
			return pstrdup("{\"type\":\"boolean\"}");
		case FLOAT4OID:
			return pstrdup(NUMBER("float"));
		case FLOAT8OID:
			return pstrdup(NUMBER("double"));
		case NUMERICOID:
			return numeric_mapping(typmod);
		default:
			return NULL;
	}
}

/* Mapping of the types that are a string in JSON, but more than that. */
static char *
string_mapping(Oid type, int32 typmod)
{
	switch (type)
	{
		case TEXTOID:
			return pstrdup(TEXT);
		case VARCHAROID:
			return pstrdup(typmod < 0 ? TEXT : KEYWORD);
		case XMLOID:
			return pstrdup("{\"type\":\"text\"}");
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return pstrdup(DATE);
		case INETOID:
			return pstrdup(ADDRESS);
		case CIDROID:
			return pstrdup("{\"type\":\"ip_range\"}");
		default:
			return NULL;
	}
}

/* Mapping of the types that document.c writes otherwise alone than in an array. */
static char *
lone_mapping(Oid type)
{
	switch (type)
	{
		case INTERVALOID:
			return pstrdup(NUMBER("long"));
		case JSONOID:
		case JSONBOID:
			return pstrdup(FLATTENED);
		case POINTOID:
			return pstrdup(NUMBER("geo_point"));
		case INT4RANGEOID:
			return pstrdup("{\"type\":\"integer_range\"}");
		case INT8RANGEOID:
			return pstrdup("{\"type\":\"long_range\"}");
		case NUMRANGEOID:
			return pstrdup("{\"type\":\"double_range\"}");
		case DATERANGEOID:
		case TSRANGEOID:
		case TSTZRANGEOID:
			return pstrdup("{\"type\":\"date_range\"," DATE_FORMAT "}");
		default:
			return NULL;
	}
}

/* True if values of a type are written as vectors: it is the one of pgvector, or looks like it. */
bool
field_is_vector(Oid type)
{
	HeapTuple	 tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	Form_pg_type form;
	bool		 result;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_type) GETSTRUCT(tuple);
	result = type >= FirstNormalObjectId && form->typtype == TYPTYPE_BASE && form->typlen == -1 &&
			 strcmp(NameStr(form->typname), "vector") == 0;
	ReleaseSysCache(tuple);
	return result;
}

/* Mapping of a vector. */
static char *
vector_mapping(int32 typmod)
{
	if (typmod <= 0 || typmod > VECTOR_MAX)
		return pstrdup(OPAQUE);
	return psprintf("{\"type\":\"dense_vector\",\"dims\":%d}", typmod);
}

/* Mapping of what is neither an array nor known by its OID. */
static char *
other_mapping(Oid type, int32 typmod, bool in_array)
{
	if (type_is_rowtype(type) || type == JSONOID || type == JSONBOID)
		return pstrdup(OPAQUE);
	if (field_is_vector(type))
		return in_array ? pstrdup(OPAQUE) : vector_mapping(typmod);
	return pstrdup(KEYWORD);
}

/* Mapping of a column's type; an array's is its elements'. */
char *
field_mapping(Oid type, int32 typmod)
{
	Oid	  base = getBaseTypeAndTypmod(type, &typmod);
	Oid	  element = get_element_type(base);
	bool  in_array = OidIsValid(element);
	char *mapping;

	while (OidIsValid(element))
	{
		base = getBaseTypeAndTypmod(element, &typmod);
		element = get_element_type(base);
	}
	if (base == TSVECTOROID || base == BYTEAOID)
		return NULL;
	mapping = number_mapping(base, typmod);
	if (mapping == NULL)
		mapping = string_mapping(base, typmod);
	if (mapping == NULL && !in_array)
		mapping = lone_mapping(base);
	return mapping != NULL ? mapping : other_mapping(base, typmod, in_array);
}
