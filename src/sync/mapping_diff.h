/*
 * mapping_diff.h
 *		What an index's body needs to become another one.
 */
#ifndef TENANCY_MAPPING_DIFF_H
#define TENANCY_MAPPING_DIFF_H

#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"

typedef enum MappingChange
{
	MAPPING_SAME,
	MAPPING_ADDED, /* the index can be changed as it is */
	MAPPING_OTHER  /* only another index can have it: see conflicts */
} MappingChange;

/* Texts are JSON in the memory context of the call. */
typedef struct MappingDiff
{
	MappingChange  change;
	bool		   resend;	  /* fields find a document only when it is sent again */
	StringInfoData fields;	  /* object: properties to put, as search_index.to_put takes them */
	StringInfoData root;	  /* object: other members of "mappings" to put */
	StringInfoData settings;  /* object: settings to put, names in full; null: the default again */
	List		  *conflicts; /* of char *: why the index cannot get there */
} MappingDiff;

/* Compares two bodies of a create-index request. */
extern void mapping_diff(Jsonb *present, Jsonb *wanted, MappingDiff *diff);

/* settings_diff.c: the part about "settings"; either may be NULL */
extern void	 mapping_diff_settings(JsonbContainer *present, JsonbContainer *wanted,
								   MappingDiff *diff);
extern List *mapping_flat_settings(JsonbContainer *settings); /* of MappingMember *, full names */
extern bool	 mapping_has_setting(List *settings, const char *name);

/* A member of an object; its value as JSON text. */
typedef struct MappingMember
{
	char	  *name;
	JsonbValue value;
} MappingMember;

extern List *mapping_members(JsonbContainer *object); /* NULL or no object: NIL */
extern char *mapping_value_text(const JsonbValue *value);
extern void	 mapping_append_member(StringInfo object, const char *name, const char *value);
extern void	 mapping_conflict(MappingDiff *diff, const char *format, ...) pg_attribute_printf(2, 3);

#endif
