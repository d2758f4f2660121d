/*
 * doc_query.c
 *		Documents that a view or an expression makes.
 *
 * The keys are read in one query, in subtransactions: an error while a row is being
 * made is that row's alone, and the rest is read without it.  The query runs as
 * the table's owner, and a policy that would hide rows is an error: a row that the
 * query does not give has no document.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "common/attempt.h"
#include "common/compat.h"
#include "common/errors.h"
#include "common/spi.h"
#include "sync/doc_query.h"
#include "sync/doc_source.h"
#include "sync/doc_time.h"
#include "sync/document.h"
#include "sync/key.h"
#include "sync/resync.h"
#include "sync/sql_column.h"

/* Keys of one query. */
#define QUERY_KEYS 256

/* What is being read. */
typedef struct DocReader
{
	const SinkTarget *target;
	SqlColumn		  columns[INDEX_MAX_KEYS];
	DocKey			 *keys;
	int				  nkeys;
	int				  next; /* first that was not read */
	Size			  most;
	StringInfo		  out;
	MemoryContext	  row_context;
	bool			  opened; /* the query runs: an error is a row's */
	Oid				  type;	  /* of the documents */
	int				  start;  /* of the document being made */
	TupleTableSlot	 *slot;	  /* documents that are rows */
	DocumentWriter	 *writer;
} DocReader;

static uint64 changes = 0;

/* A relation changed. */
static void
on_relation(Datum arg, Oid relid)
{
	changes++;
}

/* A function or a role changed. */
static void
on_object(Datum arg, int cache, uint32 hash)
{
	changes++;
	resync_unblock();
}

/* Number of changes seen that could make a refused table work. */
uint64
doc_query_changes(void)
{
	static bool listening = false;

	if (!listening)
	{
		CacheRegisterRelcacheCallback(on_relation, (Datum) 0);
		CacheRegisterSyscacheCallback(PROCOID, on_object, (Datum) 0);
		CacheRegisterSyscacheCallback(AUTHOID, on_object, (Datum) 0);
		CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, on_object, (Datum) 0);
	}
	listening = true;
	return changes;
}

/* Describes the key columns, as far as they can be used here. */
static void
find_columns(SqlColumn *columns, Oid relid, char **names, int n)
{
	for (int i = 0; i < n; i++)
	{
		sql_column_find(&columns[i], relid, names[i]);
		if (columns[i].equal == NULL || !OidIsValid(columns[i].array))
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
							errmsg("documents of a table whose key has a column of type %s must be "
								   "its rows",
								   format_type_be(columns[i].type))));
	}
}

/* Refuses documents of another type than JSON or, of a view, its row. */
static void
check_type(Oid array_type, Oid *type)
{
	Oid element = get_element_type(array_type);

	*type = OidIsValid(element) ? getBaseType(element) : InvalidOid;
	if (*type != JSONOID && *type != JSONBOID && get_typtype(*type) != TYPTYPE_COMPOSITE)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("a document must be of type json or jsonb, not %s",
							   format_type_be(OidIsValid(element) ? element : array_type))));
}

/* Fills the arrays of key values; returns how many keys have a value, numbers says which. */
static int
key_arrays(DocReader *reader, int n, Datum *arrays, int *numbers)
{
	int	   width = reader->target->nkeys;
	Datum *values = palloc(sizeof(Datum) * width * n);
	int	   count = 0;

	for (int i = 0; i < n; i++)
	{
		const DocKey *key = &reader->keys[reader->next + i];
		const char	 *parts[INDEX_MAX_KEYS];
		bool		  good = key_parts(key->key, key->key_length, parts, INDEX_MAX_KEYS) == width;

		for (int j = 0; j < width && good; j++)
			good = sql_column_value(&reader->columns[j], parts[j], &values[j * n + count]);
		if (good)
			numbers[count++] = reader->next + i;
	}
	for (int j = 0; j < width; j++)
		arrays[j] = sql_column_array(&reader->columns[j], values + j * n, count);
	return count;
}

