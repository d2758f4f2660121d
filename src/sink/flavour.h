/*
 * flavour.h
 *		What search servers call otherwise, or do not have.
 */
#ifndef TENANCY_FLAVOUR_H
#define TENANCY_FLAVOUR_H

#include "lib/stringinfo.h"

/*
 * Body of a create-index request for this server; NULL: body is no JSON object.  What was put in
 * the place of something else is appended to note.
 */
extern char *flavour_body(const char *body, StringInfo note);
/* The same for an object of fields. */
extern char *flavour_fields(const char *fields, StringInfo note);
/* True if a refusal says that the server lacks a type for which there is another one. */
extern bool flavour_learn(const char *reply);
/* It may be another server by now. */
extern void flavour_forget(void);

#endif
