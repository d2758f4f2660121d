/*
 * attempt.c
 *		Doing something that foreign text may make fail.
 *
 * In a subtransaction: 15 has no soft errors, and later ones have none for depth
 * and encoding.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "common/attempt.h"

/* True for what the text itself can cause: its syntax, encoding, depth, size, or a domain's check. */
static bool
caused_by_text(int sqlstate)
{
	int category = ERRCODE_TO_CATEGORY(sqlstate);

	return category == ERRCODE_TO_CATEGORY(ERRCODE_DATA_EXCEPTION) ||
		   category == ERRCODE_TO_CATEGORY(ERRCODE_PROGRAM_LIMIT_EXCEEDED) ||
		   category == ERRCODE_TO_CATEGORY(ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION);
}

/* Ends the failed subtransaction; returns its error, in the caller's memory context. */
static ErrorData *
end_failed(MemoryContext context, ResourceOwner owner)
{
	ErrorData *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return error;
}

/*
 * Calls the function in the current memory context, in a subtransaction; returns the error
 * that it ended with, NULL if none.  undo: nothing of it stays, no lock either.
 */
ErrorData *
tenancy_try(AttemptFunction function, void *arg, bool undo)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		function(arg);
		if (undo)
			RollbackAndReleaseCurrentSubTransaction();
		else
			ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		error = end_failed(context, owner);
	}
	PG_END_TRY();
	return error;
}

/*
 * Calls the function in the current memory context; false if the text was at fault.  Throws
 * again what the text did not cause.
 */
bool
tenancy_attempt(AttemptFunction function, void *arg)
{
	ErrorData *error = tenancy_try(function, arg, false);

	if (error == NULL)
		return true;
	if (!caused_by_text(error->sqlerrcode))
		ReThrowError(error);
	FreeErrorData(error);
	return false;
}