/* Opens the query for the next keys. */
static Portal
open_query(DocReader *reader, int n, int *numbers, int *count)
{
	const SinkTarget *target = reader->target;
	Datum			  arrays[INDEX_MAX_KEYS];
	Oid				  types[INDEX_MAX_KEYS];
	Portal			  portal;

	find_columns(reader->columns, target->relid, target->key_columns, target->nkeys);
	*count = key_arrays(reader, n, arrays, numbers);
	for (int i = 0; i < target->nkeys; i++)
		types[i] = reader->columns[i].array;
	portal = tenancy_spi_open(
		doc_source_sql(target->relid, target->document, reader->columns, target->nkeys),
		target->nkeys, types, arrays);
	check_type(TupleDescAttr(portal->tupDesc, 1)->atttypid, &reader->type);
	reader->opened = true;
	return portal;
}

/* Refuses what is JSON but no object. */
static void
require_object(bool is_object)
{
	if (!is_object)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH), errmsg("the document is not a JSON object")));
}

/* Appends a document of type json on one line. */
static void
append_json(StringInfo out, Datum value)
{
	text *json = DatumGetTextPP(value);
	int	  start = out->len;

	appendBinaryStringInfo(out, VARDATA_ANY(json), VARSIZE_ANY_EXHDR(json));
	require_object(out->data[start + strspn(out->data + start, " \t\n\r")] == '{');
	for (char *c = out->data + start; *c != '\0'; c++)
		if (*c == '\n' || *c == '\r')
			*c = ' ';
}

/* Appends a document of type jsonb. */
static void
append_jsonb(StringInfo out, Datum value)
{
	Jsonb *json = DatumGetJsonbP(value);

	require_object(JB_ROOT_IS_OBJECT(json));
	(void) JsonbToCString(out, &json->root, VARSIZE(json));
}

/* Appends a row of a view, as rows of tables are written. */
static void
append_row(DocReader *reader, Datum value)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(value);
	HeapTupleData	tuple = {.t_len = HeapTupleHeaderGetDatumLength(header), .t_data = header};

	if (reader->writer == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(reader));
		TupleDesc	  desc = lookup_rowtype_tupdesc_copy(HeapTupleHeaderGetTypeId(header),
														 HeapTupleHeaderGetTypMod(header));

		reader->slot = MakeSingleTupleTableSlot(desc, &TTSOpsHeapTuple);
		reader->writer = document_writer_make(desc, reader->target->flat, NIL);
		MemoryContextSwitchTo(old);
	}
	ItemPointerSetInvalid(&tuple.t_self);
	ExecStoreHeapTuple(&tuple, reader->slot, false);
	document_append(reader->writer, reader->slot, reader->out);
	ExecClearTuple(reader->slot);
}

/* The only document of an array; false: there is none, or it is NULL. */
static bool
single(DocReader *reader, Datum array, Datum *document)
{
	int16  length;
	bool   by_value;
	char   align;
	Datum *elements;
	bool  *nulls;
	int	   n;
	Oid	   type = ARR_ELEMTYPE(DatumGetArrayTypeP(array));

	get_typlenbyvalalign(type, &length, &by_value, &align);
	deconstruct_array(DatumGetArrayTypeP(array), type, length, by_value, align, &elements, &nulls,
					  &n);
	if (n > 1)
		ereport(ERROR, (errcode(ERRCODE_CARDINALITY_VIOLATION),
						errmsg("there is more than one document for this key")));
	if (n == 0 || nulls[0])
		return false;
	*document = elements[0];
	return true;
}

