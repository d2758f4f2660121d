-- What is synced, and the indices that follow from it.
SET client_min_messages = warning;
CREATE ROLE regress_owner NOLOGIN;
CREATE ROLE regress_other NOLOGIN;
CREATE ROLE regress_app NOLOGIN;
GRANT tenancy_admin TO regress_owner, regress_other;
GRANT tenancy_app TO regress_app;
RESET client_min_messages;
SET ROLE regress_owner;
SELECT tenant_blueprint_add('shop', 1, 'CREATE TABLE item (id int PRIMARY KEY, sku text, price numeric); CREATE TABLE sale (id int PRIMARY KEY)');
SELECT tenant_create('one', 'shop') > 0 AS created;
SELECT tenant_create('two', 'shop') > 0 AS created;
SELECT tenant_create('three', 'shop') > 0 AS created;
SELECT tenant_drop('three');
RESET ROLE;

CREATE VIEW indices AS
SELECT regexp_replace(index_name, '\.[0-9a-f]{8}\.\d+\.', '.I.T.') AS index_name, t.name AS tenant, i.index_type, i.alias, i.state, i.body
FROM tenancy.search_index i JOIN tenancy.tenant t ON t.id = i.tenant_id WHERE t.blueprint = 'shop';
CREATE VIEW resyncs AS
SELECT r.sink, t.name AS tenant, r.table_name, r.last_key, r.rows_done
FROM tenancy.resync r JOIN tenancy.tenant t ON t.id = r.tenant_id WHERE t.blueprint = 'shop';
CREATE VIEW tables AS SELECT * FROM tenancy.sync_table WHERE blueprint = 'shop';

-- Arguments.
SELECT tenant_sync_table('nothing', 'item', 'item');
\echo :LAST_ERROR_SQLSTATE
SELECT tenant_sync_table(NULL, 'item', 'item');
SELECT tenant_sync_table('shop', NULL, 'item');
\echo :LAST_ERROR_SQLSTATE
SELECT tenant_sync_table('shop', '', 'item');
SELECT tenant_sync_table('shop', repeat('t', 64), 'item');
\echo :LAST_ERROR_SQLSTATE
SELECT tenant_sync_table('shop', 'item');
SELECT tenant_sync_table('shop', 'item', NULL, NULL, NULL, NULL, NULL);
SELECT tenant_sync_table('shop', 'item', 'Item');
SELECT tenant_sync_table('shop', 'item', 'it-em');
SELECT tenant_sync_table('shop', 'item', '../_all');
\echo :LAST_ERROR_SQLSTATE
SELECT tenant_sync_table('shop', 'item', 'item', '{}');
SELECT tenant_sync_table('shop', 'item', 'item', '{id,NULL}');
SELECT tenant_sync_table('shop', 'item', 'item', '{id,""}');
SELECT tenant_sync_table('shop', 'item', 'item', '{id,sku,id}');
SELECT tenant_sync_table('shop', 'item', 'item', '{{id,sku}}');
SELECT tenant_sync_table('shop', 'item', 'item', ARRAY[repeat('c', 64)]);
SELECT tenant_sync_table('shop', 'item', 'item', mapping => '[]');
SELECT tenant_sync_table('shop', 'item', 'item', mapping => '1');
SELECT tenant_sync_table('shop', 'item', 'item', mapping => '{"aliases": {}}');
SELECT tenant_sync_table('shop', 'item', 'item', mapping => '{"settings": {}, "mapings": {}}');
SELECT tenant_sync_table('shop', 'item', 'item', mapping => '{"settings": []}');
SELECT tenant_sync_table('shop', 'item', 'item', mapping => '{"mappings": null}');
SELECT tenant_sync_table('shop', 'item', mapping => '{}', cache_tags => '{x}');
SELECT tenant_sync_table('shop', 'item', cache_keys => ARRAY['item:{id']);
SELECT tenant_sync_table('shop', 'item', cache_keys => ARRAY['item:id}']);
SELECT tenant_sync_table('shop', 'item', cache_keys => ARRAY['item:{}']);
SELECT tenant_sync_table('shop', 'item', cache_keys => ARRAY['item:{{id}}']);
SELECT tenant_sync_table('shop', 'item', cache_keys => ARRAY['item:{id}', '']);
SELECT tenant_sync_table('shop', 'item', cache_keys => ARRAY['item:{id}', NULL]);
SELECT tenant_sync_table('shop', 'item', cache_tags => ARRAY['#tag:x']);
SELECT tenant_sync_table('shop', 'item', cache_tags => ARRAY['{x']);
SELECT tenant_sync_table('shop', 'item', key_columns => '{id}', cache_keys => ARRAY['item:{id}:{sku}']);
SELECT tenant_sync_table('shop', 'item', key_columns => '{id}', cache_tags => ARRAY['sku:{sku}']);
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM tables;

-- Who may.
SET ROLE regress_app;
SELECT tenant_sync_table('shop', 'item', 'item');
SELECT tenant_unsync_table('shop', 'item');
SET ROLE regress_other;
SELECT tenant_sync_table('shop', 'item', 'item');
SELECT tenant_unsync_table('shop', 'item');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;

