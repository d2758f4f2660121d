/*
 * row_reader.c
 *		Rows as they are now, found by key through a unique index.
 *
 * It goes below the executor: row security does not hide rows from the sync, and
 * no rule, policy or trigger of a user runs.  What can run is a type's input and
 * output function; for these the process is the table's owner
 * in a security-restricted operation.
 *
 * A partitioned table is read leaf by leaf.
 */
#include "postgres.h"

#include "access/nbtree.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "common/compat.h"
#include "common/input.h"
#include "sync/document.h"
#include "sync/key.h"
#include "sync/row_reader.h"

/* Blocks of a table that a sample is taken from. */
#define SAMPLE_BLOCKS 16

/* One column of the key in one leaf. */
typedef struct KeyColumn
{
	AttrNumber heap_attribute;
	AttrNumber index_attribute;
	Oid		   collation;
	FmgrInfo   equal;
	FmgrInfo   compare;
	FmgrInfo   input;
	Oid		   input_parameter;
	int32	   typmod;
	FmgrInfo   output;
} KeyColumn;

/* One table that has storage. */
typedef struct Leaf
{
	Relation		heap;
	Relation		index;
	TupleTableSlot *slot;
	IndexScanDesc	scan;
	DocumentWriter *writer;
	KeyColumn		columns[INDEX_MAX_KEYS];
} Leaf;

struct RowReader
{
	const SinkTarget *target;
	MemoryContext	  context;
	MemoryContext	  row_context; /* reset for every row */
	Oid				  save_userid;
	int				  save_sec_context;
	int				  save_nestlevel; /* settings that user code changes are put back */
	int				  nleaves;
	Leaf			 *leaves;
};

/* True if a unique index's columns are just the key's, all of them ascending. */
static bool
index_matches(Relation index, const AttrNumber *attributes, int n)
{
	if (!index->rd_index->indisunique || !index->rd_index->indisvalid ||
		index->rd_index->indnkeyatts != n || index->rd_rel->relam != BTREE_AM_OID ||
		RelationGetIndexExpressions(index) != NIL || RelationGetIndexPredicate(index) != NIL)
		return false;
	for (int i = 0; i < n; i++)
	{
		bool found = false;

		if (index->rd_indoption[i] & INDOPTION_DESC)
			return false;
		for (int j = 0; j < n; j++)
			found |= index->rd_index->indkey.values[j] == attributes[i];
		if (!found)
			return false;
	}
	return true;
}

/* Opens the index of a leaf that serves the key columns, or returns NULL; *locked: not now. */
static Relation
open_key_index(Relation heap, const AttrNumber *attributes, int n, bool *locked)
{
	List	 *indexes = RelationGetIndexList(heap);
	ListCell *cell;

	foreach (cell, indexes)
	{
		Relation index;

		if (!ConditionalLockRelationOid(lfirst_oid(cell), AccessShareLock))
		{
			*locked = true;
			return NULL;
		}
		index = index_open(lfirst_oid(cell), NoLock);

		if (index_matches(index, attributes, n))
			return index;
		index_close(index, NoLock);
	}
	return NULL;
}

/* Prepares one column of the key. */
static void
init_key_column(KeyColumn *column, Relation heap, Relation index, AttrNumber attribute)
{
	Form_pg_attribute form = TupleDescAttr(RelationGetDescr(heap), attribute - 1);
	int				  i = 0;
	Oid				  family;
	Oid				  type;
	Oid				  base; /* a domain's check must not decide whether a row is there */
	Oid				  function;
	bool			  varlena;

	while (index->rd_index->indkey.values[i] != attribute)
		i++;
	family = index->rd_opfamily[i];
	type = index->rd_opcintype[i];
	column->heap_attribute = attribute;
	column->index_attribute = i + 1;
	column->collation = index->rd_indcollation[i];
	column->typmod = form->atttypmod;
	base = getBaseTypeAndTypmod(form->atttypid, &column->typmod);
	function = get_opfamily_member(family, type, type, BTEqualStrategyNumber);
	fmgr_info(get_opcode(function), &column->equal);
	fmgr_info(get_opfamily_proc(family, type, type, BTORDER_PROC), &column->compare);
	getTypeInputInfo(base, &function, &column->input_parameter);
	fmgr_info(function, &column->input);
	getTypeOutputInfo(base, &function, &varlena);
	fmgr_info(function, &column->output);
}

