/*
 * sink_state.c
 *		Notices that a sink was switched on, or is another server than before.
 *
 * Keys that pass while a sink has no URL are dropped.  That is only right because
 * tenancy.sink says "not enabled" before the first one is dropped, and everything
 * is marked dirty when the sink is enabled again.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "common/spi.h"
#include "sink/provision.h"
#include "sync/backlog.h"
#include "sync/message.h"
#include "sync/resync.h"
#include "sync/sink_worker.h"

#define RETRY_MS 1000

static bool		   noted_off = false; /* tenancy.sink is known to say "not enabled" */
static TimestampTz not_before = 0;

/* Epoch of this database's document versions; needs a transaction. */
int
sink_state_epoch(void)
{
	SpiScope scope;
	int		 epoch = 1;

	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec("SELECT epoch::bigint FROM tenancy.instance", 0, NULL, NULL, NULL);
	if (SPI_processed > 0)
		epoch = (int) tenancy_spi_int64(0, 1);
	tenancy_spi_end(&scope);
	return epoch;
}

/* Tells the driver which server it was connected to before. */
void
sink_state_expect(const SinkDriver *driver)
{
	Oid		 types[1] = {TEXTOID};
	Datum	 values[1];
	SpiScope scope;

	if (driver->expect == NULL)
		return;
	tenancy_tx_begin("pg_tenancy: looking up a sink");
	values[0] = CStringGetTextDatum(driver->name);
	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec("SELECT identity FROM tenancy.sink WHERE name = $1", 1, types, values, NULL);
	driver->expect(SPI_processed > 0 ? tenancy_spi_text(0, 1) : NULL);
	tenancy_spi_end(&scope);
	tenancy_tx_commit();
}

/* True if the sink has no URL and tenancy.sink says so: its keys may be dropped. */
bool
sink_state_is_off(void)
{
	return noted_off;
}

/* Writes that the sink is off. */
static void
note_disabled(void *arg)
{
	SinkWorker *worker = arg;
	Oid			types[1] = {TEXTOID};
	Datum		values[1];
	SpiScope	scope;

	values[0] = CStringGetTextDatum(worker->driver->name);
	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec("UPDATE tenancy.sink SET enabled = false WHERE name = $1 AND enabled", 1,
					 types, values, NULL);
	tenancy_spi_end(&scope);
	backlog_clear(worker);
}

/* What tenancy.sink says; returns whether the sink was on, *same: it was this very server. */
static bool
read_state(SinkWorker *worker, const char *identity, bool *same)
{
	Oid	  types[2] = {TEXTOID, TEXTOID};
	Datum values[2];
	char  nulls[2] = {' ', identity ? ' ' : 'n'};
	bool  isnull;
	bool  was_enabled;

	values[0] = CStringGetTextDatum(worker->driver->name);
	values[1] = identity ? CStringGetTextDatum(identity) : (Datum) 0;
	tenancy_spi_exec("SELECT enabled, identity IS NOT DISTINCT FROM $2 OR identity IS NULL"
					 "  FROM tenancy.sink WHERE name = $1 FOR NO KEY UPDATE",
					 2, types, values, nulls);
	was_enabled = SPI_processed > 0 && DatumGetBool(tenancy_spi_datum(0, 1, &isnull));
	*same = SPI_processed == 0 || DatumGetBool(tenancy_spi_datum(0, 2, &isnull));
	tenancy_spi_exec("UPDATE tenancy.sink SET enabled = true, identity = $2 WHERE name = $1"
					 " AND (NOT enabled OR identity IS DISTINCT FROM $2)",
					 2, types, values, nulls);
	return was_enabled;
}

/*
 * The cache forgets what it has of every tenant, also of those that are dropped: what was unlinked may be
 * there again, or be of transactions that are lost.
 */
static void
forget_tenants(void)
{
	tenancy_spi_exec("SELECT DISTINCT name FROM tenancy.tenant", 0, NULL, NULL, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
		tenancy_message_forget_tenant(tenancy_spi_text(i, 1));
}

/* Writes that the sink is on, and asks for a resync if it was off or another one. */
static void
note_enabled(void *arg)
{
	SinkWorker *worker = arg;
	SpiScope	scope;
	bool		same;
	bool		was_enabled;

	tenancy_spi_begin_as_owner(&scope);
	was_enabled = read_state(worker, worker->driver->identity(), &same);
	same = same || (worker->driver->is_empty != NULL && worker->driver->is_empty());
	if (worker->kind == SINK_CACHE &&
		(!was_enabled || !same || (tenancy_shared->may_lack && !worker->database->lack_told)))
		forget_tenants();
	if (!same && worker->kind == SINK_SEARCH)
		tenancy_spi_exec(SEARCH_MAKE_MISSING " WHERE state IN ('ready', 'altered', 'emptying')", 0,
						 NULL, NULL, NULL);
	tenancy_spi_end(&scope);
	if (!was_enabled || !same)
		resync_request_all(worker->driver->name);
}

/* A lock stood in the way: later. */
static void
put_off(void)
{
	not_before = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RETRY_MS);
}

/* The sink has no URL: its keys may go when that is written down. */
static void
switch_off(SinkWorker *worker)
{
	if (noted_off || GetCurrentTimestamp() < not_before)
		return;
	noted_off = tenancy_tx_try("pg_tenancy: switching a sink off", note_disabled, worker);
	if (noted_off)
		backlog_forget();
	else
		put_off();
}

/* The sink can be sent to when it is written down which one it is. */
static void
switch_on(SinkWorker *worker)
{
	if (GetCurrentTimestamp() < not_before)
		return;
	worker->enabled = tenancy_tx_try("pg_tenancy: switching a sink on", note_enabled, worker);
	if (!worker->enabled)
	{
		put_off();
		return;
	}
	noted_off = false;
	if (worker->kind == SINK_CACHE)
		worker->database->lack_told = true;
	if (worker->driver->config_changed != NULL)
		worker->driver->config_changed();
	resync_wake();
}

/* Called before keys are taken from the ring, and whenever the sink's health changes. */
void
sink_state_check(SinkWorker *worker)
{
	const char *error = NULL;

	if (!worker->driver->configured())
	{
		worker->enabled = false;
		switch_off(worker);
	}
	else if (worker->driver->health(&error) != SINK_READY)
		worker->enabled = false;					/* it may come back as another server */
	else if (!worker->enabled && worker->streaming) /* before that the epoch is not known */
		switch_on(worker);
}
