/*
 * suggest_fields.c
 *		Which fields' values are suggested, and how the index knows them.
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "common/jsonb.h"
#include "search/suggest.h"

static const char *const word_types[] = {"text", "search_as_you_type", "match_only_text", NULL};
static const char *const whole_types[] = {"keyword", "constant_keyword", "wildcard", NULL};

/* True if a property is of one of the types. */
static bool
is_one_of(JsonbContainer *property, const char *const *types)
{
	char *type = tenancy_jsonb_string(property, "type");

	for (; type != NULL && *types != NULL; types++)
		if (strcmp(type, *types) == 0)
			return true;
	return false;
}

/* Finds a property's part of one of the types; with a name: the one of that name. */
static char *
find_part(JsonbContainer *property, const char *name, const char *const *types, const char *wanted)
{
	JsonbContainer *parts = tenancy_jsonb_object(property, "fields");
	JsonbIterator  *it = parts ? JsonbIteratorInit(parts) : NULL;
	char		   *part;
	JsonbValue		value;

	while (it != NULL && tenancy_jsonb_next(&it, &part, &value))
		if (is_one_of(tenancy_jsonb_object(parts, part), types) &&
			(wanted == NULL || strcmp(part, wanted) == 0))
			return psprintf("%s.%s", name, part);
	return NULL;
}

/* True if a column's values are ordered, and counted, by this part of its property. */
static bool
is_ordered(const SearchTarget *target, const char *name, const char *part)
{
	char *ordered = search_sort_property(target, name);

	return part != NULL && ordered != NULL && strcmp(ordered, part) == 0;
}

/* A field, by its property in the mapping; NULL: the mapping has none that holds words. */
static SuggestField *
find_field(const SearchTarget *target, const char *name)
{
	static const char *const typing_types[] = {"search_as_you_type", NULL};
	static const char *const keyword_types[] = {"keyword", NULL};
	JsonbContainer			*property = tenancy_jsonb_object(target->properties, name);
	SuggestField			*field = palloc0(sizeof(SuggestField));

	field->name = pstrdup(name);
	field->whole = is_one_of(property, whole_types);
	if (!field->whole && !is_one_of(property, word_types))
		return NULL;
	field->plain = find_part(property, name, word_types, "suggest");
	if (field->plain == NULL)
		field->plain = find_part(property, name, typing_types, NULL);
	field->term = find_part(property, name, keyword_types, NULL);
	field->once = is_ordered(target, name, field->term);
	if (field->term == NULL)
		field->term = find_part(property, name, whole_types, NULL);
	field->counted = field->whole && is_ordered(target, name, name);
	return field;
}

/* The mapping's field that weighs most. */
static char *
heaviest(const SearchTarget *target)
{
	char  *best = NULL;
	double most = 0;

	for (int i = 0; target->search_fields != NULL && i < JsonContainerSize(target->search_fields);
		 i++)
	{
		char  *name = tenancy_jsonb_scalar(getIthJsonbValueFromContainer(target->search_fields, i));
		char  *boost = name ? strchr(name, '^') : NULL;
		double weight = boost ? atof(boost + 1) : 1;

		if (boost != NULL)
			*boost = '\0';
		if (name == NULL || weight <= most || find_field(target, name) == NULL)
			continue;
		most = weight;
		best = name;
	}
	return best;
}

/* A column that the mapping does not have: only PostgreSQL may be asked for it. */
static SuggestField *
column_field(const char *name)
{
	SuggestField *field = palloc0(sizeof(SuggestField));

	field->name = pstrdup(name);
	return field;
}

/* Finds the fields that the caller names, or the one that weighs most. */
void
suggest_find_fields(const SearchTarget *target, Suggest *suggest)
{
	ListCell *lc;

	if (suggest->names == NIL && heaviest(target) != NULL)
		suggest->names = list_make1(heaviest(target));
	if (suggest->names == NIL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("index type \"%s\" has no field to suggest from",
							   suggest->request.index_type),
						errhint("Name columns in the option fields.")));
	foreach (lc, suggest->names)
	{
		SuggestField *field = find_field(target, lfirst(lc));

		if (field == NULL && suggest->request.engine != ENGINE_POSTGRESQL)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("cannot suggest values of \"%s\"", (char *) lfirst(lc)),
							errdetail("The mapping has no such property that holds words.")));
		suggest->fields = lappend(suggest->fields, field ? field : column_field(lfirst(lc)));
	}
}
