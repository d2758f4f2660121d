/*
 * provision_work.h
 *		What there is to do about the indices that tenancy.search_index lists.
 */
#ifndef TENANCY_PROVISION_WORK_H
#define TENANCY_PROVISION_WORK_H

#include "sink/index_job.h"

/*
 * Reads the rows that are due as jobs, at most so many, and of those that do not do their work
 * together at most so many alone, behind those there are; returns in how many milliseconds the next
 * one is.  Inside a scope.
 */
extern long provision_read_work(IndexJob *jobs, int most, int most_alone, int *njobs,
								MemoryContext context);

#endif
