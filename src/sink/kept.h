/*
 * kept.h
 *		Settings that a connection was opened with: have they changed since?
 */
#ifndef TENANCY_KEPT_H
#define TENANCY_KEPT_H

#define KEPT_MAX 6

/* Copies of settings' values, all NULL at first. */
typedef struct KeptSettings
{
	char *values[KEPT_MAX];
} KeptSettings;

/* True if these are still the values; a list that NULL ends. */
extern bool kept_same(const KeptSettings *kept, const char *const *values);
/* Copies them, for the life of the process. */
extern void kept_set(KeptSettings *kept, const char *const *values);

#endif
