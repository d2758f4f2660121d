/*
 * statistics.h
 *		The sink that is in this database: benchmark statistics.
 */
#ifndef TENANCY_STATISTICS_H
#define TENANCY_STATISTICS_H

#include "sink/sink.h"

extern const SinkDriver statistics_sink_driver;

/* Makes the cells agree with rows of these keys, a JSON array of arrays of text, or with all. */
extern int64 statistics_apply(int64 tenant_id, const char *keys);
extern int64 statistics_apply_all(int64 tenant_id);
extern void	 statistics_apply_tenant(const char *name);

#endif
