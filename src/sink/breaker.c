/*
 * breaker.c
 *		Keeps backends from waiting for a server that does not answer.
 */
#include "postgres.h"

#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/timestamp.h"

#include "sink/breaker.h"

#define PAUSE_MIN 250 /* ms */
#define PAUSE_MAX 5000
#define PROBE_TIME 5000 /* a probe that says nothing for so long counts as lost */

typedef struct Breaker
{
	slock_t		mutex;
	int			pause; /* ms; 0: closed, calls go through */
	TimestampTz refuse_until;
	TimestampTz probe_until; /* somebody tries until then, 0: nobody */
} Breaker;

static Breaker	local_breakers[SINK_COUNT];
static Breaker *breakers = local_breakers;

/* Shared memory it needs. */
Size
breaker_shmem_size(void)
{
	return sizeof(Breaker) * SINK_COUNT;
}

/* Finds or makes the shared breakers. */
void
breaker_shmem_init(void)
{
	bool found;

	breakers = ShmemInitStruct("pg_tenancy breakers", breaker_shmem_size(), &found);
	if (found)
		return;
	memset(breakers, 0, breaker_shmem_size());
	for (int i = 0; i < SINK_COUNT; i++)
		SpinLockInit(&breakers[i].mutex);
}

/* True if the caller may try; it then reports success or failure. */
bool
breaker_allows(SinkKind kind)
{
	Breaker	   *breaker = &breakers[kind];
	TimestampTz now = GetCurrentTimestamp();
	bool		allowed;

	SpinLockAcquire(&breaker->mutex);
	allowed = breaker->pause == 0 || (now >= breaker->refuse_until && now >= breaker->probe_until);
	if (allowed && breaker->pause != 0)
		breaker->probe_until = TimestampTzPlusMilliseconds(now, PROBE_TIME);
	SpinLockRelease(&breaker->mutex);
	return allowed;
}

/* The server answered. */
void
breaker_success(SinkKind kind)
{
	Breaker *breaker = &breakers[kind];

	SpinLockAcquire(&breaker->mutex);
	breaker->pause = 0;
	breaker->probe_until = 0;
	SpinLockRelease(&breaker->mutex);
}

/* The server did not answer; failures of calls begun before the pause do not prolong it. */
void
breaker_failure(SinkKind kind)
{
	Breaker	   *breaker = &breakers[kind];
	TimestampTz now = GetCurrentTimestamp();

	SpinLockAcquire(&breaker->mutex);
	if (breaker->pause == 0 || now >= breaker->refuse_until)
	{
		breaker->pause = breaker->pause == 0 ? PAUSE_MIN : Min(breaker->pause * 2, PAUSE_MAX);
		breaker->refuse_until = TimestampTzPlusMilliseconds(now, breaker->pause);
		breaker->probe_until = 0;
	}
	SpinLockRelease(&breaker->mutex);
}
