/*
 * target_months.h
 *		The months of a target's places.
 */
#ifndef TENANCY_TARGET_MONTHS_H
#define TENANCY_TARGET_MONTHS_H

#include "sink/place.h"

/* Takes them from the last result's first row, from a column on. */
extern void target_add_months(SinkTarget *target, MemoryContext context, int column);

#endif
