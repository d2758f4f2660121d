/*
 * inspect.c
 *		The inspector: are cached values what the rows say, some time after a change?
 *
 * Keys that were unlinked are read again 1, 10 and 60 seconds later, whoever stored them.  A value
 * that is a JSON object is judged by the members that have a column's name: each must be the
 * column's value.  It is stale only if it is still there, and the row still the same, when the
 * cache sink has dealt with everything that was committed before the row was read.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "cache/cache.h"
#include "cache/inspect.h"
#include "common/compat.h"
#include "common/jsonb.h"
#include "common/spi.h"
#include "sink/redis_keys.h"
#include "sink/template.h"
#include "sync/message.h"
#include "sync/row_reader.h"
#include "sync/samples.h"
#include "sync/target.h"

#define LOOK_EVERY_MS 200
#define CATCH_UP_MS 10000
#define TRIES 3

/* A row and the names of its keys. */
typedef struct Inspected
{
	const CacheSample *sample;
	bool			   known; /* the row could be read */
	bool			   there;
	char			  *row; /* JSON, as documents have it */
	int				   nkeys;
	char			 **keys;
} Inspected;

/* Waits a little. */
static void
pause_for(long ms)
{
	static uint32 wait_event = 0;

	if (wait_event == 0)
		wait_event = compat_wait_event("TenancyCacheInspect");
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms, wait_event);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* Names of the row's keys in Redis. */
static void
expand_keys(Inspected *inspected, const SinkTarget *target)
{
	const CacheSample *sample = inspected->sample;
	StringInfoData	   text;

	if (!sink_key_fits(target, sample->key, sample->key_length))
		return;
	inspected->keys = palloc(sizeof(char *) * (target->ncache_keys + 1));
	initStringInfo(&text);
	for (int i = 0; i < target->ncache_keys; i++)
	{
		resetStringInfo(&text);
		if (sink_expand_template(&text, target->cache_keys[i], target, sample->key) &&
			text.data[0] != '#')
			inspected->keys[inspected->nkeys++] = redis_tenant_key(target->tenant, text.data);
	}
}

/* Reads the row as it is now, in a transaction of its own. */
static void
read_row(Inspected *inspected)
{
	MemoryContext	  context = CurrentMemoryContext;
	const SinkTarget *target;
	RowReader		 *reader = NULL;
	StringInfoData	  row;

	inspected->known = false;
	inspected->nkeys = 0;
	tenancy_tx_begin("pg_tenancy: inspecting the cache");
	tenancy_tx_bound_locks();
	target_flush(); /* nobody tells this process of changes */
	target_sweep(target_age());
	target = target_find(inspected->sample->relid);
	MemoryContextSwitchTo(context);
	if (target != NULL && target->problem == NULL && row_reader_open(target, &reader) == ROWS_READY)
	{
		initStringInfo(&row);
		inspected->known = true;
		inspected->there =
			row_reader_fetch(reader, inspected->sample->key, inspected->sample->key_length, &row);
		inspected->row = row.data;
		expand_keys(inspected, target);
	}
	if (reader != NULL)
		row_reader_close(reader);
	tenancy_tx_commit();
	MemoryContextSwitchTo(context);
}

/* Value of a key; *answered false: Redis did not say. */
static char *
read_value(const char *key, bool *answered)
{
	const char	*argv[] = {"GET", key};
	CacheCommand command = {lengthof(argv), argv};
	CacheReply	 reply;

	*answered = cache_call(&command, &reply);
	return *answered ? reply.text : NULL;
}

/* True if a member of the value is what the row's column is. */
static bool
is_same(const JsonbValue *member, const JsonbValue *column)
{
	Jsonb *one = JsonbValueToJsonb(unconstify(JsonbValue *, member));
	Jsonb *other = JsonbValueToJsonb(unconstify(JsonbValue *, column));

	return compareJsonbContainers(&one->root, &other->root) == 0;
}

