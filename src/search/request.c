/*
 * request.c
 *		The arguments of a search, as far as they can be checked without the table.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "search/request.h"

/* Reads words: not so many that no server takes them, or that memory does not hold them. */
char *
search_read_words(Datum argument, const char *name)
{
	char *words = TextDatumGetCString(argument);

	if (strlen(words) > SEARCH_WORDS_MAX && pg_mbstrlen(words) > SEARCH_WORDS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not have more than %d characters", name, SEARCH_WORDS_MAX)));
	return words;
}

/* Starts reading an argument that must be an object. */
JsonbIterator *
search_open_object(Jsonb *argument, const char *name)
{
	if (!JB_ROOT_IS_OBJECT(argument))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must be a JSON object", name)));
	if (VARSIZE(argument) > SEARCH_OBJECT_MAX)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must not be larger than %d MB", name,
							   SEARCH_OBJECT_MAX / 1024 / 1024)));
	return JsonbIteratorInit(&argument->root);
}

/* Refuses pages that a search server does not serve. */
static void
check_page(const SearchRequest *request)
{
	if (request->page < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("page must be at least 1")));
	if (request->page_size < 1 || request->page_size > SEARCH_PAGE_SIZE_MAX)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("page_size must be between 1 and %d", SEARCH_PAGE_SIZE_MAX)));
	if ((int64) request->page * request->page_size > SEARCH_WINDOW_MAX)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("cannot show results after the first %d by page", SEARCH_WINDOW_MAX),
						errhint("Give \"next\" of each answer as the option \"after\" of the next "
								"search, or narrow the search by filters.")));
	if (request->after_text != NULL && request->page != 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("page must be 1 where option \"after\" tells where to go on")));
}

/* The order where none is asked for. */
static List *
default_sort(void)
{
	SearchSort *sort = palloc0(sizeof(SearchSort));

	sort->descending = true;
	return list_make1(sort);
}

/* True if the score is one of the sort criteria. */
bool
search_sorts_by_score(const SearchRequest *request)
{
	ListCell *lc;

	foreach (lc, request->sort)
		if (((SearchSort *) lfirst(lc))->name == NULL)
			return true;
	return false;
}

/* Checks and fills a request whose query, index_type, page and page_size are set. */
void
search_request_parse(SearchRequest *request, Jsonb *filters, Jsonb *options)
{
	request->total = SEARCH_TOTAL_EXACT;
	request->cache_ttl = -1;
	if (filters != NULL)
		request->filters = search_filters_parse(filters);
	if (options != NULL)
		search_options_parse(request, options);
	if (request->sort == NIL)
		request->sort = default_sort();
	check_page(request);
}
