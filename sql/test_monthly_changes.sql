-- Monthly placement: partitions that take rows of others, tables that cannot be placed so for a while, and moves that meet new partitions.
-- Workers would take the steps by themselves: with them test/t/086_monthly_changes.pl looks.
SELECT current_setting('shared_preload_libraries') ~ 'pg_tenancy' AS preloaded \gset
\if :preloaded
\quit
\endif
SELECT tenant_blueprint_add('spans', 1, $$
CREATE TABLE span (day date PRIMARY KEY) PARTITION BY RANGE (day);
CREATE TABLE span_01 PARTITION OF span FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
CREATE TABLE span_far PARTITION OF span FOR VALUES FROM ('2900-01-01') TO ('2900-02-01');
CREATE TABLE span_end PARTITION OF span FOR VALUES FROM ('10000-01-01') TO ('5874897-12-31');
CREATE TABLE span_rest PARTITION OF span DEFAULT;
$$);
SELECT tenant_sync_table('spans', 'span', 'span');
SELECT count(tenant_create('span' || n, 'spans')) FROM generate_series(1, 5) n;
SELECT count(*) FILTER (WHERE tenancy.place('span' || n, 'span', 'monthly')) FROM generate_series(1, 5) n;
CREATE VIEW month AS
    SELECT regexp_replace(m.index_name, '^(\w+)[^-]*', '\1') AS name, m.bounds, m.state, m.filled, m.age_from AT TIME ZONE 'UTC' AS age_from
      FROM tenancy.search_index m JOIN tenancy.search_index w ON w.index_name = m.month_of JOIN tenancy.tenant t ON t.id = w.tenant_id
     WHERE t.name = 'span1' AND m.state <> 'dropping' ORDER BY m.index_name COLLATE "C";
-- Everything is there.
CREATE FUNCTION settle() RETURNS void LANGUAGE sql AS $$
    DELETE FROM tenancy.search_index WHERE state = 'dropping';
    UPDATE tenancy.search_index SET state = 'ready', filled = true;
    DELETE FROM tenancy.resync
$$;
CREATE FUNCTION follow() RETURNS boolean LANGUAGE sql AS $$
    SELECT tenancy.follow_partitions(i.index_name) FROM tenancy.search_index i JOIN tenancy.tenant t ON t.id = i.tenant_id
     WHERE t.name = 'span1' AND i.role = 'serving' AND i.state <> 'dropping'
$$;
SELECT settle();
SELECT * FROM month;
-- A new partition may take rows of the default one, which gets another index; one that goes takes none.
CREATE TABLE tenant_span1.span_02 PARTITION OF tenant_span1.span FOR VALUES FROM ('2024-02-01') TO ('2024-03-01');
SELECT follow();
SELECT name, state, filled FROM month;
SELECT count(*) AS resyncs FROM tenancy.resync;
SELECT settle();
DROP TABLE tenant_span1.span_02;
SELECT follow(), follow();
SELECT name, state, filled FROM month;
SELECT settle();
-- It had rows: all are sent again, and searches use the table until then.
INSERT INTO tenant_span1.span VALUES ('2024-05-05'), ('2024-02-03');
DELETE FROM tenant_span1.span WHERE day = '2024-02-03';
CREATE TABLE tenant_span1.span_02 PARTITION OF tenant_span1.span FOR VALUES FROM ('2024-02-01') TO ('2024-03-01');
SELECT follow();
SELECT name, state, filled FROM month;
SELECT sink, table_name, phase FROM tenancy.resync;
SELECT settle();
-- Without a key: the months stay, searches use the table.
ALTER TABLE tenant_span1.span DROP CONSTRAINT span_pkey;
SELECT follow();
SELECT name, state, filled FROM month;
SELECT filled FROM tenancy.search_index i JOIN tenancy.tenant t ON t.id = i.tenant_id WHERE t.name = 'span1';
SELECT phase, placement, reason FROM tenancy.index_move;
ALTER TABLE tenant_span1.span ADD PRIMARY KEY (day);
SELECT follow();
SELECT count(*) AS moves FROM tenancy.index_move;
SELECT settle();
-- As a restore does: the index is made before the key is there.
ALTER TABLE tenant_span1.span DROP CONSTRAINT span_pkey;
DELETE FROM tenancy.search_index WHERE tenant_id = (SELECT id FROM tenancy.tenant WHERE name = 'span1');
SELECT tenancy.provision(id) FROM tenancy.tenant WHERE name = 'span1';
SELECT placement FROM tenancy.placement_advice() WHERE tenant = 'span1';
SELECT settle();
ALTER TABLE tenant_span1.span ADD PRIMARY KEY (day);
SELECT follow();
SELECT phase, placement, reason FROM tenancy.index_move;
-- A month comes: a scan is done again only if it may have left out rows.
SELECT moving FROM tenancy.index_moves_advance('1h');
SELECT tenancy.month_came(m.index_name) FROM tenancy.search_index m JOIN tenancy.search_index w ON w.index_name = m.month_of WHERE w.role = 'filling';
SELECT count(*) AS resyncs FROM tenancy.resync;
UPDATE tenancy.search_index SET state = 'ready';
SELECT moving FROM tenancy.index_moves_advance('1h');
SELECT moving FROM tenancy.index_moves_advance('1h');
UPDATE tenancy.resync SET started_at = now(), last_key = '{2024-01-01}';
SELECT tenancy.month_came(m.index_name) FROM tenancy.search_index m JOIN tenancy.search_index w ON w.index_name = m.month_of
 WHERE w.role = 'filling' AND m.index_name LIKE '%-2024____';
