/*
 * running.h
 *		Whether this server can sync at all.
 */
#ifndef TENANCY_RUNNING_H
#define TENANCY_RUNNING_H

#include "sync/shared.h"

extern DatabaseShared *sync_require_running(void);

#endif
