/*
 * row_reader.h
 *		Rows as they are now, found by key.
 */
#ifndef TENANCY_ROW_READER_H
#define TENANCY_ROW_READER_H

#include "lib/stringinfo.h"

#include "sink/sink.h"

typedef struct RowReader RowReader;

typedef enum RowReaderResult
{
	ROWS_READY,
	ROWS_GONE,	 /* the relation is not there any more */
	ROWS_LOCKED, /* somebody holds it exclusively: try later */
	ROWS_NO_KEY	 /* no unique index on the key columns */
} RowReaderResult;

extern RowReaderResult row_reader_open(const SinkTarget *target, RowReader **reader);
extern bool row_reader_fetch(RowReader *reader, const char *key, int key_length, StringInfo doc);
extern int	row_reader_scan_keys(RowReader *reader, const char *after, int after_length, int most,
								 StringInfo keys);
extern int	row_reader_sample_keys(RowReader *reader, int most, StringInfo keys);
extern void row_reader_close(RowReader *reader);

#endif
