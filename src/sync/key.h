/*
 * key.h
 *		Keys of rows: the key columns' values as text, each ended by a zero byte.
 */
#ifndef TENANCY_KEY_H
#define TENANCY_KEY_H

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/rel.h"

extern void		  key_append_part(StringInfo key, const char *text);
extern void		  key_append_value(StringInfo key, FmgrInfo *output, Datum value);
extern int		  key_parts(const char *key, int key_length, const char **parts, int most);
extern int		  key_parts_length(const char *p, const char *end, int n);
extern ArrayType *key_to_array(const char *key, int key_length);
extern void		  key_from_array(StringInfo key, ArrayType *array);
extern List		 *key_columns_of(Relation relation);
extern void		  key_pin_settings(void);

#endif
