/*
 * redis_mark.c
 *		The cache sink's mark in Redis: how new a value must be to be stored at all.
 *
 * The mark is a snapshot.  A floor that has expired, or that Redis has lost, is about a change
 * that the mark sees: who reads with a snapshot that sees as much has seen the change.
 * With G = tenancy.cache_guard_time, the life of a floor: a snapshot is taken every G/6 and
 * becomes the mark G/6 later, so that queries may take that long.  It is written every second,
 * and expires 5/6 G after it was taken, by Redis' own clock: always before a floor that was
 * made after it was; and in any case 3 s after it was written, so that none is found in what
 * Redis has loaded.  If it is not there, Redis may have lost floors too: then the mark is a
 * snapshot taken now.  If the worker ends, so does the storing.
 *
 * A Redis that evicts keys takes floors, and sets of tags, before the values that need them: it has no mark.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "common/guc.h"
#include "common/spi.h"
#include "common/xid.h"
#include "sink/redis_keys.h"
#include "sink/redis_mark.h"
#include "sink/redis_scripts.h"
#include "sink/redis_server.h"
#include "sink/text.h"

#define WRITE_EVERY_MS 1000
#define CLOCK_SLACK_MS 1000
#define ASK_EVERY 10 /* writes: then the server is asked again how it evicts */

/* A snapshot and the time of Redis before it was taken. */
typedef struct Sample
{
	char *text;
	int64 since; /* ms */
} Sample;

static Sample	   mark;
static Sample	   next_mark;
static int64	   redis_time = 0; /* at the last reply, 0: none yet */
static bool		   awaited = false;
static TimestampTz written_at = 0;
static int		   writes = 0;
static char		   error[SINK_REASON_MAX]; /* of the last try to write, "": none */
static bool		   told = false;		   /* it was told */

/* Forgets a sample. */
static void
forget(Sample *sample)
{
	if (sample->text != NULL)
		pfree(sample->text);
	sample->text = NULL;
}

/* The connection is gone, and perhaps what Redis had. */
void
redis_mark_lost(void)
{
	forget(&mark);
	forget(&next_mark);
	redis_time = 0;
	awaited = false;
	written_at = 0;
}

/* Nothing is stored now, and why. */
static void
set_error(const char *text, size_t length)
{
	char before[SINK_REASON_MAX];

	strlcpy(before, error, sizeof(before));
	sink_set_text(error, sizeof(error), text, length);
	told = told && strcmp(before, error) == 0;
}

/* Why nothing is stored, once. */
const char *
redis_mark_trouble(void)
{
	if (told || error[0] == '\0')
		return NULL;
	told = true;
	return error;
}

/* Takes the time; a negative one says that the mark was gone. */
static void
took_time(void *arg, int index, RedisReplyType type, int64 integer, const char *text, size_t length)
{
	awaited = false;
	redis_server_progress();
	if (type != REDIS_INTEGER || integer == 0)
	{
		if (text != NULL)
			set_error(text, length);
		if (type == REDIS_ERROR)
			redis_server_refused(text);
		return;
	}
	error[0] = '\0';
	if (redis_time == 0 || integer < 0)
		written_at = 0; /* again at once */
	if (integer < 0)
		mark.since = 0; /* too old: with another one */
	integer = integer < 0 ? -integer : integer;
	if (integer < redis_time - CLOCK_SLACK_MS) /* set back: it says nothing of how old things are */
	{
		forget(&mark);
		forget(&next_mark);
	}
	redis_time = integer;
}

/* Takes a snapshot. */
static Sample
take_sample(void)
{
	Sample sample = {.since = redis_time};
	char  *text;

	tenancy_tx_begin("pg_tenancy: marking the cache");
	text = tenancy_snapshot_text(GetTransactionSnapshot(), true);
	sample.text = MemoryContextStrdup(TopMemoryContext, text);
	tenancy_tx_commit();
	return sample;
}

/* Moves the samples on; true: the mark is a new one that does not follow from the one in Redis. */
static bool
move_on(void)
{
	int64 period = tenancy_cache_guard_time * 1000 / 6;

	if (mark.text == NULL || redis_time - mark.since > 4 * period)
	{
		forget(&mark);
		forget(&next_mark);
		mark = take_sample();
		return true;
	}
	if (next_mark.text == NULL)
		next_mark = take_sample();
	else if (redis_time - next_mark.since > period)
	{
		forget(&mark);
		mark = next_mark;
		next_mark = take_sample();
	}
	return false;
}

/* Writes the mark; the first call on a connection only asks for the time. */
static void
write_mark(RedisConn *conn, bool fresh)
{
	char		since[24];
	char		life[24];
	char	   *key = redis_mark_key();
	const char *argv[] = {
		"EVAL", redis_mark_script.text, "1", key, mark.text != NULL ? mark.text : "", since,
		life,	fresh ? "1" : "0"};

	snprintf(since, sizeof(since), INT64_FORMAT, mark.since);
	snprintf(life, sizeof(life), INT64_FORMAT, (int64) tenancy_cache_guard_time * 1000 / 6 * 5);
	redis_expect(conn, took_time, NULL);
	redis_command(conn, lengthof(argv), argv, NULL);
	pfree(key);
	awaited = true;
	written_at = GetCurrentTimestamp();
	redis_server_poll();
}

/* True if the server evicts keys: it is not given a mark. */
static bool
is_evicting(void)
{
	const char *policy = redis_server_info()->policy;
	char		text[SINK_REASON_MAX];

	if (policy[0] == '\0')
		return false;
	sink_set_textf(
		text, sizeof(text),
		"no value is stored in the cache: maxmemory-policy of Redis is %s, not noeviction", policy);
	set_error(text, strlen(text));
	return true;
}

/* Asks the server how it evicts, now and then; it may be told otherwise at any time. */
static void
ask_again(void)
{
	if (redis_server_conn() == NULL)
		return;
	redis_server_ask();
	written_at = GetCurrentTimestamp();
	redis_server_poll();
}

/* Keeps the mark up to date. */
void
redis_mark_keep(void)
{
	bool	   fresh;
	RedisConn *conn;

	if (awaited || redis_server_health(NULL) != SINK_READY ||
		!TimestampDifferenceExceeds(written_at, GetCurrentTimestamp(), WRITE_EVERY_MS))
		return;
	if (is_evicting() || ++writes % ASK_EVERY == 0)
		ask_again();
	if (redis_server_health(NULL) != SINK_READY || is_evicting())
		return;
	fresh = redis_time != 0 && move_on();
	conn = redis_server_conn();
	if (conn == NULL)
		return;
	write_mark(conn, fresh);
}
