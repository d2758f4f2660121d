/*
 * control.h
 *		tenancy.pause and tenancy.resume, and what a backend has to know of them.
 */
#ifndef TENANCY_CONTROL_H
#define TENANCY_CONTROL_H

#include "sync/shared.h"

/* False while a sink may lack changes of a tenant because somebody paused it. */
extern bool control_is_followed(SinkKind kind, int64 tenant_id);

#endif
