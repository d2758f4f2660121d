/*
 * text.h
 *		Foreign text, cut to a buffer and safe to store in a table.
 */
#ifndef TENANCY_SINK_TEXT_H
#define TENANCY_SINK_TEXT_H

extern void sink_set_text(char *buffer, size_t size, const char *text, size_t length);
extern void sink_set_textf(char *buffer, size_t size, const char *format, ...)
	pg_attribute_printf(3, 4);

#endif
