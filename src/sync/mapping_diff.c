/*
 * mapping_diff.c
 *		What an index's body needs to become another one.
 *
 * A field that is there keeps its type and how it is indexed for ever; new fields, new subfields
 * and a few parameters can be put.  Where the server maps by itself what it meets ("dynamic"), a
 * field that the body does not name may be there already, as anything: it cannot be added.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "common/array.h"
#include "common/json.h"
#include "common/jsonb.h"
#include "sync/mapping_diff.h"

PG_FUNCTION_INFO_V1(tenancy_mapping_diff);

/* Two objects with properties: the mapping itself, an object field, the subfields of a field. */
typedef struct Level
{
	MappingDiff	   *diff;
	JsonbContainer *present;
	JsonbContainer *wanted;
	const char	   *path; /* before a name */
	bool			open; /* the server may have mapped more than present says */
} Level;

static bool diff_properties(const Level *level, StringInfo put);

/* Members of an object, in no order that means something. */
List *
mapping_members(JsonbContainer *object)
{
	List			  *members = NIL;
	JsonbIterator	  *it;
	JsonbIteratorToken token;
	JsonbValue		   v;

	if (object == NULL || !JsonContainerIsObject(object))
		return NIL;
	it = JsonbIteratorInit(object);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		MappingMember *member;

		if (token != WJB_KEY)
			continue;
		member = palloc(sizeof(MappingMember));
		member->name = pnstrdup(v.val.string.val, v.val.string.len);
		(void) JsonbIteratorNext(&it, &member->value, true);
		members = lappend(members, member);
	}
	return members;
}

/* A value as JSON text. */
char *
mapping_value_text(const JsonbValue *value)
{
	if (value->type == jbvBinary)
		return JsonbToCString(NULL, value->val.binary.data, value->val.binary.len);
	return JsonbToCString(NULL, &JsonbValueToJsonb((JsonbValue *) value)->root, -1);
}

/* Appends a member to an object that is being written. */
void
mapping_append_member(StringInfo object, const char *name, const char *value)
{
	if (object->data[object->len - 1] != '{')
		appendStringInfoChar(object, ',');
	tenancy_json_string(object, name, strlen(name));
	appendStringInfo(object, ":%s", value);
}

/* Notes why the index cannot get there. */
void
mapping_conflict(MappingDiff *diff, const char *format, ...)
{
	StringInfoData text;
	int			   more;

	initStringInfo(&text);
	for (;;)
	{
		va_list args;

		va_start(args, format);
		more = appendStringInfoVA(&text, format, args);
		va_end(args);
		if (more == 0)
			break;
		enlargeStringInfo(&text, more);
	}
	diff->conflicts = lappend(diff->conflicts, text.data);
}

/* True if the word is one of a list that ends with NULL. */
static bool
is_one_of(const char *word, const char *const *list)
{
	for (; *list != NULL; list++)
		if (strcmp(*list, word) == 0)
			return true;
	return false;
}

/* A member as text that can be compared: 5, "5" and 5.0 are one; NULL: it is not there. */
static char *
scalar_text(JsonbContainer *object, const char *name)
{
	JsonbValue value;
	char	  *text;

	if (!tenancy_jsonb_field(object, name, &value) || value.type == jbvNull)
		return NULL;
	text = tenancy_jsonb_scalar(&value);
	return text != NULL ? text : mapping_value_text(&value);
}

/* True if a member is the same in both. */
static bool
is_same(JsonbContainer *a, JsonbContainer *b, const char *name)
{
	char *x = scalar_text(a, name);
	char *y = scalar_text(b, name);

	return x == NULL || y == NULL ? x == y : strcmp(x, y) == 0;
}

/* Type of a field: one with properties needs none. */
static const char *
type_of(JsonbContainer *field)
{
	const char *type = tenancy_jsonb_string(field, "type");

	return type != NULL ? type : "object";
}

/* True if the server maps by itself what it meets in an object. */
static bool
maps_by_itself(JsonbContainer *object, bool above)
{
	static const char *const closed[] = {"false", "strict", "runtime", NULL};
	char					*dynamic = scalar_text(object, "dynamic");
	char					*enabled = scalar_text(object, "enabled");

	if (enabled != NULL && strcmp(enabled, "false") == 0)
		return false;
	return dynamic == NULL ? above : !is_one_of(dynamic, closed);
}

/* True if a field's parameter can be put to a new value. */
static bool
is_updatable(const char *name, const char *wanted)
{
	static const char *const updatable[] = {"ignore_above",
											"ignore_malformed",
											"coerce",
											"copy_to",
											"dynamic",
											"search_analyzer",
											"search_quote_analyzer",
											"boost",
											"meta",
											"fielddata",
											"fielddata_frequency_filter",
											"eager_global_ordinals",
											"split_queries_on_whitespace",
											NULL};

	if (strcmp(name, "norms") == 0)
		return wanted != NULL && strcmp(wanted, "false") == 0;
	return is_one_of(name, updatable);
}

