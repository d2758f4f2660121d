/*
 * settle.c
 *		What differs and is not just in motion.
 *
 * In each round the sink first gets everything that was committed before; then the
 * documents are read again, then the rows.  A document that has the same version in two
 * rounds has not been written for any commit up to the later wait, so the row read
 * between them is the one it should be.  A document that is not there has no version, so
 * there the row must be the same before and after, too.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "common/spi.h"
#include "sync/message.h"
#include "verify/run.h"

#define ROUNDS 5

typedef enum Verdict
{
	RIGHT,
	WRONG,
	OPEN
} Verdict;

/* True if the document was written after the position. */
static bool
written_since(VerifyRun *run, const VerifyKey *key, uint64 position)
{
	return key->document.found && key->document.version > (((uint64) run->epoch << 52) | position);
}

/* What a round showed about one key. */
static Verdict
decide(VerifyRun *run, VerifyKey *key, uint64 position)
{
	uint64 version = key->document.version;
	bool   repeated = key->rounds > 0 && key->last_version == version;

	if (key->agrees || verify_agrees(run, key, &key->row))
		return RIGHT;
	if (verify_never_issued(run, key))
		return WRONG;
	key->rounds++;
	key->last_version = version;
	key->moved |= version != key->first_version;
	if (!repeated || written_since(run, key, position))
		return OPEN;
	return verify_same_row(&key->before, &key->row) ? WRONG : OPEN;
}

/* Counts a key that is wrong. */
static void
count_wrong(VerifyRun *run, const VerifyKey *key)
{
	if (!key->row.there)
		run->counts.ghost++;
	else if (key->document.found)
		run->counts.stale++;
	else
		run->counts.missing++;
}

/* Takes the keys that a round decided off the list; returns how many stay. */
static int
decide_all(VerifyRun *run, VerifyKey **keys, int n, uint64 position, VerifyKey **wrong, int *nwrong)
{
	int open = 0;

	for (int i = 0; i < n; i++)
	{
		Verdict verdict = decide(run, keys[i], position);

		if (verdict == WRONG)
			wrong[(*nwrong)++] = keys[i];
		else if (verdict == OPEN)
			keys[open++] = keys[i];
	}
	return open;
}

/* A row that never stood still is wrong if its document never moved. */
static void
decide_rest(VerifyKey **keys, int n, VerifyKey **wrong, int *nwrong)
{
	for (int i = 0; i < n; i++)
		if (!keys[i]->moved)
			wrong[(*nwrong)++] = keys[i];
}

/* Marks keys dirty: the sinks look at their rows again. */
void
verify_repair(VerifyRun *run, VerifyKey **keys, int n)
{
	tenancy_tx_begin("pg_tenancy verify: marking keys dirty");
	for (int i = 0; i < n; i++)
		tenancy_message_mark_dirty(run->relid, keys[i]->document.key, keys[i]->document.key_length);
	tenancy_tx_commit();
}

/* One round: documents, then rows. */
static VerifyState
look_again(VerifyRun *run, VerifyKey **keys, int n)
{
	VerifyState state = verify_fetch(run, keys, n);
	int			done = 0;
	int			read;

	while (state == VERIFY_READY && done < n)
	{
		state = verify_read_rows(run, keys + done, n - done, MaxAllocSize, &read);
		done += read;
	}
	return state;
}

/* Counts the keys that are really wrong, and marks them dirty if that is asked for. */
VerifyState
verify_settle(VerifyRun *run, VerifyKey **keys, int n)
{
	VerifyKey **wrong = palloc(n * sizeof(VerifyKey *));
	int			nwrong = 0;
	VerifyState state = VERIFY_READY;

	for (int i = 0; i < n; i++)
		keys[i]->first_version = keys[i]->document.version;
	for (int round = 0; round < ROUNDS && n > 0 && state == VERIFY_READY; round++)
	{
		uint64 position = verify_sink_wait(run);

		CHECK_FOR_INTERRUPTS();
		state = look_again(run, keys, n);
		if (state == VERIFY_READY)
			n = decide_all(run, keys, n, position, wrong, &nwrong);
	}
	if (state == VERIFY_READY)
	{
		decide_rest(keys, n, wrong, &nwrong);
		if (run->new_index && nwrong > 0)
			nwrong = verify_without_letters(run, wrong, nwrong);
		for (int i = 0; i < nwrong; i++)
			count_wrong(run, wrong[i]);
		if (run->repair && nwrong > 0)
			verify_repair(run, wrong, nwrong);
	}
	pfree(wrong);
	return state;
}
