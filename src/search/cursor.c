/*
 * cursor.c
 *		Where a page ended, as a text that the next search is given.
 *
 * It holds the sort values of the page's last hit, the engine that gave them, and a
 * checksum over both and over the search.  So one that was changed, cut or taken from
 * another search or tenant is refused; what it holds is never more than values.
 */
#include "postgres.h"

#include "common/base64.h"
#include "common/hashfn.h"
#include "mb/pg_wchar.h"

#include "common/jsonb.h"
#include "search/search.h"

#define CURSOR_MAX (256 * 1024) /* bytes */
#define CHECKSUM_LENGTH 16

/* Refuses a cursor. */
static void
refuse(const char *why)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid search cursor"),
					errdetail_internal("%s", why),
					errhint("A cursor is \"next\" of an answer, for the same search again.")));
}

/* Goes on with a hash; a null is not an empty text. */
static uint64
mix(uint64 hash, const char *text)
{
	if (text == NULL)
		return hash_bytes_extended((const unsigned char *) "", 0, hash + 1);
	return hash_bytes_extended((const unsigned char *) text, (int) strlen(text) + 1, hash);
}

/* Goes on with a filter. */
static uint64
mix_filter(uint64 hash, const SearchFilter *filter)
{
	hash = mix(hash, filter->name);
	hash = mix(hash, psprintf("%d %d %d", filter->kind, filter->negated, filter->nvalues));
	for (int i = 0; i < filter->nvalues; i++)
		hash = mix(mix(hash, filter->operators[i]), filter->values[i]);
	return hash;
}

/* Hash of all that decides which hits there are and in which order. */
static uint64
hash_search(const SearchTarget *target, const SearchRequest *request)
{
	uint64	  hash = mix((uint64) target->tenant.id, request->index_type);
	ListCell *lc;

	hash = mix(hash, request->query);
	hash = mix(hash, request->min_score);
	hash = mix(hash, request->fuzzy ? "fuzzy" : "");
	foreach (lc, request->filters)
		hash = mix_filter(hash, lfirst(lc));
	foreach (lc, request->sort)
	{
		SearchSort *sort = lfirst(lc);

		hash = mix(mix(hash, sort->name), sort->descending ? "desc" : "asc");
	}
	foreach (lc, request->fields)
	{
		SearchField *field = lfirst(lc);

		hash = mix(mix(hash, field->name), field->boost);
	}
	return hash;
}

/* Checksum over a cursor's content, which begins with the engine. */
static char *
checksum(const SearchTarget *target, const SearchRequest *request, const char *content)
{
	uint64 hash = mix(hash_search(target, request), content);

	return psprintf("%08x%08x", (uint32) (hash >> 32), (uint32) hash);
}

/* The letter of an engine. */
static char
engine_letter(const char *engine)
{
	return strcmp(engine, "postgresql") == 0 ? 'p' : 's';
}

/* Values as the text of a JSON array. */
static char *
values_text(JsonbValue *values, int nvalues)
{
	JsonbParseState *state = NULL;
	Jsonb			*array;

	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < nvalues; i++)
		pushJsonbValue(&state, WJB_ELEM, &values[i]);
	array = JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
	return JsonbToCString(NULL, &array->root, VARSIZE(array));
}

/* Writes base64 with letters that need no quoting in a URL. */
static char *
encode(const char *text)
{
	int	  most = pg_b64_enc_len((int) strlen(text));
	char *out = palloc(most + 1);
	int	  length = pg_b64_encode((const void *) text, (int) strlen(text), out, most);

	if (length < 0)
		return NULL;
	while (length > 0 && out[length - 1] == '=')
		length--;
	out[length] = '\0';
	for (char *c = out; *c != '\0'; c++)
		*c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
	return out;
}

