/*
 * backoff.c
 *		When to try again: 250 ms doubling up to tenancy.retry_max, with jitter.
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "utils/timestamp.h"

#include "common/guc.h"
#include "sink/backoff.h"

#define FIRST_WAIT 250 /* ms */
#define POSTPONE_MAX 3600000

/* The next try may be at once. */
void
sink_backoff_reset(Backoff *backoff)
{
	backoff->failures = 0;
	backoff->next_try = 0;
}

/* Counts a failure; the wait is between half and the whole of its step, so that servers part. */
void
sink_backoff_failed(Backoff *backoff)
{
	int64  step = (int64) FIRST_WAIT << Min(backoff->failures, 20);
	double share = 0.5 + pg_prng_double(&pg_global_prng_state) / 2;

	step = Min(step, tenancy_retry_max);
	backoff->failures++;
	backoff->next_try = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), (int64) (step * share));
}

/* Not before that many milliseconds have passed. */
void
sink_backoff_postpone(Backoff *backoff, int64 ms)
{
	TimestampTz earliest =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), Min(ms, POSTPONE_MAX));

	if (ms > 0)
		backoff->next_try = Max(backoff->next_try, earliest);
}

/* Milliseconds until the next try, 0 if it is due. */
long
sink_backoff_left(const Backoff *backoff)
{
	if (backoff->next_try == 0)
		return 0;
	return TimestampDifferenceMilliseconds(GetCurrentTimestamp(), backoff->next_try);
}
