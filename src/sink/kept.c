/*
 * kept.c
 *		Settings that a connection was opened with: have they changed since?
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "sink/kept.h"

/* True if these are still the values. */
bool
kept_same(const KeptSettings *kept, const char *const *values)
{
	for (int i = 0; i < KEPT_MAX && values[i] != NULL; i++)
		if (kept->values[i] == NULL || strcmp(kept->values[i], values[i]) != 0)
			return false;
	return true;
}

/* Copies them. */
void
kept_set(KeptSettings *kept, const char *const *values)
{
	for (int i = 0; i < KEPT_MAX && values[i] != NULL; i++)
	{
		char *fresh = MemoryContextStrdup(TopMemoryContext, values[i]);

		if (kept->values[i] != NULL)
			pfree(kept->values[i]);
		kept->values[i] = fresh;
	}
}