/* Reads it; NULL: it is none. */
static char *
decode(const char *text)
{
	int	  length = (int) strlen(text);
	char *padded = palloc(length + 4);
	char *out = palloc(pg_b64_dec_len(length + 4) + 1);

	memcpy(padded, text, length);
	for (int i = 0; i < length; i++)
	{
		if (!isalnum((unsigned char) text[i]) && text[i] != '-' && text[i] != '_')
			return NULL;
		padded[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
	}
	while (length % 4 != 0)
		padded[length++] = '=';
	length = pg_b64_decode(padded, length, (void *) out, pg_b64_dec_len(length));
	if (length < 0)
		return NULL;
	out[length] = '\0';
	return strlen(out) == length && pg_verify_mbstr(PG_UTF8, out, length, true) ? out : NULL;
}

/* Refuses an order in which no cursor can say where a page has ended: else results would be missing. */
static void
refuse_length(void)
{
	ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					errmsg("a search cursor would have more than %d bytes", CURSOR_MAX),
					errdetail("It holds the values that the results are sorted by."),
					errhint("Sort by columns with shorter values.")));
}

/* Makes the cursor that goes on after a hit; NULL: there is no going on. */
char *
search_cursor_make(const SearchTarget *target, const SearchRequest *request,
				   const SearchResult *result, const SearchHit *hit)
{
	int	  nkeys = list_length(target->key_columns);
	char *content;
	char *text;

	if (hit->sort == NULL || nkeys == 0 || result->nsort != list_length(request->sort) + nkeys)
		return NULL;
	content = values_text(hit->sort, result->nsort);
	content = psprintf("%c%s", engine_letter(result->engine),
					   pg_server_to_any(content, strlen(content), PG_UTF8));
	text = encode(psprintf("%s%s", checksum(target, request, content), content));
	if (text == NULL || strlen(text) > CURSOR_MAX)
		refuse_length();
	return text;
}

/* Reads a cursor's values. */
static SearchCursor *
read_values(const char *json, int expected)
{
	Jsonb		 *values = tenancy_jsonb_parse(json, strlen(json));
	SearchCursor *cursor = palloc(sizeof(SearchCursor));

	if (values == NULL || !JB_ROOT_IS_ARRAY(values) || JB_ROOT_IS_SCALAR(values) ||
		JB_ROOT_COUNT(values) != expected)
		refuse("It does not have a value for each column that sorts.");
	cursor->nvalues = expected;
	cursor->values = palloc(sizeof(JsonbValue) * Max(expected, 1));
	for (int i = 0; i < expected; i++)
	{
		cursor->values[i] = *getIthJsonbValueFromContainer(&values->root, i);
		if (cursor->values[i].type == jbvBinary)
			refuse("It holds an array or an object.");
		if (cursor->values[i].type == jbvNumeric && !tenancy_jsonb_is_double(&cursor->values[i]))
			refuse("It holds a number that is too large.");
	}
	return cursor;
}

/* Binds the request to the engine whose cursor it has. */
static void
bind_engine(SearchRequest *request, char letter)
{
	SearchEngine engine = letter == 'p' ? ENGINE_POSTGRESQL : ENGINE_SERVER;

	if (letter != 'p' && letter != 's')
		refuse("It names no engine.");
	if (request->engine != ENGINE_AUTO && request->engine != engine)
		refuse("It is of another engine than the one asked for.");
	request->engine = engine;
}

/* Reads the cursor that the caller gave, if any; from then on its engine is the only one. */
void
search_cursor_open(const SearchTarget *target, SearchRequest *request)
{
	char *text;
	char *content;

	if (request->after_text == NULL)
		return;
	text = strlen(request->after_text) <= CURSOR_MAX ? decode(request->after_text) : NULL;
	if (text == NULL || strlen(text) <= CHECKSUM_LENGTH)
		refuse("It is damaged.");
	content = text + CHECKSUM_LENGTH;
	if (strncmp(text, checksum(target, request, content), CHECKSUM_LENGTH) != 0)
		refuse("It is damaged, or of another search.");
	bind_engine(request, content[0]);
	request->after =
		read_values(content + 1, list_length(request->sort) + list_length(target->key_columns));
}
