/*
 * did_you_mean.c
 *		Better spellings of a query's words.
 *
 * A server's suggester knows no filter: of an index that tenants share it tells words of
 * all of them, and it tells stems.  So what it says is only what to ask for: a second
 * request, confined like any other, counts the tenant's own documents that have each
 * word, and what is shown is cut out of such a document.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/formatting.h"

#include "common/jsonb.h"
#include "search/did_you_mean.h"
#include "search/reply.h"
#include "search/server.h"

#define FIELDS_MAX 3
#define OPTIONS_MAX 4 /* of a word in a field */
/* Servers trim what is no letter or sign off the ends of a text. */
#define MARK_BEGIN "{\x01{"
#define MARK_END "}\x02}"

/* Another spelling of a word, in one field. */
typedef struct Option
{
	char  *text; /* as it is in the index: perhaps a stem */
	int	   field;
	double score;
	int64  count; /* of documents that have it */
	char  *shown; /* as it is in a document */
} Option;

/* A word of the query, by its place in UTF-16, as the server counts. */
typedef struct Word
{
	int64 offset;
	int64 length;
	List *options;
	int64 count;
} Word;

/* Fields whose words are compared: the first ones that are analyzed. */
static List *
spelled_fields(const SearchTarget *target, const SearchRequest *request)
{
	List	 *names = NIL;
	ListCell *lc;

	foreach (lc, body_fields(target, request))
	{
		char		   *name = ((SearchField *) lfirst(lc))->name;
		JsonbContainer *property = tenancy_jsonb_object(target->properties, name);
		char		   *type = tenancy_jsonb_string(property, "type");

		if (type != NULL && strcmp(type, "text") == 0 && list_length(names) < FIELDS_MAX)
			names = lappend(names, name);
	}
	return names;
}

/* Asks for spellings, in the body of the search itself. */
void
did_you_mean_put(json_t *root, const SearchTarget *target, const SearchRequest *request)
{
	json_t	 *suggest = body_put_object(root, "suggest");
	ListCell *lc;

	body_put_text(suggest, "text", request->query);
	foreach (lc, spelled_fields(target, request))
	{
		json_t *one = body_put_object(suggest, psprintf("s%d", foreach_current_index(lc)));
		json_t *term = body_put_object(one, "term");

		body_put_text(term, "field", lfirst(lc));
		/* Also for words that are in the index: another tenant's document may have them. */
		body_put_text(term, "suggest_mode", "always");
		body_put_text(term, "sort", "score");
		body_put(term, "size", json_integer(OPTIONS_MAX));
	}
}

/* Finds or adds a word by its place. */
static Word *
word_at(List **words, int64 offset, int64 length)
{
	Word	 *word;
	ListCell *lc;

	foreach (lc, *words)
	{
		word = lfirst(lc);
		if (word->offset == offset && word->length == length)
			return word;
	}
	if (list_length(*words) >= SEARCH_SIMILAR_MAX)
		return NULL;
	word = palloc0(sizeof(Word));
	word->offset = offset;
	word->length = length;
	*words = lappend(*words, word);
	return word;
}

/* Adds a spelling to a word. */
static void
add_option(Word *word, int field, JsonbContainer *object)
{
	Option	  *option = palloc0(sizeof(Option));
	JsonbValue score;

	option->text = tenancy_jsonb_string(object, "text");
	option->field = field;
	if (option->text == NULL || !tenancy_jsonb_field(object, "score", &score) ||
		score.type != jbvNumeric)
		return;
	option->score = strtod(tenancy_jsonb_scalar(&score), NULL);
	word->options = lappend(word->options, option);
}

/* Reads one entry of the reply: a word and its spellings in one field. */
static void
read_entry(List **words, int field, JsonbContainer *entry)
{
	JsonbContainer *options = tenancy_jsonb_array(entry, "options");
	int64			offset;
	int64			length;
	Word		   *word;

	if (options == NULL || JsonContainerSize(options) == 0 ||
		!reply_count(entry, "offset", &offset) || !reply_count(entry, "length", &length))
		return;
	word = word_at(words, offset, length);
	for (int i = 0; word != NULL && i < Min(JsonContainerSize(options), OPTIONS_MAX); i++)
	{
		JsonbValue *option = getIthJsonbValueFromContainer(options, i);

		if (option->type == jbvBinary)
			add_option(word, field, option->val.binary.data);
	}
}

