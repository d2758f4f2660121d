/*
 * keys.c
 *		Comparing the rows and documents of keys, in batches of bounded size.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "verify/run.h"

/* Bytes of rows in one batch, beyond the first row. */
#define BATCH_BYTES (2 * 1024 * 1024)

/* Compares the first keys of a list; *done: how many. */
static VerifyState
verify_batch(VerifyRun *run, VerifyKey **keys, int n, int *done)
{
	int			differ = 0;
	VerifyState state = verify_read_rows(run, keys, n, BATCH_BYTES, done);

	if (state == VERIFY_READY)
		state = verify_fetch(run, keys, *done);
	if (state != VERIFY_READY)
		return state;
	for (int i = 0; i < *done; i++)
		if (!keys[i]->agrees)
			keys[differ++] = keys[i];
	return differ > 0 ? verify_settle(run, keys, differ) : VERIFY_READY;
}

/* Compares all of them and counts what differs. */
VerifyState
verify_keys(VerifyRun *run, VerifyKey *keys, int n)
{
	VerifyKey **list = palloc(Max(n, 1) * sizeof(VerifyKey *));
	VerifyState state = VERIFY_READY;
	int			at = 0;

	for (int i = 0; i < n; i++)
		list[i] = &keys[i];
	while (at < n && state == VERIFY_READY)
	{
		int done = 0;

		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(run->batch_context);
		state = verify_batch(run, list + at, n - at, &done);
		at += done;
	}
	pfree(list);
	return state;
}
