/*
 * doc_id.c
 *		A row's document id, made from its key.
 *
 * One column is its text.  Several are joined by ':', with ':' and '\' inside them
 * escaped by '\'.  So different keys of a table never share an id.
 */
#include "postgres.h"

#include "sink/doc_id.h"

/* Appends one column of several. */
static void
append_escaped(StringInfo out, const char *value)
{
	for (const char *c = value; *c != '\0'; c++)
	{
		if (*c == ':' || *c == '\\')
			appendStringInfoChar(out, '\\');
		appendStringInfoChar(out, *c);
	}
}

/* Appends the id. */
void
sink_append_doc_id(StringInfo out, const char *key, int key_length)
{
	const char *end = key + key_length;

	if (strlen(key) + 1 == key_length)
	{
		appendStringInfoString(out, key);
		return;
	}
	for (const char *value = key; value < end; value += strlen(value) + 1)
	{
		if (value != key)
			appendStringInfoChar(out, ':');
		append_escaped(out, value);
	}
}

/* Appends the key that an id was made from, each part of it ended by a zero byte. */
void
sink_append_doc_key(StringInfo out, const char *id, int nkeys)
{
	for (const char *c = id; *c != '\0'; c++)
	{
		if (nkeys > 1 && *c == '\\' && c[1] != '\0')
			appendStringInfoChar(out, *++c);
		else
			appendStringInfoChar(out, nkeys > 1 && *c == ':' ? '\0' : *c);
	}
	appendStringInfoChar(out, '\0');
}

/*
 * Appends what stands before the id where part is one of a shared index, NULL: nothing.  A part
 * has no colon, so different parts never share an id.
 */
void
sink_append_part(StringInfo out, const char *part)
{
	if (part == NULL)
		return;
	appendStringInfoString(out, part);
	appendStringInfoChar(out, ':');
}

/* The id in the current memory context. */
char *
sink_doc_id(const char *key, int key_length)
{
	StringInfoData id;

	initStringInfo(&id);
	sink_append_doc_id(&id, key, key_length);
	return id.data;
}
