/*
 * template.h
 *		Cache keys and tags such as technology:{id}.
 */
#ifndef TENANCY_TEMPLATE_H
#define TENANCY_TEMPLATE_H

#include "lib/stringinfo.h"
#include "sink/sink.h"

/* True if the key has as many parts as the target has key columns; else nothing may be made of it. */
extern bool sink_key_fits(const SinkTarget *target, const char *key, int key_length);
/*
 * Appends tmpl with each {column} replaced by the key's value, of a key that fits; false if it
 * is not a key column.
 */
extern bool sink_expand_template(StringInfo out, const char *tmpl, const SinkTarget *target,
								 const char *key);
/* A template of the target that names a column that is not a key column, NULL: none. */
extern const char *sink_unfit_template(const SinkTarget *target);

#endif
