/*
 * kept.c
 *		Answers of tenant_search that Redis keeps: search:MD5, tied to the table by its tag.
 *
 * Who may read the tenant's cache reads these too, so they are kept only where every role
 * of that kind may read the whole table.  README.md says why none is older than a change.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "common/md5.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "cache/hot.h"
#include "common/guc.h"
#include "common/xid.h"
#include "search/kept.h"
#include "sink/redis_keys.h"

#define KEEP_MOST (1024 * 1024) /* bytes of an answer */
#define FALLBACK_TTL 10 /* seconds, of an answer that the server would have given otherwise */

/* Appends an argument so that no two lists of them look alike. */
static void
add_part(StringInfo text, const char *part, size_t length)
{
	appendStringInfo(text, "%zu:", length);
	appendBinaryStringInfo(text, part, length);
}

/* Appends a text, NULL being another one than "". */
static void
add_text(StringInfo text, const char *part)
{
	if (part == NULL)
		appendStringInfoChar(text, '-');
	else
		add_part(text, part, strlen(part));
}

/* Appends an object; jsonb has one form for equal ones. */
static void
add_object(StringInfo text, Jsonb *object)
{
	if (object == NULL || JB_ROOT_COUNT(object) == 0)
		appendStringInfoChar(text, '-');
	else
		add_part(text, VARDATA_ANY(object), VARSIZE_ANY_EXHDR(object));
}

/* Appends what the table's rows look like: a changed column is another answer. */
static void
add_columns(StringInfo text, Oid relid)
{
	Relation  table = table_open(relid, NoLock);
	TupleDesc desc = RelationGetDescr(table);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		if (!column->attisdropped)
			appendStringInfo(text, "%u.%d.%s ", column->atttypid, column->atttypmod,
							 NameStr(column->attname));
	}
	table_close(table, NoLock);
}

/* The options but for the one that says whether to keep the answer. */
static Jsonb *
other_options(Jsonb *options)
{
	if (options == NULL)
		return NULL;
	return DatumGetJsonbP(
		DirectFunctionCall2(jsonb_delete, JsonbPGetDatum(options), CStringGetTextDatum("cache")));
}

/* Name of the answer: everything that it depends on; NULL: it has none. */
static char *
answer_key(const SearchTarget *target, const SearchRequest *request, Jsonb *filters, Jsonb *options)
{
	StringInfoData text;
	const char	  *error = NULL;
	char		   md5[33];

	initStringInfo(&text);
	appendStringInfo(&text, "%u " UINT64_FORMAT " %d %d ", target->relid, target->config,
					 request->page, request->page_size);
	add_text(&text, target->index_name);
	add_text(&text, request->query);
	add_text(&text, request->index_type);
	add_text(&text, GetConfigOption("default_text_search_config", true, false));
	add_object(&text, filters);
	add_object(&text, other_options(options));
	add_columns(&text, target->relid);
	if (!pg_md5_hash(text.data, text.len, md5, &error))
		return NULL;
	return redis_tenant_key(target->tenant.name, psprintf("search:%s", md5));
}

/* True if every role that may read tenants' caches may read all that documents are made of. */
static bool
is_for_all(const SearchTarget *target)
{
	Oid		  schema = get_rel_namespace(target->relid);
	ListCell *lc;

	foreach (lc, target->sources)
		if (!cache_is_for_all(get_relname_relid(lfirst(lc), schema), true))
			return false;
	return cache_is_for_all(target->relid, false);
}

/* Seconds that an answer is kept, 0: it is not. */
static int
time_to_keep(const SearchTarget *target, const SearchRequest *request)
{
	int ttl = request->cache_ttl >= 0 ? request->cache_ttl : tenancy_read_cache_ttl;

	if (tenancy_redis_url[0] == '\0' || target->cache_tag == NULL || !cache_may_fill() ||
		IsolationUsesXactSnapshot() || !ActiveSnapshotSet() || target->row_security)
		return 0;
	return ttl > 0 && is_for_all(target) ? ttl : 0;
}

/* Records a search, so that its answer can be made before it is asked for. */
static void
note(const SearchTarget *target, const SearchRequest *request, Jsonb *filters, Jsonb *options)
{
	HotSearch search = {.query = request->query,
						.index_type = request->index_type,
						.filters = filters,
						.options = other_options(options),
						.page = request->page,
						.page_size = request->page_size};

	if (request->after_text == NULL)
		hot_note(target->tenant.id, &search);
}

/* Looks for the answer of the same search. */
Jsonb *
kept_find(KeptAnswer *kept, const SearchTarget *target, SearchRequest *request, Jsonb *filters,
		  Jsonb *options)
{
	CacheFill *fill = &kept->fill;
	Jsonb	  *answer = NULL;
	CacheLook  look;

	fill->tenant = &target->tenant;
	fill->ttl = time_to_keep(target, request);
	fill->key = fill->ttl > 0 ? answer_key(target, request, filters, options) : NULL;
	kept->possible = fill->key != NULL;
	if (!kept->possible)
		return NULL;
	kept->snapshot = tenancy_snapshot_text(GetActiveSnapshot(), false);
	if (!request->warming)
		note(target, request, filters, options);
	look = request->warming ? cache_claim(fill) : cache_look(fill, &answer);
	kept->ours = look == CACHE_OURS;
	kept->is_warm = look == CACHE_FOUND;
	request->keep = kept->ours;
	return look == CACHE_FOUND ? answer : NULL;
}

/* Stores an answer under the tags of the tenant and the table. */
static bool
store(KeptAnswer *kept, const SearchOutcome *outcome, Jsonb *answer)
{
	CacheFill  *fill = &kept->fill;
	const char *tag = outcome->target->cache_tag;

	fill->snapshot = outcome->result->from_server ? outcome->result->snapshot : kept->snapshot;
	fill->cost = (int) Min(outcome->took_ms, 60000);
	fill->sets = palloc(sizeof(char *) * 2);
	fill->sets[0] = cache_tag_set(fill->tenant, "");
	fill->sets[1] = cache_tag_set(fill->tenant, tag);
	fill->nsets = 2;
	if (outcome->fallback != NULL)
		fill->ttl = Min(fill->ttl, FALLBACK_TTL);
	return cache_store(fill, answer);
}

/* Keeps an answer, unless it may be older than a change, or is very long. */
void
kept_store(KeptAnswer *kept, const SearchOutcome *outcome, Jsonb *answer)
{
	const SearchResult *result = outcome->result;

	if (!kept->ours)
		return;
	if (VARSIZE(answer) > KEEP_MOST || (result->from_server && result->snapshot == NULL))
		kept_give_up(kept);
	else
		kept->stored = store(kept, outcome, answer);
	if (kept->ours && !kept->stored && result->from_server)
		index_snapshot_forget(outcome->target);
	kept->ours = false;
}

/* Leaves the search to others. */
void
kept_give_up(KeptAnswer *kept)
{
	if (kept->ours)
		cache_release(&kept->fill);
	kept->ours = false;
}
