/*
 * call_worker.h
 *		A background worker that does the work of one call of a function: the caller makes a
 *		segment of shared memory with a queue in it, the worker's errors and messages come by that.
 */
#ifndef TENANCY_CALL_WORKER_H
#define TENANCY_CALL_WORKER_H

#include "lib/stringinfo.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/shm_mq.h"
#include "storage/shm_toc.h"

/* The caller's side.  False: there is no place for a worker; the handle is NULL then. */
extern bool call_worker_start(const char *type, const char *function, dsm_segment *segment,
							  int32 number, shm_mq_handle *queue, BackgroundWorkerHandle **handle);
/* Throws the error, or shows the notice, that a message of type 'E' or 'N' holds. */
extern void call_worker_pass_on(StringInfo message);

/* The worker's side: attaches to the segment, and sends errors and messages to the queue of a key. */
extern shm_toc *call_worker_attach(Datum segment, const char *type, const char *what, uint64 magic,
								   dsm_segment **mapped);
extern void		call_worker_send_to(dsm_segment *segment, shm_toc *toc, uint64 key);
/* Number that the caller gave. */
extern int32 call_worker_number(void);

#endif
