/*
 * sketch.c
 *		Sketches in memory: a list of values, a table of different ones, and when they become buckets.
 */
#include "postgres.h"

#include "percentile/keys.h"
#include "percentile/sketch.h"

#define LIST_MAX 320 /* more than can be kept if they are no decimals */
#define TABLE_LEAST_BITS 4
#define HASH_FACTOR UINT64CONST(0x9E3779B97F4A7C15)

#define ST_SORT sort_pairs
#define ST_ELEMENT_TYPE SketchPair
#define ST_COMPARE(a, b) ((a)->value < (b)->value ? -1 : (a)->value > (b)->value)
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

#define ST_SORT sort_doubles
#define ST_ELEMENT_TYPE double
#define ST_COMPARE(a, b) (*(a) < *(b) ? -1 : *(a) > *(b))
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

/* An empty sketch; accuracy 0: that of the first one it is merged with. */
Sketch *
sketch_new(MemoryContext context, int accuracy)
{
	Sketch *sketch = MemoryContextAllocZero(context, sizeof(Sketch));

	sketch->context = context;
	sketch->accuracy = accuracy;
	sketch->values = sketch->inline_values;
	sketch->room = SKETCH_INLINE_VALUES;
	return sketch;
}

/* Counts values; as many as fit into 61 bits. */
void
sketch_count_more(Sketch *sketch, int64 more)
{
	if (more > SKETCH_COUNT_MAX - sketch->count)
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						errmsg("a percentile_sketch cannot count more than 2^61 values")));
	sketch->count += more;
}

/* Where a value is in the table, or would be. */
static SketchPair *
find_slot(const SketchTable *table, double value)
{
	uint32 mask = (UINT32_C(1) << table->bits) - 1;
	uint64 bits;
	uint32 at;

	memcpy(&bits, &value, sizeof(bits));
	at = (bits * HASH_FACTOR) >> (64 - table->bits);
	while (table->slots[at].count != 0 && table->slots[at].value != value)
		at = (at + 1) & mask;
	return &table->slots[at];
}

/* An empty table. */
static SketchTable *
make_table(MemoryContext context, int bits)
{
	SketchTable *table = MemoryContextAlloc(context, sizeof(SketchTable));

	table->bits = bits;
	table->used = 0;
	table->slots = MemoryContextAllocZero(context, sizeof(SketchPair) << bits);
	return table;
}

/* Forgets the table. */
static void
free_table(Sketch *sketch)
{
	if (sketch->table == NULL)
		return;
	pfree(sketch->table->slots);
	pfree(sketch->table);
	sketch->table = NULL;
}

/* Forgets the list. */
static void
free_list_of(Sketch *sketch)
{
	if (sketch->values != sketch->inline_values)
		pfree(sketch->values);
	sketch->values = sketch->inline_values;
	sketch->room = SKETCH_INLINE_VALUES;
	sketch->used = 0;
}

/* All values that are not in buckets, in order, each once. */
SketchPair *
sketch_pairs(const Sketch *sketch, int *n)
{
	const SketchTable *table = sketch->table;
	SketchPair		  *pairs;
	double			  *sorted;

	*n = 0;
	if (table != NULL)
	{
		pairs = palloc(sizeof(SketchPair) * (table->used + 1));
		for (uint32 i = 0; i < UINT32_C(1) << table->bits; i++)
			if (table->slots[i].count != 0)
				pairs[(*n)++] = table->slots[i];
		sort_pairs(pairs, *n);
		return pairs;
	}
	pairs = palloc(sizeof(SketchPair) * (sketch->used + 1));
	sorted = palloc(sizeof(double) * (sketch->used + 1));
	memcpy(sorted, sketch->values, sizeof(double) * sketch->used);
	sort_doubles(sorted, sketch->used);
	for (int i = 0; i < sketch->used; i++)
	{
		if (*n == 0 || pairs[*n - 1].value != sorted[i])
			pairs[(*n)++] = (SketchPair){sorted[i], 0};
		pairs[*n - 1].count++;
	}
	pfree(sorted);
	return pairs;
}

/* Whether the values take too much room to be kept: the same whatever order they come in. */
static bool
is_too_large(const Sketch *sketch)
{
	SketchWriter out = {0};
	uint8		 kind = 0;
	int			 n;
	SketchPair	*pairs = sketch_pairs(sketch, &n);
	bool		 fits;

	initStringInfo(&out.out);
	fits = sketch_put_values(&out, pairs, n, &kind);
	pfree(out.out.data);
	pfree(pairs);
	return !fits;
}

