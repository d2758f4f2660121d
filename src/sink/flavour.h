/*
 * flavour.h
 *		What search servers call otherwise, or do not have.
 */
#ifndef TENANCY_FLAVOUR_H
#define TENANCY_FLAVOUR_H

#include "lib/stringinfo.h"
#include "nodes/pg_list.h"

/* A request that does something in the way of the server at hand. */
typedef struct FlavourRequest
{
	const char *method;
	char	   *path;
	char	   *body; /* JSON, NULL: none */
} FlavourRequest;

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

/* Path that the server answers with 200 if it carries lifecycle policies out, and what its API is called then. */
extern const char *flavour_lifecycle_probe(void);
extern const char *flavour_lifecycle_api(void);
/* True if that can be told from when the age of an index counts. */
extern bool flavour_lifecycle_dated(void);
/* A policy is put; without a body removed. */
extern FlavourRequest *flavour_policy_request(const char *name, const char *body);
/* An index follows a policy, its age counting from a time in ms, or 0: from when the server made it. */
extern FlavourRequest *flavour_attach_request(const char *index, const char *policy, int64 origin);
/* An index follows none any more. */
extern FlavourRequest *flavour_detach_request(const char *index);
/* Settings of an index are put. */
extern FlavourRequest *flavour_settings_request(const char *index, const char *settings);
/* True if a request that was answered with 200 has failed all the same. */
extern bool flavour_has_failed(const char *reply);

#endif
