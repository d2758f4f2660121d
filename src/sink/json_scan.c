/*
 * json_scan.c
 *		Reads JSON text in one pass, without a tree and without memory.
 *
 * The first thing that does not fit makes the scan bad, and everything after that
 * does nothing and ends every loop.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "sink/json_scan.h"

/* A string that is being copied; what does not fit is dropped. */
typedef struct Target
{
	char  *data;
	size_t length;
	size_t size;
	bool   full; /* nothing more is taken, so that a cut stays a cut */
} Target;

/* Goes on to what is not white space. */
static void
skip_space(JsonScan *scan)
{
	while (*scan->at == ' ' || *scan->at == '\n' || *scan->at == '\r' || *scan->at == '\t')
		scan->at++;
}

/* Takes a character if it comes next. */
static bool
take(JsonScan *scan, char c)
{
	skip_space(scan);
	if (scan->bad || *scan->at != c)
		return false;
	scan->at++;
	return true;
}

/* Takes a character that must come next. */
static bool
require(JsonScan *scan, char c)
{
	if (!take(scan, c))
		scan->bad = true;
	return !scan->bad;
}

/* True if an object or array comes next. */
bool
json_scan_peek(JsonScan *scan, char open)
{
	skip_space(scan);
	return !scan->bad && *scan->at == open;
}

/* Enters an object or array. */
bool
json_scan_enter(JsonScan *scan, char open)
{
	return require(scan, open);
}

/* Goes to the next part of what was entered; false if it ends here. */
static bool
next_part(JsonScan *scan, char close)
{
	if (take(scan, close))
		return false;
	(void) take(scan, ',');
	return !scan->bad;
}

/* Next member of the object entered last: its name, cut to size; false at the end. */
bool
json_scan_member(JsonScan *scan, char *name, size_t size)
{
	if (!next_part(scan, '}'))
		return false;
	json_scan_string(scan, name, size);
	return require(scan, ':');
}

/* False at the end of the array entered last. */
bool
json_scan_element(JsonScan *scan)
{
	return next_part(scan, ']');
}

/* Copies bytes that belong together. */
static void
put(Target *target, const char *bytes, size_t length)
{
	if (target->full || target->length + length >= target->size)
	{
		target->full = true;
		return;
	}
	memcpy(target->data + target->length, bytes, length);
	target->length += length;
}

/* Copies as much of a run as fits; its last character may be cut. */
static void
put_run(Target *target, const char *bytes, size_t length)
{
	size_t room = target->size - 1 - target->length;

	put(target, bytes, Min(length, room));
	target->full = target->full || length > room;
}

/* Four hexadecimal digits. */
static int
scan_hex(JsonScan *scan)
{
	int value = 0;

	for (int i = 0; i < 4; i++, scan->at++)
	{
		char c = *scan->at;

		if (c >= '0' && c <= '9')
			value = value * 16 + (c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			value = value * 16 + ((c | 0x20) - 'a' + 10);
		else
		{
			scan->bad = true;
			return 0;
		}
	}
	return value;
}

/* What follows \u, with the second half of a pair; a zero or a lone half becomes '?'. */
static void
scan_code_point(JsonScan *scan, Target *target)
{
	unsigned char utf8[MAX_MULTIBYTE_CHAR_LEN + 1];
	pg_wchar	  c = scan_hex(scan);

	if (is_utf16_surrogate_first(c) && scan->at[0] == '\\' && scan->at[1] == 'u')
	{
		pg_wchar second;

		scan->at += 2;
		second = scan_hex(scan);
		c = is_utf16_surrogate_second(second) ? surrogate_pair_to_codepoint(c, second) : '?';
	}
	if (c == 0 || is_utf16_surrogate_first(c) || is_utf16_surrogate_second(c))
		c = '?';
	unicode_to_utf8(c, utf8);
	put(target, (char *) utf8, pg_utf_mblen(utf8));
}

/* What follows a backslash. */
static void
scan_escape(JsonScan *scan, Target *target)
{
	static const char codes[] = "\"\\/bfnrt";
	static const char values[] = "\"\\/\b\f\n\r\t";
	char			  c = *scan->at;
	const char		 *found = c != '\0' ? strchr(codes, c) : NULL;

	if (c == 'u')
	{
		scan->at++;
		scan_code_point(scan, target);
	}
	else if (found != NULL)
	{
		scan->at++;
		put(target, &values[found - codes], 1);
	}
	else
		scan->bad = true;
}

/* Value that comes next, as UTF-8 cut to size; anything but a string is bad. */
void
json_scan_string(JsonScan *scan, char *buffer, size_t size)
{
	Target target = {buffer, 0, size, false};

	buffer[0] = '\0';
	if (!require(scan, '"'))
		return;
	while (!scan->bad && *scan->at != '"')
	{
		size_t run = strcspn(scan->at, "\"\\");

		put_run(&target, scan->at, run);
		scan->at += run;
		if (*scan->at == '\\')
		{
			scan->at++;
			scan_escape(scan, &target);
		}
		else if (*scan->at == '\0')
			scan->bad = true;
	}
	buffer[target.length] = '\0';
	(void) require(scan, '"');
}

/* A whole number. */
int
json_scan_int(JsonScan *scan)
{
	char *end;
	long  value;

	skip_space(scan);
	if (scan->bad)
		return 0;
	value = strtol(scan->at, &end, 10);
	if (end == scan->at)
		scan->bad = true;
	scan->at = end;
	return (int) value;
}

/* A whole number from 0 on. */
uint64
json_scan_uint64(JsonScan *scan)
{
	char  *end;
	uint64 value;

	skip_space(scan);
	if (scan->bad || *scan->at < '0' || *scan->at > '9')
	{
		scan->bad = true;
		return 0;
	}
	value = strtoull(scan->at, &end, 10);
	scan->at = end;
	return value;
}

/* true or false. */
bool
json_scan_bool(JsonScan *scan)
{
	bool value;

	skip_space(scan);
	value = strncmp(scan->at, "true", 4) == 0;
	if (!value && strncmp(scan->at, "false", 5) != 0)
		scan->bad = true;
	if (!scan->bad)
		scan->at += value ? 4 : 5;
	return value && !scan->bad;
}

/* Number, true, false or null: whatever goes up to the next separator. */
static void
skip_word(JsonScan *scan)
{
	size_t length = strcspn(scan->at, ",]} \n\r\t\"");

	if (length == 0)
		scan->bad = true;
	scan->at += length;
}

/* Goes behind the value that comes next, whatever it is. */
void
json_scan_skip(JsonScan *scan)
{
	char ignored[8];
	int	 depth = 0;

	do
	{
		skip_space(scan);
		if (*scan->at == '"')
			json_scan_string(scan, ignored, sizeof(ignored));
		else if (*scan->at == '{' || *scan->at == '[')
		{
			depth++;
			scan->at++;
		}
		else if (depth > 0 && (*scan->at == '}' || *scan->at == ']'))
		{
			depth--;
			scan->at++;
		}
		else if (depth > 0 && (*scan->at == ',' || *scan->at == ':'))
			scan->at++;
		else
			skip_word(scan);
	} while (depth > 0 && !scan->bad);
}

/* Text of the value that comes next, as it stands there. */
const char *
json_scan_raw(JsonScan *scan, size_t *length)
{
	const char *start;

	skip_space(scan);
	start = scan->at;
	json_scan_skip(scan);
	*length = scan->at - start;
	return start;
}
