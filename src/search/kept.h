/*
 * kept.h
 *		Answers of tenant_search that Redis keeps.
 */
#ifndef TENANCY_SEARCH_KEPT_H
#define TENANCY_SEARCH_KEPT_H

#include "cache/cache.h"
#include "search/answer.h"

/* What a search has to do with Redis. */
typedef struct KeptAnswer
{
	bool	  possible; /* answers of such a search are kept */
	bool	  ours;		/* this one is to be stored, or given up */
	bool	  is_warm;	/* it is there for long; of a search that nobody asks for */
	bool	  stored;
	char	 *snapshot; /* what the table is read with is not older */
	CacheFill fill;
} KeptAnswer;

/* The answer that is kept, or NULL; arguments as the caller gave them. */
extern Jsonb *kept_find(KeptAnswer *kept, const SearchTarget *target, SearchRequest *request,
						Jsonb *filters, Jsonb *options);
/* Keeps an answer, if that is to be done. */
extern void kept_store(KeptAnswer *kept, const SearchOutcome *outcome, Jsonb *answer);
/* There is no answer: somebody else may try. */
extern void kept_give_up(KeptAnswer *kept);

/* index_snapshot.c: a snapshot whose every change searches in the target's index find; NULL: none is known */
extern char *index_snapshot_find(const SearchTarget *target);
/* It was too old. */
extern void index_snapshot_forget(const SearchTarget *target);

#endif
