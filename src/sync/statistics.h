/*
 * statistics.h
 *		The sink that is in this database: benchmark statistics.
 */
#ifndef TENANCY_STATISTICS_H
#define TENANCY_STATISTICS_H

#include "sink/sink.h"

extern const SinkDriver statistics_sink_driver;

/* Rows of a tenant that are to be counted, as they were read. */
typedef struct StatisticsRows
{
	StringInfoData keys; /* JSON array of arrays of text: what was looked for */
	StringInfoData rows; /* JSON array: key and document of what was there */
	int			   nkeys;
	int			   nrows;
} StatisticsRows;

/* statistics_rows.c */
extern void statistics_rows_init(StatisticsRows *rows);
/* doc NULL: there is no such row. */
extern void statistics_rows_add(StatisticsRows *rows, const char *key, int key_length,
								const char *doc, int doc_length);
/* Makes the cells agree with them; needs a transaction; returns how many cells changed. */
extern int64 statistics_rows_apply(StatisticsRows *rows, int64 tenant_id);
/* Appends keys that count, those after `after` (empty: the first); returns how many. */
extern int statistics_next_keys(int64 tenant_id, StringInfo after, StringInfo keys);

/* statistics_table.c */
/* Why the target's rows cannot be counted as the blueprint says, or NULL. */
extern char *statistics_problem(const SinkTarget *target, MemoryContext context);
/* A tenant's table is gone: so is what was counted of it.  Inside an SPI scope. */
extern void statistics_table_gone(int64 tenant_id, const char *table_name);

#endif
