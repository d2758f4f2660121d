/*
 * json.c
 *		Writing JSON text quickly.
 */
#include "postgres.h"

#include "common/json.h"

/* Length of the part from p on that needs no escape. */
static inline int
plain_run(const char *p, const char *end)
{
	const char *start = p;

	while (p < end && (unsigned char) *p >= ' ' && *p != '"' && *p != '\\')
		p++;
	return p - start;
}

/* Appends one character that needs an escape. */
static void
append_escape(StringInfo out, char c)
{
	switch (c)
	{
		case '"':
			appendStringInfoString(out, "\\\"");
			break;
		case '\\':
			appendStringInfoString(out, "\\\\");
			break;
		case '\n':
			appendStringInfoString(out, "\\n");
			break;
		case '\r':
			appendStringInfoString(out, "\\r");
			break;
		case '\t':
			appendStringInfoString(out, "\\t");
			break;
		default:
			appendStringInfo(out, "\\u%04x", (unsigned char) c);
	}
}

/* Appends text as a JSON string, whole runs at a time. */
void
tenancy_json_string(StringInfo out, const char *text, int length)
{
	const char *end = text + length;

	appendStringInfoCharMacro(out, '"');
	while (text < end)
	{
		int run = plain_run(text, end);

		if (run > 0)
			appendBinaryStringInfo(out, text, run);
		text += run;
		if (text < end)
			append_escape(out, *text++);
	}
	appendStringInfoCharMacro(out, '"');
}
