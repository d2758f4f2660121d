/*
 * breaker.h
 *		Keeps backends from waiting for a server that does not answer.
 *
 * After a failure calls are refused for a while, doubling up to 5 s; then one call
 * is let through, and its success opens the way for all.
 */
#ifndef TENANCY_BREAKER_H
#define TENANCY_BREAKER_H

#include "sink/sink.h"

extern Size breaker_shmem_size(void);
/* Called with AddinShmemInitLock held; without it each process has its own breaker. */
extern void breaker_shmem_init(void);
extern bool breaker_allows(SinkKind kind);
extern void breaker_success(SinkKind kind);
extern void breaker_failure(SinkKind kind);

#endif
