/*
 * hot.h
 *		The searches that are asked most often, in shared memory.
 */
#ifndef TENANCY_CACHE_HOT_H
#define TENANCY_CACHE_HOT_H

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

/* A search as the caller asked for it. */
typedef struct HotSearch
{
	const char *query; /* NULL: every document */
	const char *index_type;
	Jsonb	   *filters; /* NULL: none */
	Jsonb	   *options; /* likewise */
	int			page;
	int			page_size;
	double		count; /* in the last 24 hours, about; never too low */
} HotSearch;

extern Size hot_shmem_size(void);
/* Called with AddinShmemInitLock held; without it nothing is recorded. */
extern void hot_shmem_init(void);
/* Counts a search of a tenant. */
extern void hot_note(int64 tenant_id, const HotSearch *search);
/* A tenant's searches, most frequent first, `most` of them at the most: list of HotSearch. */
extern List *hot_top(int64 tenant_id, int most);

#endif
