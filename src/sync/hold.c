/*
 * hold.c
 *		Relations that are held back, so that the others go on.
 *
 * An index of which the server takes nothing (a write block, no primary shard, closed) is
 * tried again after exponentially longer times, by itself: its lane goes on with the others.
 * Relations of a paused tenant (pause.c) are held until it is resumed.
 */
#include "postgres.h"

#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "common/guc.h"
#include "sync/backlog.h"
#include "sync/hold.h"
#include "sync/pause.h"

#define HOLD_FIRST_MS 100
#define HOLD_LONG_MS 1000
#define SWEEP_MS 600000

/* A relation whose items did not get in. */
typedef struct Hold
{
	Oid			relid; /* hash key */
	int			failures;
	TimestampTz since;
	TimestampTz until; /* tried again then */
} Hold;

/* What a batch came to for one relation. */
typedef struct Verdict
{
	Oid	 relid; /* hash key */
	bool got_in;
	bool failed;
	bool blocked;
	int	 nfailed;
} Verdict;

static HTAB *holds = NULL;

/* Hold of a relation, or NULL. */
static Hold *
find_hold(Oid relid)
{
	return holds != NULL ? hash_search(holds, &relid, HASH_FIND, NULL) : NULL;
}

/* Number of relations that are held since the server refuses them. */
uint64
hold_count(void)
{
	return holds != NULL ? hash_get_num_entries(holds) : 0;
}

/* True if the server refused a relation's last items. */
bool
hold_exists(Oid relid)
{
	return find_hold(relid) != NULL;
}

/* Until when a relation's keys must wait; 0: they need not. */
TimestampTz
hold_until(Oid relid, Oid schema)
{
	Hold *hold;

	if (pause_covers(schema))
		return DT_NOEND;
	hold = find_hold(relid);
	return hold != NULL && hold->until > GetCurrentTimestamp() ? hold->until : 0;
}

/*
 * True if a table must not be scanned now.  While keys of a refused one are in the backlog
 * these are tried first, a few at a time: a scan would only add to them.
 */
bool
hold_keeps_scan(Oid relid, Oid schema)
{
	return hold_until(relid, schema) != 0 || (hold_exists(relid) && backlog_has(relid));
}

/* True if a relation's keys wait for so long that nothing should wait for them. */
bool
hold_is_long(Oid relid, Oid schema)
{
	Hold *hold;

	if (pause_covers(schema))
		return true;
	hold = find_hold(relid);
	return hold != NULL &&
		   TimestampDifferenceExceeds(hold->since, GetCurrentTimestamp(), HOLD_LONG_MS);
}

/* Makes the table of holds. */
static void
make_table(void)
{
	HASHCTL ctl = {.keysize = sizeof(Oid), .entrysize = sizeof(Hold), .hcxt = TopMemoryContext};

	holds = hash_create("pg_tenancy holds", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* Holds a relation back, longer each time. */
static void
hold_back(SinkWorker *worker, Oid relid)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		found;
	Hold	   *hold;
	int64		wait;

	if (holds == NULL)
		make_table();
	hold = hash_search(holds, &relid, HASH_ENTER, &found);
	if (!found)
	{
		hold->failures = 0;
		hold->since = now;
	}
	else if (hold->until > now)
		return; /* another lane's request, sent before the hold */
	wait = Min((int64) HOLD_FIRST_MS << Min(hold->failures, 16), tenancy_retry_max);
	wait += random() % (wait / 4 + 1);
	hold->failures++;
	hold->until = TimestampTzPlusMilliseconds(now, wait);
	dirty_park(worker->dirty, relid, hold->until);
}

/* The server takes a relation's items again. */
static void
let_go(SinkWorker *worker, Oid relid)
{
	if (!hold_exists(relid))
		return;
	hash_search(holds, &relid, HASH_REMOVE, NULL);
	dirty_review(worker->dirty, relid);
}

/* True if an outcome is the server's word on a document, not a refusal to take any. */
static bool
is_answer(SinkOutcome outcome)
{
	return outcome == SINK_DONE || outcome == SINK_CONFLICT || outcome == SINK_REFUSED ||
		   outcome == SINK_ELSEWHERE;
}

/* True if an item did not get in and is not over: alone, what is too large is. */
static bool
is_open(const SinkBatch *batch, SinkOutcome outcome)
{
	return !is_answer(outcome) && (outcome != SINK_TOO_LARGE || batch->nitems > 1);
}

/* Adds an item to its relation's verdict. */
static void
judge_item(HTAB *verdicts, const SinkBatch *batch, Oid relid, SinkOutcome outcome)
{
	bool	 found;
	Verdict *verdict = hash_search(verdicts, &relid, HASH_ENTER, &found);

	if (!found)
		memset(verdict, 0, sizeof(Verdict));
	verdict->relid = relid;
	verdict->got_in |= is_answer(outcome);
	verdict->blocked |= outcome == SINK_BLOCKED;
	verdict->failed |= outcome == SINK_AGAIN;
	/* a missing index is parked by itself */
	verdict->nfailed +=
		is_open(batch, outcome) && outcome != SINK_BLOCKED && outcome != SINK_NO_INDEX;
}

/* Acts on the verdicts; returns the failed items that no hold is for. */
static int
execute(SinkWorker *worker, HTAB *verdicts, bool any_got_in)
{
	HASH_SEQ_STATUS scan;
	Verdict		   *verdict;
	int				others = 0;

	hash_seq_init(&scan, verdicts);
	while ((verdict = hash_seq_search(&scan)) != NULL)
	{
		bool alone = verdict->failed && !verdict->got_in && any_got_in;

		if (OidIsValid(verdict->relid) && (verdict->blocked || alone))
			hold_back(worker, verdict->relid);
		else
			others += verdict->nfailed;
		if (verdict->got_in && !verdict->blocked)
			let_go(worker, verdict->relid);
	}
	return others;
}

/*
 * Looks at what became of a batch's relations.  One that the server says is blocked, or of
 * which nothing got in while others' items did, is held by itself.
 */
int
hold_judge(SinkWorker *worker, SyncLane *lane)
{
	HASHCTL ctl = {.keysize = sizeof(Oid), .entrysize = sizeof(Verdict), .hcxt = lane->context};
	HTAB   *verdicts;
	bool	any_got_in = false;
	int		open = 0;
	int		others;

	for (int i = 0; i < lane->batch.nitems; i++)
	{
		any_got_in |= is_answer(lane->batch.items[i].outcome);
		open += is_open(&lane->batch, lane->batch.items[i].outcome);
	}
	if (lane->batch.error[0] != '\0' || (open == 0 && hold_count() == 0))
		return open;
	verdicts = hash_create("pg_tenancy verdicts", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	for (int i = 0; i < lane->batch.nitems; i++)
		judge_item(verdicts, &lane->batch, lane->entries[i]->relid, lane->batch.items[i].outcome);
	others = execute(worker, verdicts, any_got_in);
	hash_destroy(verdicts);
	return others;
}

/* Forgets relations that nothing has been sent of for long: they are gone. */
void
hold_sweep(void)
{
	HASH_SEQ_STATUS scan;
	Hold		   *hold;

	if (holds == NULL)
		return;
	hash_seq_init(&scan, holds);
	while ((hold = hash_seq_search(&scan)) != NULL)
		if (TimestampDifferenceExceeds(hold->until, GetCurrentTimestamp(),
									   SWEEP_MS + tenancy_retry_max))
			hash_search(holds, &hold->relid, HASH_REMOVE, NULL);
}
