/*
 * schema_map.c
 *		Which tenant a schema belongs to, remembered by each session.
 *
 * Making, renaming and dropping a tenant changes its schema's row of pg_namespace in the same
 * transaction, so the invalidation of that row is all that the memory has to listen to; what
 * changes a tenant's access invalidates the registry's table.  The registry is read below the
 * executor: this is asked while a statement's permissions are checked.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "storage/sinval.h"
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
	Oid			 schema; /* key */
	uint32		 hash;	 /* of its row in the system cache */
	SchemaTenant tenant; /* without a name: none */
} SchemaEntry;

static HTAB *entries = NULL;
static Oid	 registry_seen = InvalidOid; /* tenancy.tenant when it was read last */
static bool	 restricted_known = false;
static bool	 any_restricted = false;

/* Forgets the schemas whose row in the system cache has this hash; 0: all. */
static void
forget(uint32 hash)
{
	HASH_SEQ_STATUS scan;
	SchemaEntry	   *entry;

	hash_seq_init(&scan, entries);
	while ((entry = hash_seq_search(&scan)) != NULL)
		if (hash == 0 || entry->hash == hash)
			(void) hash_search(entries, &entry->schema, HASH_REMOVE, NULL);
}

/* A row of pg_namespace has changed. */
static void
on_schema_change(Datum arg, int cache, uint32 hash)
{
	forget(hash);
}

/* A table has changed; if it is the registry, somebody's access has. */
static void
on_table_change(Datum arg, Oid table)
{
	if (OidIsValid(table) && table != registry_seen)
		return;
	restricted_known = false;
	forget(0);
}

/* Makes the memory at the first call of a session. */
static void
make_entries(void)
{
	HASHCTL control = {.keysize = sizeof(Oid), .entrysize = sizeof(SchemaEntry)};

	if (entries != NULL)
		return;
	entries = hash_create("schemas of tenants", 64, &control, HASH_ELEM | HASH_BLOBS);
	CacheRegisterSyscacheCallback(NAMESPACEOID, on_schema_change, (Datum) 0);
	CacheRegisterRelcacheCallback(on_table_change, (Datum) 0);
}

/* A column of a row of the registry; NULL if it is null. */
static Datum
column(Relation table, HeapTuple row, const char *name, bool *isnull)
{
	return heap_getattr(row, get_attnum(RelationGetRelid(table), name), RelationGetDescr(table),
						isnull);
}

/* A text column that is never null. */
static char *
text_column(Relation table, HeapTuple row, const char *name)
{
	bool isnull;

	return TextDatumGetCString(column(table, row, name, &isnull));
}

/* What may be done to the tables of a row's tenant. */
static TenantAccess
row_access(Relation table, HeapTuple row)
{
	const char *status = text_column(table, row, "status");
	bool		isnull;

	if (strcmp(status, "suspended") == 0)
		return TENANT_ACCESS_NONE;
	if (strcmp(status, "read_only") == 0)
		return TENANT_ACCESS_READ;
	return DatumGetBool(column(table, row, "frozen", &isnull)) ? TENANT_ACCESS_NO_GROWTH
															   : TENANT_ACCESS_FULL;
}

/* Tenant of a row; one that was set aside is called what no tenant can be called. */
static void
read_row(Relation table, HeapTuple row, SchemaTenant *out)
{
	bool dropped = strcmp(text_column(table, row, "status"), "dropped") == 0;

	snprintf(out->name, sizeof(out->name), "%s%s", text_column(table, row, "name"),
			 dropped ? " (dropped)" : "");
	out->access = dropped ? TENANT_ACCESS_FULL : row_access(table, row);
}

/* True if a table is the registry of this build: anybody may have made one of its name elsewhere. */
static bool
is_registry(Oid table, Oid schema)
{
	Oid extension = get_extension_oid("pg_tenancy", true);

	return OidIsValid(extension) && getExtensionOfObject(RelationRelationId, table) == extension &&
		   OidIsValid(get_relname_relid("tenant_schema_name_key", schema)) &&
		   OidIsValid(get_relname_relid("tenant_restricted", schema));
}

/* Opens the registry's table; NULL: this database has none. */
static Relation
open_registry(void)
{
	Oid schema = tenancy_schema_oid(true);
	Oid table = OidIsValid(schema) ? get_relname_relid("tenant", schema) : InvalidOid;

	registry_seen = table;
	return OidIsValid(table) && is_registry(table, schema) ? table_open(table, AccessShareLock)
														   : NULL;
}

/* Begins to read the registry by one of its indexes. */
static SysScanDesc
begin_scan(Relation table, const char *index, int nkeys, ScanKey keys)
{
	return systable_beginscan(table, get_relname_relid(index, RelationGetNamespace(table)), true,
							  NULL, nkeys, keys);
}

/* Looks a schema's name up in the registry. */
static void
look_up(const char *schema, SchemaTenant *out)
{
	Relation	table = open_registry();
	NameData	key_name;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	row;

	if (table == NULL)
		return;
	namestrcpy(&key_name, schema);
	ScanKeyInit(&key, get_attnum(RelationGetRelid(table), "schema_name"), BTEqualStrategyNumber,
				F_NAMEEQ, NameGetDatum(&key_name));
	scan = begin_scan(table, "tenant_schema_name_key", 1, &key);
	if (HeapTupleIsValid(row = systable_getnext(scan)))
		read_row(table, row, out);
	systable_endscan(scan);
	table_close(table, AccessShareLock);
}

/* Reads a schema's tenant; again if something has changed between its name and the registry's row. */
static bool
read_schema(Oid schema, SchemaTenant *out)
{
	uint64 seen;
	char  *name;

	do
	{
		CHECK_FOR_INTERRUPTS();
		seen = SharedInvalidMessageCounter;
		memset(out, 0, sizeof(*out));
		name = get_namespace_name(schema);
		if (name != NULL)
			look_up(name, out);
	} while (seen != SharedInvalidMessageCounter);
	return name != NULL;
}

/* Tenant that a schema belongs to. */
bool
tenancy_schema_tenant(Oid schema, SchemaTenant *out)
{
	SchemaEntry *entry;

	make_entries();
	entry = hash_search(entries, &schema, HASH_FIND, NULL);
	if (entry != NULL)
	{
		*out = entry->tenant;
		return out->name[0] != '\0';
	}
	if (!read_schema(schema, out))
		return false;
	entry = hash_search(entries, &schema, HASH_ENTER, NULL);
	entry->hash = GetSysCacheHashValue1(NAMESPACEOID, ObjectIdGetDatum(schema));
	entry->tenant = *out;
	return out->name[0] != '\0';
}

/* True if the registry has a tenant whose access is not full. */
static bool
find_restricted(Relation table)
{
	SysScanDesc scan = begin_scan(table, "tenant_restricted", 0, NULL);
	bool		found = HeapTupleIsValid(systable_getnext(scan));

	systable_endscan(scan);
	return found;
}

/* True if some tenant's access is not full: where none is, nobody pays for looking. */
bool
tenancy_any_restricted(void)
{
	Relation table;

	make_entries();
	if (restricted_known)
		return any_restricted;
	any_restricted = false;
	table = open_registry();
	if (table == NULL)
		return false;
	restricted_known = true;
	any_restricted = find_restricted(table);
	table_close(table, AccessShareLock);
	return any_restricted;
}

/* Has all sessions look again. */
void
tenancy_access_changed(void)
{
	CacheInvalidateRelcacheByRelid(get_relname_relid("tenant", tenancy_schema_oid(false)));
}