/* Counts the values in buckets from now on. */
void
sketch_to_buckets(Sketch *sketch)
{
	const SketchTable *table = sketch->table;

	sketch->buckets = sketch_buckets_new(sketch->context, sketch->accuracy);
	for (uint32 i = 0; table != NULL && i < UINT32_C(1) << table->bits; i++)
		if (table->slots[i].count != 0)
			sketch_buckets_add(sketch->buckets, table->slots[i].value, table->slots[i].count);
	sketch_buckets_add_many(sketch->buckets, sketch->values, sketch->used);
	free_table(sketch);
	free_list_of(sketch);
}

/* Room for twice as many different values, or buckets if they would take too much. */
static void
grow_table(Sketch *sketch)
{
	SketchTable *old = sketch->table;
	SketchTable *table;

	if (is_too_large(sketch))
	{
		sketch_to_buckets(sketch);
		return;
	}
	table = make_table(sketch->context, old->bits + 1);
	for (uint32 i = 0; i < UINT32_C(1) << old->bits; i++)
		if (old->slots[i].count != 0)
			*find_slot(table, old->slots[i].value) = old->slots[i];
	table->used = old->used;
	free_table(sketch);
	sketch->table = table;
}

/* Adds to the table. */
static void
add_to_table(Sketch *sketch, double value, int64 weight)
{
	SketchTable *table = sketch->table;
	SketchPair	*slot = find_slot(table, value);

	if (slot->count == 0)
	{
		slot->value = value;
		table->used++;
	}
	slot->count += weight;
	if (table->used > UINT32_C(3) << (table->bits - 2))
		grow_table(sketch);
}

/* Moves the list into a table, or into buckets if it is too large. */
static void
end_list(Sketch *sketch)
{
	int bits = TABLE_LEAST_BITS;

	if (sketch->used == LIST_MAX && is_too_large(sketch))
	{
		sketch_to_buckets(sketch);
		return;
	}
	while (sketch->used >= UINT32_C(3) << (bits - 2))
		bits++;
	sketch->table = make_table(sketch->context, bits);
	for (int i = 0; i < sketch->used; i++)
		add_to_table(sketch, sketch->values[i], 1);
	free_list_of(sketch);
}

/* Room for more values in the list. */
static void
grow_list(Sketch *sketch)
{
	double *values;

	sketch->room = sketch->room == SKETCH_INLINE_VALUES ? 32 : Min(sketch->room * 2, LIST_MAX);
	values = MemoryContextAlloc(sketch->context, sizeof(double) * sketch->room);
	memcpy(values, sketch->values, sizeof(double) * sketch->used);
	if (sketch->values != sketch->inline_values)
		pfree(sketch->values);
	sketch->values = values;
}

/* Adds a value (-0 is 0 already) where it is no mere append to the list, nor in a bucket. */
void
sketch_add_rare(Sketch *sketch, double value, int64 weight)
{
	if (isnan(value))
		sketch->nan += weight;
	else if (isinf(value))
		sketch->infinite[value > 0] += weight;
	else if (sketch->table == NULL && weight == 1 && sketch->used < LIST_MAX)
	{
		if (sketch->used == sketch->room)
			grow_list(sketch);
		sketch->values[sketch->used++] = value;
	}
	else
	{
		if (sketch->table == NULL)
			end_list(sketch);
		if (sketch->buckets != NULL)
			sketch_buckets_add(sketch->buckets, value, weight);
		else
			add_to_table(sketch, value, weight);
	}
}

/* Sketches of two accuracies make one of the coarser. */
void
sketch_set_accuracy(Sketch *sketch, int accuracy)
{
	if (accuracy <= sketch->accuracy)
		return;
	sketch->accuracy = accuracy;
	if (sketch->buckets != NULL)
		sketch_buckets_limit(sketch->buckets, accuracy);
}

/* The relative error that an answer may have, in 1/100000; 0: none. */
int
sketch_accuracy_in_force(const Sketch *sketch)
{
	if (sketch->buckets == NULL)
		return 0;
	return Max(sketch->accuracy, sketch_scale_accuracy(sketch->buckets->scale));
}

/* An accuracy that a user asks for, in 1/100000. */
int
sketch_check_accuracy(double accuracy)
{
	double units = floor(accuracy * SKETCH_ACCURACY_UNIT + 1e-6);

	if (!(units >= SKETCH_ACCURACY_MIN && units <= SKETCH_ACCURACY_MAX))
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						errmsg("accuracy %g of a percentile_sketch is not between 0.0014 and 0.3",
							   accuracy)));
	return (int) units;
}