/* Takes what the query says of a key. */
static void
take_document(DocReader *reader, DocKey *key, Datum array)
{
	StringInfo out = reader->out;
	Datum	   document;

	if (!single(reader, array, &document))
	{
		key->state = DOC_NONE;
		return;
	}
	if (reader->type == JSONBOID)
		append_jsonb(out, document);
	else if (reader->type == JSONOID)
		append_json(out, document);
	else
		append_row(reader, document);
	if (out->len - reader->start > DOCUMENT_MAX)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("the document has %d bytes, the limit is %d",
							   out->len - reader->start, DOCUMENT_MAX)));
	key->state = DOC_THERE;
	key->start = reader->start;
	key->length = out->len - reader->start;
	appendStringInfoChar(out, '\0');
}

/* Notes that keys before number `end` have no row: none can have such a key. */
static void
skip_to(DocReader *reader, int end)
{
	while (reader->next < end)
		reader->keys[reader->next++].state = DOC_NONE;
}

/* Reads rows of the query until there is no more, or enough was read. */
static void
read_rows(DocReader *reader, Portal portal, const int *numbers, int count)
{
	for (int i = 0; i < count; i++)
	{
		MemoryContext old;
		bool		  isnull;

		if (reader->out->len >= reader->most && reader->next > 0)
			break;
		CHECK_FOR_INTERRUPTS();
		skip_to(reader, numbers[i]);
		reader->start = reader->out->len;
		doc_time_begin(reader->target->relid);
		if (!tenancy_spi_next(portal))
			return;
		old = MemoryContextSwitchTo(reader->row_context);
		take_document(reader, &reader->keys[numbers[i]], tenancy_spi_datum(0, 2, &isnull));
		MemoryContextSwitchTo(old);
		MemoryContextReset(reader->row_context);
		doc_time_end();
		reader->next = numbers[i] + 1;
	}
	SPI_cursor_close(portal);
}

/* Owner of a relation. */
static Oid
owner_of(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid		  owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("relation with OID %u does not exist", relid)));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/* The text of a query is the blueprint owner's: it runs with no role's privileges that he has not. */
static void
require_trust(Oid relid, Oid owner)
{
	static SPIPlanPtr plan = NULL;
	Oid				  types[1] = {OIDOID};
	Datum			  values[1] = {ObjectIdGetDatum(relid)};
	SpiScope		  scope;
	Oid				  author = InvalidOid;

	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec_saved(&plan,
						   "SELECT b.owner::bigint FROM pg_class c"
						   "  JOIN pg_namespace n ON n.oid = c.relnamespace"
						   "  JOIN tenancy.tenant t ON t.schema_name = n.nspname"
						   "  JOIN tenancy.blueprint b ON b.name = t.blueprint"
						   " WHERE c.oid = $1 AND t.status <> 'dropped'",
						   1, types, values, NULL);
	if (SPI_processed > 0)
		author = (Oid) tenancy_spi_int64(0, 1);
	tenancy_spi_end(&scope);
	if (!OidIsValid(author) || !has_privs_of_role(author, owner))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("the blueprint's owner has not the privileges of role \"%s\", "
							   "which owns table \"%s\"",
							   GetUserNameFromId(owner, true), get_rel_name(relid))));
}

/* Becomes the reader of a relation's documents. */
void
doc_query_begin(SpiScope *scope, Oid relid, const char *lock_timeout)
{
	Oid owner = owner_of(relid);

	doc_time_require_end(relid);
	require_trust(relid, owner);
	tenancy_spi_begin_reading(scope, owner, get_namespace_name(get_rel_namespace(relid)),
							  lock_timeout);
}

/* Reads the next keys; it may throw anywhere. */
static void
read_lot(void *arg)
{
	DocReader *reader = arg;
	int		   n = Min(QUERY_KEYS, reader->nkeys - reader->next);
	int		   numbers[QUERY_KEYS];
	int		   end = reader->next + n;
	int		   count;
	Portal	   portal;
	SpiScope   scope;

	doc_query_begin(&scope, reader->target->relid, DOC_LOCK_WAIT);
	doc_time_begin(reader->target->relid);
	portal = open_query(reader, n, numbers, &count);
	read_rows(reader, portal, numbers, count);
	if (reader->out->len < reader->most || count == 0)
		skip_to(reader, end);
	doc_time_end();
	tenancy_spi_end(&scope);
}

