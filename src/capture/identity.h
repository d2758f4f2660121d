/*
 * identity.h
 *		Is the WAL the one it was, and is the slot there?
 */
#ifndef TENANCY_IDENTITY_H
#define TENANCY_IDENTITY_H

#include "sync/shared.h"

extern void identity_check(const char *slot, WorkerShared *worker);

#endif