/* Opens one leaf that is locked already. */
static RowReaderResult
init_leaf(Leaf *leaf, Relation heap, const SinkTarget *target)
{
	AttrNumber attributes[INDEX_MAX_KEYS];
	bool	   locked = false;

	leaf->heap = heap;
	leaf->slot = table_slot_create(heap, NULL);
	for (int i = 0; i < target->nkeys; i++)
	{
		attributes[i] = get_attnum(RelationGetRelid(heap), target->key_columns[i]);
		if (attributes[i] <= 0)
			return ROWS_NO_KEY;
	}
	leaf->index = open_key_index(heap, attributes, target->nkeys, &locked);
	if (leaf->index == NULL)
		return locked ? ROWS_LOCKED : ROWS_NO_KEY;
	for (int i = 0; i < target->nkeys; i++)
		init_key_column(&leaf->columns[i], heap, leaf->index, attributes[i]);
	return ROWS_READY;
}

/* Locks and opens every leaf of the target's relation, in the order of their OIDs. */
static RowReaderResult
open_leaves(RowReader *reader, Oid relid)
{
	List	 *oids = list_make1_oid(relid);
	bool	  partitioned = get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE;
	ListCell *cell;

	if (partitioned)
		oids = find_all_inheritors(relid, NoLock, NULL);
	reader->leaves = palloc0(list_length(oids) * sizeof(Leaf));
	list_sort(oids, list_oid_cmp);
	foreach (cell, oids)
	{
		Relation		heap;
		RowReaderResult result = ROWS_READY;

		if (!ConditionalLockRelationOid(lfirst_oid(cell), AccessShareLock))
			return ROWS_LOCKED;
		heap = try_relation_open(lfirst_oid(cell), NoLock);
		if (heap == NULL)
			continue;
		if (!RELKIND_HAS_TABLE_AM(heap->rd_rel->relkind))
			relation_close(heap, NoLock);
		else
			result = init_leaf(&reader->leaves[reader->nleaves++], heap, reader->target);
		if (result != ROWS_READY)
			return result;
	}
	return reader->nleaves > 0 || partitioned ? ROWS_READY : ROWS_GONE;
}

/*
 * Becomes the owner of the target's relation, or the blueprint's owner, who has it synced and
 * may own its types, if that one has not the rights of the first; false if the relation is gone.
 */
static bool
become_owner(RowReader *reader, Oid relid)
{
	Relation relation = try_relation_open(relid, NoLock);
	Oid		 role = reader->target->writer;

	if (relation == NULL)
		return false;
	if (has_privs_of_role(role, relation->rd_rel->relowner))
		role = relation->rd_rel->relowner;
	SetUserIdAndSecContext(role, reader->save_sec_context | SECURITY_RESTRICTED_OPERATION);
	relation_close(relation, NoLock);
	return true;
}

/* Opens a target's rows under the active snapshot; close it whatever the result is. */
RowReaderResult
row_reader_open(const SinkTarget *target, RowReader **result)
{
	RowReader *reader = palloc0(sizeof(RowReader));

	*result = reader;
	reader->target = target;
	reader->context = CurrentMemoryContext;
	reader->row_context =
		AllocSetContextCreate(CurrentMemoryContext, "pg_tenancy row", ALLOCSET_DEFAULT_SIZES);
	GetUserIdAndSecContext(&reader->save_userid, &reader->save_sec_context);
	reader->save_nestlevel = NewGUCNestLevel();
	if (!ConditionalLockRelationOid(target->relid, AccessShareLock))
		return ROWS_LOCKED;
	if (!become_owner(reader, target->relid))
		return ROWS_GONE;
	if (target->nkeys == 0)
		return ROWS_NO_KEY;
	return open_leaves(reader, target->relid);
}

