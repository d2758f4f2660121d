/*
 * sync_template.c
 *		Checks of what tenant_sync_table() is given.
 *
 * A template is text with placeholders {column}.  There is no way to write a
 * brace that is not part of a placeholder.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "common/errors.h"
#include "sync/sync_template.h"

/* The strings of a text array; refuses more than one dimension, nulls and empty strings. */
static char **
array_strings(const char *argument, ArrayType *array, int *count)
{
	Datum *values;
	bool  *nulls;
	char **strings;

	if (ARR_NDIM(array) > 1)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_SYNC_CONFIG),
						errmsg("%s must have one dimension", argument)));
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, count);
	strings = palloc(sizeof(char *) * (*count + 1));
	for (int i = 0; i < *count; i++)
	{
		strings[i] = nulls[i] ? NULL : TextDatumGetCString(values[i]);
		if (nulls[i] || strings[i][0] == '\0')
			ereport(ERROR, (errcode(ERRCODE_TENANCY_SYNC_CONFIG),
							errmsg("%s must not contain nulls or empty strings", argument)));
	}
	return strings;
}

/* True if one of the strings is the length bytes at text. */
static bool
strings_contain(char **strings, int count, const char *text, size_t length)
{
	for (int i = 0; i < count; i++)
		if (strlen(strings[i]) == length && memcmp(strings[i], text, length) == 0)
			return true;
	return false;
}

/* Refuses a list of key columns that could not identify a row. */
void
sync_check_key_columns(ArrayType *columns)
{
	int	   count;
	char **names = array_strings("key_columns", columns, &count);

	if (count == 0)
		ereport(ERROR,
				(errcode(ERRCODE_TENANCY_SYNC_CONFIG), errmsg("key_columns must not be empty"),
				 errhint("Leave it out to use the primary key.")));
	if (count > INDEX_MAX_KEYS)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_SYNC_CONFIG),
						errmsg("key_columns must not have more than %d columns", INDEX_MAX_KEYS)));
	for (int i = 0; i < count; i++)
	{
		if (strlen(names[i]) >= NAMEDATALEN)
			ereport(ERROR, (errcode(ERRCODE_TENANCY_SYNC_CONFIG),
							errmsg("key column name \"%s\" is too long", names[i])));
		if (strings_contain(names, i, names[i], strlen(names[i])))
			ereport(ERROR, (errcode(ERRCODE_TENANCY_SYNC_CONFIG),
							errmsg("key column \"%s\" is named twice", names[i])));
	}
}

/* Refuses anything but an object with settings and mappings. */
void
sync_check_mapping(Jsonb *mapping)
{
	JsonbIterator	  *it = JsonbIteratorInit(&mapping->root);
	JsonbIteratorToken token;
	JsonbValue		   v;

	if (!JB_ROOT_IS_OBJECT(mapping))
		ereport(ERROR,
				(errcode(ERRCODE_TENANCY_SYNC_CONFIG), errmsg("mapping must be a JSON object")));
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			char *key = pnstrdup(v.val.string.val, v.val.string.len);

			if (strcmp(key, "settings") != 0 && strcmp(key, "mappings") != 0)
				ereport(ERROR, (errcode(ERRCODE_TENANCY_SYNC_CONFIG),
								errmsg("mapping must not contain \"%s\"", key),
								errdetail("Only \"settings\" and \"mappings\" are allowed; the "
										  "alias is made by itself.")));
		}
		else if (token == WJB_VALUE &&
				 !(v.type == jbvBinary && JsonContainerIsObject(v.val.binary.data)))
			ereport(ERROR, (errcode(ERRCODE_TENANCY_SYNC_CONFIG),
							errmsg("settings and mappings must be JSON objects")));
	}
}

/* Refuses a template whose braces do not pair. */
static void
unbalanced_template(const char *argument, const char *template)
{
	ereport(ERROR, (errcode(ERRCODE_TENANCY_SYNC_CONFIG),
					errmsg("invalid template \"%s\" in %s", template, argument),
					errdetail("Every placeholder must be written {column}.")));
}

/* Checks the placeholders of one template; columns are NULL where any will do. */
static void
check_template(const char *argument, const char *template, char **columns, int ncolumns)
{
	for (const char *at = template; *at != '\0'; at++)
	{
		const char *close;

		if (*at == '}')
			unbalanced_template(argument, template);
		if (*at != '{')
			continue;
		close = at + 1 + strcspn(at + 1, "{}");
		if (*close != '}' || close == at + 1)
			unbalanced_template(argument, template);
		if (columns != NULL && !strings_contain(columns, ncolumns, at + 1, close - at - 1))
			ereport(ERROR, (errcode(ERRCODE_TENANCY_SYNC_CONFIG),
							errmsg("template \"%s\" in %s names column \"%s\", which is not a key "
								   "column",
								   template, argument, pnstrdup(at + 1, close - at - 1)),
							errdetail("Only the key of a deleted row is known.")));
		at = close;
	}
}

/* Checks all templates of cache_keys or cache_tags. */
void
sync_check_templates(const char *argument, ArrayType *templates, ArrayType *key_columns)
{
	int	   count, ncolumns = 0;
	char **strings = array_strings(argument, templates, &count);
	char **columns = NULL;

	if (key_columns != NULL)
		columns = array_strings("key_columns", key_columns, &ncolumns);
	for (int i = 0; i < count; i++)
	{
		if (strings[i][0] == '#')
			ereport(ERROR, (errcode(ERRCODE_TENANCY_SYNC_CONFIG),
							errmsg("invalid template \"%s\" in %s", strings[i], argument),
							errdetail("Keys that start with # are the extension's own.")));
		check_template(argument, strings[i], columns, ncolumns);
	}
}
