/*
 * input.h
 *		A type's value from text that may be no value of it.
 */
#ifndef TENANCY_INPUT_H
#define TENANCY_INPUT_H

#include "fmgr.h"

extern bool tenancy_input(FmgrInfo *function, const char *text, Oid parameter, int32 typmod,
						  Datum *value);

#endif
