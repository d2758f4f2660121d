/*
 * standby.c
 *		Sinks must not have what a standby that may be promoted has not.
 *
 * Since PostgreSQL 17 a standby can keep a copy of our slot (a failover slot), and
 * synchronized_standby_slots names the standbys that logical decoding has to wait for.
 * Where that is so nothing is decoded, and the slot is not confirmed, before they have
 * the WAL up to then: rows of tenancy.backlog and tenancy.resync too, which stand for
 * keys that the slot does not bring again.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#include "capture/standby.h"
#include "common/array.h"
#include "common/compat.h"
#include "common/guc.h"

#define COMPLAIN_AFTER_MS 10000

static bool		   fenced = false;			   /* standbys are waited for */
static char		  *fenced_by = NULL;		   /* setting that the fence was started with */
static XLogRecPtr  passed = InvalidXLogRecPtr; /* every standby has the WAL up to here */
static XLogRecPtr  next = InvalidXLogRecPtr;   /* and is waited for up to here */
static TimestampTz waiting_since = 0;		   /* since when for next; 0: it was complained about */

/* Standbys that must have a change before a sink gets it; NULL: none. */
const char *
standby_wanted(void)
{
	const char *names = compat_standby_slots();

	return COMPAT_FAILOVER_SLOTS && tenancy_failover_slot && names != NULL && *names ? names : NULL;
}

/* Value of a setting of the server, "" if there is none. */
static const char *
setting(const char *name)
{
	const char *value = GetConfigOption(name, true, false);

	return value != NULL ? value : "";
}

/* True if recovery was told where to end: this is a restore, not a promotion. */
static bool
had_recovery_target(void)
{
	static const char *const names[] = {"recovery_target", "recovery_target_lsn",
										"recovery_target_name", "recovery_target_time",
										"recovery_target_xid"};

	for (int i = 0; i < lengthof(names); i++)
		if (*setting(names[i]) != '\0')
			return true;
	return false;
}

/* True if this server was one of the standbys that a primary waited for. */
bool
standby_is_promoted(const char *waited_for)
{
	const char *mine = setting("primary_slot_name");
	List	   *names = NIL;

	if (waited_for == NULL || *mine == '\0' || had_recovery_target() ||
		!SplitIdentifierString(pstrdup(waited_for), ',', &names))
		return false;
	return tenancy_has_string(names, mine);
}

/* The stream that begins waits for the standbys that are to be waited for now. */
void
standby_fence_start(void)
{
	const char *wanted = standby_wanted();

	if (fenced_by != NULL)
		pfree(fenced_by);
	fenced_by = wanted ? MemoryContextStrdup(TopMemoryContext, wanted) : NULL;
	fenced = wanted != NULL;
	passed = next = InvalidXLogRecPtr;
}

/* True if others are to be waited for than the stream does: it has to begin again. */
bool
standby_fence_changed(void)
{
	const char *wanted = standby_wanted();

	return (wanted != NULL) != fenced || (fenced && strcmp(wanted, fenced_by) != 0);
}

/* Says once in a while, and in the status view, whom everything waits for. */
static void
complain(WorkerShared *worker)
{
	if (waiting_since == 0 ||
		!TimestampDifferenceExceeds(waiting_since, GetCurrentTimestamp(), COMPLAIN_AFTER_MS))
		return;
	waiting_since = 0;
	worker_set_error(worker, "waiting for the standbys in synchronized_standby_slots");
	(void) compat_standbys_have(next, WARNING); /* the server says which */
}

/*
 * How far the WAL may be decoded.  What is waited for does not move before it is reached:
 * under steady writes the standbys never have all that was written.
 */
XLogRecPtr
standby_fence(WorkerShared *worker)
{
	if (!fenced)
		return GetFlushRecPtr(NULL);
	if (next <= passed)
	{
		next = GetFlushRecPtr(NULL);
		waiting_since = GetCurrentTimestamp();
	}
	if (next > passed && compat_standbys_have(next, DEBUG1))
		passed = next;
	else if (next > passed)
		complain(worker);
	return passed;
}
