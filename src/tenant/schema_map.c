/*
 * schema_map.c
 *		Which tenant a schema belongs to, remembered by each session.
 *
 * Every change of that (create, rename, drop) changes the schema's row of
 * pg_namespace in the same transaction, so the invalidation of that row is all
 * that the memory has to listen to.  The registry is read below the executor:
 * this is asked while a statement's permissions are checked.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "common/spi.h"
#include "tenant/schema_map.h"

typedef struct SchemaEntry
{
	Oid	   schema;				/* key */
	uint32 hash;				/* of its row in the system cache */
	char   tenant[NAMEDATALEN]; /* empty: none */
} SchemaEntry;

static HTAB *entries = NULL;

/* A row of pg_namespace has changed: forgets that schema, or all. */
static void
forget(Datum arg, int cache, uint32 hash)
{
	HASH_SEQ_STATUS scan;
	SchemaEntry	   *entry;

	hash_seq_init(&scan, entries);
	while ((entry = hash_seq_search(&scan)) != NULL)
		if (hash == 0 || entry->hash == hash)
			(void) hash_search(entries, &entry->schema, HASH_REMOVE, NULL);
}

/* Makes the memory at the first call of a session. */
static void
make_entries(void)
{
	HASHCTL control = {.keysize = sizeof(Oid), .entrysize = sizeof(SchemaEntry)};

	if (entries != NULL)
		return;
	entries = hash_create("schemas of tenants", 64, &control, HASH_ELEM | HASH_BLOBS);
	CacheRegisterSyscacheCallback(NAMESPACEOID, forget, (Datum) 0);
}

/* A text column of a row of the registry. */
static char *
column(Relation table, HeapTuple row, const char *name)
{
	bool  isnull;
	Datum value = heap_getattr(row, get_attnum(RelationGetRelid(table), name),
							   RelationGetDescr(table), &isnull);

	return TextDatumGetCString(value);
}

/* Tenant of a row; one that was set aside is called what no tenant can be called. */
static void
read_row(Relation table, HeapTuple row, char *tenant)
{
	bool dropped = strcmp(column(table, row, "status"), "dropped") == 0;

	snprintf(tenant, NAMEDATALEN, "%s%s", column(table, row, "name"), dropped ? " (dropped)" : "");
}

/* Looks a schema's name up in the registry. */
static void
look_up(const char *schema, char *tenant)
{
	Oid			owner = tenancy_schema_oid(true);
	Oid			table_oid = OidIsValid(owner) ? get_relname_relid("tenant", owner) : InvalidOid;
	NameData	key_name;
	ScanKeyData key;
	Relation	table;
	SysScanDesc scan;
	HeapTuple	row;

	if (!OidIsValid(table_oid))
		return;
	namestrcpy(&key_name, schema);
	table = table_open(table_oid, AccessShareLock);
	ScanKeyInit(&key, get_attnum(table_oid, "schema_name"), BTEqualStrategyNumber, F_NAMEEQ,
				NameGetDatum(&key_name));
	scan = systable_beginscan(table, get_relname_relid("tenant_schema_name_key", owner), true, NULL,
							  1, &key);
	if (HeapTupleIsValid(row = systable_getnext(scan)))
		read_row(table, row, tenant);
	systable_endscan(scan);
	table_close(table, AccessShareLock);
}

/* Name of the tenant that a schema belongs to. */
const char *
tenancy_schema_tenant(Oid schema)
{
	SchemaEntry *entry;
	char		 tenant[NAMEDATALEN] = "";
	char		*name;

	make_entries();
	entry = hash_search(entries, &schema, HASH_FIND, NULL);
	if (entry == NULL)
	{
		name = get_namespace_name(schema);
		if (name == NULL)
			return NULL;
		look_up(name, tenant);
		entry = hash_search(entries, &schema, HASH_ENTER, NULL);
		entry->hash = GetSysCacheHashValue1(NAMESPACEOID, ObjectIdGetDatum(schema));
		strlcpy(entry->tenant, tenant, sizeof(entry->tenant));
	}
	return entry->tenant[0] != '\0' ? entry->tenant : NULL;
}
