/*
 * numeric.h
 *		numeric as float8.
 */
#ifndef TENANCY_PERCENTILE_NUMERIC_H
#define TENANCY_PERCENTILE_NUMERIC_H

#include "fmgr.h"

extern double percentile_numeric_float8(Datum value);

#endif
