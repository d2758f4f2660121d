/*
 * settings_diff.c
 *		What an index's settings need to become others.
 *
 * A setting can be written as a path or as nested objects, with or without "index.": all are
 * compared by their names in full.
 */
#include "postgres.h"

#include "common/jsonb.h"
#include "sync/mapping_diff.h"

/* Settings that can be changed while the index is open; one that ends with a dot: all below it. */
static const char *const dynamic_settings[] = {"index.auto_expand_replicas",
											   "index.blocks.",
											   "index.default_pipeline",
											   "index.final_pipeline",
											   "index.gc_deletes",
											   "index.hidden",
											   "index.highlight.",
											   "index.indexing.",
											   "index.lifecycle.",
											   "index.mapping.",
											   "index.max_",
											   "index.merge.",
											   "index.number_of_replicas",
											   "index.priority",
											   "index.query.",
											   "index.refresh_interval",
											   "index.requests.",
											   "index.routing.",
											   "index.search.",
											   "index.translog.",
											   "index.warmer.",
											   "index.analyze.max_token_count",
											   "index.write.",
											   "index.unassigned.",
											   "index.allocation.",
											   "index.top_metrics_max",
											   NULL};

/* Those below them that cannot. */
static const char *const fixed_settings[] = {
	"index.mapping.coerce", "index.mapping.ignore_malformed", "index.mapping.source.",
	"index.routing_path",	"index.merge.policy.type",		  NULL};

/* True if the name is in a list. */
static bool
is_listed(const char *name, const char *const *list)
{
	for (; *list != NULL; list++)
	{
		size_t length = strlen(*list);
		bool   all = (*list)[length - 1] == '.' || (*list)[length - 1] == '_';

		if (all ? strncmp(name, *list, length) == 0 : strcmp(name, *list) == 0)
			return true;
	}
	return false;
}

/* A setting's name in full. */
static char *
full_name(const char *name)
{
	return strncmp(name, "index.", 6) == 0 ? pstrdup(name) : psprintf("index.%s", name);
}

/* Appends the settings below an object as MappingMembers with full names; nulls are none. */
static List *
flatten(List *settings, JsonbContainer *object, const char *path)
{
	ListCell *cell;

	foreach (cell, mapping_members(object))
	{
		MappingMember *member = lfirst(cell);
		char		  *name = psprintf("%s%s", path, member->name);

		if (member->value.type == jbvBinary && JsonContainerIsObject(member->value.val.binary.data))
			settings = flatten(settings, member->value.val.binary.data, psprintf("%s.", name));
		else if (member->value.type != jbvNull)
		{
			member->name = full_name(name);
			settings = lappend(settings, member);
		}
	}
	return settings;
}

/* A setting of a list as text, NULL: it is not there. */
static char *
find_setting(List *settings, const char *name)
{
	ListCell *cell;

	foreach (cell, settings)
	{
		const MappingMember *member = lfirst(cell);
		char				*text;

		if (strcmp(member->name, name) != 0)
			continue;
		text = tenancy_jsonb_scalar(&member->value);
		return text != NULL ? text : mapping_value_text(&member->value);
	}
	return NULL;
}

/* Settings as MappingMembers with their names in full. */
List *
mapping_flat_settings(JsonbContainer *settings)
{
	return flatten(NIL, settings, "");
}

/* True if the setting is in a list of mapping_flat_settings. */
bool
mapping_has_setting(List *settings, const char *name)
{
	return find_setting(settings, name) != NULL;
}

/* Compares one setting; value: what it should be as JSON text. */
static void
diff_setting(MappingDiff *diff, const char *name, const char *now, const char *wanted,
			 const char *value)
{
	if (now != NULL && wanted != NULL && strcmp(now, wanted) == 0)
		return;
	if (is_listed(name, dynamic_settings) && !is_listed(name, fixed_settings))
		mapping_append_member(&diff->settings, name, value);
	else
		mapping_conflict(diff, "setting \"%s\" is %s, not %s", name, now ? now : "not set",
						 wanted ? wanted : "unset");
}

/* Compares two objects of settings. */
void
mapping_diff_settings(JsonbContainer *present, JsonbContainer *wanted, MappingDiff *diff)
{
	List	 *now = flatten(NIL, present, "");
	List	 *then = flatten(NIL, wanted, "");
	ListCell *cell;

	foreach (cell, then)
	{
		MappingMember *member = lfirst(cell);

		diff_setting(diff, member->name, find_setting(now, member->name),
					 find_setting(then, member->name), mapping_value_text(&member->value));
	}
	foreach (cell, now)
	{
		MappingMember *member = lfirst(cell);

		if (find_setting(then, member->name) == NULL)
			diff_setting(diff, member->name, find_setting(now, member->name), NULL, "null");
	}
}