SELECT phase, last_key, again FROM tenancy.resync;
SELECT tenancy.month_came(m.index_name) FROM tenancy.search_index m JOIN tenancy.search_index w ON w.index_name = m.month_of
 WHERE w.role = 'filling' AND m.index_name LIKE '%-default';
SELECT phase, last_key, again FROM tenancy.resync;
-- A new partition while the alias is moved does not take the move back; a month that is lost does.
SELECT settle();
UPDATE tenancy.index_move SET differences = 0;
SELECT moving FROM tenancy.index_moves_advance('1h');
SELECT m.phase, i.state, i.replaces IS NOT NULL AS moves FROM tenancy.index_move m JOIN tenancy.search_index i ON i.index_name = m.to_index;
CREATE TABLE tenant_span1.span_03 PARTITION OF tenant_span1.span FOR VALUES FROM ('2024-03-01') TO ('2024-04-01');
SELECT tenancy.follow_partitions(index_name) FROM tenancy.search_index WHERE role = 'filling';
SELECT moving FROM tenancy.index_moves_advance('1h');
SELECT phase FROM tenancy.index_move;
SELECT tenancy.reindex_cancel('span1', 'span');
SELECT tenancy.month_lost(m.index_name) FROM tenancy.search_index m JOIN tenancy.search_index w ON w.index_name = m.month_of
 WHERE w.role = 'filling' AND m.index_name LIKE '%-20240101';
SELECT m.phase, i.state, i.filled, i.replaces IS NOT NULL AS moves FROM tenancy.index_move m JOIN tenancy.search_index i ON i.index_name = m.to_index;
SELECT tenancy.reindex_cancel('span1', 'span');
-- Four whose months cannot be made keep no other one from beginning.
SELECT settle();
SELECT tenancy.reindex(NULL, 'span');
SELECT moving FROM tenancy.index_moves_advance('1h');
SELECT phase, count(*) FROM tenancy.index_move GROUP BY 1 ORDER BY 1;
UPDATE tenancy.search_index SET attempts = 5, last_error = 'no more shards' WHERE month_of IN (SELECT to_index FROM tenancy.index_move);
SELECT moving FROM tenancy.index_moves_advance('1h');
SELECT phase, last_error, count(*) FROM tenancy.stat_progress_reindex GROUP BY 1, 2 ORDER BY 2;
-- The server has none that is not old enough to count; one without an end never is.
SELECT tenant_drop('span1', purge => true);
SELECT settle();
SELECT tenancy.lifecycle_attach('spans', 'span', 'case_studies_ilm');
SELECT regexp_replace(index_name, '^(\w+)[^-]*', '\1') AS name, phase, lifecycle ->> 'by' AS by, put, to_timestamp(origin / 1000.0) AT TIME ZONE 'UTC' AS origin
  FROM tenancy.lifecycle_work('0', 'ilm', true, '{hot,warm}') w WHERE index_name IN
       (SELECT m.index_name FROM tenancy.search_index m JOIN tenancy.search_index g ON g.index_name = m.month_of JOIN tenancy.tenant t ON t.id = g.tenant_id WHERE t.name = 'span2');
SELECT tenancy.lifecycle_detach('spans', 'span');
DELETE FROM tenancy.index_move;
SELECT tenant_drop('span' || n, purge => true) FROM generate_series(2, 5) n;
SELECT count(*) FROM tenancy.search_index WHERE state <> 'dropping';
DELETE FROM tenancy.search_index WHERE state = 'dropping';
DROP VIEW month;
DROP FUNCTION settle(), follow();
