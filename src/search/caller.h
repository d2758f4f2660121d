/*
 * caller.h
 *		What queries of the table that run as the caller have in common.
 */
#ifndef TENANCY_SEARCH_CALLER_H
#define TENANCY_SEARCH_CALLER_H

#include "lib/stringinfo.h"
#include "utils/rel.h"

#include "search/request.h"

/* Within tenancy_spi_begin_as_caller. */
extern void caller_pin_settings(void);
/* Appends the row t as a document: the wanted columns, never full text ones. */
extern void caller_append_document(StringInfo sql, Relation table, const SearchRequest *request);

#endif
