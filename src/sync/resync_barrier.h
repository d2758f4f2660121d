/*
 * resync_barrier.h
 *		Transactions that must have ended before a table is scanned.
 */
#ifndef TENANCY_RESYNC_BARRIER_H
#define TENANCY_RESYNC_BARRIER_H

#include "sync/resync_row.h"

/* Transactions before it must have ended. */
extern TransactionId resync_barrier(const ResyncRow *row);

#endif
