/*
 * xid.h
 *		Transaction ids that never wrap around, and snapshots as text.
 */
#ifndef TENANCY_XID_H
#define TENANCY_XID_H

#include "utils/snapshot.h"

extern uint64 tenancy_xid_full(TransactionId xid);
extern char	 *tenancy_snapshot_text(Snapshot snapshot, bool subtransactions);

#endif
