/*
 * uuid.h
 *		UUIDs to text and back, without the server's functions: every key of a usual table is one.
 */
#ifndef TENANCY_UUID_H
#define TENANCY_UUID_H

#include "utils/uuid.h"

#define UUID_TEXT_LENGTH 36

extern void tenancy_uuid_write(const pg_uuid_t *uuid, char *text);
extern bool tenancy_uuid_read(const char *text, pg_uuid_t *uuid);

#endif
