/*
 * target.h
 *		Where the rows of a relation go.
 */
#ifndef TENANCY_TARGET_H
#define TENANCY_TARGET_H

#include "sink/sink.h"

extern const SinkTarget *target_find(Oid relid);
extern void				 target_flush(void);
extern void				 target_sweep(void);

#endif
