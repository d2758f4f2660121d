/*
 * sync_template.h
 *		Checks of what tenant_sync_table() is given.
 */
#ifndef TENANCY_SYNC_TEMPLATE_H
#define TENANCY_SYNC_TEMPLATE_H

#include "utils/array.h"
#include "utils/jsonb.h"

extern void sync_check_key_columns(ArrayType *columns);
extern void sync_check_mapping(Jsonb *mapping);
extern void sync_check_templates(const char *argument, ArrayType *templates,
								 ArrayType *key_columns);

#endif
