/*
 * select.c
 *		Keys of given ranks, without sorting: a histogram of the keys' range, then the same within the
 *		few buckets that hold a wanted rank.
 *
 * Each level narrows the range by the number of buckets, so that there are at most eight, each
 * linear: no order and no distribution of the values makes it slower than that.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/pg_bitutils.h"

#include "percentile/keys.h"

#define FEW_KEYS 256

#define ST_SORT sort_keys
#define ST_ELEMENT_TYPE uint64
#define ST_COMPARE(a, b) (*(a) < *(b) ? -1 : *(a) > *(b))
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

/* A bucket that holds wanted ranks. */
typedef struct Wanted
{
	int				bucket;
	int				first_rank;
	int				nranks;
	int64			before; /* keys in lower buckets */
	PercentileKeys *keys;
} Wanted;

/* Keys of a range, counted by the bits from shift on. */
typedef struct Histogram
{
	uint64	low;
	int		shift;
	int		nbuckets;
	int64  *counts;
	Wanted *wanted;
	int		nwanted;
	uint8  *is_wanted; /* of each bucket */
} Histogram;

static void select_ranks(const PercentileKeys *list, const int64 *ranks, int nranks, int64 before,
						 uint64 *found);

/* A list so short that sorting it is the fastest. */
static void
select_few(const PercentileKeys *list, const int64 *ranks, int nranks, int64 before, uint64 *found)
{
	uint64 sorted[FEW_KEYS];

	memcpy(sorted, list->keys, list->used * sizeof(uint64));
	sort_keys(sorted, list->used);
	for (int i = 0; i < nranks; i++)
		found[i] = sorted[ranks[i] - before];
}

/* The lowest and the highest key. */
static void
range_of(const PercentileKeys *list, uint64 *low, uint64 *high)
{
	PercentileReader reader;
	const uint64	*block;
	int64			 n;
	uint64			 least = PG_UINT64_MAX;
	uint64			 most = 0;

	percentile_read_start(&reader, list);
	while ((n = percentile_read(&reader, &block)) > 0)
	{
		for (int64 i = 0; i < n; i++)
		{
			least = Min(least, block[i]);
			most = Max(most, block[i]);
		}
	}
	*low = least;
	*high = most;
}

/* How many bits of the range a level looks at: a histogram should be small beside the keys. */
static int
bits_for(int64 n)
{
	if (n > 100000)
		return 13;
	return n >= 4000 ? 11 : 8;
}

/* Counts the keys.  Short counters, which fit into the cache, are added up after each block. */
static void
count_keys(Histogram *h, const PercentileKeys *list)
{
	PercentileReader reader;
	const uint64	*block;
	int64			 n;
	uint32			*counts = palloc0(h->nbuckets * sizeof(uint32));

	percentile_read_start(&reader, list);
	while ((n = percentile_read(&reader, &block)) > 0)
	{
		for (int64 i = 0; i < n; i++)
			counts[(block[i] - h->low) >> h->shift]++;
		for (int b = 0; b < h->nbuckets; b++)
		{
			h->counts[b] += counts[b];
			counts[b] = 0;
		}
	}
	pfree(counts);
}

/* Finds the buckets of the wanted ranks. */
static void
find_wanted(Histogram *h, const int64 *ranks, int nranks, int64 before)
{
	int rank = 0;

	h->wanted = palloc(nranks * sizeof(Wanted));
	h->is_wanted = palloc0(h->nbuckets);
	h->nwanted = 0;
	for (int b = 0; b < h->nbuckets && rank < nranks; b++)
	{
		Wanted *wanted = &h->wanted[h->nwanted];

		wanted->bucket = b;
		wanted->before = before;
		wanted->first_rank = rank;
		while (rank < nranks && ranks[rank] < before + h->counts[b])
			rank++;
		wanted->nranks = rank - wanted->first_rank;
		if (wanted->nranks > 0)
		{
			h->is_wanted[b] = 1;
			h->nwanted++;
		}
		before += h->counts[b];
	}
}

/* Puts a key into the list of its bucket. */
static pg_noinline void
gather_key(Histogram *h, uint64 key)
{
	int bucket = (key - h->low) >> h->shift;
	int left = 0;
	int right = h->nwanted - 1;

	while (left < right)
	{
		int middle = (left + right) / 2;

		if (h->wanted[middle].bucket < bucket)
			left = middle + 1;
		else
			right = middle;
	}
	percentile_keys_add(h->wanted[left].keys, key, NULL);
}

/* Collects the keys of all wanted buckets in one pass. */
static void
gather(Histogram *h, const PercentileKeys *list)
{
	PercentileReader reader;
	const uint64	*block;
	int64			 n;

	for (int i = 0; i < h->nwanted; i++)
		h->wanted[i].keys =
			percentile_keys_new(CurrentMemoryContext, h->counts[h->wanted[i].bucket]);
	percentile_read_start(&reader, list);
	while ((n = percentile_read(&reader, &block)) > 0)
	{
		for (int64 i = 0; i < n; i++)
		{
			if (unlikely(h->is_wanted[(block[i] - h->low) >> h->shift]))
				gather_key(h, block[i]);
		}
	}
}

/* Looks into the wanted buckets; one of a single key needs no look. */
static void
select_in_buckets(Histogram *h, const PercentileKeys *list, const int64 *ranks, uint64 *found)
{
	if (h->shift > 0)
		gather(h, list);
	for (int i = 0; i < h->nwanted; i++)
	{
		Wanted *wanted = &h->wanted[i];

		if (h->shift > 0)
		{
			select_ranks(wanted->keys, ranks + wanted->first_rank, wanted->nranks, wanted->before,
						 found + wanted->first_rank);
			percentile_keys_free(wanted->keys);
			continue;
		}
		for (int r = 0; r < wanted->nranks; r++)
			found[wanted->first_rank + r] = h->low + wanted->bucket;
	}
}

/* Keys of the ranks (ascending), where so many keys come before the list's first. */
static void
select_ranks(const PercentileKeys *list, const int64 *ranks, int nranks, int64 before,
			 uint64 *found)
{
	Histogram h = {0};
	int64	  n = percentile_keys_count(list);
	uint64	  high;

	if (n <= FEW_KEYS && list->file == NULL)
	{
		select_few(list, ranks, nranks, before, found);
		return;
	}
	range_of(list, &h.low, &high);
	if (high > h.low)
		h.shift = Max(0, pg_leftmost_one_pos64(high - h.low) + 1 - bits_for(n));
	h.nbuckets = ((high - h.low) >> h.shift) + 1;
	h.counts = palloc0(h.nbuckets * sizeof(int64));
	count_keys(&h, list);
	find_wanted(&h, ranks, nranks, before);
	select_in_buckets(&h, list, ranks, found);
	pfree(h.counts);
	pfree(h.wanted);
	pfree(h.is_wanted);
}

/* Keys of the ranks, from 0, ascending, each once. */
void
percentile_select(const void *list, const int64 *ranks, int nranks, uint64 *found)
{
	select_ranks(list, ranks, nranks, 0, found);
}