/* Values of a key's columns from their text; false: no row can have such a key. */
static bool
key_values(RowReader *reader, Leaf *leaf, const char **parts, Datum *values)
{
	for (int i = 0; i < reader->target->nkeys; i++)
	{
		KeyColumn *column = &leaf->columns[i];

		if (!tenancy_input(&column->input, parts[i], column->input_parameter, column->typmod,
						   &values[i]))
			return false;
	}
	return true;
}

/*
 * True if a leaf's row has just this text as its key.  A value may be found by another one (1.0 by
 * 1.00, a uuid in capitals): that is no key of a row, or the row would be there twice.
 */
static bool
is_own_key(RowReader *reader, Leaf *leaf, const char **parts)
{
	StringInfoData text;
	bool		   own = true;

	initStringInfo(&text);
	for (int i = 0; i < reader->target->nkeys && own; i++)
	{
		KeyColumn *column = &leaf->columns[i];
		bool	   isnull;
		Datum	   value = slot_getattr(leaf->slot, column->heap_attribute, &isnull);

		resetStringInfo(&text);
		if (!isnull)
			key_append_value(&text, &column->output, value);
		own = !isnull && strcmp(text.data, parts[i]) == 0;
	}
	pfree(text.data);
	return own;
}

/* Looks a key up in one leaf; the row is in its slot. */
static bool
find_in_leaf(RowReader *reader, Leaf *leaf, const char **parts)
{
	ScanKeyData	  keys[INDEX_MAX_KEYS];
	Datum		  values[INDEX_MAX_KEYS];
	int			  n = reader->target->nkeys;
	MemoryContext old;
	bool		  found;

	if (!key_values(reader, leaf, parts, values))
		return false;
	for (int i = 0; i < n; i++)
	{
		KeyColumn *column = &leaf->columns[i];

		ScanKeyEntryInitializeWithInfo(&keys[column->index_attribute - 1], 0,
									   column->index_attribute, BTEqualStrategyNumber, InvalidOid,
									   column->collation, &column->equal, values[i]);
	}
	/* what the scan allocates on its way must live as long as the scan */
	old = MemoryContextSwitchTo(reader->context);
	if (leaf->scan == NULL)
		leaf->scan = compat_index_beginscan(leaf->heap, leaf->index, GetActiveSnapshot(), n);
	index_rescan(leaf->scan, keys, n, NULL, 0);
	found = index_getnext_slot(leaf->scan, ForwardScanDirection, leaf->slot);
	MemoryContextSwitchTo(old);
	return found && is_own_key(reader, leaf, parts);
}

/* Appends a leaf's current row. */
static void
append_row(RowReader *reader, Leaf *leaf, StringInfo doc)
{
	if (leaf->writer == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(reader->context);

		leaf->writer = document_writer_make(RelationGetDescr(leaf->heap), reader->target->flat,
											reader->target->columns);
		MemoryContextSwitchTo(old);
	}
	document_append(leaf->writer, leaf->slot, doc);
}

