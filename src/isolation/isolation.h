/*
 * isolation.h
 *		What keeps tenants apart in everybody's sessions: what _PG_init calls.
 */
#ifndef TENANCY_ISOLATION_H
#define TENANCY_ISOLATION_H

#include "postgres.h"

/* table_check.c */
extern void isolation_table_init(void);

/* session_path.c */
extern void isolation_path_init(void);

#endif
