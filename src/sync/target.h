/*
 * target.h
 *		Where the rows of a relation go.
 */
#ifndef TENANCY_TARGET_H
#define TENANCY_TARGET_H

#include "sink/sink.h"

extern void				 target_init(SinkKind sink);
extern const SinkTarget *target_find(Oid relid);
extern bool				 target_is_stale(void);
extern void				 target_flush(void);
extern uint64			 target_age(void);
extern void				 target_sweep(uint64 oldest);

#endif
