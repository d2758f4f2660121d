/*
 * doc_time.c
 *		Bounds the time that a document may take.
 *
 * A function may catch what cancels it, and go on.  It would hold the worker, and with it
 * everybody's changes, so that after some more attempts the worker ends, which cannot be
 * caught; shared memory keeps whose documents those were.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "common/guc.h"
#include "sync/doc_time.h"
#include "sync/shared.h"

#define AGAIN_MS 1000
#define CAUGHT_MAX 3 /* cancellations that may be caught */

static volatile sig_atomic_t timed_out = false;
static volatile sig_atomic_t caught = 0;
static DatabaseShared		*database = NULL; /* of a worker */
static Oid					 current = InvalidOid;

/* Keeps in shared memory whose documents do not end; called in a signal handler. */
static void
note_unending(void)
{
	uint32 place = pg_atomic_fetch_add_u32(&database->next_unending, 1) % UNENDING_MAX;

	pg_atomic_write_u64(&database->unending[place].at, GetCurrentTimestamp());
	pg_atomic_write_u32(&database->unending[place].relid, current);
}

/* The row at hand takes too long: each time but the first it has caught the former cancellation. */
static void
on_timeout(void)
{
	if (timed_out && !QueryCancelPending && database != NULL && ++caught >= CAUGHT_MAX)
	{
		if (caught == CAUGHT_MAX)
			note_unending();
		ProcDiePending = true;
	}
	else
		QueryCancelPending = true;
	timed_out = true;
	InterruptPending = true;
	SetLatch(MyLatch);
}

/* This process is a worker, which may be ended: others are ended by who began them. */
void
doc_time_init(void)
{
	database = tenancy_shared_mine();
}

/* The timeout of ours. */
static TimeoutId
timeout_id(void)
{
	static int id = -1;

	if (id < 0)
		id = RegisterTimeout(USER_TIMEOUT, on_timeout);
	return id;
}

/* Bounds the time of the next row; see the header. */
void
doc_time_begin(Oid relid)
{
	TimeoutId id = timeout_id();

	disable_timeout(id, false);
	current = relid;
	timed_out = false;
	caught = 0;
	enable_timeout_every(
		id, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), tenancy_document_timeout), AGAIN_MS);
}

/* The row has ended, one way or another. */
void
doc_time_end(void)
{
	disable_timeout(timeout_id(), false);
	if (timed_out)
		QueryCancelPending = false;
}

/* Was a row cancelled since doc_time_reset? */
bool
doc_time_is_up(void)
{
	return timed_out;
}

/* Nothing has been cancelled. */
void
doc_time_reset(void)
{
	timed_out = false;
}

/* Throws for a relation whose documents a worker could not be kept from making but by its end. */
void
doc_time_require_end(Oid relid)
{
	DatabaseShared *shared = tenancy_shared_mine();

	for (int i = 0; shared != NULL && i < UNENDING_MAX; i++)
		if (pg_atomic_read_u32(&shared->unending[i].relid) == relid)
			ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
							errmsg("making a document did not end when it was cancelled"),
							errhint("Replace the function that catches query_canceled.")));
}

/*
 * Lets go of relations for which ten times of what they cost has passed: they are tried again.
 * True if there was one.
 */
bool
doc_time_expire(void)
{
	bool expired = false;

	for (int i = 0; database != NULL && i < UNENDING_MAX; i++)
	{
		Unending *unending = &database->unending[i];

		if (pg_atomic_read_u32(&unending->relid) == InvalidOid ||
			!TimestampDifferenceExceeds(pg_atomic_read_u64(&unending->at), GetCurrentTimestamp(),
										10 * (tenancy_document_timeout + CAUGHT_MAX * AGAIN_MS)))
			continue;
		pg_atomic_write_u32(&unending->relid, InvalidOid);
		expired = true;
	}
	return expired;
}
