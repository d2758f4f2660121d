/*
 * text.c
 *		Foreign text, cut to a buffer and safe to store in a table.
 *
 * What a server sends may be no UTF-8 at all, and the database's encoding may be
 * another one.  A conversion could throw and needs a transaction, so that what does
 * not fit is shown as '?'.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "sink/text.h"

/* Replaces what is not ASCII. */
static void
keep_ascii(char *text)
{
	for (; *text != '\0'; text++)
		if (IS_HIGHBIT_SET(*text))
			*text = '?';
}

/* Length of text cut to at most limit bytes, not inside a character of UTF-8. */
static size_t
clip_utf8(const char *text, size_t length, size_t limit)
{
	if (length <= limit)
		return length;
	while (limit > 0 && ((unsigned char) text[limit] & 0xC0) == 0x80)
		limit--;
	return limit;
}

/* Copies text; a zero byte ends it early, control characters become spaces. */
void
sink_set_text(char *buffer, size_t size, const char *text, size_t length)
{
	length = clip_utf8(text, strnlen(text, length), size - 1);
	memcpy(buffer, text, length);
	buffer[length] = '\0';
	for (char *c = buffer; *c != '\0'; c++)
		if ((unsigned char) *c < ' ')
			*c = ' ';
	if (GetDatabaseEncoding() != PG_UTF8 ||
		pg_encoding_verifymbstr(PG_UTF8, buffer, length) != length)
		keep_ascii(buffer);
}

/* The same for a formatted text, of which the first 1023 bytes count. */
void
sink_set_textf(char *buffer, size_t size, const char *format, ...)
{
	char	text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	sink_set_text(buffer, size, text, strlen(text));
}
