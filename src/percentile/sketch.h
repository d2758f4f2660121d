/*
 * sketch.h
 *		Sketches of many values: all of them while they take little room, then how many are in each bucket.
 *
 * What a sketch is depends on its values and its accuracy only, not on how they came together.
 */
#ifndef TENANCY_PERCENTILE_SKETCH_H
#define TENANCY_PERCENTILE_SKETCH_H

#include <math.h>

#include "fmgr.h"

#include "percentile/sketch_buckets.h"

#define SKETCH_INLINE_VALUES 8
#define SKETCH_COUNT_MAX (INT64CONST(1) << 61) /* two of them are still a number */

/* A value, and how often it is there. */
typedef struct SketchPair
{
	double value;
	int64  count;
} SketchPair;

/* Values by hash. */
typedef struct SketchTable
{
	uint32		bits;
	uint32		used;
	SketchPair *slots; /* 2^bits; count 0: free */
} SketchTable;

/* A list first, then a table of different values, then buckets. */
typedef struct Sketch
{
	MemoryContext	context;
	int				accuracy; /* as asked for, in 1/100000; 0: not said yet */
	int				room;
	int				used;
	double			asked;	/* accuracy as the aggregate's argument has it */
	double		   *values; /* the list */
	SketchTable	   *table;
	SketchBuckets  *buckets;
	int64			count; /* of all */
	int64			nan;
	struct varlena *only;		 /* not read yet: the only sketch that was merged */
	int64			infinite[2]; /* -infinity, infinity */
	double			inline_values[SKETCH_INLINE_VALUES];
} Sketch;

/* Why a sketch's bytes were looked at: what an error says. */
typedef enum SketchSource
{
	SKETCH_STORED,
	SKETCH_TEXT,
	SKETCH_BINARY
} SketchSource;

extern Sketch		  *sketch_new(MemoryContext context, int accuracy);
extern void			   sketch_count_more(Sketch *sketch, int64 more);
extern void			   sketch_add_rare(Sketch *sketch, double value, int64 weight);
extern void			   sketch_to_buckets(Sketch *sketch);
extern void			   sketch_set_accuracy(Sketch *sketch, int accuracy);
extern SketchPair	  *sketch_pairs(const Sketch *sketch, int *n);
extern int			   sketch_accuracy_in_force(const Sketch *sketch);
extern struct varlena *sketch_write(Sketch *sketch);
extern void	   sketch_apply(Sketch *sketch, const struct varlena *bytes, SketchSource source);
extern Sketch *sketch_read(const struct varlena *bytes, SketchSource source);
extern bool	   sketch_put_values(SketchWriter *out, const SketchPair *pairs, int n, uint8 *kind);
extern bool	   sketch_get_values(SketchReader *in, Sketch *sketch, uint8 kind);
extern int	   sketch_check_accuracy(double accuracy);

/* The sketch that a function was given. */
#define PG_GETARG_SKETCH(n) \
	sketch_read((const struct varlena *) PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(n)), SKETCH_STORED)

/* Adds a value so many times. */
static inline void
sketch_add(Sketch *sketch, double value, int64 weight)
{
	if (likely(weight == 1 && sketch->count < SKETCH_COUNT_MAX))
		sketch->count++;
	else
		sketch_count_more(sketch, weight);
	if (unlikely(!isfinite(value)))
		sketch_add_rare(sketch, value, weight);
	else if (sketch->buckets != NULL)
		sketch_buckets_add(sketch->buckets, value, weight);
	else if (likely(weight == 1 && sketch->table == NULL && sketch->used < sketch->room))
		sketch->values[sketch->used++] = value + 0.0; /* -0 becomes 0 */
	else
		sketch_add_rare(sketch, value + 0.0, weight);
}

#endif
