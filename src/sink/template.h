/*
 * template.h
 *		Cache keys and tags such as technology:{id}.
 */
#ifndef TENANCY_TEMPLATE_H
#define TENANCY_TEMPLATE_H

#include "lib/stringinfo.h"
#include "sink/sink.h"

/* Appends tmpl with each {column} replaced by the key's value; false if the key lacks one. */
extern bool sink_expand_template(StringInfo out, const char *tmpl, const SinkTarget *target,
								 const char *key);
/* A template of the target that names a column that is not a key column, NULL: none. */
extern const char *sink_unfit_template(const SinkTarget *target);

#endif
