/*
 * xid.c
 *		Transaction ids that never wrap around, and snapshots as text.
 */
#include "postgres.h"

#include "access/transam.h"
#include "lib/stringinfo.h"

#include "common/xid.h"

/* A transaction id of the last two billion, with its epoch. */
uint64
tenancy_xid_full(TransactionId xid)
{
	FullTransactionId next = ReadNextFullTransactionId();
	uint32			  epoch = EpochFromFullTransactionId(next);

	if (!TransactionIdIsNormal(xid))
		return xid;
	if (xid > XidFromFullTransactionId(next) && epoch > 0)
		epoch--;
	return U64FromFullTransactionId(FullTransactionIdFromEpochAndXid(epoch, xid));
}

/* Appends ids. */
static void
append_ids(StringInfo text, const TransactionId *ids, int n)
{
	for (int i = 0; i < n; i++)
		appendStringInfo(text, "%s" UINT64_FORMAT, text->data[text->len - 1] == ':' ? "" : ",",
						 tenancy_xid_full(ids[i]));
}

/*
 * xmin:xmax:ids of those that run, as pg_current_snapshot() has it; on a standby too, where all
 * that run are among the subtransactions.
 */
char *
tenancy_snapshot_text(Snapshot snapshot, bool subtransactions)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, UINT64_FORMAT ":" UINT64_FORMAT ":", tenancy_xid_full(snapshot->xmin),
					 tenancy_xid_full(snapshot->xmax));
	append_ids(&text, snapshot->xip, snapshot->xcnt);
	if (subtransactions || snapshot->takenDuringRecovery)
		append_ids(&text, snapshot->subxip, snapshot->subxcnt);
	return text.data;
}
