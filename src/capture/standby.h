/*
 * standby.h
 *		Sinks must not have what a standby that may be promoted has not.
 */
#ifndef TENANCY_STANDBY_H
#define TENANCY_STANDBY_H

#include "access/xlogdefs.h"
#include "sync/shared.h"

extern const char *standby_wanted(void);
extern bool		   standby_is_promoted(const char *waited_for);
extern void		   standby_fence_start(void);
extern bool		   standby_fence_changed(void);
extern XLogRecPtr  standby_fence(WorkerShared *worker);

#endif
