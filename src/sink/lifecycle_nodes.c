/*
 * lifecycle_nodes.c
 *		Nodes that a lifecycle policy may want an index on.
 */
#include "postgres.h"

#include <jansson.h>

#include "sink/lifecycle_work.h"

/* Value of the attribute "data" in a row of the answer, NULL: it is about another one. */
static const char *
data_of(json_t *row)
{
	const char *attr = json_string_value(json_object_get(row, "attr"));

	return attr != NULL && strcmp(attr, "data") == 0
			   ? json_string_value(json_object_get(row, "value"))
			   : NULL;
}

/* Values of the attribute data that nodes have, in the current memory context. */
List *
lifecycle_nodes(const char *reply)
{
	json_t *root = json_loads(reply, 0, NULL);
	List *volatile nodes = NIL;

	PG_TRY();
	{
		size_t	i;
		json_t *row;

		json_array_foreach(root, i, row)
		{
			const char *value = data_of(row);

			if (value != NULL)
				nodes = lappend(nodes, pstrdup(value));
		}
	}
	PG_FINALLY();
	{
		json_decref(root);
	}
	PG_END_TRY();
	return nodes;
}
