/*
 * attempt.h
 *		Doing something that foreign text may make fail.
 */
#ifndef TENANCY_ATTEMPT_H
#define TENANCY_ATTEMPT_H

typedef void (*AttemptFunction)(void *arg);

extern bool tenancy_attempt(AttemptFunction function, void *arg);

#endif
