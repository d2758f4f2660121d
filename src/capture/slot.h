/*
 * slot.h
 *		The replication slot of a database: made, read, confirmed and dropped here only.
 */
#ifndef TENANCY_SLOT_H
#define TENANCY_SLOT_H

#include "access/xlogdefs.h"
#include "replication/logical.h"

typedef enum SlotState
{
	SLOT_ABSENT,
	SLOT_USABLE,
	SLOT_LOST /* its WAL is gone, or it was never finished */
} SlotState;

extern bool					   slot_name(char *name);
extern void					   slot_drop_others(const char *keep);
extern SlotState			   slot_state(const char *name);
extern bool					   slot_is_synced(const char *name);
extern void					   slot_set_failover(const char *name);
extern void					   slot_create(const char *name);
extern void					   slot_drop(const char *name);
extern LogicalDecodingContext *slot_open(const char *name, void *plugin_private);
extern XLogRecPtr slot_read(LogicalDecodingContext *context, XLogRecPtr end, bool (*stop)(void *),
							void *arg);
extern void		  slot_confirm(XLogRecPtr lsn);
extern void		  slot_save(void);
extern void		  slot_close(LogicalDecodingContext *context);

#endif
