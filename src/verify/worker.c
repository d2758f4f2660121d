/*
 * worker.c
 *		The process behind a call of tenancy.verify().
 *
 * It is one of its own so that no transaction of the caller's is held up by the network
 * with it, and none of its own is ever open while it waits.
 */
#include "postgres.h"

#include "libpq/pqformat.h"
#include "libpq/pqmq.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shm_toc.h"
#include "tcop/tcopprot.h"

#include "common/call_worker.h"
#include "common/compat.h"
#include "common/errors.h"
#include "sync/doc_time.h"
#include "sync/key.h"
#include "sync/running.h"
#include "verify/request.h"
#include "verify/run.h"
#include "verify/verify.h"

/* Attaches to what the caller prepared; errors and notices go there from now on. */
static const VerifyRequest *
attach(Datum arg)
{
	dsm_segment *segment;
	shm_toc *toc = call_worker_attach(arg, "pg_tenancy verify", "a verify", VERIFY_MAGIC, &segment);

	call_worker_send_to(segment, toc, VERIFY_TOC_QUEUE);
	return shm_toc_lookup(toc, VERIFY_TOC_REQUEST, false);
}

/* Names the table at hand in an error. */
static void
on_error(void *arg)
{
	const VerifyRun *run = arg;

	if (run->table != NULL)
		errcontext("while relation \"%s\" of tenant \"%s\" was compared with its index",
				   run->table->name, run->table->tenant);
}

/* Sends the result of one table. */
static void
send_row(const VerifyRun *run, VerifyState state)
{
	const VerifyCounts *counts = &run->counts;
	StringInfoData		message;

	pq_beginmessage(&message, VERIFY_MESSAGE_ROW);
	pq_sendstring(&message, run->table->tenant);
	pq_sendstring(&message, run->table->name);
	pq_sendstring(&message, state == VERIFY_READY	 ? ""
							: run->reason[0] != '\0' ? run->reason
													 : "the search server is not there");
	pq_sendint64(&message, counts->missing);
	pq_sendint64(&message, counts->stale);
	pq_sendint64(&message, counts->ghost);
	pq_sendint64(&message, counts->checked);
	pq_endmessage(&message);
}

/* Compares what was asked for. */
static void
serve(const VerifyRequest *request, DatabaseShared *database)
{
	List *tables = verify_tables(request->has_tenant ? request->tenant : NULL,
								 request->has_relation ? request->relation : NULL);
	VerifyRun			*run = verify_run_make(database, request->repair);
	ErrorContextCallback context = {error_context_stack, on_error, run};
	ListCell			*cell;

	error_context_stack = &context;
	foreach (cell, tables)
	{
		VerifyState state = verify_table(run, lfirst(cell));

		if (state != VERIFY_GONE)
			send_row(run, state);
	}
	error_context_stack = context.previous;
	run->driver->close();
	pq_putemptymessage(VERIFY_MESSAGE_END);
}

/* Entry point. */
void
tenancy_verify_main(Datum arg)
{
	const VerifyRequest *request;
	DatabaseShared		*database;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	request = attach(arg);
	BackgroundWorkerInitializeConnectionByOid(request->dboid, InvalidOid, 0);
	SetClientEncoding(GetDatabaseEncoding());
	key_pin_settings();
	doc_time_init();
	database = sync_require_running();
	if (database == NULL)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_NOT_RUNNING),
						errmsg("the sync workers of this database are not running yet")));
	serve(request, database);
}