/* Appends the document of a key's row (doc NULL: just looks); false if there is no such row. */
bool
row_reader_fetch(RowReader *reader, const char *key, int key_length, StringInfo doc)
{
	const char	 *parts[INDEX_MAX_KEYS];
	bool		  found = false;
	MemoryContext old;

	if (key_parts(key, key_length, parts, INDEX_MAX_KEYS) != reader->target->nkeys)
		return false;
	old = MemoryContextSwitchTo(reader->row_context);
	for (int i = 0; i < reader->nleaves && !found; i++)
	{
		found = find_in_leaf(reader, &reader->leaves[i], parts);
		if (found && doc != NULL)
			append_row(reader, &reader->leaves[i], doc);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(reader->row_context);
	return found;
}

/* Makes the scan key "row > (parts)" in the order of the index's columns; false: no such key. */
static bool
init_after(RowReader *reader, Leaf *leaf, const char **parts, ScanKey header, ScanKey members)
{
	Datum values[INDEX_MAX_KEYS];
	int	  n = reader->target->nkeys;

	if (!key_values(reader, leaf, parts, values))
		return false;
	for (int i = 0; i < n; i++)
	{
		KeyColumn *column = &leaf->columns[i];
		int		   at = column->index_attribute - 1;

		ScanKeyEntryInitializeWithInfo(&members[at], SK_ROW_MEMBER | (at == n - 1 ? SK_ROW_END : 0),
									   column->index_attribute, BTGreaterStrategyNumber, InvalidOid,
									   column->collation, &column->compare, values[i]);
	}
	MemSet(header, 0, sizeof(ScanKeyData));
	header->sk_flags = SK_ROW_HEADER;
	header->sk_attno = 1;
	header->sk_strategy = BTGreaterStrategyNumber;
	header->sk_argument = PointerGetDatum(members);
	return true;
}

/* Appends the position (leaf) and key of the row in a leaf's slot; false if a part is NULL. */
static bool
append_position(RowReader *reader, Leaf *leaf, StringInfo keys)
{
	int	 start = keys->len;
	char oid[16];

	snprintf(oid, sizeof(oid), "%u", RelationGetRelid(leaf->heap));
	key_append_part(keys, oid);
	for (int i = 0; i < reader->target->nkeys; i++)
	{
		KeyColumn *column = &leaf->columns[i];
		bool	   isnull;
		Datum	   value = slot_getattr(leaf->slot, column->heap_attribute, &isnull);

		if (isnull)
		{
			keys->len = start;
			return false;
		}
		key_append_value(keys, &column->output, value);
	}
	return true;
}

/* Scans one leaf from a key on (parts NULL: from its start); returns how many keys it gave. */
static int
scan_leaf(RowReader *reader, Leaf *leaf, const char **parts, int most, StringInfo keys)
{
	ScanKeyData header;
	ScanKeyData members[INDEX_MAX_KEYS];
	int			nkeys = parts != NULL && init_after(reader, leaf, parts, &header, members) ? 1 : 0;
	IndexScanDesc scan =
		compat_index_beginscan(leaf->heap, leaf->index, GetActiveSnapshot(), nkeys);
	int given = 0;

	index_rescan(scan, nkeys == 0 ? NULL : &header, nkeys, NULL, 0);
	while (given < most && index_getnext_slot(scan, ForwardScanDirection, leaf->slot))
	{
		MemoryContext old = MemoryContextSwitchTo(reader->row_context);

		CHECK_FOR_INTERRUPTS();
		given += append_position(reader, leaf, keys) ? 1 : 0;
		MemoryContextSwitchTo(old);
		MemoryContextReset(reader->row_context);
	}
	index_endscan(scan);
	return given;
}

/*
 * Appends up to `most` positions that follow `after` (empty: from the start).  A
 * position is a key with the leaf's OID as a part before it.
 */
int
row_reader_scan_keys(RowReader *reader, const char *after, int after_length, int most,
					 StringInfo keys)
{
	const char *parts[INDEX_MAX_KEYS + 1];
	int			n = key_parts(after, after_length, parts, INDEX_MAX_KEYS + 1);
	Oid			from = n > 0 ? (Oid) strtoul(parts[0], NULL, 10) : InvalidOid;
	bool		resume = n == reader->target->nkeys + 1;
	int			given = 0;

	for (int i = 0; i < reader->nleaves && given < most; i++)
	{
		Leaf *leaf = &reader->leaves[i];
		Oid	  relid = RelationGetRelid(leaf->heap);

		if (relid < from)
			continue;
		given +=
			scan_leaf(reader, leaf, resume && relid == from ? parts + 1 : NULL, most - given, keys);
	}
	return given;
}

/* Gives rows of one block from the skip'th on, or just counts them (keys NULL). */
static int
scan_block(RowReader *reader, Leaf *leaf, BlockNumber block, int skip, int most, StringInfo keys)
{
	ItemPointerData first;
	ItemPointerData last;
	TableScanDesc	scan;
	int				given = 0;

	ItemPointerSet(&first, block, FirstOffsetNumber);
	ItemPointerSet(&last, block, MaxOffsetNumber);
	scan = table_beginscan_tidrange(leaf->heap, GetActiveSnapshot(), &first, &last);
	while (given < most && table_scan_getnextslot_tidrange(scan, ForwardScanDirection, leaf->slot))
	{
		MemoryContext old = MemoryContextSwitchTo(reader->row_context);

		if (skip-- <= 0)
			given += keys == NULL || append_position(reader, leaf, keys) ? 1 : 0;
		MemoryContextSwitchTo(old);
		MemoryContextReset(reader->row_context);
	}
	table_endscan(scan);
	return given;
}

/* Gives some rows of one block that follow each other, from a random one on. */
static int
sample_block(RowReader *reader, Leaf *leaf, BlockNumber block, int most, StringInfo keys)
{
	int rows = scan_block(reader, leaf, block, 0, INT_MAX, NULL);
	int skip = rows > most ? (int) pg_prng_uint64_range(&pg_global_prng_state, 0, rows - most) : 0;

	return scan_block(reader, leaf, block, skip, most, keys);
}

/* Blocks of a leaf that can be scanned one by one; 0: its access method does not offer that. */
static BlockNumber
leaf_blocks(const Leaf *leaf)
{
	if (leaf->heap->rd_tableam->scan_set_tidrange == NULL)
		return 0;
	return RelationGetNumberOfBlocks(leaf->heap);
}

/* Leaf that has the n'th block of all; *n: the block in it. */
static Leaf *
leaf_of_block(RowReader *reader, uint64 *n)
{
	Leaf *leaf = reader->leaves;

	while (*n >= leaf_blocks(leaf))
		*n -= leaf_blocks(leaf++);
	return leaf;
}

/* Appends positions of up to `most` rows from a few blocks, the first of them a random one. */
int
row_reader_sample_keys(RowReader *reader, int most, StringInfo keys)
{
	uint64 total = 0;
	uint64 blocks;
	uint64 start;
	int	   given = 0;

	for (int i = 0; i < reader->nleaves; i++)
		total += leaf_blocks(&reader->leaves[i]);
	if (total == 0)
		return row_reader_scan_keys(reader, "", 0, most, keys);
	blocks = Min(total, SAMPLE_BLOCKS);
	start = pg_prng_uint64_range(&pg_global_prng_state, 0, total - 1);
	for (uint64 i = 0; i < blocks && given < most; i++)
	{
		uint64 at = (start + i * (total / blocks)) % total;
		Leaf  *leaf = leaf_of_block(reader, &at);
		int	   share = (most - given) / (int) (blocks - i);

		CHECK_FOR_INTERRUPTS();
		given += sample_block(reader, leaf, (BlockNumber) at, Max(share, 1), keys);
	}
	return given;
}

/* Closes what is open; locks stay until the end of the transaction. */
void
row_reader_close(RowReader *reader)
{
	for (int i = 0; i < reader->nleaves; i++)
	{
		Leaf *leaf = &reader->leaves[i];

		if (leaf->scan != NULL)
			index_endscan(leaf->scan);
		if (leaf->slot != NULL)
			ExecDropSingleTupleTableSlot(leaf->slot);
		if (leaf->index != NULL)
			index_close(leaf->index, NoLock);
		if (leaf->heap != NULL)
			relation_close(leaf->heap, NoLock);
	}
	AtEOXact_GUC(false, reader->save_nestlevel);
	SetUserIdAndSecContext(reader->save_userid, reader->save_sec_context);
	MemoryContextDelete(reader->row_context);
}
