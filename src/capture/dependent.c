/*
 * dependent.c
 *		Synced tables whose documents have rows of a joined table in them.
 *
 * What tells a joined row's parents are its columns, as they are and as they were.
 * Where the WAL does not have the old ones, any row may have been its parent.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/pg_collation.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "capture/capture.h"
#include "sync/key.h"
#include "sync/parents.h"

/* A table whose documents depend on a joined one. */
typedef struct CaptureDependent
{
	char	   *table_name;
	char	   *joined;
	uint8		sinks;
	bool		in_identity; /* the WAL has the old values whenever they change */
	bool		is_complete; /* the joined table has all the columns */
	int			ncolumns;
	AttrNumber *attributes;
	FmgrInfo   *outputs;
	uint64		all_lsn; /* every row was marked for that commit already */
} CaptureDependent;

/* Finds the columns in the joined table. */
static void
find_columns(CaptureDependent *dependent, Relation relation, List *names)
{
	ListCell *cell;

	dependent->attributes = palloc(list_length(names) * sizeof(AttrNumber));
	dependent->outputs = palloc(list_length(names) * sizeof(FmgrInfo));
	dependent->is_complete = true;
	foreach (cell, names)
	{
		AttrNumber attribute = get_attnum(RelationGetRelid(relation), lfirst(cell));
		Oid		   output;
		bool	   varlena;

		dependent->is_complete &= attribute > 0;
		if (attribute <= 0)
			return;
		getTypeOutputInfo(TupleDescAttr(RelationGetDescr(relation), attribute - 1)->atttypid,
						  &output, &varlena);
		fmgr_info(output, &dependent->outputs[dependent->ncolumns]);
		dependent->attributes[dependent->ncolumns++] = attribute;
	}
}

/* True if the WAL has the old values whenever they change. */
static bool
is_in_identity(const CaptureDependent *dependent, Relation relation)
{
	Bitmapset *identity;
	bool	   all = true;

	if (relation->rd_rel->relreplident == REPLICA_IDENTITY_FULL)
		return true;
	identity = RelationGetIdentityKeyBitmap(relation);
	for (int i = 0; i < dependent->ncolumns; i++)
		all = all && bms_is_member(dependent->attributes[i] - FirstLowInvalidHeapAttributeNumber,
								   identity);
	bms_free(identity);
	return all;
}

/* Makes one of a row of tenancy.sync_dependency, in the entry's memory. */
static void
add_dependent(CaptureRelation *info, Relation relation, Relation table, HeapTuple tuple,
			  text *blueprint, const char *joined)
{
	bool  isnull;
	char *name =
		pstrdup(NameStr(*DatumGetName(capture_column(table, tuple, "table_name", &isnull))));
	List			 *key;
	List			 *columns = capture_names_in(table, tuple, "columns");
	uint8			  sinks = capture_find_sync_table(blueprint, name, &key);
	CaptureDependent *dependent;
	MemoryContext	  old;

	sinks &= ~(1 << SINK_STATISTICS); /* these are of the rows themselves */
	if (sinks == 0)
		return;
	old = MemoryContextSwitchTo(capture_relation_memory(info));
	dependent = palloc0(sizeof(CaptureDependent));
	dependent->table_name = pstrdup(name);
	dependent->joined = pstrdup(joined);
	dependent->sinks = sinks;
	find_columns(dependent, relation, columns);
	dependent->in_identity = is_in_identity(dependent, relation);
	info->dependents = lappend(info->dependents, dependent);
	MemoryContextSwitchTo(old);
}

