/*
 * samples.c
 *		Rows whose cache keys were unlinked a moment ago, for the inspector to look at again.
 *
 * A place is taken at most every SAMPLE_EVERY_MS, and is free again after the last look:
 * sampling costs the worker one comparison for most rows.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "sync/samples.h"

#define SAMPLE_EVERY_MS 120

static const int windows_ms[SAMPLE_WINDOWS] = {1000, 10000, 60000};

/* Called for each row whose keys were unlinked. */
void
samples_note(DatabaseShared *database, const SinkItem *item)
{
	static TimestampTz noted_at = 0;
	static uint32	   next = 0;
	TimestampTz		   now;
	CacheSample		  *sample = &database->samples[next % SAMPLES_MAX];

	if (item->target == NULL || item->target->ncache_keys == 0 ||
		item->key_length > SAMPLE_KEY_MAX || item->action == SINK_FORGET_TENANT)
		return;
	now = GetCurrentTimestamp();
	if (!TimestampDifferenceExceeds(noted_at, now, SAMPLE_EVERY_MS))
		return;
	noted_at = now;
	SpinLockAcquire(&database->samples_mutex);
	if (!OidIsValid(sample->relid))
	{
		sample->relid = item->target->relid;
		sample->key_length = item->key_length;
		memcpy(sample->key, item->key, item->key_length);
		sample->at = now;
		sample->looked = 0;
		next++;
	}
	SpinLockRelease(&database->samples_mutex);
}

/* True if a sample's next look is due. */
static bool
is_due(const CacheSample *sample, TimestampTz now)
{
	return OidIsValid(sample->relid) &&
		   TimestampDifferenceExceeds(sample->at, now, windows_ms[sample->looked]);
}

/* True if one is to be looked at now; *pending: there are any. */
bool
samples_due(DatabaseShared *database, bool *pending)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		due = false;

	*pending = false;
	SpinLockAcquire(&database->samples_mutex);
	for (int i = 0; i < SAMPLES_MAX; i++)
	{
		*pending |= OidIsValid(database->samples[i].relid);
		due |= is_due(&database->samples[i], now);
	}
	SpinLockRelease(&database->samples_mutex);
	return due;
}

/* Takes one that is due. */
bool
samples_take(DatabaseShared *database, CacheSample *taken, int *window)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		found = false;

	SpinLockAcquire(&database->samples_mutex);
	for (int i = 0; i < SAMPLES_MAX && !found; i++)
	{
		CacheSample *sample = &database->samples[i];

		if (!is_due(sample, now))
			continue;
		*taken = *sample;
		*window = sample->looked++;
		if (sample->looked == SAMPLE_WINDOWS)
			sample->relid = InvalidOid;
		found = true;
	}
	SpinLockRelease(&database->samples_mutex);
	return found;
}
