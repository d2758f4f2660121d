/*
 * function.c
 *		tenancy.verify(): asks a worker, and gives its rows on.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "libpq/pqformat.h"
#include "libpq/pqmq.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "storage/shm_mq.h"
#include "storage/shm_toc.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "common/args.h"
#include "common/call_worker.h"
#include "common/errors.h"
#include "common/guc.h"
#include "common/spi.h"
#include "sync/running.h"
#include "verify/request.h"

#define QUEUE_SIZE 16384
#define RESULT_COLUMNS 6

PG_FUNCTION_INFO_V1(tenancy_verify);

/* A worker and the way to it. */
typedef struct VerifyCall
{
	dsm_segment			   *segment;
	shm_mq_handle		   *queue;
	BackgroundWorkerHandle *worker; /* NULL: not started */
	LOCKTAG					tag;
	bool					locked;
} VerifyCall;

/* Copies a name that is not null; one that has to be cut is longer than any there is. */
static bool
take_name(FunctionCallInfo fcinfo, int n, char *name)
{
	char *given;
	int	  length;

	name[0] = '\0';
	if (PG_ARGISNULL(n))
		return false;
	given = text_to_cstring(PG_GETARG_TEXT_PP(n));
	length = pg_mbcliplen(given, strlen(given), VERIFY_NAME_MAX - 1);
	memcpy(name, given, length);
	name[length] = '\0';
	return true;
}

/* Reads the arguments. */
static VerifyRequest
take_request(FunctionCallInfo fcinfo)
{
	VerifyRequest request = {0};

	request.dboid = MyDatabaseId;
	request.has_tenant = take_name(fcinfo, 0, request.tenant);
	request.has_relation = take_name(fcinfo, 1, request.relation);
	request.repair = tenancy_arg_bool(fcinfo, 2, "repair");
	return request;
}

/* True if a query about the request finds something; inside an SPI scope. */
static bool
exists(const VerifyRequest *request, const char *sql)
{
	Oid	  types[2] = {TEXTOID, TEXTOID};
	Datum values[2] = {CStringGetTextDatum(request->tenant),
					   CStringGetTextDatum(request->relation)};

	tenancy_spi_query(sql, 2, types, values);
	return SPI_processed > 0;
}

/* Refuses names that nothing has. */
static void
check_request(const VerifyRequest *request)
{
	SpiScope scope;

	tenancy_spi_begin_as_owner(&scope);
	if (request->has_tenant &&
		!exists(request, "SELECT FROM tenancy.tenant WHERE name = $1 AND status <> 'dropped'"
						 " AND $2 IS NOT NULL"))
		ereport(ERROR, (errcode(ERRCODE_TENANCY_UNDEFINED_TENANT),
						errmsg("tenant \"%s\" does not exist", request->tenant)));
	if (request->has_relation &&
		!exists(request, "SELECT FROM tenancy.sync_table s WHERE table_name::text = $2"
						 " AND index_type IS NOT NULL AND ($1 = '' OR EXISTS"
						 " (SELECT FROM tenancy.tenant t WHERE t.blueprint = s.blueprint"
						 "   AND t.name = $1 AND t.status <> 'dropped'))"))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("relation \"%s\" is not indexed", request->relation),
						errhint("tenancy.sync_table lists what is synced, and its index_type.")));
	tenancy_spi_end(&scope);
}

/* Refuses to begin where there is nothing to compare with. */
static void
check_running(void)
{
	(void) sync_require_running();
	if (tenancy_search_url[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_TENANCY_NOT_RUNNING), errmsg("no search server is set"),
						errhint("Set tenancy.search_url in postgresql.conf and reload.")));
}

/* Makes the shared memory that the worker finds its request in. */
static void
make_segment(VerifyCall *call, const VerifyRequest *request)
{
	shm_toc_estimator estimator;
	shm_toc			 *toc;
	shm_mq			 *queue;
	VerifyRequest	 *copy;
	Size			  size;

	shm_toc_initialize_estimator(&estimator);
	shm_toc_estimate_chunk(&estimator, sizeof(VerifyRequest));
	shm_toc_estimate_chunk(&estimator, QUEUE_SIZE);
	shm_toc_estimate_keys(&estimator, 2);
	size = shm_toc_estimate(&estimator);
	call->segment = dsm_create(size, 0);
	toc = shm_toc_create(VERIFY_MAGIC, dsm_segment_address(call->segment), size);
	copy = shm_toc_allocate(toc, sizeof(VerifyRequest));
	memcpy(copy, request, sizeof(VerifyRequest));
	shm_toc_insert(toc, VERIFY_TOC_REQUEST, copy);
	queue = shm_mq_create(shm_toc_allocate(toc, QUEUE_SIZE), QUEUE_SIZE);
	shm_toc_insert(toc, VERIFY_TOC_QUEUE, queue);
	shm_mq_set_receiver(queue, MyProc);
	call->queue = shm_mq_attach(queue, call->segment, NULL);
}