/* Finds the tables whose documents depend on a relation. */
void
capture_load_dependents(CaptureRelation *info, Relation relation, text *blueprint,
						const char *table_name)
{
	Oid			index;
	Relation	table = capture_open_registry("sync_dependency", "sync_dependency_pkey", &index);
	NameData	name;
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	if (table == NULL)
		return;
	namestrcpy(&name, table_name);
	ScanKeyInit(&keys[0], get_attnum(RelationGetRelid(table), "blueprint"), BTEqualStrategyNumber,
				F_TEXTEQ, PointerGetDatum(blueprint));
	keys[0].sk_collation = DEFAULT_COLLATION_OID;
	ScanKeyInit(&keys[1], get_attnum(RelationGetRelid(table), "joined_table"),
				BTEqualStrategyNumber, F_NAMEEQ, NameGetDatum(&name));
	scan = systable_beginscan(table, index, true, NULL, 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		add_dependent(info, relation, table, tuple, blueprint, table_name);
	systable_endscan(scan);
	table_close(table, AccessShareLock);
}

/* The dependent table itself, by name: it may be another one since the entry was made. */
static Oid
parent_of(const CaptureRelation *info, const CaptureDependent *dependent)
{
	return get_relname_relid(dependent->table_name, info->schema);
}

/* Marks every row of a dependent table, once for a commit. */
static void
mark_all(Capture *capture, ReorderBufferTXN *txn, CaptureRelation *info,
		 CaptureDependent *dependent)
{
	Oid relid = parent_of(info, dependent);

	if (dependent->all_lsn == txn->final_lsn || !OidIsValid(relid))
		return;
	dependent->all_lsn = txn->final_lsn;
	capture_send(capture, txn, dependent->sinks, RING_TABLE, relid, info->schema, PARENTS_ALL_ROWS,
				 sizeof(PARENTS_ALL_ROWS));
}

/* Makes a mark's key of a row in capture->key; false: the WAL does not have all values. */
static bool
make_key(Capture *capture, const CaptureDependent *dependent, Relation relation, HeapTuple tuple,
		 HeapTuple other)
{
	resetStringInfo(&capture->key);
	key_append_part(&capture->key, dependent->joined);
	for (int i = 0; i < dependent->ncolumns; i++)
	{
		Datum value;
		bool  isnull;

		if (!capture_value(relation, dependent->attributes[i], tuple, other, &value, &isnull))
			return false;
		parents_append_value(&capture->key,
							 isnull ? NULL : OutputFunctionCall(&dependent->outputs[i], value));
	}
	return true;
}

/* Marks the parents of one version of a joined row; false: they are not known. */
static bool
mark_row(Capture *capture, ReorderBufferTXN *txn, CaptureRelation *info,
		 CaptureDependent *dependent, Relation relation, HeapTuple tuple, HeapTuple other)
{
	Oid relid = parent_of(info, dependent);

	if (!make_key(capture, dependent, relation, tuple, other))
		return false;
	if (OidIsValid(relid))
		capture_send(capture, txn, dependent->sinks, RING_PARENTS, relid, info->schema,
					 capture->key.data, capture->key.len);
	return true;
}

/* True if a change says enough to tell the row's parents, as it is and as it was. */
static bool
is_telling(const CaptureDependent *dependent, enum ReorderBufferChangeType action,
		   HeapTuple old_row, HeapTuple new_row)
{
	if (!dependent->is_complete)
		return false;
	if (action == REORDER_BUFFER_CHANGE_INSERT)
		return new_row != NULL;
	if (!dependent->in_identity)
		return false;
	return action == REORDER_BUFFER_CHANGE_UPDATE ? new_row != NULL : old_row != NULL;
}

/* Marks the rows whose documents a changed row is, or was, a part of. */
void
capture_mark_parents(Capture *capture, ReorderBufferTXN *txn, CaptureRelation *info,
					 Relation relation, enum ReorderBufferChangeType action, HeapTuple old_row,
					 HeapTuple new_row)
{
	ListCell *cell;

	foreach (cell, info->dependents)
	{
		CaptureDependent *dependent = lfirst(cell);

		if (!is_telling(dependent, action, old_row, new_row) ||
			(new_row != NULL &&
			 !mark_row(capture, txn, info, dependent, relation, new_row, old_row)) ||
			(old_row != NULL && !mark_row(capture, txn, info, dependent, relation, old_row, NULL)))
			mark_all(capture, txn, info, dependent);
	}
}

/* Every row of a joined table has gone. */
void
capture_mark_all_parents(Capture *capture, ReorderBufferTXN *txn, CaptureRelation *info)
{
	ListCell *cell;

	foreach (cell, info->dependents)
		mark_all(capture, txn, info, lfirst(cell));
}
