/*
 * fractions.h
 *		The fractions that an aggregate was asked for, and the rows they stand for.
 */
#ifndef TENANCY_PERCENTILE_FRACTIONS_H
#define TENANCY_PERCENTILE_FRACTIONS_H

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/array.h"

typedef struct PercentileFractions
{
	bool	   fixed; /* the argument is the same in every row of the query */
	int		   count;
	ArrayType *array; /* as it was given; NULL: one fraction, not an array */
	double	  *values;
	bool	  *nulls;
} PercentileFractions;

/* Rows of a sorted input, from 0, that a fraction stands for, and how far between them. */
typedef struct PercentileRows
{
	int64  first;
	int64  second;
	double proportion;
} PercentileRows;

extern const PercentileFractions percentile_half;

extern void						  percentile_fraction_check(double fraction);
extern const PercentileFractions *percentile_fractions_of(FunctionCallInfo fcinfo,
														  MemoryContext	   context);
extern void						  percentile_fractions_same(FunctionCallInfo		   fcinfo,
															const PercentileFractions *fractions);
extern void						  percentile_fractions_unused(FunctionCallInfo fcinfo);
extern void percentile_fractions_agree(const PercentileFractions *a, const PercentileFractions *b);
extern const PercentileFractions *percentile_fractions_kept(FunctionCallInfo		   fcinfo,
															const PercentileFractions *given,
															MemoryContext			   context);
extern void percentile_fractions_write(StringInfo out, const PercentileFractions *fractions);
extern PercentileFractions *percentile_fractions_read(StringInfo in);
extern PercentileRows		percentile_rows(double fraction, int64 n, bool discrete);

#endif
