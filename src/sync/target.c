/*
 * target.c
 *		Where the rows of a relation go, from the registry, remembered until it changes.
 *
 * A target that batches in flight point to must not go away: a flush only retires the
 * old ones.  Every flush ends an age; targets of an age are freed when no batch that was
 * begun in it, or before, is in flight.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "common/array.h"
#include "common/spi.h"
#include "sink/provision.h"
#include "sink/template.h"
#include "sync/resync.h"
#include "sync/shape.h"
#include "sync/statistics.h"
#include "sync/target.h"
#include "sync/target_months.h"

typedef struct TargetSlot
{
	Oid			relid;	/* hash key */
	SinkTarget *target; /* NULL: not synced */
} TargetSlot;

/* Targets of an age that is over. */
typedef struct Retired
{
	MemoryContext context;
	uint64		  age;
} Retired;

static MemoryContext target_context = NULL;
static HTAB			*targets = NULL;
static List			*retired = NIL;
static uint64		 age = 0;
static bool			 stale = false;			/* a relation with a target changed its shape */
static SinkKind		 for_sink = SINK_CACHE; /* of this process */

/* One query: names and registry as of the same moment, while a tenant is renamed, say. */
static const char *const target_query =
	"SELECT t.id, t.name, i.alias, coalesce(s.key_columns, p.columns), s.cache_keys, s.cache_tags,"
	"       s.document, b.owner::bigint, i.names, i.roles, i.shared, i.flat,"
	"       s.benchmark::int::bigint, (SELECT array_agg(v ORDER BY o) FROM tenancy.benchmark_table "
	"x,"
	"         unnest(ARRAY[x.technologies, x.industry, x.company_size, x.timeline, x.budget, x.roi,"
	"           x.created]::text[]) WITH ORDINALITY u (v, o)"
	"        WHERE s.benchmark AND x.blueprint = s.blueprint AND x.table_name = s.table_name),"
	"       i.monthly, m.names, m.wholes, m.starts, m.ends, m.kinds, tenancy.monthly_column(c.oid)"
	"  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
	"  JOIN tenancy.tenant t ON t.schema_name = n.nspname AND t.status <> 'dropped'"
	"  JOIN tenancy.sync_table s ON s.blueprint = t.blueprint AND s.table_name = c.relname"
	"  JOIN tenancy.blueprint b ON b.name = t.blueprint"
	"  LEFT JOIN LATERAL (SELECT array_agg(a.attname::text ORDER BY k.n) AS columns"
	"     FROM pg_index x CROSS JOIN unnest(x.indkey) WITH ORDINALITY k(attnum, n)"
	"     JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.attnum"
	"    WHERE x.indrelid = $1 AND x.indisprimary AND k.n <= x.indnkeyatts) p ON true"
	"  LEFT JOIN LATERAL (SELECT max(alias) FILTER (WHERE role = 'serving') AS alias,"
	"      array_agg(index_name ORDER BY role = 'serving' DESC, index_name) AS names,"
	"      array_agg(role ORDER BY role = 'serving' DESC, index_name) AS roles,"
	"      array_agg(coalesce(shared, '') ORDER BY role = 'serving' DESC, index_name) AS shared,"
	"      array_agg(monthly::text ORDER BY role = 'serving' DESC, index_name) AS monthly,"
	"      (SELECT array_agg(DISTINCT f.key) FROM tenancy.search_index x,"
	"         jsonb_each(tenancy.merged_body(x.body, x.fields) #> '{mappings,properties}') f"
	"        WHERE x.tenant_id = t.id AND x.index_type = s.index_type AND x.state <> 'dropping'"
	"          AND f.value ->> 'type' IN ('flattened', 'flat_object')) AS flat"
	"     FROM tenancy.search_index WHERE tenant_id = t.id AND index_type = s.index_type"
	"      AND state <> 'dropping' AND (role = 'serving' OR state IN ('ready', 'altered'))) i"
	"   ON true"
	"  LEFT JOIN LATERAL (SELECT array_agg(x.index_name) AS names, array_agg(x.month_of) AS wholes,"
	"      array_agg(coalesce(tenancy.month_from(x.bounds), '')) AS starts,"
	"      array_agg(coalesce(tenancy.month_to(x.bounds), '')) AS ends,"
	"      array_agg(CASE WHEN x.bounds LIKE 'DEFAULT %' THEN 'rest ' ELSE '' END"
	"       || CASE WHEN x.state IN ('ready', 'altered') THEN 'there' ELSE '' END) AS kinds"
	"     FROM tenancy.search_index x WHERE x.month_of = ANY (i.names) AND x.state <> 'dropping') m"
	"   ON true"
	" WHERE c.oid = $1";

