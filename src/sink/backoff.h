/*
 * backoff.h
 *		When to try again: 250 ms doubling up to tenancy.retry_max, with jitter.
 */
#ifndef TENANCY_BACKOFF_H
#define TENANCY_BACKOFF_H

#include "datatype/timestamp.h"

typedef struct Backoff
{
	int			failures; /* in a row */
	TimestampTz next_try;
} Backoff;

extern void sink_backoff_reset(Backoff *backoff);
extern void sink_backoff_failed(Backoff *backoff);
/* Not before that many milliseconds have passed, as a server asked; an hour at most. */
extern void sink_backoff_postpone(Backoff *backoff, int64 ms);
/* Milliseconds until the next try. */
extern long sink_backoff_left(const Backoff *backoff);

#endif