/* Words of the reply for which there are others; only fields that were asked for are looked at. */
List *
did_you_mean_words(const SearchTarget *target, const SearchRequest *request, JsonbContainer *root)
{
	JsonbContainer *suggest = tenancy_jsonb_object(root, "suggest");
	int				nfields = list_length(spelled_fields(target, request));
	List		   *words = NIL;

	for (int field = 0; field < nfields; field++)
	{
		JsonbContainer *list = tenancy_jsonb_array(suggest, psprintf("s%d", field));

		for (int i = 0; list != NULL && i < JsonContainerSize(list); i++)
		{
			JsonbValue *entry = getIthJsonbValueFromContainer(list, i);

			CHECK_FOR_INTERRUPTS();
			if (entry->type == jbvBinary)
				read_entry(&words, field, entry->val.binary.data);
		}
	}
	return words;
}

/* The question about words. */
typedef struct Question
{
	const SearchTarget	*target;
	const SearchRequest *request;
	List				*words;
	List				*fields;
} Question;

/* Byte at which a place in UTF-16 is; -1: there is none. */
static int
byte_at(const char *utf8, int64 place)
{
	int byte = 0;

	while (place > 0 && utf8[byte] != '\0')
	{
		int length = pg_encoding_mblen(PG_UTF8, utf8 + byte);

		place -= length == 4 ? 2 : 1;
		byte += length;
	}
	return place == 0 ? byte : -1;
}

/* A word as it was written; NULL: the server named a place that is none. */
static char *
written_word(const SearchRequest *request, const Word *word)
{
	char *utf8 = body_utf8(request->query);
	int	  begin = byte_at(utf8, word->offset);
	int	  end = byte_at(utf8, word->offset + word->length);

	if (begin < 0 || end <= begin)
		return NULL;
	utf8 = pnstrdup(utf8 + begin, end - begin);
	return pg_any_to_server(utf8, strlen(utf8), PG_UTF8);
}

/* Asks for a document with an option, and for the word in it. */
static void
put_option(json_t *clauses, const char *name, const Question *question, const Option *option)
{
	const char *field = body_utf8(list_nth(question->fields, option->field));
	json_t	   *one = body_put_object(clauses, name);
	json_t	   *hits;
	json_t	   *highlight;

	body_put_text(body_put_object(body_put_object(one, "filter"), "term"), field, option->text);
	hits = body_put_object(body_put_object(body_put_object(one, "aggs"), "hit"), "top_hits");
	body_put(hits, "size", json_integer(1));
	if (question->target->shared) /* it tells whose the document is */
		body_append(body_put_array(hits, "_source"), json_string(BODY_TENANCY));
	else
		body_put(hits, "_source", json_false());
	highlight = body_put_object(hits, "highlight");
	body_append(body_put_array(highlight, "pre_tags"), json_string(MARK_BEGIN));
	body_append(body_put_array(highlight, "post_tags"), json_string(MARK_END));
	body_put(highlight, "number_of_fragments", json_integer(1));
	body_put_text(body_put_object(body_put_object(highlight, "highlight_query"), "term"), field,
				  option->text);
	body_put_object(body_put_object(highlight, "fields"), field);
}

/* Asks for one word: how many documents have it, and each of its options. */
static void
put_word(json_t *clauses, int n, const Question *question, const Word *word)
{
	SearchRequest one = {.query = written_word(question->request, word),
						 .fields = question->request->fields};
	json_t		 *filter = body_put_object(body_put_object(clauses, psprintf("w%d", n)), "filter");
	ListCell	 *lc;

	if (one.query == NULL)
	{
		body_put_object(filter, "match_all");
		return;
	}
	body_put_words(filter, question->target, &one);
	foreach (lc, word->options)
	{
		Option *option = lfirst(lc);

		put_option(clauses, psprintf("w%do%d", n, foreach_current_index(lc)), question, option);
	}
}

/* Fills the body of the question. */
static void
fill_question(json_t *root, const SearchTarget *target, const void *arg)
{
	const Question *question = arg;
	json_t		   *clauses;
	ListCell	   *lc;

	body_put_object(body_put_object(root, "query"), "match_all");
	body_put(root, "size", json_integer(0));
	body_put(root, "track_total_hits", json_false());
	clauses = body_put_object(root, "aggs");
	foreach (lc, question->words)
		put_word(clauses, foreach_current_index(lc), question, lfirst(lc));
}

/* First string in a value, at whatever depth. */
static char *
first_string(JsonbContainer *container)
{
	JsonbIterator	  *it = JsonbIteratorInit(container);
	JsonbIteratorToken token;
	JsonbValue		   value;

	while ((token = JsonbIteratorNext(&it, &value, false)) != WJB_DONE)
		if (token == WJB_ELEM && value.type == jbvString)
			return tenancy_jsonb_scalar(&value);
	return NULL;
}

