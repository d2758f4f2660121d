-- Re-index and placement: what is written down, without a search server.
-- Workers would take the steps by themselves: with them test/t/070_reindex.pl looks.
SELECT current_setting('shared_preload_libraries') ~ 'pg_tenancy' AS preloaded \gset
\if :preloaded
\quit
\endif
SET client_min_messages = warning;
CREATE ROLE regress_operator IN ROLE tenancy_operator;
CREATE ROLE regress_nobody;
SELECT tenant_blueprint_add('moved', 1, 'CREATE TABLE item (id int PRIMARY KEY, n int)');
SELECT tenant_sync_table('moved', 'item', 'moved', mapping => '{"mappings": {"properties": {"n": {"type": "long"}}}}');
SELECT count(tenant_create(n, 'moved')) FROM unnest(ARRAY['a', 'b']) n;
CREATE VIEW indices AS
    SELECT regexp_replace(i.index_name, '[.][0-9a-f]{8}[.]', '.') AS index_name, t.name AS tenant, i.role, i.state,
           regexp_replace(i.shared, '[.][0-9a-f]{8}[.]', '.') AS shared, i.to_put
      FROM tenancy.search_index i LEFT JOIN tenancy.tenant t ON t.id = i.tenant_id
     WHERE i.index_type = 'moved' ORDER BY t.name, i.index_name COLLATE "C";
CREATE FUNCTION names(text) RETURNS text LANGUAGE sql AS $$ SELECT regexp_replace($1, '[0-9]+[.]([0-9]+)$', 'T.\1') $$;
CREATE VIEW moves AS
    SELECT tenant, phase, names(regexp_replace(from_index, '[.][0-9a-f]{8}[.]', '.')) AS old,
           names(regexp_replace(to_index, '[.][0-9a-f]{8}[.]', '.')) AS new, reason, last_error
      FROM tenancy.stat_progress_reindex ORDER BY tenant;

-- An index that is still to be made needs no other one.
SELECT tenancy.reindex('a');
UPDATE tenancy.search_index SET state = 'ready', filled = true WHERE index_type = 'moved';
SELECT tenancy.reindex('a'), tenancy.reindex('a', 'moved'), tenancy.reindex('a', 'other');
SELECT * FROM moves;
SELECT tenancy.reindex('nobody');
\echo :LAST_ERROR_SQLSTATE
-- One step, as the worker takes it.
SELECT * FROM tenancy.index_moves_advance('1 h');
SELECT * FROM moves;
SELECT names(index_name) AS name, tenant, role, state FROM indices;
-- The new one is there, filled, compared; then it takes the alias.
UPDATE tenancy.search_index SET state = 'ready' WHERE role = 'filling';
SELECT * FROM tenancy.index_moves_advance('1 h');
SELECT phase FROM moves;
DELETE FROM tenancy.resync;
UPDATE tenancy.search_index SET filled = true WHERE role = 'filling';
SELECT * FROM tenancy.index_moves_advance('1 h');
SELECT tenancy.index_move_verified(to_index, 3) FROM tenancy.index_move;
SELECT phase, last_error FROM moves;
SELECT tenancy.index_move_verified(to_index, 0) FROM tenancy.index_move;
SELECT * FROM tenancy.index_moves_advance('1 h');
SELECT phase FROM moves;
SELECT role, state, names(regexp_replace(replaces, '[.][0-9a-f]{8}[.]', '.')) AS replaces FROM tenancy.search_index WHERE replaces IS NOT NULL;
SELECT tenancy.reindex_cancel('a', 'moved');
UPDATE tenancy.search_index SET state = 'ready' WHERE replaces IS NOT NULL;
SELECT tenancy.index_move_switched(to_index) FROM tenancy.index_move;
SELECT names(index_name) AS name, role, state FROM indices WHERE tenant = 'a';
-- Asked for in the grace: another one follows.
SELECT tenancy.reindex('a');
SELECT phase FROM moves;
SELECT * FROM tenancy.index_moves_advance('0');
SELECT names(index_name) AS name, role, state FROM indices WHERE tenant = 'a';
DELETE FROM tenancy.search_index WHERE state = 'dropping';
SELECT * FROM tenancy.index_moves_advance('0');
SELECT phase, new FROM moves;
-- It takes nothing: aside, and given up after ten times.
SELECT tenancy.index_move_trouble(to_index, 'no room', false) FROM tenancy.index_move;
SELECT phase, last_error FROM moves;
SELECT state, attempts FROM tenancy.search_index WHERE role = 'filling';
UPDATE tenancy.index_move SET attempts = 10;
SELECT tenancy.index_move_trouble(to_index, 'no room', false) FROM tenancy.index_move;
SELECT phase, last_error FROM moves;
SELECT tenancy.reindex_cancel('a', 'moved'), tenancy.reindex_cancel('a', 'moved'), tenancy.reindex_cancel('x', 'moved');
DELETE FROM tenancy.search_index WHERE state = 'dropping';

-- What a changed mapping does.
SELECT tenant_sync_table('moved', 'item', 'moved', mapping => '{"mappings": {"properties": {"n": {"type": "long"}, "id": {"type": "integer"}}}}');
SELECT tenant, state, to_put FROM indices;
SELECT count(*) FROM moves;
SELECT tenant_sync_table('moved', 'item', 'moved', mapping => '{"mappings": {"properties": {"n": {"type": "keyword"}, "id": {"type": "integer"}}}}');
SELECT tenant, phase, reason FROM moves;
SELECT tenancy.reindex_cancel(tenant, 'moved') FROM moves;

-- Placement.
SELECT tenancy.place('a', 'moved', 'nowhere');
\echo :LAST_ERROR_SQLSTATE
SELECT tenancy.place('a', 'moved', NULL);
SELECT tenancy.place('a', 'nothing', 'shared');
\echo :LAST_ERROR_SQLSTATE
UPDATE tenancy.search_index SET state = 'ready' WHERE index_type = 'moved';
SELECT tenancy.place('a', 'moved', 'dedicated'), tenancy.place('a', 'moved', 'shared');
SELECT * FROM tenancy.index_moves_advance('0');
SELECT names(index_name) AS name, tenant, role, state, shared FROM indices;
SELECT tenancy.reindex_cancel('a', 'moved');
SET tenancy.default_placement = 'shared';
SELECT count(tenant_create(n, 'moved')) FROM unnest(ARRAY['c', 'd']) n;
SELECT tenant, role, state, shared FROM indices WHERE tenant IN ('c', 'd');
SELECT count(DISTINCT shared) FROM indices WHERE tenant IN ('c', 'd');
SELECT tenancy.place('c', 'moved', 'dedicated');
SELECT tenant, role, state, shared FROM indices WHERE tenant IN ('c', 'd');
SELECT tenant, index_type, placement, advice, reason FROM tenancy.placement_advice() WHERE tenant IN ('a', 'c', 'd') ORDER BY 1;

-- Who may.
SET ROLE regress_operator;
SELECT tenancy.reindex('b');
SELECT count(*) FROM tenancy.stat_progress_reindex;
SET ROLE regress_nobody;
SELECT tenancy.reindex('b');
SELECT tenancy.place('b', 'moved', 'shared');
SELECT tenancy.queue_reindex(1, 'moved', 'x');
SELECT count(*) FROM tenancy.stat_progress_reindex;
RESET ROLE;
SELECT count(tenant_drop(name, purge => true)) FROM unnest(ARRAY['a', 'b', 'c', 'd']) name;
DROP VIEW indices, moves;
DROP FUNCTION names(text);
DROP ROLE regress_operator, regress_nobody;