/* True if documents that are there are found differently once the parameter has changed. */
static bool
needs_resend(const char *name)
{
	static const char *const stored[] = {"ignore_above", "ignore_malformed", "coerce",
										 "copy_to",		 "dynamic",			 NULL};

	return is_one_of(name, stored);
}

/* Compares one parameter of a field; true if it is to be put. */
static bool
diff_parameter(const Level *field, const char *name)
{
	char *now = scalar_text(field->present, name);
	char *wanted = scalar_text(field->wanted, name);

	if (strcmp(name, "type") == 0 || strcmp(name, "properties") == 0 ||
		strcmp(name, "fields") == 0 || is_same(field->present, field->wanted, name))
		return false;
	if (!is_updatable(name, wanted))
	{
		mapping_conflict(field->diff, "parameter \"%s\" of field \"%s\" is %s, not %s", name,
						 field->path, now ? now : "not set", wanted ? wanted : "unset");
		return false;
	}
	field->diff->resend |= needs_resend(name);
	return true;
}

/* Compares all parameters of a field; true if one is to be put. */
static bool
diff_parameters(const Level *field)
{
	bool	  put = false;
	ListCell *cell;

	foreach (cell, mapping_members(field->wanted))
		put |= diff_parameter(field, ((MappingMember *) lfirst(cell))->name);
	foreach (cell, mapping_members(field->present))
	{
		const char *name = ((MappingMember *) lfirst(cell))->name;
		JsonbValue	value;

		if (!tenancy_jsonb_field(field->wanted, name, &value))
			put |= diff_parameter(field, name);
	}
	return put;
}

/* Compares what is below a field; below: "properties" or "fields". */
static bool
diff_below(const Level *field, const char *below, StringInfo put)
{
	Level level = *field;

	level.present = tenancy_jsonb_object(field->present, below);
	level.wanted = tenancy_jsonb_object(field->wanted, below);
	level.path = psprintf("%s.", field->path);
	level.open = strcmp(below, "properties") == 0 && field->open;
	initStringInfo(put);
	appendStringInfoChar(put, '{');
	if (!diff_properties(&level, put))
		return false;
	appendStringInfoChar(put, '}');
	return true;
}

/* Writes the field as it is to be put: of properties only the new ones, all else in full. */
static char *
field_to_put(JsonbContainer *wanted, const char *properties)
{
	StringInfoData field;
	ListCell	  *cell;

	initStringInfo(&field);
	appendStringInfoChar(&field, '{');
	foreach (cell, mapping_members(wanted))
	{
		MappingMember *member = lfirst(cell);

		if (strcmp(member->name, "properties") != 0)
			mapping_append_member(&field, member->name, mapping_value_text(&member->value));
	}
	if (properties != NULL)
		mapping_append_member(&field, "properties", properties);
	appendStringInfoChar(&field, '}');
	return field.data;
}

/* Compares a field that both have; path is its whole name.  What to put, NULL: nothing. */
static char *
diff_field(const Level *field)
{
	const char	  *now = type_of(field->present);
	const char	  *wanted = type_of(field->wanted);
	StringInfoData properties;
	StringInfoData fields;
	bool		   changed;
	bool		   deeper;

	if (strcmp(now, wanted) != 0)
	{
		mapping_conflict(field->diff, "field \"%s\" is of type %s, not %s", field->path, now,
						 wanted);
		return NULL;
	}
	changed = diff_parameters(field);
	changed |= diff_below(field, "fields", &fields);
	deeper = diff_below(field, "properties", &properties);
	if (!changed && !deeper)
		return NULL;
	return field_to_put(field->wanted, deeper ? properties.data : NULL);
}

/* What to put of a wanted member, NULL: nothing. */
static char *
diff_member(const Level *level, const MappingMember *member)
{
	Level	   field = *level;
	JsonbValue now;

	field.path = psprintf("%s%s", level->path, member->name);
	if (tenancy_jsonb_field(level->present, member->name, &now))
	{
		field.present = now.type == jbvBinary ? now.val.binary.data : NULL;
		field.wanted = member->value.type == jbvBinary ? member->value.val.binary.data : NULL;
		field.open = maps_by_itself(field.present, level->open);
		return diff_field(&field);
	}
	if (level->open)
	{
		mapping_conflict(level->diff, "the server may have mapped field \"%s\" by itself",
						 field.path);
		return NULL;
	}
	level->diff->resend = true;
	return mapping_value_text(&member->value);
}

