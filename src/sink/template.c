/*
 * template.c
 *		Cache keys and tags such as technology:{id}.
 *
 * A brace without its partner stands for itself.
 */
#include "postgres.h"

#include "sink/template.h"

/*
 * True if the key has as many parts as the target has key columns.  It need not: it may be from before
 * the columns changed, and any role can write one into the WAL.
 */
bool
sink_key_fits(const SinkTarget *target, const char *key, int key_length)
{
	int nparts = 0;

	if (key_length <= 0 || key[key_length - 1] != '\0')
		return false;
	for (int i = 0; i < key_length; i++)
		nparts += key[i] == '\0';
	return nparts == target->nkeys;
}

/* Value of the key column whose name is name[length], NULL if there is none. */
static const char *
key_value(const SinkTarget *target, const char *key, const char *name, size_t length)
{
	for (int i = 0; i < target->nkeys; i++)
	{
		const char *column = target->key_columns[i];

		if (strlen(column) == length && memcmp(column, name, length) == 0)
			return key;
		key += strlen(key) + 1;
	}
	return NULL;
}

/* Appends tmpl with each {column} replaced by the key's value; false if it is no key column. */
bool
sink_expand_template(StringInfo out, const char *tmpl, const SinkTarget *target, const char *key)
{
	const char *open;
	const char *close;

	while ((open = strchr(tmpl, '{')) != NULL && (close = strchr(open, '}')) != NULL)
	{
		const char *value = key_value(target, key, open + 1, close - open - 1);

		if (value == NULL)
			return false;
		appendBinaryStringInfo(out, tmpl, open - tmpl);
		appendStringInfoString(out, value);
		tmpl = close + 1;
	}
	appendStringInfoString(out, tmpl);
	return true;
}

/* True if every column that a template names is a key column. */
static bool
is_fit(const char *tmpl, const SinkTarget *target)
{
	const char *open;
	const char *close;

	while ((open = strchr(tmpl, '{')) != NULL && (close = strchr(open, '}')) != NULL)
	{
		bool found = false;

		for (int i = 0; i < target->nkeys; i++)
			found = found || (strlen(target->key_columns[i]) == close - open - 1 &&
							  strncmp(target->key_columns[i], open + 1, close - open - 1) == 0);
		if (!found)
			return false;
		tmpl = close + 1;
	}
	return true;
}

/* A template of the target that names a column that is not a key column, NULL: none. */
const char *
sink_unfit_template(const SinkTarget *target)
{
	for (int i = 0; i < target->ncache_keys; i++)
		if (!is_fit(target->cache_keys[i], target))
			return target->cache_keys[i];
	for (int i = 0; i < target->ncache_tags; i++)
		if (!is_fit(target->cache_tags[i], target))
			return target->cache_tags[i];
	return NULL;
}
