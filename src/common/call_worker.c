/*
 * call_worker.c
 *		A background worker that does the work of one call of a function.
 */
#include "postgres.h"

#include "libpq/pqmq.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "utils/resowner.h"

#include "common/call_worker.h"

/* Starts a worker of a type for the caller. */
bool
call_worker_start(const char *type, const char *function, dsm_segment *segment, int32 number,
				  shm_mq_handle *queue, BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "pg_tenancy", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, function, BGW_MAXLEN);
	strlcpy(worker.bgw_type, type, BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "%s for pid %d", type, MyProcPid);
	worker.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(segment));
	memcpy(worker.bgw_extra, &number, sizeof(number));
	worker.bgw_notify_pid = MyProcPid;
	if (!RegisterDynamicBackgroundWorker(&worker, handle))
	{
		*handle = NULL;
		return false;
	}
	shm_mq_set_handle(queue, *handle);
	return true;
}

/* Throws what a worker met, or shows its notice. */
void
call_worker_pass_on(StringInfo message)
{
	ErrorData error;

	pq_parse_errornotice(message, &error);
	error.elevel = Min(error.elevel, ERROR);
	ThrowErrorData(&error);
}

/* Attaches to what the caller prepared. */
shm_toc *
call_worker_attach(Datum segment, const char *type, const char *what, uint64 magic,
				   dsm_segment **mapped)
{
	shm_toc *toc;

	CurrentResourceOwner = ResourceOwnerCreate(NULL, type);
	*mapped = dsm_attach(DatumGetUInt32(segment));
	if (*mapped == NULL)
		proc_exit(0); /* the caller is gone already */
	dsm_pin_mapping(*mapped);
	toc = shm_toc_attach(magic, dsm_segment_address(*mapped));
	if (toc == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the shared memory segment is not that of %s", what)));
	return toc;
}

/* Errors and messages go to a queue from now on. */
void
call_worker_send_to(dsm_segment *segment, shm_toc *toc, uint64 key)
{
	shm_mq *queue = shm_toc_lookup(toc, key, false);

	shm_mq_set_sender(queue, MyProc);
	pq_redirect_to_shm_mq(segment, shm_mq_attach(queue, segment, NULL));
}

/* Number that the caller gave. */
int32
call_worker_number(void)
{
	int32 number;

	memcpy(&number, MyBgworkerEntry->bgw_extra, sizeof(number));
	return number;
}
