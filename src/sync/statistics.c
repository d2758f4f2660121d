/*
 * statistics.c
 *		The sink that is in this database: benchmark statistics.
 *
 * It is a sink as the others are, so that it has their backlog, resyncs, pauses and fairness.  A
 * request is a transaction, and there is an answer at once.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "common/attempt.h"
#include "common/guc.h"
#include "common/json.h"
#include "common/spi.h"
#include "sink/text.h"
#include "sync/statistics.h"

/* Items of one tenant: rows of its table, or all of it. */
typedef struct Run
{
	SinkItem *items;
	int		  n;
} Run;

/* True if the statistics are kept. */
static bool
statistics_configured(void)
{
	return tenancy_benchmarks;
}

/* There is nothing to connect to. */
static void
statistics_nothing(void)
{
}

/* It works whenever the database does. */
static SinkHealth
statistics_health(const char **error)
{
	*error = "";
	return SINK_READY;
}

/* It is always the same. */
static const char *
statistics_identity(void)
{
	return NULL;
}

/* Appends a key as a JSON array of text. */
static void
append_key(StringInfo out, const SinkItem *item)
{
	const char *part = item->key;
	const char *end = item->key + item->key_length;

	appendStringInfoChar(out, '[');
	while (part < end)
	{
		if (part > item->key)
			appendStringInfoChar(out, ',');
		tenancy_json_string(out, part, strlen(part));
		part += strlen(part) + 1;
	}
	appendStringInfoChar(out, ']');
}

/* Makes the cells agree with the rows of a run, in a transaction. */
static void
apply_run(void *arg)
{
	Run			  *run = arg;
	StringInfoData keys;

	if (run->items[0].action == SINK_FORGET_TENANT)
	{
		statistics_apply_tenant(run->items[0].key);
		return;
	}
	initStringInfo(&keys);
	for (int i = 0; i < run->n; i++)
	{
		appendStringInfoChar(&keys, i == 0 ? '[' : ',');
		append_key(&keys, &run->items[i]);
	}
	appendStringInfoChar(&keys, ']');
	statistics_apply(run->items[0].target->tenant_id, keys.data);
}

/* How a failed run ended: a lock or a deadlock may be gone soon, the rest is for somebody to look at. */
static SinkOutcome
outcome_of(const ErrorData *error)
{
	int category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
		category == ERRCODE_TO_CATEGORY(ERRCODE_TRANSACTION_ROLLBACK) ||
		category == ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES))
		return SINK_AGAIN;
	return SINK_REFUSED;
}

/* Sends a run; true if it ended well. */
static bool
send_run(Run *run, SinkBatch *batch)
{
	ErrorData *error;

	tenancy_tx_begin("pg_tenancy: benchmark statistics");
	error = tenancy_try(apply_run, run, false);
	for (int i = 0; i < run->n; i++)
	{
		run->items[i].outcome = error == NULL ? SINK_DONE : outcome_of(error);
		if (error != NULL)
			sink_set_text(run->items[i].reason, SINK_REASON_MAX, error->message,
						  strlen(error->message));
	}
	if (error != NULL)
		sink_set_text(batch->error, SINK_REASON_MAX, error->message, strlen(error->message));
	tenancy_tx_commit();
	return error == NULL;
}

/* Sends a run; if it fails for good, each of its items, as one may be at fault. */
static void
send_items(Run run, SinkBatch *batch)
{
	if (send_run(&run, batch) || run.n == 1 || run.items[0].outcome == SINK_AGAIN)
		return;
	for (int i = 0; i < run.n; i++)
	{
		Run one = {.items = run.items + i, .n = 1};

		CHECK_FOR_INTERRUPTS();
		(void) send_run(&one, batch);
	}
}

/* True if two items go into one run. */
static bool
belongs(const SinkItem *first, const SinkItem *item)
{
	return first->outcome == SINK_PENDING && item->outcome == SINK_PENDING &&
		   item->action != SINK_FORGET_TENANT && first->action != SINK_FORGET_TENANT &&
		   item->target == first->target;
}

/* Sends a batch. */
static void
statistics_submit(SinkBatch *batch)
{
	for (int i = 0; i < batch->nitems;)
	{
		SinkItem *item = &batch->items[i];
		Run		  run = {.items = item, .n = 1};

		while (i + run.n < batch->nitems && belongs(item, &batch->items[i + run.n]))
			run.n++;
		if (item->outcome == SINK_PENDING)
			send_items(run, batch);
		i += run.n;
	}
}

/* Its answers come at once. */
static bool
statistics_finished(SinkBatch *batch)
{
	return true;
}

/* It has no socket. */
static pgsocket
statistics_event_fd(void)
{
	return PGINVALID_SOCKET;
}

/* And nothing to wait for. */
static long
statistics_timeout(void)
{
	return -1;
}

/* And no upkeep. */
static bool
statistics_housekeep(void)
{
	return false;
}

const SinkDriver statistics_sink_driver = {
	.name = "statistics",
	.wants_rows = false,
	.configured = statistics_configured,
	.open = statistics_nothing,
	.close = statistics_nothing,
	.poll = statistics_nothing,
	.health = statistics_health,
	.identity = statistics_identity,
	.submit = statistics_submit,
	.finished = statistics_finished,
	.event_fd = statistics_event_fd,
	.timeout = statistics_timeout,
	.housekeep = statistics_housekeep,
};
