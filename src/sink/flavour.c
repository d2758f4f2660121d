/*
 * flavour.c
 *		What search servers call otherwise, or do not have.
 *
 * Mappings are written for Elasticsearch 7.17 and turned here, and nowhere else, into what the
 * server at hand understands.  Which types a server lacks depends on its plugins: its refusal
 * says so.
 */
#include "postgres.h"

#include <jansson.h>

#include "sink/es_server.h"
#include "sink/flavour.h"

/* What takes the place of a type that the server lacks; NULL: an object that is not indexed. */
typedef struct Fallback
{
	const char *type;
	const char *instead;
	bool		missing; /* the server said so */
} Fallback;

static Fallback fallbacks[] = {
	{"scaled_float", "double"},		 {"flattened", NULL},		{"flat_object", NULL},
	{"dense_vector", NULL},			 {"knn_vector", NULL},		{"ip_range", "keyword"},
	{"match_only_text", "text"},	 {"wildcard", "keyword"},	{"unsigned_long", "long"},
	{"constant_keyword", "keyword"}, {"rank_feature", "float"}, {"search_as_you_type", "text"}};

static void adapt_fields(json_t *fields, StringInfo note);

/* Says once what is used instead of a type. */
static void
add_note(StringInfo note, const char *type, const char *instead)
{
	char *text = psprintf("%s is %s here", type, instead);

	if (strstr(note->data, text) == NULL)
		appendStringInfo(note, "%s%s", note->len > 0 ? ", " : "", text);
}

/* Makes a field of another type, which has no parameters. */
static void
replace_by(json_t *field, const char *type, StringInfo note)
{
	char before[64];

	strlcpy(before, json_string_value(json_object_get(field, "type")), sizeof(before));
	json_object_clear(field);
	json_object_set_new(field, "type", json_string(type != NULL ? type : "object"));
	if (type == NULL)
		json_object_set_new(field, "enabled", json_false());
	add_note(note, before, type != NULL ? type : "not indexed");
}

/* A flattened object: OpenSearch has a type that refuses values that are too long for a term. */
static void
adapt_flattened(json_t *field, StringInfo note)
{
	if (es_server_info()->opensearch)
		replace_by(field, json_object_get(field, "ignore_above") ? NULL : "flat_object", note);
}

/* A vector; where it gets an index of its own, one of zeros must have a place there. */
static void
adapt_dense_vector(json_t *field, StringInfo note)
{
	const EsServer *server = es_server_info();
	json_int_t		dims = json_integer_value(json_object_get(field, "dims"));

	if (server->opensearch)
	{
		replace_by(field, "knn_vector", note);
		json_object_set_new(field, "dimension", json_integer(dims));
	}
	else if (server->major >= 8 && json_object_get(field, "index") == NULL &&
			 json_object_get(field, "similarity") == NULL)
		json_object_set_new(field, "similarity", json_string("l2_norm"));
}

/* The other way round: what a user wrote for OpenSearch. */
static void
adapt_knn_vector(json_t *field, StringInfo note)
{
	json_int_t dims = json_integer_value(json_object_get(field, "dimension"));

	if (es_server_info()->opensearch)
		return;
	replace_by(field, "dense_vector", note);
	json_object_set_new(field, "dims", json_integer(dims));
}

/* Puts another type in the place of one that the server lacks. */
static void
replace_missing(json_t *field, const char *type, StringInfo note)
{
	for (int i = 0; i < lengthof(fallbacks); i++)
	{
		const char *instead = fallbacks[i].instead;

		if (!fallbacks[i].missing || strcmp(fallbacks[i].type, type) != 0)
			continue;
		if (instead == NULL || strcmp(type, "scaled_float") != 0)
		{
			replace_by(field, instead, note);
			return;
		}
		json_object_set_new(field, "type", json_string(instead));
		json_object_del(field, "scaling_factor");
		add_note(note, "scaled_float", instead);
		return;
	}
}

/* Turns a field into what the server understands. */
static void
adapt_field(json_t *field, StringInfo note)
{
	const char *type = json_string_value(json_object_get(field, "type"));

	if (type != NULL && strcmp(type, "flattened") == 0)
		adapt_flattened(field, note);
	else if (type != NULL && strcmp(type, "flat_object") == 0 && !es_server_info()->opensearch)
		replace_by(field, "flattened", note);
	else if (type != NULL && strcmp(type, "dense_vector") == 0)
		adapt_dense_vector(field, note);
	else if (type != NULL && strcmp(type, "knn_vector") == 0)
		adapt_knn_vector(field, note);
	type = json_string_value(json_object_get(field, "type"));
	if (type != NULL)
		replace_missing(field, type, note);
	adapt_fields(json_object_get(field, "properties"), note);
	adapt_fields(json_object_get(field, "fields"), note);
}

/* The same for an object of fields, NULL: there are none. */
static void
adapt_fields(json_t *fields, StringInfo note)
{
	const char *name;
	json_t	   *field;

	json_object_foreach(fields, name, field) adapt_field(field, note);
}

