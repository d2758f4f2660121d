/*
 * shape_query.c
 *		Compares the shape of tables with the one that tenancy.search_index has.
 *
 * A shape is what documents depend on: columns and their types, the primary key, the leaf
 * partitions, those of the tables that are joined with it, and signs of changes that the WAL does
 * not tell row by row.  xmin stands for "somebody did this again": a column's type (an ALTER with
 * USING), a partition's place (it was detached and attached), a table's name or schema (it was
 * away).  The file of a table tells a rewrite.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "common/spi.h"
#include "sync/shape.h"

PG_FUNCTION_INFO_V1(tenancy_has_no_rows);

/* The columns of c that are in documents. */
#define COLUMNS_OF                                   \
	" FROM pg_attribute a WHERE a.attrelid = %s.oid" \
	" AND a.attnum > 0 AND NOT a.attisdropped"       \
	" AND a.atttypid <> 'pg_catalog.tsvector'::regtype"

/* Every table below c and itself, with its place and its file. */
#define NODES_OF_C                                                                         \
	"CASE c.relkind WHEN 'r' THEN jsonb_build_object(c.oid || '/', c.relfilenode::bigint)" \
	" ELSE (WITH RECURSIVE tree (relid, place) AS (SELECT c.oid, '' UNION ALL"             \
	"   SELECT h.inhrelid, h.xmin::text FROM tree JOIN pg_inherits h"                      \
	"     ON h.inhparent = tree.relid AND NOT h.inhdetachpending)"                         \
	"  SELECT jsonb_object_agg(l.oid || '/' || tree.place, l.relfilenode::bigint)"         \
	"   FROM tree JOIN pg_class l ON l.oid = tree.relid WHERE l.relkind IN ('r', 'p')) END"

/* The tables that are joined with c, and where their parts are. */
#define JOINED_WITH_C                                                                     \
	"SELECT jsonb_object_agg(d.joined_table, (WITH RECURSIVE tree (relid, place) AS"      \
	"   (SELECT j.oid, '' UNION ALL SELECT h.inhrelid, h.xmin::text FROM tree"            \
	"     JOIN pg_inherits h ON h.inhparent = tree.relid AND NOT h.inhdetachpending)"     \
	"  SELECT jsonb_agg(tree.relid || '/' || tree.place ORDER BY tree.relid) FROM tree))" \
	" FROM tenancy.sync_dependency d JOIN pg_class j ON j.relnamespace = c.relnamespace"  \
	"   AND j.relname = d.joined_table AND j.relkind IN ('r', 'p')"                       \
	" WHERE d.blueprint = s.blueprint AND d.table_name = s.table_name"

#define SHAPE_OF_C                                                                             \
	"CASE WHEN c.oid IS NOT NULL THEN (SELECT jsonb_build_object("                             \
	" 'columns', coalesce(jsonb_object_agg(a.attnum, a.atttypid::bigint || ' ' || a.attname)," \
	"   '{}'), 'written', coalesce(jsonb_object_agg(a.attnum, a.xmin::text), '{}'),"           \
	" 'key', (SELECT x.indkey::text FROM pg_index x"                                           \
	"   WHERE x.indrelid = c.oid AND x.indisprimary),"                                         \
	" 'persistence', c.relpersistence,"                                                        \
	" 'named', (SELECT y.xmin::text FROM pg_type y WHERE y.oid = c.reltype),"                  \
	" 'tables', " NODES_OF_C ", 'joined', (" JOINED_WITH_C "))" COLUMNS_OF ") END"

/* Every index that is kept, i, and the relation that should fill it, c. */
#define INDICES                                                                    \
	" FROM tenancy.search_index i"                                                 \
	" JOIN tenancy.tenant t ON t.id = i.tenant_id AND t.status <> 'dropped'"       \
	" JOIN tenancy.sync_table s ON s.blueprint = t.blueprint"                      \
	"   AND s.index_type = i.index_type"                                           \
	" LEFT JOIN pg_namespace n ON n.nspname = t.schema_name"                       \
	" LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = s.table_name" \
	"   AND c.relkind IN ('r', 'p')"                                               \
	" WHERE i.state <> 'dropping' AND "

