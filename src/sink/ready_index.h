/*
 * ready_index.h
 *		Indices that are known to be there.
 */
#ifndef TENANCY_READY_INDEX_H
#define TENANCY_READY_INDEX_H

extern bool ready_index_has(const char *index_name, const char *alias);
extern void ready_index_add(const char *index_name, const char *alias);
/* False if it was not there. */
extern bool ready_index_remove(const char *index_name);
/* What is known may be out of date. */
extern void ready_index_stale(void);
/* Milliseconds until it should be loaded, -1: it is up to date. */
extern long ready_index_wait(void);
/* Reads the table; inside an SPI scope. */
extern void ready_index_load(void);

#endif
