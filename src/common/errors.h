/*
 * errors.h
 *		The extension's own SQLSTATEs: class TN.
 *
 * Every error a user can meet has one of these or one of PostgreSQL's own
 * codes.  docs/reference.md lists them, test/t proves each.
 */
#ifndef TENANCY_ERRORS_H
#define TENANCY_ERRORS_H

#include "utils/elog.h"

#define ERRCODE_TENANCY_UNDEFINED_TENANT MAKE_SQLSTATE('T', 'N', '0', '0', '1')
#define ERRCODE_TENANCY_DUPLICATE_TENANT MAKE_SQLSTATE('T', 'N', '0', '0', '2')
#define ERRCODE_TENANCY_INVALID_NAME MAKE_SQLSTATE('T', 'N', '0', '0', '3')
#define ERRCODE_TENANCY_TENANT_SUSPENDED MAKE_SQLSTATE('T', 'N', '0', '0', '4')
#define ERRCODE_TENANCY_NO_TENANT MAKE_SQLSTATE('T', 'N', '0', '0', '5')
#define ERRCODE_TENANCY_BLUEPRINT MAKE_SQLSTATE('T', 'N', '0', '0', '6')
#define ERRCODE_TENANCY_NOT_RUNNING MAKE_SQLSTATE('T', 'N', '0', '0', '7')
#define ERRCODE_TENANCY_SEARCH_UNAVAILABLE MAKE_SQLSTATE('T', 'N', '0', '0', '8')
#define ERRCODE_TENANCY_SEARCH_REPLY MAKE_SQLSTATE('T', 'N', '0', '0', '9')
#define ERRCODE_TENANCY_SYNC_CONFIG MAKE_SQLSTATE('T', 'N', '0', '1', '0')
#define ERRCODE_TENANCY_LIFECYCLE MAKE_SQLSTATE('T', 'N', '0', '2', '0')
#define ERRCODE_TENANCY_SESSION_PATH MAKE_SQLSTATE('T', 'N', '0', '3', '0')
#define ERRCODE_TENANCY_OTHER_TENANT MAKE_SQLSTATE('T', 'N', '0', '3', '1')
#define ERRCODE_TENANCY_READ_ONLY MAKE_SQLSTATE('T', 'N', '0', '3', '2')
#define ERRCODE_TENANCY_QUOTA MAKE_SQLSTATE('T', 'N', '0', '3', '3')

#endif
