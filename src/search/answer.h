/*
 * answer.h
 *		The answers of the search functions.
 */
#ifndef TENANCY_SEARCH_ANSWER_H
#define TENANCY_SEARCH_ANSWER_H

#include "fmgr.h"
#include "portability/instr_time.h"

#include "search/search.h"

/* What a search came to. */
typedef struct SearchOutcome
{
	const SearchTarget	*target;
	const SearchRequest *request;
	const SearchResult	*result;
	const char			*fallback; /* why it was not the server; NULL: it was, or nobody asked */
	instr_time			 start;
	int64				 took_ms;
	const char			*layer; /* NULL: not told */
} SearchOutcome;

/* As one JSON object. */
extern Jsonb *answer_json(const SearchOutcome *outcome);
/* The same of one that Redis has kept. */
extern Jsonb *answer_kept(Jsonb *kept, int64 took_ms);
/* As rows of (id, score, source, highlight, cursor). */
extern void answer_rows(FunctionCallInfo fcinfo, const SearchOutcome *outcome);

#endif
