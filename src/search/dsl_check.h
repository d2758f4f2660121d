/*
 * dsl_check.h
 *		What of the servers' query language an administrator may send.
 */
#ifndef TENANCY_SEARCH_DSL_CHECK_H
#define TENANCY_SEARCH_DSL_CHECK_H

#include "utils/jsonb.h"

/* Refuses a body with anything that is not known to stay within the documents it is confined to. */
extern void dsl_check_body(Jsonb *body);

#endif