-- All living tenants get their index and a resync; in one transaction, so that no worker steps in.
BEGIN;
SET LOCAL ROLE regress_owner;
SELECT tenant_sync_table('shop', 'item', 'item', '{id,sku}', '{"settings": {"index": {"number_of_shards": 1}}}', ARRAY['item:{id}:{sku}', 'all'], ARRAY['items', 'sku:{sku}']);
RESET ROLE;
SELECT * FROM tables;
SELECT * FROM indices ORDER BY 1, 2;
SELECT * FROM resyncs ORDER BY 1, 2;
SELECT count(*) FROM tenancy.instance WHERE id ~ '^[0-9a-f]{8}$';
-- The same again starts the resync anew and makes no second index.
UPDATE tenancy.resync SET last_key = '{5,x}', rows_done = 5;
SELECT tenant_sync_table('shop', 'item', 'item', '{id,sku}', '{"settings": {"index": {"number_of_shards": 1}}}', ARRAY['item:{id}:{sku}']);
SELECT * FROM tables;
SELECT index_name, tenant, state FROM indices ORDER BY 1, 2;
SELECT * FROM resyncs ORDER BY 1, 2;
-- Another mapping: an index that is there keeps its own, the others get the new one.
UPDATE tenancy.search_index SET state = 'ready' WHERE alias = 'item_tenant_one';
SELECT tenant_sync_table('shop', 'item', 'item', mapping => '{"mappings": {}}');
SELECT tenant, state, body FROM indices ORDER BY 1;
SELECT tenant_sync_table('shop', 'item', 'item');
SELECT tenant, state, body FROM indices ORDER BY 1;
-- Only the sinks that want it.
SELECT tenant_sync_table('shop', 'sale', 'sale');
SELECT tenant_sync_table('shop', 'item', cache_tags => '{x}');
SELECT * FROM resyncs ORDER BY 1, 2;
-- Without an index type its index goes; with one it comes back under a new name.
SELECT index_name, tenant, state FROM indices WHERE index_type = 'item' ORDER BY 1, 2;
SELECT tenant_sync_table('shop', 'item', 'item');
SELECT index_name, tenant, state FROM indices WHERE index_type = 'item' ORDER BY 1, 2;
-- Two tables cannot share an index type, but can pass it on.
SAVEPOINT s;
SELECT tenant_sync_table('shop', 'sale', 'item');
ROLLBACK TO s;
SELECT tenant_sync_table('shop', 'item', 'goods');
SELECT index_name, tenant, state FROM indices WHERE index_type IN ('item', 'goods') ORDER BY 1, 2;
SELECT tenant_sync_table('shop', 'sale', 'item');
SELECT index_name, tenant, state FROM indices WHERE index_type IN ('sale', 'item') ORDER BY 1, 2;
-- A new tenant, and one that was restored without its indices.
SELECT tenant_create('four', 'shop') > 0 AS created;
SELECT index_name, alias, state FROM indices WHERE tenant = 'four' ORDER BY 1;
-- Unsync.
INSERT INTO tenancy.dead_letter (sink, tenant_id, relation, key, status, reason, version, key_hash)
SELECT 'search', id, v.relation::regclass, '{1}', 400, 'no', 1, 1 FROM tenancy.tenant,
(VALUES ('tenant_one.item'), ('tenant_one.sale')) v(relation) WHERE name = 'one';
SELECT tenant_unsync_table('shop', 'item');
SELECT tenant_unsync_table('shop', 'item');
SELECT table_name FROM tables;
SELECT DISTINCT index_type, state FROM indices WHERE index_type IN ('goods', 'item') ORDER BY 1, 2;
SELECT DISTINCT table_name FROM resyncs;
SELECT relation FROM tenancy.dead_letter;
ROLLBACK;
SELECT tenant_unsync_table('nothing', 'item');
SELECT tenant_unsync_table(NULL, 'item');
SELECT tenant_unsync_table('shop', NULL);
SELECT tenant_unsync_table('shop', 'x"; DROP TABLE tenancy.tenant');
SELECT count(*) FROM tables;

-- Names with quotes are only data.
BEGIN;
SELECT tenant_sync_table('shop', 'we"ird', 'weird', '{"i"}', NULL, ARRAY['k:{i}']);
SELECT tenant_sync_table('shop', 'it''em; DROP', cache_keys => ARRAY['''; {id''}']);
SELECT table_name, key_columns, cache_keys FROM tables ORDER BY 1;
ROLLBACK;

DROP VIEW indices, resyncs, tables;
SELECT count(*) AS dropped FROM (SELECT tenant_drop(name, purge => true) FROM (SELECT name FROM tenancy.tenants WHERE status <> 'dropped') t) d;
SET client_min_messages = warning;
DO $$
DECLARE s name;
BEGIN
    FOR s IN SELECT schema_name FROM tenancy.tenant LOOP
        EXECUTE format('DROP SCHEMA IF EXISTS %I CASCADE', s);
    END LOOP;
END
$$;
DELETE FROM tenancy.tenant;
DELETE FROM tenancy.blueprint_step WHERE blueprint <> 'case_studies';
DELETE FROM tenancy.blueprint WHERE name <> 'case_studies';
DROP ROLE regress_owner, regress_other, regress_app;
