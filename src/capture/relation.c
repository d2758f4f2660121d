/*
 * relation.c
 *		What capture has to know of a relation: is it synced, and what is its key.
 *
 * The registry is read as of the change being decoded, which its tables allow as
 * they are user_catalog_tables.  So a table that was synced when the row changed is
 * synced for that change, whatever has happened since.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "capture/capture.h"
#include "common/array.h"
#include "common/spi.h"
#include "sync/key.h"

/* More relations than this are not remembered. */
#define CACHE_MAX 50000

static HTAB			*relations = NULL;
static HTAB			*changed = NULL; /* not told to the sinks yet */
static MemoryContext relation_context = NULL;
static uint64		 generation = 1;   /* raised when every entry becomes invalid */
static bool			 uncached = false; /* look at a relation at each of its changes */

/* Notes that a relation's shape may have changed, for the sinks. */
static void
note_change(Oid relid)
{
	HASHCTL ctl = {.keysize = sizeof(Oid), .entrysize = sizeof(Oid)};

	ctl.hcxt = TopMemoryContext;
	if (changed == NULL)
		changed = hash_create("pg_tenancy changed relations", 64, &ctl,
							  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	(void) hash_search(changed, &relid, HASH_ENTER, NULL);
}

/* Relations that changed since the last call; InvalidOid stands for all. */
List *
capture_relation_changes(void)
{
	List		   *relids = NIL;
	HASH_SEQ_STATUS sequence;
	Oid			   *relid;

	if (changed == NULL)
		return NIL;
	hash_seq_init(&sequence, changed);
	while ((relid = hash_seq_search(&sequence)) != NULL)
		relids = lappend_oid(relids, *relid);
	hash_destroy(changed);
	changed = NULL;
	return relids;
}

/* A relation changed: look at it again at its next change. */
static void
on_relcache_invalidation(Datum arg, Oid relid)
{
	CaptureRelation *info;

	note_change(relid);
	if (!OidIsValid(relid))
		generation++;
	else if ((info = hash_search(relations, &relid, HASH_FIND, NULL)) != NULL)
		info->valid = false;
}

/* Makes an empty cache. */
static void
make_cache(void)
{
	HASHCTL ctl = {.keysize = sizeof(Oid), .entrysize = sizeof(CaptureRelation)};

	ctl.hcxt = relation_context;
	relations = hash_create("pg_tenancy capture relations", 256, &ctl,
							HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* Prepares the cache. */
void
capture_relation_init(void)
{
	relation_context = AllocSetContextCreate(TopMemoryContext, "pg_tenancy capture relations",
											 ALLOCSET_DEFAULT_SIZES);
	make_cache();
	CacheRegisterRelcacheCallback(on_relcache_invalidation, (Datum) 0);
}

/* The registry changed: look at every relation again. */
void
capture_relation_forget_all(void)
{
	generation++;
}

/*
 * A transaction's replay begins or ends.  One that began before the registry's last
 * change sees the registry as it was for some of its changes and as it is for others,
 * and nothing says where that turns: it must leave nothing in the cache.
 */
void
capture_relation_begin(bool is_uncached)
{
	if (is_uncached || uncached)
		generation++;
	uncached = is_uncached;
	if (hash_get_num_entries(relations) > CACHE_MAX)
	{
		MemoryContextReset(relation_context);
		make_cache();
	}
}

/* A column of a registry row by name. */
Datum
capture_column(Relation table, HeapTuple tuple, const char *name, bool *isnull)
{
	AttrNumber attribute = get_attnum(RelationGetRelid(table), name);

	*isnull = true;
	if (attribute <= 0)
		return (Datum) 0;
	return heap_getattr(tuple, attribute, RelationGetDescr(table), isnull);
}

/* Opens a registry table and the unique index that serves a look-up. */
Relation
capture_open_registry(const char *table, const char *index, Oid *index_oid)
{
	Oid schema = tenancy_schema_oid(true);
	Oid relid = OidIsValid(schema) ? get_relname_relid(table, schema) : InvalidOid;

	*index_oid = OidIsValid(schema) ? get_relname_relid(index, schema) : InvalidOid;
	return OidIsValid(relid) && OidIsValid(*index_oid) ? table_open(relid, AccessShareLock) : NULL;
}

/* Blueprint of the tenant that owns a schema, as palloc'd text; NULL: none. */
static text *
find_blueprint(Oid namespace)
{
	Oid			index;
	Relation	table = capture_open_registry("tenant", "tenant_schema_name_key", &index);
	char	   *schema = get_namespace_name(namespace);
	text	   *blueprint = NULL;
	NameData	name;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	if (table == NULL)
		return NULL;
	namestrcpy(&name, schema ? schema : "");
	ScanKeyInit(&key, get_attnum(RelationGetRelid(table), "schema_name"), BTEqualStrategyNumber,
				F_NAMEEQ, NameGetDatum(&name));
	scan = systable_beginscan(table, index, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool  isnull;
		Datum value = capture_column(table, tuple, "blueprint", &isnull);

		blueprint = isnull ? NULL : DatumGetTextPCopy(value);
	}
	systable_endscan(scan);
	table_close(table, AccessShareLock);
	return blueprint;
}

/* True if an array column of a registry row has an element. */
static bool
has_elements(Relation table, HeapTuple tuple, const char *name)
{
	bool  isnull;
	Datum value = capture_column(table, tuple, name, &isnull);

	return !isnull && ArrayGetNItems(ARR_NDIM(DatumGetArrayTypeP(value)),
									 ARR_DIMS(DatumGetArrayTypeP(value))) > 0;
}

/* Names in a text[] column of a registry row. */
List *
capture_names_in(Relation table, HeapTuple tuple, const char *name)
{
	bool  isnull;
	Datum value = capture_column(table, tuple, name, &isnull);

	return isnull ? NIL : tenancy_text_list(value);
}

/* Sinks and key columns that tenancy.sync_table names for a table; *names NIL: the primary key. */
uint8
capture_find_sync_table(text *blueprint, const char *table_name, List **names)
{
	Oid			index;
	Relation	table = capture_open_registry("sync_table", "sync_table_pkey", &index);
	NameData	name;
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	uint8		sinks = 0;
	bool		isnull;

	*names = NIL;
	if (table == NULL)
		return 0;
	namestrcpy(&name, table_name);
	ScanKeyEntryInitialize(&keys[0], 0, get_attnum(RelationGetRelid(table), "blueprint"),
						   BTEqualStrategyNumber, InvalidOid, DEFAULT_COLLATION_OID, F_TEXTEQ,
						   PointerGetDatum(blueprint));
	ScanKeyInit(&keys[1], get_attnum(RelationGetRelid(table), "table_name"), BTEqualStrategyNumber,
				F_NAMEEQ, NameGetDatum(&name));
	scan = systable_beginscan(table, index, true, NULL, 2, keys);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		(void) capture_column(table, tuple, "index_type", &isnull);
		sinks |= isnull ? 0 : 1 << SINK_SEARCH;
		if (has_elements(table, tuple, "cache_keys") || has_elements(table, tuple, "cache_tags"))
			sinks |= 1 << SINK_CACHE;
		if (DatumGetBool(capture_column(table, tuple, "benchmark", &isnull)) && !isnull)
			sinks |= 1 << SINK_STATISTICS;
		*names = capture_names_in(table, tuple, "key_columns");
	}
	systable_endscan(scan);
	table_close(table, AccessShareLock);
	return sinks;
}

/* Finds the key columns in the relation itself; false if one is missing or there are none. */
static bool
set_key(CaptureRelation *info, Relation relation, List *names)
{
	ListCell *cell;

	info->attributes = palloc(INDEX_MAX_KEYS * sizeof(AttrNumber));
	info->outputs = palloc(INDEX_MAX_KEYS * sizeof(FmgrInfo));
	foreach (cell, names)
	{
		AttrNumber attribute = get_attnum(RelationGetRelid(relation), lfirst(cell));
		Oid		   output;
		bool	   varlena;

		if (attribute <= 0 || info->nkeys == INDEX_MAX_KEYS)
			return false;
		getTypeOutputInfo(TupleDescAttr(RelationGetDescr(relation), attribute - 1)->atttypid,
						  &output, &varlena);
		fmgr_info(output, &info->outputs[info->nkeys]);
		info->attributes[info->nkeys++] = attribute;
	}
	return info->nkeys > 0;
}

/* True if the WAL has the old key whenever it changes. */
static bool
is_key_in_identity(CaptureRelation *info, Relation relation)
{
	Bitmapset *identity;
	bool	   all = true;

	if (relation->rd_rel->relreplident == REPLICA_IDENTITY_FULL)
		return true;
	identity = RelationGetIdentityKeyBitmap(relation);
	for (int i = 0; i < info->nkeys; i++)
		all = all &&
			  bms_is_member(info->attributes[i] - FirstLowInvalidHeapAttributeNumber, identity);
	bms_free(identity);
	return all;
}

/* The entry's own memory. */
MemoryContext
capture_relation_memory(CaptureRelation *info)
{
	if (info->context == NULL)
		info->context = AllocSetContextCreate(relation_context, "pg_tenancy capture relation",
											  ALLOCSET_SMALL_SIZES);
	return info->context;
}

/* Remembers the key columns in the entry's own memory. */
static void
load_key(CaptureRelation *info, Relation relation, List *names)
{
	MemoryContext old = MemoryContextSwitchTo(capture_relation_memory(info));

	if (!set_key(info, relation, names))
		info->nkeys = 0;
	info->key_in_identity = is_key_in_identity(info, relation);
	MemoryContextSwitchTo(old);
}

/* Root of a partition, or the relation itself. */
static Oid
root_of(Relation relation)
{
	Oid	  relid = RelationGetRelid(relation);
	List *ancestors;

	if (!relation->rd_rel->relispartition)
		return relid;
	ancestors = get_partition_ancestors(relid);
	return ancestors == NIL ? relid : llast_oid(ancestors);
}

/* Which of our own tables a relation is. */
static CaptureRegistry
registry_of(Relation relation)
{
	static const struct
	{
		const char	   *name;
		CaptureRegistry registry;
	} tables[] = {
		{"backlog", REGISTRY_NONE},		  {"dead_letter", REGISTRY_NONE},
		{"sink", REGISTRY_NONE},		  {"tenant", REGISTRY_DECIDES},
		{"sync_table", REGISTRY_DECIDES}, {"resync", REGISTRY_RESYNC},
		{"instance", REGISTRY_IDENTITY},  {"sync_dependency", REGISTRY_DECIDES},
	};

	if (RelationGetNamespace(relation) != tenancy_schema_oid(true))
		return REGISTRY_NONE;
	for (int i = 0; i < lengthof(tables); i++)
		if (strcmp(RelationGetRelationName(relation), tables[i].name) == 0)
			return tables[i].registry;
	return REGISTRY_CONFIG;
}

/* Fills in what is known of a relation now. */
static void
load(CaptureRelation *info, Relation relation)
{
	char *table_name;
	text *blueprint;
	List *names;

	info->registry = registry_of(relation);
	info->sinks = 0;
	info->nkeys = 0;
	info->dependents = NIL;
	info->root = root_of(relation);
	info->schema = get_rel_namespace(info->root);
	if (info->registry != REGISTRY_NONE || IsCatalogNamespace(RelationGetNamespace(relation)))
		return;
	blueprint = find_blueprint(info->schema);
	table_name = get_rel_name(info->root);
	if (blueprint == NULL || table_name == NULL)
		return;
	capture_load_dependents(info, relation, blueprint, table_name);
	info->sinks = capture_find_sync_table(blueprint, table_name, &names);
	if (info->sinks == 0)
		return;
	if (names == NIL)
		names = key_columns_of(relation);
	load_key(info, relation, names);
}

/* What capture has to know of a relation, in a decoding callback. */
CaptureRelation *
capture_relation(Relation relation)
{
	Oid				 relid = RelationGetRelid(relation);
	bool			 found;
	CaptureRelation *info = hash_search(relations, &relid, HASH_ENTER, &found);

	if (!found)
		info->context = NULL;
	else if (info->valid && info->generation == generation && !uncached)
		return info;
	info->valid = false;
	if (info->context != NULL)
		MemoryContextDelete(info->context);
	info->context = NULL;
	info->generation = generation;
	load(info, relation);
	info->valid = true;
	return info;
}
