/*
 * lifecycle_nodes.c
 *		Nodes that a lifecycle policy wants an index on.
 */
#include "postgres.h"

#include <jansson.h>

#include "sink/lifecycle.h"
#include "sink/text.h"

/* True if a node has the attribute "data" with the value. */
static bool
has_node(const char *reply, const char *value)
{
	json_t *root = json_loads(reply, 0, NULL);
	bool	found = false;
	size_t	i;
	json_t *row;

	json_array_foreach(root, i, row)
	{
		const char *attr = json_string_value(json_object_get(row, "attr"));
		const char *is = json_string_value(json_object_get(row, "value"));

		found |= attr != NULL && is != NULL && strcmp(attr, "data") == 0 && strcmp(is, value) == 0;
	}
	json_decref(root);
	return found;
}

/* Takes the wish for nodes out of settings if no node is like that. */
void
lifecycle_settle_nodes(char *settings, const char *reply, char *remark, size_t size)
{
	json_t	   *put = json_loads(settings, 0, NULL);
	const char *value = json_string_value(json_object_get(put, LIFECYCLE_NODE_SETTING));

	if (value != NULL && !has_node(reply, value))
	{
		sink_set_textf(remark, size,
					   "no node has the attribute data with value %s, shards stay where they are",
					   value);
		json_object_del(put, LIFECYCLE_NODE_SETTING);
		settings[json_dumpb(put, settings, strlen(settings), JSON_COMPACT)] = '\0';
	}
	json_decref(put);
}
