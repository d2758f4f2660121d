/*
 * json.c
 *		Writing JSON text quickly.
 */
#include "postgres.h"

#include "common/json.h"

#define EACH_BYTE(c) (UINT64CONST(0x0101010101010101) * (uint64) (c))

/* Not zero if one of eight bytes is zero. */
static inline uint64
has_zero(uint64 bytes)
{
	return (bytes - EACH_BYTE(1)) & ~bytes & EACH_BYTE(0x80);
}

/* True if one of eight bytes needs an escape. */
static inline bool
need_escape(uint64 bytes)
{
	uint64 control = (bytes - EACH_BYTE(' ')) & ~bytes & EACH_BYTE(0x80);

	return (control | has_zero(bytes ^ EACH_BYTE('"')) | has_zero(bytes ^ EACH_BYTE('\\'))) != 0;
}

/* Length of the part from p on that needs no escape; eight bytes at a time while that goes. */
static inline int
plain_run(const char *p, const char *end)
{
	const char *start = p;

	while (end - p >= sizeof(uint64))
	{
		uint64 bytes;

		memcpy(&bytes, p, sizeof(bytes));
		if (need_escape(bytes))
			break;
		p += sizeof(bytes);
	}
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

	enlargeStringInfo(out, length + 2);
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