/* What a value is, beside the row. */
static SampleVerdict
judge(const char *value, const Inspected *inspected)
{
	Jsonb		  *cached;
	Jsonb		  *row;
	JsonbIterator *members;
	char		  *name;
	JsonbValue	   member;
	JsonbValue	   column;
	SampleVerdict  verdict = SAMPLE_UNKNOWN;

	if (strcmp(value, "null") == 0)
		return inspected->there ? SAMPLE_STALE : SAMPLE_RIGHT;
	cached = tenancy_jsonb_parse(value, strlen(value));
	if (cached == NULL || !JB_ROOT_IS_OBJECT(cached))
		return SAMPLE_UNKNOWN;
	if (!inspected->there)
		return SAMPLE_STALE;
	row = tenancy_jsonb_parse(inspected->row, strlen(inspected->row));
	if (row == NULL)
		return SAMPLE_UNKNOWN;
	members = JsonbIteratorInit(&cached->root);
	while (tenancy_jsonb_next(&members, &name, &member))
	{
		if (!tenancy_jsonb_field(&row->root, name, &column))
			continue;
		if (!is_same(&member, &column))
			return SAMPLE_STALE;
		verdict = SAMPLE_RIGHT;
	}
	return verdict;
}

/* Judges in a transaction: comparing texts may need the catalog. */
static SampleVerdict
judge_apart(const char *value, const Inspected *inspected)
{
	MemoryContext context = CurrentMemoryContext;
	SampleVerdict verdict;

	tenancy_tx_begin("pg_tenancy: inspecting the cache");
	MemoryContextSwitchTo(context);
	verdict = judge(value, inspected);
	tenancy_tx_commit();
	MemoryContextSwitchTo(context);
	return verdict;
}

/* Waits until the cache sink has dealt with everything committed so far; false: it takes too long. */
static bool
catch_up(DatabaseShared *database)
{
	SinkShared *sink = &database->sinks[SINK_CACHE];
	TimestampTz start = GetCurrentTimestamp();
	XLogRecPtr	position;

	tenancy_tx_begin("pg_tenancy: inspecting the cache");
	position = compat_log_message(TENANCY_MESSAGE_PREFIX, "", 0, false);
	tenancy_tx_commit();
	XLogFlush(position);
	worker_wake(&database->capture);
	while (pg_atomic_read_u64(&sink->settled) < position)
	{
		if (TimestampDifferenceExceeds(start, GetCurrentTimestamp(), CATCH_UP_MS))
			return false;
		pause_for(20);
	}
	return true;
}

/* Looks at one key; a value that seems stale is one only if nothing is on its way. */
static SampleVerdict
inspect_key(DatabaseShared *database, Inspected *inspected, int number)
{
	const char *key = inspected->keys[number];
	char	   *first = NULL;

	for (int i = 0; i < TRIES; i++)
	{
		bool		  answered;
		SampleVerdict verdict;
		char		 *row = inspected->there ? inspected->row : NULL;
		char		 *value = read_value(key, &answered);

		if (!answered)
			return SAMPLE_UNKNOWN;
		if (value == NULL)
			return SAMPLE_ABSENT;
		verdict = judge_apart(value, inspected);
		if (verdict != SAMPLE_STALE)
			return verdict;
		if (first != NULL && strcmp(first, value) == 0)
			return SAMPLE_STALE;
		if (!catch_up(database))
			return SAMPLE_UNKNOWN;
		read_row(inspected);
		if (!inspected->known || number >= inspected->nkeys)
			return SAMPLE_UNKNOWN;
		if ((row == NULL) == !inspected->there && (row == NULL || strcmp(row, inspected->row) == 0))
			first = value;
	}
	return SAMPLE_UNKNOWN;
}

/* Looks at all keys of a row. */
static void
inspect(DatabaseShared *database, const CacheSample *sample, int window)
{
	Inspected inspected = {.sample = sample};

	read_row(&inspected);
	for (int i = 0; inspected.known && i < inspected.nkeys; i++)
	{
		SampleVerdict verdict = inspect_key(database, &inspected, i);

		pg_atomic_fetch_add_u64(&database->inspected[window][verdict], 1);
		if (verdict == SAMPLE_STALE)
			ereport(LOG, (errmsg("Redis key \"%s\" has a stale value", inspected.keys[i])));
	}
}

/* Runs until there is nothing to look at any more. */
void
cache_inspect_run(DatabaseShared *database)
{
	MemoryContext context =
		AllocSetContextCreate(TopMemoryContext, "pg_tenancy inspector", ALLOCSET_DEFAULT_SIZES);
	CacheSample sample;
	int			window;
	bool		pending = true;

	target_init(false);
	worker_set_state(&database->inspector, WORKER_RUNNING);
	while (pending)
	{
		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(context);
		MemoryContextReset(context);
		if (samples_due(database, &pending) && samples_take(database, &sample, &window))
			inspect(database, &sample, window);
		else if (pending)
			pause_for(LOOK_EVERY_MS);
	}
}
