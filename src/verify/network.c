/*
 * network.c
 *		Talking to the search server: waiting, and trying again.
 *
 * No transaction is open in any of these.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "common/compat.h"
#include "common/errors.h"
#include "sync/months.h"
#include "verify/run.h"

#define CONNECT_MS 10000
#define ATTEMPTS 5
#define RETRY_FIRST_MS 100

/* Bytes of the documents in one answer, and what a single one may have beyond its row. */
#define REPLY_BYTES (8 * 1024 * 1024)

/* Waits for an event, at most so long, and drives the requests. */
void
verify_wait(VerifyRun *run, long ms)
{
	static uint32 wait_event = 0;
	pgsocket	  fd = run->driver->event_fd();
	long		  driver_ms = run->driver->timeout();
	int			  events = WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH;

	if (wait_event == 0)
		wait_event = compat_wait_event("TenancyVerify");
	if (fd != PGINVALID_SOCKET)
		events |= WL_SOCKET_READABLE;
	if (driver_ms >= 0)
		ms = Min(ms, driver_ms);
	(void) WaitLatchOrSocket(MyLatch, events, fd, ms, wait_event);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	run->driver->poll();
}

/* Waits so long whatever happens. */
void
verify_pause(VerifyRun *run, long ms)
{
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);
	long		left;

	while ((left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), end)) > 0)
		verify_wait(run, left);
}

/* Says that there is no talking to the server. */
static void
give_up(SinkHealth health, const char *error)
{
	if (health == SINK_UNAUTHORIZED)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_SEARCH_UNAVAILABLE),
						errmsg("the search server refuses access: %s", error)));
	ereport(ERROR, (errcode(ERRCODE_TENANCY_SEARCH_UNAVAILABLE),
					errmsg("the search server is unreachable: %s",
						   error[0] != '\0' ? error : "no answer in time")));
}

/* Waits until the server is there; an error if it does not come. */
void
verify_connect(VerifyRun *run)
{
	TimestampTz start = GetCurrentTimestamp();
	const char *error = "";
	SinkHealth	health;

	run->driver->poll();
	while ((health = run->driver->health(&error)) != SINK_READY)
	{
		if (health == SINK_UNAUTHORIZED ||
			TimestampDifferenceExceeds(start, GetCurrentTimestamp(), CONNECT_MS))
			give_up(health, error);
		verify_wait(run, 1000);
	}
}

/* Bytes that an answer about keys may have. */
static size_t
most_bytes(VerifyKey **keys, int n)
{
	return n > 1 ? REPLY_BYTES : REPLY_BYTES + 2 * (size_t) keys[0]->row.length;
}

/* Asks once, compares what came. */
static SinkFetchResult
fetch_once(VerifyRun *run, VerifyKey **keys, int n)
{
	SinkDocument  **documents = palloc(n * sizeof(SinkDocument *));
	const char	   *error;
	SinkFetch	   *fetch;
	SinkFetchResult result;

	for (int i = 0; i < n; i++)
	{
		const SinkPlace *place =
			months_place(run->place, keys[i]->document.key, keys[i]->document.key_length);

		documents[i] = &keys[i]->document;
		documents[i]->alias = !run->place->monthly ? NULL
							  : place != NULL && place != run->place
								  ? place->alias
								  : run->place->index_name; /* its alias is that of all */
	}
	fetch = run->driver->fetch_open(run->place, documents, n, most_bytes(keys, n));
	while ((result = run->driver->fetch_poll(fetch, &error)) == SINK_FETCH_BUSY)
		verify_wait(run, 1000);
	if (result == SINK_FETCH_DONE)
		verify_judge(run, keys, n);
	else
		strlcpy(run->reason, error, SINK_REASON_MAX);
	run->driver->fetch_close(fetch);
	pfree(documents);
	return result;
}

/* Reads the documents of keys and compares them with their rows. */
VerifyState
verify_fetch(VerifyRun *run, VerifyKey **keys, int n)
{
	for (int attempt = 0; attempt < ATTEMPTS; attempt++)
	{
		VerifyState		first;
		SinkFetchResult result = fetch_once(run, keys, n);

		if (result == SINK_FETCH_DONE)
			return VERIFY_READY;
		if (result == SINK_FETCH_NO_INDEX && run->repair)
			verify_repair(run, keys, 1); /* the sink notices, makes it again and fills it */
		if (result == SINK_FETCH_NO_INDEX)
			return VERIFY_NOT_READY;
		if (result == SINK_FETCH_TOO_LARGE)
		{
			first = verify_fetch(run, keys, n / 2);
			return first != VERIFY_READY ? first : verify_fetch(run, keys + n / 2, n - n / 2);
		}
		verify_connect(run);
		verify_pause(run, (long) RETRY_FIRST_MS << attempt);
	}
	return VERIFY_NOT_READY;
}
