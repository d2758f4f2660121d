/*
 * json_scan.h
 *		Reads JSON text in one pass, without a tree and without memory.
 *
 * For the replies of _bulk, which are long and plain; elsewhere jansson is used.
 */
#ifndef TENANCY_JSON_SCAN_H
#define TENANCY_JSON_SCAN_H

typedef struct JsonScan
{
	const char *at;	 /* the text ends with a zero byte */
	bool		bad; /* it is not JSON, or not what was asked for */
} JsonScan;

extern bool json_scan_enter(JsonScan *scan, char open);
/* Next member of the object entered last: its name, cut to size; false at the end. */
extern bool json_scan_member(JsonScan *scan, char *name, size_t size);
/* False at the end of the array entered last. */
extern bool json_scan_element(JsonScan *scan);
/* Value that comes next, as UTF-8 cut to size; anything but a string is bad. */
extern void json_scan_string(JsonScan *scan, char *buffer, size_t size);
extern int	json_scan_int(JsonScan *scan);
/* A whole number from 0 on. */
extern uint64 json_scan_uint64(JsonScan *scan);
extern bool	  json_scan_bool(JsonScan *scan);
extern void	  json_scan_skip(JsonScan *scan);
/* Text of the value that comes next, as it stands there. */
extern const char *json_scan_raw(JsonScan *scan, size_t *length);
/* True if an object or array comes next. */
extern bool json_scan_peek(JsonScan *scan, char open);

#endif
