/*
 * statistics.c
 *		The sink that is in this database: benchmark statistics.
 *
 * It is a sink as the others are, so that it has their backlog, resyncs, pauses and fairness.  A
 * request is a transaction, and there is an answer at once.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "common/attempt.h"
#include "common/guc.h"
#include "common/spi.h"
#include "sink/text.h"
#include "sync/statistics.h"

/* Rows of one tenant's table. */
typedef struct Run
{
	SinkItem *items;
	int		  n;
	bool	  gone; /* they count as if they were not there */
} Run;

/* Reading the keys that count. */
typedef struct KeyListing
{
	int64		   tenant_id;
	StringInfoData after; /* the last one given */
} KeyListing;

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

/* Makes the cells agree with the rows of a run, in a transaction. */
static void
apply_run(void *arg)
{
	Run			  *run = arg;
	StatisticsRows rows;

	statistics_rows_init(&rows);
	for (int i = 0; i < run->n; i++)
	{
		SinkItem *item = &run->items[i];
		bool	  there = item->action == SINK_PUT && !run->gone;

		statistics_rows_add(&rows, item->key, item->key_length, there ? item->doc : NULL,
							item->doc_length);
	}
	(void) statistics_rows_apply(&rows, run->items[0].target->tenant_id);
}

/* True if a row's own values can cause an error: whoever writes them has to mend it. */
static bool
is_of_row(const ErrorData *error)
{
	int category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	return category == ERRCODE_TO_CATEGORY(ERRCODE_DATA_EXCEPTION) ||
		   category == ERRCODE_TO_CATEGORY(ERRCODE_PROGRAM_LIMIT_EXCEEDED);
}

/* How a failed run ended; anything that is not the rows' fault may go well later. */
static SinkOutcome
outcome_of(const ErrorData *error)
{
	if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
		return SINK_BLOCKED;
	return is_of_row(error) ? SINK_REFUSED : SINK_AGAIN;
}

/* Sends a run; true if it ended well. */
static bool
send_run(Run *run)
{
	ErrorData *error;

	tenancy_tx_begin("pg_tenancy: benchmark statistics");
	tenancy_tx_bound_locks();
	error = tenancy_try(apply_run, run, false);
	for (int i = 0; i < run->n; i++)
	{
		run->items[i].outcome = error == NULL ? SINK_DONE : outcome_of(error);
		if (error != NULL)
			sink_set_text(run->items[i].reason, SINK_REASON_MAX, error->message,
						  strlen(error->message));
	}
	tenancy_tx_commit();
	return error == NULL;
}

/* A row that cannot be counted is not counted as what it was either; it stays refused. */
static void
take_away(Run *run)
{
	SinkItem refused = run->items[0];

	run->gone = true;
	if (send_run(run))
		run->items[0] = refused;
}

/* Sends a run; if it is refused, its halves, as one row may be at fault. */
static void
send_items(Run run)
{
	Run first = {.items = run.items, .n = run.n / 2};
	Run second = {.items = run.items + first.n, .n = run.n - first.n};

	CHECK_FOR_INTERRUPTS();
	if (send_run(&run) || run.items[0].outcome != SINK_REFUSED)
		return;
	if (run.n == 1)
	{
		take_away(&run);
		return;
	}
	send_items(first);
	send_items(second);
}

/* True if two items go into one run. */
static bool
belongs(const SinkItem *first, const SinkItem *item)
{
	return item->outcome == SINK_PENDING && item->target == first->target;
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
			send_items(run);
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

/* Starts reading the keys that count. */
static SinkListing *
statistics_list_open(const SinkTarget *target, const SinkPlace *place)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	KeyListing	 *listing = palloc(sizeof(KeyListing));

	listing->tenant_id = target->tenant_id;
	initStringInfo(&listing->after);
	MemoryContextSwitchTo(old);
	return (SinkListing *) listing;
}

/* Appends the next keys. */
static SinkListResult
statistics_list_next(SinkListing *opaque, StringInfo keys)
{
	KeyListing *listing = (KeyListing *) opaque;
	int			n;

	tenancy_tx_begin("pg_tenancy: looking for statistics without a row");
	tenancy_tx_bound_locks();
	n = statistics_next_keys(listing->tenant_id, &listing->after, keys);
	tenancy_tx_commit();
	return n == 0 ? SINK_LIST_END : SINK_LIST_PAGE;
}

/* Ends it. */
static void
statistics_list_close(SinkListing *opaque)
{
	KeyListing *listing = (KeyListing *) opaque;

	pfree(listing->after.data);
	pfree(listing);
}

const SinkDriver statistics_sink_driver = {
	.name = "statistics",
	.wants_rows = true,
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
	.list_open = statistics_list_open,
	.list_next = statistics_list_next,
	.list_close = statistics_list_close,
};