/* A relation changed its shape: what its target says may be wrong. */
static void
on_relcache_invalidation(Datum arg, Oid relid)
{
	resync_unblock();
	if (targets != NULL && (!OidIsValid(relid) || hash_search(targets, &relid, HASH_FIND, NULL)))
		stale = true;
}

/* Makes target_find notice changes of shape, and look with the eyes of a sink. */
void
target_init(SinkKind sink)
{
	static bool registered = false;

	for_sink = sink;
	if (!registered)
		CacheRegisterRelcacheCallback(on_relcache_invalidation, (Datum) 0);
	registered = true;
}

/* True if what target_find gave in this transaction may be wrong already. */
bool
target_is_stale(void)
{
	return stale;
}

/* Makes an empty cache. */
static void
make_cache(void)
{
	HASHCTL ctl = {.keysize = sizeof(Oid), .entrysize = sizeof(TargetSlot)};

	target_context =
		AllocSetContextCreate(TopMemoryContext, "pg_tenancy targets", ALLOCSET_DEFAULT_SIZES);
	ctl.hcxt = target_context;
	targets = hash_create("pg_tenancy targets", 256, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* A text[] of the last query's first row as C strings in the cache. */
static char **
text_array(int column, int *count)
{
	bool   isnull;
	Datum  value = tenancy_spi_datum(0, column, &isnull);
	List  *texts;
	char **strings;

	*count = 0;
	if (isnull)
		return NULL;
	texts = tenancy_text_list(value);
	*count = list_length(texts);
	strings = MemoryContextAlloc(target_context, (*count + 1) * sizeof(char *));
	for (int i = 0; i < *count; i++)
		strings[i] = MemoryContextStrdup(target_context, list_nth(texts, i));
	return strings;
}

/* A text[] of the last query's first row as a list of C strings in the cache. */
static List *
text_list(int column)
{
	int			  n;
	char		**strings = text_array(column, &n);
	MemoryContext old = MemoryContextSwitchTo(target_context);
	List		 *list = NIL;

	for (int i = 0; i < n; i++)
		list = lappend(list, strings[i]);
	MemoryContextSwitchTo(old);
	return list;
}

/* What a role in the registry means. */
static SinkRole
role_of(const char *name)
{
	if (strcmp(name, "serving") == 0)
		return SINK_SERVING;
	return strcmp(name, "filling") == 0 ? SINK_FILLING : SINK_RETIRED;
}

/*
 * Makes the target's places of columns of the query's row.  Of several each is written by its
 * own alias, so that it does not matter when the public one moves.  One that is still to be made
 * is none: it gets all rows in the transaction that says it is there.
 */
static void
make_places(SinkTarget *target, int names, int roles, int shares, int monthly)
{
	int	   n;
	char **name = text_array(names, &target->nplaces);
	char **role = text_array(roles, &n);
	char **shared = text_array(shares, &n);
	char **month = text_array(monthly, &n);

	target->places =
		MemoryContextAllocZero(target_context, (target->nplaces + 1) * sizeof(SinkPlace));
	for (int i = 0; i < target->nplaces; i++)
	{
		SinkPlace *place = &target->places[i];

		place->role = role_of(role[i]);
		place->index_name = name[i];
		place->monthly = strcmp(month[i], "true") == 0;
		if (shared[i][0] != '\0')
		{
			place->alias = search_own_alias(target_context, shared[i]);
			place->part = search_part(target_context, name[i]);
		}
		else
			place->alias = target->nplaces == 1 && !place->monthly
							   ? target->alias
							   : search_own_alias(target_context, name[i]);
	}
}

/* Statistics are of the rows themselves, and of some columns. */
static void
be_of_statistics(SinkTarget *target)
{
	target->alias = target->document = NULL;
	target->columns = text_list(14);
}

/* Makes a target of the query's only row. */
static SinkTarget *
make_target(Oid relid)
{
	SinkTarget *target = MemoryContextAllocZero(target_context, sizeof(SinkTarget));
	char	   *alias = tenancy_spi_text(0, 3);
	char	   *document = tenancy_spi_text(0, 7);

	target->relid = relid;
	target->tenant_id = tenancy_spi_int64(0, 1);
	target->tenant = MemoryContextStrdup(target_context, tenancy_spi_text(0, 2));
	target->alias = alias ? MemoryContextStrdup(target_context, alias) : NULL;
	target->document = document ? MemoryContextStrdup(target_context, document) : NULL;
	target->writer = (Oid) tenancy_spi_int64(0, 8);
	target->benchmark = tenancy_spi_int64(0, 13) != 0;
	target->key_columns = text_array(4, &target->nkeys);
	target->cache_keys = text_array(5, &target->ncache_keys);
	target->cache_tags = text_array(6, &target->ncache_tags);
	if (for_sink == SINK_STATISTICS)
		be_of_statistics(target);
	else
		target->flat = text_list(12);
	if (target->alias != NULL)
	{
		make_places(target, 9, 10, 11, 15);
		target_add_months(target, target_context, 16);
	}
	return target;
}

/* A template names a column that is no key column (any more), or NULL. */
static char *
template_problem(const SinkTarget *target)
{
	const char *template = sink_unfit_template(target);

	if (template == NULL)
		return NULL;
	if (target->nkeys == 0)
		return MemoryContextStrdup(target_context, "the table has no primary key");
	return MemoryContextStrdup(
		target_context,
		psprintf("template \"%s\" names a column that is not a key column", template));
}

/* What else a sink has to know of a new target. */
static void
settle_target(SinkTarget *target)
{
	if (for_sink == SINK_CACHE)
		target->problem = template_problem(target);
	else if (for_sink == SINK_STATISTICS && target->benchmark)
		target->problem = statistics_problem(target, target_context);
}

/* Asks the registry; NULL if the relation is gone or not synced. */
static SinkTarget *
load_target(Oid relid)
{
	static SPIPlanPtr plan = NULL;
	Oid				  types[1] = {OIDOID};
	Datum			  values[1] = {ObjectIdGetDatum(relid)};
	SinkTarget		 *target = NULL;
	SpiScope		  scope;

	if (for_sink == SINK_SEARCH)
		shape_settle(relid); /* first: a new partition gets a place by it */
	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec_saved(&plan, target_query, 1, types, values, NULL);
	if (SPI_processed > 0)
		target = make_target(relid);
	tenancy_spi_end(&scope);
	if (target != NULL)
		settle_target(target);
	return target;
}

/* Target of a relation, or NULL; needs a transaction. */
const SinkTarget *
target_find(Oid relid)
{
	TargetSlot *slot;
	SinkTarget *target;

	if (stale)
		target_flush();
	if (targets == NULL)
		make_cache();
	slot = hash_search(targets, &relid, HASH_FIND, NULL);
	if (slot != NULL)
		return slot->target;
	target = load_target(relid);
	slot = hash_search(targets, &relid, HASH_ENTER, NULL);
	slot->target = target;
	return target;
}

/* The registry or a table's shape changed: ask again. */
void
target_flush(void)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	Retired		 *over;

	stale = false;
	if (targets != NULL)
	{
		over = palloc(sizeof(Retired));
		over->context = target_context;
		over->age = age++;
		retired = lappend(retired, over);
		target_context = NULL;
		targets = NULL;
	}
	MemoryContextSwitchTo(old);
}

/* The present age; a batch remembers the one it was begun in. */
uint64
target_age(void)
{
	return age;
}

/* Frees targets that no batch begun in the age `oldest` or later can point to. */
void
target_sweep(uint64 oldest)
{
	while (retired != NIL)
	{
		Retired *over = linitial(retired);

		if (over->age >= oldest)
			return;
		MemoryContextDelete(over->context);
		pfree(over);
		retired = list_delete_first(retired);
	}
}
