/*
 * select_pointers.c
 *		Quickselect for many ranks at once; input that defeats its pivots is sorted.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/pg_bitutils.h"

#include "percentile/select_pointers.h"

#define FEW_VALUES 16

typedef const void *Value;

/* A piece of the array and the ranks wanted in it. */
typedef struct Piece
{
	int64		 left;
	int64		 right; /* not included */
	const int64 *ranks;
	int			 nranks;
	int			 depth; /* left until it is sorted */
} Piece;

#define ST_SORT sort_pointers
#define ST_ELEMENT_TYPE Value
#define ST_COMPARE(a, b, arg) ((*(arg))(*(a), *(b)))
#define ST_COMPARE_ARG_TYPE PercentileCompare
#define ST_SCOPE static
#define ST_CHECK_FOR_INTERRUPTS
#define ST_DEFINE
#include "lib/sort_template.h"

/* Exchanges two values. */
static inline void
exchange(const void **values, int64 a, int64 b)
{
	const void *kept = values[a];

	values[a] = values[b];
	values[b] = kept;
}

/* The middle one of three values. */
static const void *
middle_of(const void *a, const void *b, const void *c, PercentileCompare compare)
{
	if (compare(a, b) < 0)
		return compare(b, c) < 0 ? b : compare(a, c) < 0 ? c : a;
	return compare(a, c) < 0 ? a : compare(b, c) < 0 ? c : b;
}

/* Lower, equal and higher values; tells where the equal ones begin and end. */
static void
partition(const void **values, const Piece *piece, PercentileCompare compare, int64 *begin,
		  int64 *end)
{
	int64		low = piece->left;
	int64		high = piece->right;
	const void *pivot =
		middle_of(values[low], values[low + (high - low) / 2], values[high - 1], compare);

	for (int64 i = low; i < high;)
	{
		int order = compare(values[i], pivot);

		CHECK_FOR_INTERRUPTS();
		if (order < 0)
			exchange(values, i++, low++);
		else if (order > 0)
			exchange(values, i, --high);
		else
			i++;
	}
	*begin = low;
	*end = high;
}

/* Ranks below a place. */
static int
ranks_below(const Piece *piece, int64 place)
{
	int n = 0;

	while (n < piece->nranks && piece->ranks[n] < place)
		n++;
	return n;
}

/* Selects within a piece. */
static void
select_piece(const void **values, Piece piece, PercentileCompare compare)
{
	while (piece.nranks > 0)
	{
		int64 begin;
		int64 end;
		int	  below;
		int	  upto;

		if (piece.right - piece.left <= FEW_VALUES || piece.depth-- == 0)
		{
			sort_pointers(values + piece.left, piece.right - piece.left, &compare);
			return;
		}
		partition(values, &piece, compare, &begin, &end);
		below = ranks_below(&piece, begin);
		upto = ranks_below(&piece, end);
		select_piece(values, (Piece){piece.left, begin, piece.ranks, below, piece.depth}, compare);
		piece = (Piece){end, piece.right, piece.ranks + upto, piece.nranks - upto, piece.depth};
	}
}

/* See the header. */
void
percentile_select_pointers(const void **values, int64 n, PercentileCompare compare,
						   const int64 *ranks, int nranks)
{
	int depth = 2 * (pg_leftmost_one_pos64(n) + 1);

	select_piece(values, (Piece){0, n, ranks, nranks, depth}, compare);
}