/* Waits until no other session of this database verifies: each would take a worker and the disk. */
static void
wait_for_turn(VerifyCall *call)
{
	SET_LOCKTAG_OBJECT(call->tag, MyDatabaseId, NamespaceRelationId,
					   get_namespace_oid("tenancy", false), 1);
	(void) LockAcquire(&call->tag, ExclusiveLock, true, false);
	call->locked = true;
}

/* Starts the worker. */
static void
start_worker(VerifyCall *call)
{
	if (!call_worker_start("pg_tenancy verify", "tenancy_verify_main", call->segment, 0,
						   call->queue, &call->worker))
		ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						errmsg("out of background worker slots"),
						errhint("Raise max_worker_processes, or wait until another verify ends.")));
}

/* Puts one row into the result, or a warning where there are no counts. */
static void
put_row(ReturnSetInfo *result, StringInfo message)
{
	Datum		values[RESULT_COLUMNS];
	bool		nulls[RESULT_COLUMNS] = {0};
	const char *tenant = pq_getmsgrawstring(message);
	const char *relation = pq_getmsgrawstring(message);
	const char *reason = pq_getmsgrawstring(message);

	values[0] = CStringGetTextDatum(tenant);
	values[1] = CStringGetTextDatum(relation);
	for (int i = 2; i < RESULT_COLUMNS; i++)
		values[i] = Int64GetDatum(pq_getmsgint64(message));
	if (reason[0] != '\0')
	{
		memset(&nulls[2], true, RESULT_COLUMNS - 2);
		ereport(WARNING, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						  errmsg("relation \"%s\" of tenant \"%s\" was not verified: %s", relation,
								 tenant, reason)));
	}
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* Acts on one message; false after the last one. */
static bool
on_message(ReturnSetInfo *result, void *data, Size length)
{
	StringInfoData message;
	char		   kind;

	initStringInfo(&message);
	appendBinaryStringInfo(&message, data, (int) length);
	kind = pq_getmsgbyte(&message);
	if (kind == 'E' || kind == 'N')
		call_worker_pass_on(&message);
	else if (kind == VERIFY_MESSAGE_ROW)
		put_row(result, &message);
	pfree(message.data);
	return kind != VERIFY_MESSAGE_END;
}

/* Takes the worker's messages until it is done. */
static void
receive(VerifyCall *call, ReturnSetInfo *result)
{
	Size  length;
	void *data;

	do
	{
		CHECK_FOR_INTERRUPTS();
		if (shm_mq_receive(call->queue, &length, &data, false) != SHM_MQ_SUCCESS)
			ereport(ERROR, (errcode(ERRCODE_TENANCY_NOT_RUNNING),
							errmsg("the verify worker ended before it was done"),
							errhint("The server's log may say why.")));
	} while (on_message(result, data, length));
}

/* Ends the worker, if it is still there, and lets others have their turn. */
static void
end_worker(int code, Datum arg)
{
	VerifyCall *call = (VerifyCall *) DatumGetPointer(arg);

	if (call->worker != NULL)
		TerminateBackgroundWorker(call->worker);
	call->worker = NULL;
	if (call->locked)
		(void) LockRelease(&call->tag, ExclusiveLock, true);
	call->locked = false;
}

/* tenancy.verify(tenant, relation, repair) */
Datum
tenancy_verify(PG_FUNCTION_ARGS)
{
	VerifyRequest request = take_request(fcinfo);
	VerifyCall	 *call = palloc0(sizeof(VerifyCall));

	check_request(&request);
	check_running();
	InitMaterializedSRF(fcinfo, 0);
	make_segment(call, &request);
	PG_ENSURE_ERROR_CLEANUP(end_worker, PointerGetDatum(call));
	{
		wait_for_turn(call);
		start_worker(call);
		receive(call, (ReturnSetInfo *) fcinfo->resultinfo);
	}
	PG_END_ENSURE_ERROR_CLEANUP(end_worker, PointerGetDatum(call));
	end_worker(0, PointerGetDatum(call));
	dsm_detach(call->segment);
	return (Datum) 0;
}