/* The document that was found with an option; NULL: none. */
static JsonbContainer *
found_hit(JsonbContainer *counted)
{
	JsonbContainer *hits = tenancy_jsonb_object(tenancy_jsonb_object(counted, "hit"), "hits");
	JsonbContainer *list = tenancy_jsonb_array(hits, "hits");
	JsonbValue	   *first =
		list && JsonContainerSize(list) > 0 ? getIthJsonbValueFromContainer(list, 0) : NULL;

	return first != NULL && first->type == jbvBinary ? first->val.binary.data : NULL;
}

/* The marked word of a document's text, in small letters; NULL: there is none. */
static char *
marked_word(JsonbContainer *hit)
{
	JsonbContainer *highlight = tenancy_jsonb_object(hit, "highlight");
	char		   *begin = highlight ? first_string(highlight) : NULL;
	char		   *end;

	begin = begin ? strstr(begin, MARK_BEGIN) : NULL;
	end = begin ? strstr(begin, MARK_END) : NULL;
	if (end == NULL)
		return NULL;
	begin += strlen(MARK_BEGIN);
	return end > begin ? str_tolower(begin, end - begin, DEFAULT_COLLATION_OID) : NULL;
}

/* Reads what is known of a word; false: not as it was asked for, or it shows another tenant's. */
static bool
read_word(const SearchTarget *target, JsonbContainer *counted, int n, Word *word)
{
	ListCell *lc;

	if (!reply_count(tenancy_jsonb_object(counted, psprintf("w%d", n)), "doc_count", &word->count))
		return false;
	foreach (lc, word->options)
	{
		Option		   *option = lfirst(lc);
		JsonbContainer *found =
			tenancy_jsonb_object(counted, psprintf("w%do%d", n, foreach_current_index(lc)));
		JsonbContainer *hit;

		if (!reply_count(found, "doc_count", &option->count) || option->count == 0)
			continue;
		hit = found_hit(found);
		if (hit != NULL && !reply_is_own(target, hit))
			return false;
		option->shown = hit != NULL ? marked_word(hit) : NULL;
	}
	return true;
}

/* Reads the reply to the question. */
static bool
read_answer(Jsonb *reply, void *arg)
{
	Question	   *question = arg;
	JsonbContainer *counted = tenancy_jsonb_object(&reply->root, "aggregations");
	ListCell	   *lc;

	foreach (lc, question->words)
		if (!read_word(question->target, counted, foreach_current_index(lc), lfirst(lc)))
			return false;
	return true;
}

/* The option nearest to the word, of equally near ones that of most documents; NULL: none. */
static char *
best_option(const Word *word)
{
	Option	 *best = NULL;
	ListCell *lc;

	if (word->count > 0)
		return NULL;
	foreach (lc, word->options)
	{
		Option *option = lfirst(lc);

		if (option->shown == NULL)
			continue;
		if (best == NULL || option->score > best->score ||
			(option->score == best->score && option->count > best->count))
			best = option;
	}
	return best ? best->shown : NULL;
}

/* Words by their places. */
static int
compare_words(const ListCell *a, const ListCell *b)
{
	const Word *one = lfirst(a);
	const Word *other = lfirst(b);

	return one->offset < other->offset ? -1 : one->offset > other->offset;
}

/* Writes the query with the better words; NULL: there are none. */
static char *
rewrite(const Question *question)
{
	char		  *utf8 = body_utf8(question->request->query);
	int			   done = 0;
	bool		   changed = false;
	StringInfoData text;
	ListCell	  *lc;

	initStringInfo(&text);
	list_sort(question->words, compare_words);
	foreach (lc, question->words)
	{
		Word *word = lfirst(lc);
		char *better = best_option(word);
		int	  begin = byte_at(utf8, word->offset);
		int	  end = byte_at(utf8, word->offset + word->length);

		if (better == NULL || begin < done || end <= begin)
			continue;
		appendBinaryStringInfo(&text, utf8 + done, begin - done);
		appendStringInfoString(&text, body_utf8(better));
		done = end;
		changed = true;
	}
	appendStringInfoString(&text, utf8 + done);
	return changed ? pg_any_to_server(text.data, text.len, PG_UTF8) : NULL;
}

/* The query with other words where the tenant has none of those; NULL: it needs none. */
char *
did_you_mean_ask(const SearchTarget *target, const SearchRequest *request, List *words)
{
	Question	  question = {target, request, words, spelled_fields(target, request)};
	SearchFailure failure;
	ServerCall	  call = {.target = target,
						  .fill = fill_question,
						  .fill_arg = &question,
						  .parse = read_answer,
						  .parse_arg = &question,
						  .alone = true};

	return server_call(&call, &failure) ? rewrite(&question) : NULL;
}
