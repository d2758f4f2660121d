/*
 * transfer.c
 *		States of keys between parallel workers.
 *
 * What is sent is read by the same program on the same machine: the order of bytes is its own.
 */
#include "postgres.h"

#include "libpq/pqformat.h"
#include "utils/memutils.h"

#include "percentile/keys.h"

PG_FUNCTION_INFO_V1(percentile_keys_serialize);
PG_FUNCTION_INFO_V1(percentile_keys_deserialize);
PG_FUNCTION_INFO_V1(percentile_keys_combine);

/* A state of a worker as bytes: the fractions, how many keys, the keys. */
Datum
percentile_keys_serialize(PG_FUNCTION_ARGS)
{
	PercentileKeys	*list = (PercentileKeys *) PG_GETARG_POINTER(0);
	int64			 n = percentile_keys_count(list);
	StringInfoData	 head;
	PercentileReader reader;
	const uint64	*block;
	int64			 some;
	bytea			*out;
	char			*at;

	(void) percentile_agg_context(fcinfo);
	initStringInfo(&head);
	percentile_fractions_write(&head, list->state.fractions);
	pq_sendint64(&head, n);
	if (n > (MaxAllocSize - VARHDRSZ - head.len) / sizeof(uint64))
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("a parallel worker has more values of one group than it can send"),
						errhint("Set max_parallel_workers_per_gather to 0.")));
	out = palloc(VARHDRSZ + head.len + n * sizeof(uint64));
	SET_VARSIZE(out, VARHDRSZ + head.len + n * sizeof(uint64));
	memcpy(VARDATA(out), head.data, head.len);
	at = VARDATA(out) + head.len;
	percentile_read_start(&reader, list);
	while ((some = percentile_read(&reader, &block)) > 0)
	{
		memcpy(at, block, some * sizeof(uint64));
		at += some * sizeof(uint64);
	}
	PG_RETURN_BYTEA_P(out);
}

/* What a worker sent, as a list whose keys are in the message if they are aligned there. */
Datum
percentile_keys_deserialize(PG_FUNCTION_ARGS)
{
	bytea		   *in = PG_GETARG_BYTEA_PP(0);
	PercentileKeys *list = percentile_keys_new(CurrentMemoryContext, 0);
	StringInfoData	message = {.data = VARDATA_ANY(in), .len = VARSIZE_ANY_EXHDR(in)};
	const char	   *keys;

	(void) percentile_agg_context(fcinfo);
	list->state.fractions = percentile_fractions_read(&message);
	list->used = pq_getmsgint64(&message);
	list->room = list->used;
	keys = pq_getmsgbytes(&message, list->used * sizeof(uint64));
	if (TYPEALIGN(sizeof(uint64), keys) == (uintptr_t) keys)
		list->keys = (uint64 *) keys;
	else
	{
		list->keys = MemoryContextAllocHuge(CurrentMemoryContext, list->used * sizeof(uint64) + 1);
		memcpy(list->keys, keys, list->used * sizeof(uint64));
	}
	PG_RETURN_POINTER(list);
}

/* Adds what a worker sent to the leader's state; either may have had no row. */
Datum
percentile_keys_combine(PG_FUNCTION_ARGS)
{
	MemoryContext	context = percentile_agg_context(fcinfo);
	PercentileKeys *list = PG_ARGISNULL(0) ? NULL : (PercentileKeys *) PG_GETARG_POINTER(0);
	PercentileKeys *more = PG_ARGISNULL(1) ? NULL : (PercentileKeys *) PG_GETARG_POINTER(1);

	if (more == NULL)
	{
		if (list == NULL)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(list);
	}
	if (list == NULL)
	{
		list = percentile_keys_new(context, 0);
		list->state.fractions = percentile_fractions_kept(fcinfo, more->state.fractions, context);
	}
	percentile_fractions_agree(list->state.fractions, more->state.fractions);
	percentile_keys_add_many(list, more->keys, more->used, fcinfo);
	PG_RETURN_POINTER(list);
}
