/*
 * compare.c
 *		Is a document that of a row?
 *
 * Equal bytes are the rule: servers give a document back as it was sent.  Else the two are
 * compared as values, numbers exactly; a column that is null in one may be absent in
 * the other.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "utils/memutils.h"

#include "common/jsonb.h"
#include "common/spi.h"
#include "verify/run.h"

/* True if texts differ in nothing but line breaks, which are sent as blanks. */
static bool
same_text(const char *row, int row_length, const char *doc, int doc_length)
{
	if (row_length != doc_length)
		return false;
	if (memcmp(row, doc, doc_length) == 0)
		return true;
	for (int i = 0; i < doc_length; i++)
		if (row[i] != doc[i] && !(row[i] == '\n' && doc[i] == ' '))
			return false;
	return true;
}

/* An object without the members that are null. */
static Jsonb *
without_nulls(Jsonb *object)
{
	JsonbParseState	  *state = NULL;
	JsonbIterator	  *iterator = JsonbIteratorInit(&object->root);
	JsonbValue		   key;
	JsonbValue		   value;
	JsonbValue		  *result;
	JsonbIteratorToken token = JsonbIteratorNext(&iterator, &key, true);

	(void) pushJsonbValue(&state, token, NULL);
	while ((token = JsonbIteratorNext(&iterator, &key, true)) == WJB_KEY)
	{
		(void) JsonbIteratorNext(&iterator, &value, true);
		if (value.type == jbvNull)
			continue;
		(void) pushJsonbValue(&state, WJB_KEY, &key);
		(void) pushJsonbValue(&state, WJB_VALUE, &value);
	}
	result = pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return JsonbValueToJsonb(result);
}

/* Parses an object; NULL if it is none. */
static Jsonb *
parse_object(const char *text, int length)
{
	Jsonb *parsed = tenancy_jsonb_parse(pnstrdup(text, length), length);

	return parsed != NULL && JB_ROOT_IS_OBJECT(parsed) ? without_nulls(parsed) : NULL;
}

/* True if two objects have the same value; needs a transaction. */
static bool
same_value(const char *row, int row_length, const char *doc, int doc_length)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "pg_tenancy verify", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Jsonb		 *a = parse_object(row, row_length);
	Jsonb		 *b = a != NULL ? parse_object(doc, doc_length) : NULL;
	bool		  same = b != NULL && compareJsonbContainers(&a->root, &b->root) == 0;

	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return same;
}

/* True if the index has a version that was never given out: later writes would be refused. */
bool
verify_never_issued(VerifyRun *run, const VerifyKey *key)
{
	return key->document.found && !key->document.too_large &&
		   key->document.version > (((uint64) run->epoch << 52) | GetFlushRecPtr(NULL));
}

/* Compares with a row as far as that needs no values; *values: these must tell. */
static bool
agrees_at_once(VerifyRun *run, const VerifyKey *key, const VerifyRow *row, bool *values)
{
	const SinkDocument *document = &key->document;

	*values = false;
	if (!row->there || !document->found)
		return row->there == document->found;
	if (row->unreadable || document->doc == NULL || verify_never_issued(run, key))
		return false;
	if (same_text(row->doc, row->length, document->doc, document->doc_length))
		return true;
	*values = true;
	return false;
}

/* True if a document is that of a row. */
bool
verify_agrees(VerifyRun *run, const VerifyKey *key, const VerifyRow *row)
{
	bool values;
	bool agrees = agrees_at_once(run, key, row, &values);

	if (!values)
		return agrees;
	tenancy_tx_begin("pg_tenancy verify: comparing");
	agrees = same_value(row->doc, row->length, key->document.doc, key->document.doc_length);
	tenancy_tx_commit();
	return agrees;
}

/* Keeps a document that differs beyond the life of the reply, and forgets the one before. */
static void
keep_document(VerifyRun *run, VerifyKey *key)
{
	SinkDocument *document = &key->document;

	if (key->kept != NULL)
		pfree(key->kept);
	key->kept = NULL;
	if (key->agrees || document->doc == NULL)
	{
		document->doc = NULL;
		return;
	}
	key->kept = MemoryContextAllocHuge(run->batch_context, document->doc_length + 1);
	memcpy(key->kept, document->doc, document->doc_length);
	key->kept[document->doc_length] = '\0';
	document->doc = key->kept;
}

/* Compares documents that have just come with their rows, and keeps those that differ. */
void
verify_judge(VerifyRun *run, VerifyKey **keys, int n)
{
	for (int i = 0; i < n; i++)
	{
		keys[i]->agrees = verify_agrees(run, keys[i], &keys[i]->row);
		keep_document(run, keys[i]);
	}
}

/* True if two readings gave the same row. */
bool
verify_same_row(const VerifyRow *a, const VerifyRow *b)
{
	if (a->there != b->there || a->unreadable != b->unreadable)
		return false;
	return !a->there || a->unreadable ||
		   (a->length == b->length && memcmp(a->doc, b->doc, a->length) == 0);
}
