/*
 * select_pointers.h
 *		Selection among values that have to be compared.
 */
#ifndef TENANCY_PERCENTILE_SELECT_POINTERS_H
#define TENANCY_PERCENTILE_SELECT_POINTERS_H

typedef int (*PercentileCompare)(const void *a, const void *b);

/* Puts the values of the ranks (ascending, from 0) where they would be if all were sorted. */
extern void percentile_select_pointers(const void **values, int64 n, PercentileCompare compare,
									   const int64 *ranks, int nranks);

#endif