/* Indices that the relations $1 filled, or should fill; partitions stand for their root. */
#define OF_RELATIONS                                                                          \
	"i.index_name IN (SELECT b.index_name FROM tenancy.search_index b"                        \
	"   WHERE b.relation = ANY ($1) UNION ALL SELECT b.index_name FROM unnest($1) r (oid)"    \
	"   JOIN pg_class d ON d.oid = coalesce(pg_partition_root(r.oid), r.oid)"                 \
	"   JOIN pg_namespace m ON m.oid = d.relnamespace"                                        \
	"   JOIN tenancy.tenant u ON u.schema_name = m.nspname"                                   \
	"   JOIN tenancy.sync_table v ON v.blueprint = u.blueprint AND (v.table_name = d.relname" \
	"     OR EXISTS (SELECT FROM tenancy.sync_dependency w WHERE w.blueprint = v.blueprint"   \
	"      AND w.table_name = v.table_name AND w.joined_table = d.relname))"                  \
	"   JOIN tenancy.search_index b ON b.tenant_id = u.id AND b.index_type = v.index_type)"

/*
 * Columns: 1 index, 2 alias, 3 tenant's id, 4 and name, 5 table, 6 before, 7 now, 8 shape, 9 has a
 * cache, 10 rows must be sent again, 11 a table is no part any more, 12 tables that are a part now.
 * A partition that was made as one has told the WAL of its rows; ATTACH writes its columns again.
 * cmin says so only where xmax is 0: an attempt to change the column that was rolled back overwrites it.
 */
#define CHANGES                                                                                   \
	"WITH found AS MATERIALIZED (SELECT i.index_name, i.alias, t.id, t.name, s.table_name,"       \
	"  i.relation AS before, c.oid AS oid, i.shape AS old, " SHAPE_OF_C " AS shape,"              \
	"  s.cache_keys <> '{}' OR s.cache_tags <> '{}' AS cached" INDICES "%s)"                      \
	" SELECT index_name, alias, id, name, table_name, before::bigint, oid::bigint,"               \
	"  shape::text, cached,"                                                                      \
	"  before IS DISTINCT FROM oid OR old IS NOT NULL AND"                                        \
	"   (NOT shape -> 'columns' @> (old -> 'columns')"                                            \
	"    OR shape - '{columns,written,tables}'::text[]"                                           \
	"       <> old - '{columns,written,tables}'::text[]"                                          \
	"    OR EXISTS (SELECT" COLUMNS_OF " AND NOT old -> 'columns' ? a.attnum::text"               \
	"         AND (a.atthasdef OR a.atthasmissing OR a.attidentity <> ''"                         \
	"              OR a.attgenerated <> ''))"                                                     \
	"    OR (shape -> 'columns' <> old -> 'columns'"                                              \
	"        OR NOT shape -> 'written' @> (old -> 'written'))"                                    \
	"       AND EXISTS (SELECT FROM jsonb_each(old -> 'tables') o"                                \
	"            WHERE shape -> 'tables' -> o.key <> o.value)),"                                  \
	"  EXISTS (SELECT FROM jsonb_object_keys(old -> 'tables') k"                                  \
	"           WHERE NOT shape -> 'tables' ? k),"                                                \
	"  (SELECT array_agg(split_part(k, '/', 1)::oid) FROM jsonb_object_keys(shape -> 'tables') k" \
	"    WHERE NOT old -> 'tables' ? k AND NOT EXISTS (SELECT FROM pg_inherits h"                 \
	"      JOIN pg_attribute m ON m.attrelid = h.inhrelid AND m.attnum = -6"                      \
	"      JOIN pg_attribute u ON u.attrelid = h.inhrelid AND u.attnum > 0"                       \
	"       AND NOT u.attisdropped AND u.xmin = m.xmin AND u.cmin = m.cmin"                       \
	"       AND u.xmax = '0'::xid AND m.xmax = '0'::xid"                                          \
	"     WHERE h.inhrelid = split_part(k, '/', 1)::oid AND h.xmin = m.xmin))"                    \
	" FROM found WHERE before IS DISTINCT FROM oid"                                               \
	"  OR oid IS NOT NULL AND old IS DISTINCT FROM shape"

