/*
 * es_mapping.c
 *		Mappings for servers that lack a field type.
 */
#include "postgres.h"

#include <jansson.h>

#include "sink/es_mapping.h"

/* Replaces scaled_float here and below. */
static void
replace_scaled_float(json_t *value)
{
	const char *type = json_string_value(json_object_get(value, "type"));
	const char *name;
	json_t	   *child;

	if (type != NULL && strcmp(type, "scaled_float") == 0)
	{
		json_object_set_new(value, "type", json_string("double"));
		json_object_del(value, "scaling_factor");
	}
	json_object_foreach(value, name, child) replace_scaled_float(child);
}

/* JSON text in the current memory context. */
static char *
print_json(json_t *root)
{
	size_t size = json_dumpb(root, NULL, 0, JSON_COMPACT);
	char  *text = palloc(size + 1);

	text[json_dumpb(root, text, size, JSON_COMPACT)] = '\0';
	return text;
}

/* body with every scaled_float field as a double, NULL if body is no JSON object. */
char *
es_without_scaled_float(const char *body)
{
	json_t *root = json_loads(body, 0, NULL);
	char *volatile result = NULL;

	if (root == NULL)
		return NULL;
	PG_TRY();
	{
		replace_scaled_float(root);
		result = print_json(root);
	}
	PG_FINALLY();
	{
		json_decref(root);
	}
	PG_END_TRY();
	return result;
}
