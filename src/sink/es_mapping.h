/*
 * es_mapping.h
 *		Mappings for servers that lack a field type.
 */
#ifndef TENANCY_ES_MAPPING_H
#define TENANCY_ES_MAPPING_H

/* body with every scaled_float field as a double, NULL if body is no JSON object. */
extern char *es_without_scaled_float(const char *body);

#endif