/* Compares the fields of a level; true if some were appended to put. */
static bool
diff_properties(const Level *level, StringInfo put)
{
	bool	  any = false;
	ListCell *cell;

	foreach (cell, mapping_members(level->wanted))
	{
		const MappingMember *member = lfirst(cell);
		char				*text = diff_member(level, member);

		if (text == NULL)
			continue;
		mapping_append_member(put, member->name, text);
		any = true;
	}
	foreach (cell, mapping_members(level->present))
	{
		const char *name = ((MappingMember *) lfirst(cell))->name;
		JsonbValue	value;

		if (!tenancy_jsonb_field(level->wanted, name, &value))
			mapping_conflict(level->diff, "field \"%s%s\" is not wanted any more", level->path,
							 name);
	}
	return any;
}

/* Compares one of the members that "mappings" has beside fields. */
static void
diff_root_member(Level *level, const char *name)
{
	static const char *const updatable[] = {"_meta",
											"dynamic",
											"runtime",
											"date_detection",
											"dynamic_date_formats",
											"dynamic_templates",
											"numeric_detection",
											NULL};
	JsonbValue				 value;

	if (strcmp(name, "properties") == 0 || is_same(level->present, level->wanted, name))
		return;
	level->diff->resend |= strcmp(name, "dynamic") == 0;
	if (tenancy_jsonb_field(level->wanted, name, &value) && is_one_of(name, updatable))
		mapping_append_member(&level->diff->root, name, mapping_value_text(&value));
	else if (strcmp(name, "_meta") == 0)
		mapping_append_member(&level->diff->root, name, "{}");
	else if (strcmp(name, "dynamic") == 0)
		mapping_append_member(&level->diff->root, name, "true");
	else
		mapping_conflict(level->diff, "\"%s\" of the mapping is another one", name);
}

/* Compares what "mappings" has beside fields. */
static void
diff_root(Level *level)
{
	ListCell  *cell;
	JsonbValue value;

	foreach (cell, mapping_members(level->wanted))
		diff_root_member(level, ((MappingMember *) lfirst(cell))->name);
	foreach (cell, mapping_members(level->present))
	{
		const char *name = ((MappingMember *) lfirst(cell))->name;

		if (!tenancy_jsonb_field(level->wanted, name, &value))
			diff_root_member(level, name);
	}
}

/* Begins an object. */
static void
begin_object(StringInfo object)
{
	initStringInfo(object);
	appendStringInfoChar(object, '{');
}

/* Says what all that was found comes to. */
static MappingChange
sum_up(const MappingDiff *diff)
{
	if (diff->conflicts != NIL)
		return MAPPING_OTHER;
	if (diff->fields.len > 2 || diff->root.len > 2 || diff->settings.len > 2)
		return MAPPING_ADDED;
	return MAPPING_SAME;
}

/* Compares two bodies of a create-index request. */
void
mapping_diff(Jsonb *present, Jsonb *wanted, MappingDiff *diff)
{
	Level root = {.diff = diff, .path = ""};
	Level fields;

	memset(diff, 0, sizeof(MappingDiff));
	begin_object(&diff->fields);
	begin_object(&diff->root);
	begin_object(&diff->settings);
	root.present = tenancy_jsonb_object(&present->root, "mappings");
	root.wanted = tenancy_jsonb_object(&wanted->root, "mappings");
	diff_root(&root);
	fields = root;
	fields.present = tenancy_jsonb_object(root.present, "properties");
	fields.wanted = tenancy_jsonb_object(root.wanted, "properties");
	fields.open = maps_by_itself(root.present, true);
	(void) diff_properties(&fields, &diff->fields);
	mapping_diff_settings(tenancy_jsonb_object(&present->root, "settings"),
						  tenancy_jsonb_object(&wanted->root, "settings"), diff);
	appendStringInfoChar(&diff->fields, '}');
	appendStringInfoChar(&diff->root, '}');
	appendStringInfoChar(&diff->settings, '}');
	diff->change = sum_up(diff);
}

/* tenancy.mapping_diff(present, wanted) */
Datum
tenancy_mapping_diff(PG_FUNCTION_ARGS)
{
	static const char *const changes[] = {"none", "put", "reindex"};
	MappingDiff				 diff;
	TupleDesc				 desc;
	Datum					 values[6];
	bool					 nulls[6] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("function returning record called in context that cannot accept "
							   "type record")));
	mapping_diff(PG_GETARG_JSONB_P(0), PG_GETARG_JSONB_P(1), &diff);
	values[0] = CStringGetTextDatum(changes[diff.change]);
	values[1] = BoolGetDatum(diff.resend);
	values[2] = DirectFunctionCall1(jsonb_in, CStringGetDatum(diff.fields.data));
	values[3] = DirectFunctionCall1(jsonb_in, CStringGetDatum(diff.root.data));
	values[4] = DirectFunctionCall1(jsonb_in, CStringGetDatum(diff.settings.data));
	values[5] = tenancy_text_array(diff.conflicts);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}
