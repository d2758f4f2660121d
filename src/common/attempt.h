/*
 * attempt.h
 *		Doing something that foreign text may make fail.
 */
#ifndef TENANCY_ATTEMPT_H
#define TENANCY_ATTEMPT_H

#include "utils/elog.h"

typedef void (*AttemptFunction)(void *arg);

extern ErrorData *tenancy_try(AttemptFunction function, void *arg, bool undo);
extern ErrorData *tenancy_try(AttemptFunction function, void *arg, bool undo);
extern bool		  tenancy_attempt(AttemptFunction function, void *arg);

#endif
