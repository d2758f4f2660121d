/*
 * document_flat.c
 *		JSON that a flattened field takes.
 *
 * Such a field refuses what is no object, or deep, or has very long keys: an object, or an array
 * of objects, is written as it is; another value as {"value": it}, and what is refused even so
 * as {"value": its text}.
 */
#include "postgres.h"

#include "common/json.h"
#include "sync/document_value.h"

#define DEPTH_MAX 18 /* objects in one another; servers take 20 */
#define KEY_MAX 1000 /* bytes: all keys on the way to a value and the value are one term */

#define WORD_MAX 1000 /* characters: servers refuse longer numbers */

/* What is seen of a JSON text. */
typedef struct Seen
{
	int	 nested; /* objects and arrays around this place */
	int	 depth;	 /* of objects, now */
	bool loose;	 /* a value other than null is in no object */
	bool unfit;	 /* too deep, a key or number too long, or a zero character in a key */
} Seen;

/* End of the string that begins at c, behind its last quote. */
static const char *
skip_string(const char *c, const char *end)
{
	for (c++; c < end && *c != '"'; c++)
		if (*c == '\\')
			c++;
	return c + 1;
}

/* Looks at a string. */
static const char *
see_string(Seen *seen, const char *c, const char *end)
{
	const char *after = skip_string(c, end);
	const char *next = after;

	while (next < end && (*next == ' ' || *next == '\t' || *next == '\n' || *next == '\r'))
		next++;
	if (next >= end || *next != ':')
		seen->loose |= seen->depth == 0;
	else if (after - c > KEY_MAX || (after - c > 6 && memmem(c, after - c, "\\u0000", 6) != NULL))
		seen->unfit = true;
	return after;
}

/* Looks at a number or a word; null is taken anywhere. */
static const char *
see_word(Seen *seen, const char *c, const char *end)
{
	const char *after = c;

	while (after < end && strchr(",]} \t\r\n", *after) == NULL)
		after++;
	seen->unfit |= after - c > WORD_MAX;
	if (seen->depth == 0 && strncmp(c, "null", 4) != 0)
		seen->loose = true;
	return after;
}

/* Looks at a bracket, or what is between values. */
static void
see_bracket(Seen *seen, char c)
{
	if (c == '{' || c == '[')
		seen->unfit |= ++seen->nested > DEPTH_MAX;
	else if (c == '}' || c == ']')
		seen->nested--;
	if (c == '{' || c == '}')
		seen->depth += c == '{' ? 1 : -1;
}

/* Looks at all of a valid JSON text. */
static void
see(Seen *seen, const char *c, const char *end)
{
	while (c < end)
	{
		if (*c == '"')
		{
			c = see_string(seen, c, end);
			continue;
		}
		if (strchr("{}[],: \t\r\n", *c) == NULL)
		{
			c = see_word(seen, c, end);
			continue;
		}
		see_bracket(seen, *c);
		c++;
	}
}

/* Makes the JSON text from `start` on such that a flattened field takes it. */
void
document_flatten(StringInfo out, int start)
{
	Seen  seen = {0};
	int	  length = out->len - start;
	char *json;

	see(&seen, out->data + start, out->data + out->len);
	if (!seen.loose && !seen.unfit)
		return;
	json = pnstrdup(out->data + start, length);
	out->len = start;
	appendStringInfoString(out, "{\"value\":");
	if (seen.unfit)
		tenancy_json_string(out, json, length);
	else
		appendBinaryStringInfo(out, json, length);
	appendStringInfoChar(out, '}');
	pfree(json);
}