/* True for what has nothing to do with a row, and may not happen again. */
static bool
is_passing(int sqlstate)
{
	int category = ERRCODE_TO_CATEGORY(sqlstate);

	return category == ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES) ||
		   category == ERRCODE_TO_CATEGORY(ERRCODE_OPERATOR_INTERVENTION) ||
		   category == ERRCODE_TO_CATEGORY(ERRCODE_IO_ERROR) ||
		   category == ERRCODE_TO_CATEGORY(ERRCODE_T_R_SERIALIZATION_FAILURE);
}

/* False: somebody holds a lock.  Throws again what is not the query's fault. */
bool
doc_query_forgive(ErrorData *error)
{
	doc_time_end();
	if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
		error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED)
		return false;
	if (!doc_time_is_up() && is_passing(error->sqlerrcode))
		ReThrowError(error);
	return true;
}

/* Deals with an error; throws again what only passes. */
static DocResult
handle_error(DocReader *reader, ErrorData *error, const char **reason)
{
	DocKey *key;

	reader->writer = NULL; /* as far as it got */
	reader->out->len = reader->start;
	reader->out->data[reader->start] = '\0';
	if (!doc_query_forgive(error))
		return DOCS_LOCKED;
	*reason = doc_time_is_up() ? "its document took longer than tenancy.document_timeout"
							   : error->message;
	if (!reader->opened || reader->next >= reader->nkeys)
		return DOCS_REFUSED;
	key = &reader->keys[reader->next];
	key->state = DOC_FAILED;
	key->error = *reason;
	reader->next++;
	return DOCS_READ;
}

/* Prepares the reading. */
static DocReader *
make_reader(const SinkTarget *target, DocKey *keys, int n, Size most, StringInfo out)
{
	DocReader *reader = palloc0(sizeof(DocReader));

	reader->target = target;
	reader->keys = keys;
	reader->nkeys = n;
	reader->most = most;
	reader->out = out;
	reader->row_context =
		AllocSetContextCreate(CurrentMemoryContext, "pg_tenancy document", ALLOCSET_DEFAULT_SIZES);
	return reader;
}

/* Documents of a target's keys, in their order; see the header. */
DocResult
doc_query_read(const SinkTarget *target, DocKey *keys, int n, Size most, StringInfo out,
			   const char **reason)
{
	DocReader *reader = make_reader(target, keys, n, most, out);
	DocResult  result = DOCS_READ;

	for (int i = 0; i < n; i++)
		keys[i].state = DOC_UNREAD;
	while (result == DOCS_READ && reader->next < n && (out->len < most || reader->next == 0))
	{
		ErrorData *error;

		reader->opened = false;
		reader->start = out->len;
		doc_time_reset();
		error = tenancy_try(read_lot, reader, false);
		if (error != NULL)
			result = handle_error(reader, error, reason);
	}
	MemoryContextDelete(reader->row_context);
	return result;
}

/* Throws if the documents of a relation could not be read. */
void
doc_query_check(Oid relid, const char *document, char **key_columns, int nkeys)
{
	SqlColumn columns[INDEX_MAX_KEYS];
	Oid		  types[INDEX_MAX_KEYS];
	Oid		  type;
	SpiScope  scope;
	Portal	  portal;
	Datum	  arrays[INDEX_MAX_KEYS];

	doc_query_begin(&scope, relid, NULL);
	find_columns(columns, relid, key_columns, nkeys);
	for (int i = 0; i < nkeys; i++)
	{
		types[i] = columns[i].array;
		arrays[i] = PointerGetDatum(construct_empty_array(columns[i].type));
	}
	portal =
		tenancy_spi_open(doc_source_sql(relid, document, columns, nkeys), nkeys, types, arrays);
	check_type(TupleDescAttr(portal->tupDesc, 1)->atttypid, &type);
	SPI_cursor_close(portal);
	tenancy_spi_end(&scope);
}