/* True if a table has no row for certain; one that somebody holds may have some. */
static bool
is_empty(Oid relid)
{
	Relation relation;
	bool	 empty;

	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		return false;
	relation = try_relation_open(relid, NoLock);
	if (relation == NULL)
		return false;
	empty =
		relation->rd_rel->relkind == RELKIND_RELATION && RelationGetNumberOfBlocks(relation) == 0;
	relation_close(relation, NoLock);
	return empty;
}

/* SQL: true if a table has no row for certain. */
Datum
tenancy_has_no_rows(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(is_empty(PG_GETARG_OID(0)));
}

/* True if one of the tables in a column of the last result may have rows. */
static bool
any_has_rows(int row, int column)
{
	bool   isnull;
	Datum  value = tenancy_spi_datum(row, column, &isnull);
	Datum *oids;
	int	   n;

	if (isnull)
		return false;
	deconstruct_array(DatumGetArrayTypeP(value), OIDOID, sizeof(Oid), true, TYPALIGN_INT, &oids,
					  NULL, &n);
	for (int i = 0; i < n; i++)
		if (!is_empty(DatumGetObjectId(oids[i])))
			return true;
	return false;
}

/* A boolean of the last result; NULL is false. */
static bool
is_true(int row, int column)
{
	bool  isnull;
	Datum value = tenancy_spi_datum(row, column, &isnull);

	return !isnull && DatumGetBool(value);
}

/* Takes a change from the last result. */
static ShapeChange *
read_change(int row)
{
	ShapeChange *change = palloc0(sizeof(ShapeChange));

	change->index_name = tenancy_spi_text(row, 1);
	change->alias = tenancy_spi_text(row, 2);
	change->tenant_id = tenancy_spi_int64(row, 3);
	change->tenant = tenancy_spi_text(row, 4);
	change->table_name = tenancy_spi_text(row, 5);
	change->before = (Oid) tenancy_spi_int64(row, 6);
	change->now = (Oid) tenancy_spi_int64(row, 7);
	change->shape = tenancy_spi_text(row, 8);
	change->cached = is_true(row, 9);
	if (!OidIsValid(change->now))
		change->need = SHAPE_GHOSTS;
	else if (is_true(row, 10) || any_has_rows(row, 12))
		change->need = SHAPE_ROWS;
	else
		change->need = is_true(row, 11) ? SHAPE_GHOSTS : SHAPE_NOTHING;
	return change;
}

/* Relations as an array. */
static Datum
oid_array(const Oid *relids, int n)
{
	Datum *oids = palloc((n + 1) * sizeof(Datum));

	for (int i = 0; i < n; i++)
		oids[i] = ObjectIdGetDatum(relids[i]);
	return PointerGetDatum(construct_array(oids, n, OIDOID, sizeof(Oid), true, TYPALIGN_INT));
}

/* Indices whose table is not what it was; relids NULL: of all. */
List *
shape_find_changes(const Oid *relids, int nrelids)
{
	static SPIPlanPtr plan = NULL;
	Oid				  types[1] = {OIDARRAYOID};
	Datum			  values[1];
	List			 *changes = NIL;

	if (relids == NULL)
		tenancy_spi_exec(psprintf(CHANGES, "c", "true", "found"), 0, NULL, NULL, NULL);
	else
	{
		values[0] = oid_array(relids, nrelids);
		tenancy_spi_exec_saved(&plan, psprintf(CHANGES, "c", OF_RELATIONS, "found"), 1, types,
							   values, NULL);
	}
	for (uint64 row = 0; row < SPI_processed; row++)
		changes = lappend(changes, read_change(row));
	return changes;
}

/* Notes what a tenant's tables are like for those of its indices that were just listed. */
void
shape_record(int64 tenant_id)
{
	Oid	  types[1] = {INT8OID};
	Datum values[1] = {Int64GetDatum(tenant_id)};

	tenancy_spi_exec(psprintf("UPDATE tenancy.search_index u SET relation = f.oid, shape = f.shape"
							  " FROM (SELECT i.index_name, c.oid, " SHAPE_OF_C " AS shape" INDICES
							  "i.tenant_id = $1 AND i.relation IS NULL) f"
							  " WHERE u.index_name = f.index_name AND f.oid IS NOT NULL",
							  "c"),
					 1, types, values, NULL);
}
