/*
 * json.h
 *		Writing JSON text quickly.
 */
#ifndef TENANCY_JSON_H
#define TENANCY_JSON_H

#include "lib/stringinfo.h"

extern void tenancy_json_string(StringInfo out, const char *text, int length);

#endif
