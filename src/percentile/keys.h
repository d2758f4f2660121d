/*
 * keys.h
 *		Values as unsigned integers of the same order, and lists of them.
 *
 * NaN is one key, above infinity, whatever its bits; -0 is below 0.
 */
#ifndef TENANCY_PERCENTILE_KEYS_H
#define TENANCY_PERCENTILE_KEYS_H

#include <math.h>

#include "utils/float.h"

#include "percentile/state.h"

#define PERCENTILE_INLINE_KEYS 10

struct PercentileFile;

/* A list grows in memory, then goes into a file and begins again.  128 bytes when small. */
typedef struct PercentileKeys
{
	PercentileState		   state;
	uint64				  *keys;
	int64				   used; /* keys in memory */
	int64				   room;
	struct PercentileFile *file;
	uint64				   inline_keys[PERCENTILE_INLINE_KEYS];
} PercentileKeys;

/* Reads a list from its first key on, as often as wanted. */
typedef struct PercentileReader
{
	const PercentileKeys *list;
	int64				  position;
	uint64				 *buffer;
} PercentileReader;

extern PercentileKeys *percentile_keys_new(MemoryContext context, int64 room);
extern void			   percentile_keys_free(PercentileKeys *list);
extern void			   percentile_keys_grow(PercentileKeys *list, FunctionCallInfo fcinfo);
extern void			   percentile_keys_add_many(PercentileKeys *list, const uint64 *keys, int64 n,
												FunctionCallInfo fcinfo);
extern int64		   percentile_keys_count(const void *list);
extern void			   percentile_read_start(PercentileReader *reader, const PercentileKeys *list);
extern int64		   percentile_read(PercentileReader *reader, const uint64 **block);
extern void percentile_select(const void *list, const int64 *ranks, int nranks, uint64 *found);

/* Key of a double. */
static inline uint64
percentile_key_of_float8(double value)
{
	uint64 bits;

	if (unlikely(isnan(value)))
		return PG_UINT64_MAX;
	memcpy(&bits, &value, sizeof(bits));
	return bits ^ ((uint64) ((int64) bits >> 63) | UINT64CONST(0x8000000000000000));
}

/* The double of a key. */
static inline double
percentile_float8_of_key(uint64 key)
{
	double value;

	if (unlikely(key == PG_UINT64_MAX))
		return get_float8_nan();
	key = key >> 63 ? key ^ UINT64CONST(0x8000000000000000) : ~key;
	memcpy(&value, &key, sizeof(value));
	return value;
}

/* Key of a whole number. */
static inline uint64
percentile_key_of_int64(int64 value)
{
	return (uint64) value ^ UINT64CONST(0x8000000000000000);
}

/* The whole number of a key. */
static inline int64
percentile_int64_of_key(uint64 key)
{
	return (int64) (key ^ UINT64CONST(0x8000000000000000));
}

/* Each type of value, and the key of a transition function's value. */
#define PERCENTILE_EACH_TYPE(FOR)                                                         \
	FOR(float8, percentile_key_of_float8(PG_GETARG_FLOAT8(1)))                            \
	FOR(float4, percentile_key_of_float8(PG_GETARG_FLOAT4(1)))                            \
	FOR(numeric, percentile_key_of_float8(percentile_numeric_float8(PG_GETARG_DATUM(1)))) \
	FOR(int2, percentile_key_of_int64(PG_GETARG_INT16(1)))                                \
	FOR(int4, percentile_key_of_int64(PG_GETARG_INT32(1)))                                \
	FOR(int8, percentile_key_of_int64(PG_GETARG_INT64(1)))                                \
	FOR(date, percentile_key_of_int64(PG_GETARG_DATEADT(1)))                              \
	FOR(timestamp, percentile_key_of_int64(PG_GETARG_TIMESTAMP(1)))

/* Adds a key; fcinfo, of a transition function, is for what a file needs. */
static inline void
percentile_keys_add(PercentileKeys *list, uint64 key, FunctionCallInfo fcinfo)
{
	if (unlikely(list->used == list->room))
		percentile_keys_grow(list, fcinfo);
	list->keys[list->used++] = key;
}

#endif