/* JSON text in the current memory context. */
static char *
print_json(json_t *root)
{
	size_t size = json_dumpb(root, NULL, 0, JSON_COMPACT);
	char  *text = palloc(size + 1);

	text[json_dumpb(root, text, size, JSON_COMPACT)] = '\0';
	return text;
}

/* Turns a body, or an object of fields, into what the server understands. */
static char *
adapt(const char *json, bool is_body, StringInfo note)
{
	json_t *root = json_loads(json, 0, NULL);
	char *volatile result = NULL;

	if (root == NULL)
		return NULL;
	PG_TRY();
	{
		json_t *fields = root;

		if (is_body)
			fields = json_object_get(json_object_get(root, "mappings"), "properties");
		adapt_fields(fields, note);
		result = print_json(root);
	}
	PG_FINALLY();
	{
		json_decref(root);
	}
	PG_END_TRY();
	return result;
}

/* Body of a create-index request for this server. */
char *
flavour_body(const char *body, StringInfo note)
{
	return adapt(body, true, note);
}

/* An object of fields for this server. */
char *
flavour_fields(const char *fields, StringInfo note)
{
	return adapt(fields, false, note);
}

/* True if a refusal says that the server lacks a type for which there is another one. */
bool
flavour_learn(const char *reply)
{
	bool learnt = false;

	for (int i = 0; i < lengthof(fallbacks); i++)
	{
		char text[64];

		if (fallbacks[i].missing)
			continue;
		snprintf(text, sizeof(text), "o handler for type [%s]", fallbacks[i].type);
		if (strstr(reply, text) == NULL)
			snprintf(text, sizeof(text), "mapper type [%s]", fallbacks[i].type);
		if (strstr(reply, text) == NULL)
			continue;
		fallbacks[i].missing = learnt = true;
		ereport(
			LOG,
			(errmsg("the search server has no field type %s, %s is used instead", fallbacks[i].type,
					fallbacks[i].instead ? fallbacks[i].instead : "a field without index")));
	}
	return learnt;
}

/* It may be another server by now. */
void
flavour_forget(void)
{
	for (int i = 0; i < lengthof(fallbacks); i++)
		fallbacks[i].missing = false;
}

/* Path that the server answers with 200 if it carries lifecycle policies out. */
const char *
flavour_lifecycle_probe(void)
{
	return es_server_info()->opensearch ? "/_plugins/_ism/policies?size=1" : "/_ilm/status";
}

/* What its API for that is called. */
const char *
flavour_lifecycle_api(void)
{
	return es_server_info()->opensearch ? "ism" : "ilm";
}

/* True if it can be told from when the age of an index counts: from 7.5 on. */
bool
flavour_lifecycle_dated(void)
{
	const EsServer *server = es_server_info();

	return !server->opensearch && (server->major > 7 || (server->major == 7 && server->minor >= 5));
}

/* A request in the current memory context. */
static FlavourRequest *
make_request(const char *method, char *path, char *body)
{
	FlavourRequest *request = palloc(sizeof(FlavourRequest));

	request->method = method;
	request->path = path;
	request->body = body;
	return request;
}

/* A policy is put; without a body removed. */
FlavourRequest *
flavour_policy_request(const char *name, const char *body)
{
	bool opensearch = es_server_info()->opensearch;

	return make_request(
		body != NULL ? "PUT" : "DELETE",
		psprintf(opensearch ? "/_plugins/_ism/policies/%s" : "/_ilm/policy/%s", name),
		body != NULL ? pstrdup(body) : NULL);
}

/* Settings of an index are put. */
FlavourRequest *
flavour_settings_request(const char *index, const char *settings)
{
	return make_request("PUT", psprintf("/%s/_settings", index), pstrdup(settings));
}

/* An index follows a policy. */
FlavourRequest *
flavour_attach_request(const char *index, const char *policy, int64 origin)
{
	char *date = "";

	if (es_server_info()->opensearch)
		return make_request("POST", psprintf("/_plugins/_ism/add/%s", index),
							psprintf("{\"policy_id\":\"%s\"}", policy));
	if (origin != 0)
		date = psprintf(",\"index.lifecycle.origination_date\":" INT64_FORMAT, origin);
	return make_request("PUT", psprintf("/%s/_settings", index),
						psprintf("{\"index.lifecycle.name\":\"%s\"%s}", policy, date));
}

/* An index follows none any more. */
FlavourRequest *
flavour_detach_request(const char *index)
{
	bool opensearch = es_server_info()->opensearch;

	return make_request(
		"POST", psprintf(opensearch ? "/_plugins/_ism/remove/%s" : "/%s/_ilm/remove", index), "{}");
}

/* True if a request that was answered with 200 has failed all the same: ISM tells so in the reply. */
bool
flavour_has_failed(const char *reply)
{
	return strstr(reply, "\"failures\":true") != NULL ||
		   strstr(reply, "\"has_failures\":true") != NULL;
}
