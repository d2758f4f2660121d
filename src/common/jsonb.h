/*
 * jsonb.h
 *		Reading jsonb, and turning text from outside into it without an error.
 */
#ifndef TENANCY_JSONB_H
#define TENANCY_JSONB_H

#include "utils/jsonb.h"

/* NULL if it is no JSON; text is UTF-8 and has a zero byte after its length. */
extern Jsonb *tenancy_jsonb_parse(const char *text, size_t length);

/* False if object is NULL or no object, or has no such key. */
extern bool tenancy_jsonb_field(JsonbContainer *object, const char *key, JsonbValue *value);
/* The next member of the object that the iterator was made for; false at the end. */
extern bool tenancy_jsonb_next(JsonbIterator **members, char **name, JsonbValue *value);
/* NULL also if the value is of another kind. */
extern JsonbContainer *tenancy_jsonb_object(JsonbContainer *object, const char *key);
extern JsonbContainer *tenancy_jsonb_array(JsonbContainer *object, const char *key);
extern char			  *tenancy_jsonb_string(JsonbContainer *object, const char *key);
/* True for a number that double precision can hold, however roughly. */
extern bool tenancy_jsonb_is_double(const JsonbValue *value);
/* Text of a string, number or boolean, NULL for anything else. */
extern char *tenancy_jsonb_scalar(const JsonbValue *value);

#endif
