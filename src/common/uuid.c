/*
 * uuid.c
 *		UUIDs to text and back, without the server's functions: every key of a usual table is one.
 */
#include "postgres.h"

#include "common/uuid.h"

/* True where a byte has a dash before it. */
static inline bool
follows_dash(int byte)
{
	return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

/* Writes the UUID_TEXT_LENGTH characters that uuid_out gives, without a zero behind them. */
void
tenancy_uuid_write(const pg_uuid_t *uuid, char *text)
{
	static const char digits[] = "0123456789abcdef";

	for (int i = 0; i < UUID_LEN; i++)
	{
		if (follows_dash(i))
			*text++ = '-';
		*text++ = digits[uuid->data[i] >> 4];
		*text++ = digits[uuid->data[i] & 15];
	}
}

/* Value of a hexadecimal digit, -1: it is none. */
static inline int
digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Reads the form that uuid_out gives; false: it is another one. */
bool
tenancy_uuid_read(const char *text, pg_uuid_t *uuid)
{
	for (int i = 0; i < UUID_LEN; i++)
	{
		int high;
		int low;

		if (follows_dash(i) && *text++ != '-')
			return false;
		high = digit_value(text[0]);
		low = high < 0 ? -1 : digit_value(text[1]);
		if (low < 0)
			return false;
		uuid->data[i] = high << 4 | low;
		text += 2;
	}
	return *text == '\0';
}
