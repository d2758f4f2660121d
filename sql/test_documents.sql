-- Documents by SQL: what tenant_sync_table takes and refuses.
SET client_min_messages = warning;
CREATE ROLE regress_owner NOLOGIN;
GRANT tenancy_admin TO regress_owner;
SET ROLE regress_owner;
SELECT tenant_blueprint_add('shop', 1, $$
CREATE DOMAIN code AS text CHECK (VALUE <> 'evil');
CREATE TABLE item (id int PRIMARY KEY, sku code UNIQUE, price numeric, payload jsonb);
CREATE TABLE note (id int PRIMARY KEY, item_id int, body text);
CREATE TABLE tag (id bigint PRIMARY KEY, name text);
CREATE TABLE item_tag (item_id int, tag_id bigint, PRIMARY KEY (item_id, tag_id));
CREATE TABLE odd (keys int[] PRIMARY KEY);
CREATE TABLE keyless (a int);
CREATE VIEW item_doc AS SELECT i.*, (SELECT count(*) FROM note n WHERE n.item_id = i.id) AS notes FROM item i;
CREATE VIEW no_key AS SELECT sku FROM item;
$$);
SELECT tenant_create('one', 'shop') > 0 AS created;
SELECT tenant_create('two', 'shop') > 0 AS created;
RESET client_min_messages;
\set VERBOSITY default

-- A document is a name or an expression.
SELECT tenant_sync_table('shop', 'item', cache_tags => '{x}', document => 'item_doc');
\echo :LAST_ERROR_SQLSTATE
SELECT tenant_sync_table('shop', 'item', 'item', document => '');
\echo :LAST_ERROR_SQLSTATE
SELECT tenant_sync_table('shop', 'item', 'item', document => 'to_jsonb(item) AS x');
SELECT tenant_sync_table('shop', 'item', 'item', document => 'to_jsonb(item), 1');
SELECT tenant_sync_table('shop', 'item', 'item', document => 'to_jsonb(item) FROM item');
SELECT tenant_sync_table('shop', 'item', 'item', document => '1 UNION SELECT 2');
SELECT tenant_sync_table('shop', 'item', 'item', document => 'to_jsonb(item); DROP TABLE item');
SELECT tenant_sync_table('shop', 'item', 'item', document => 'to_jsonb(item)) FROM item; --');
SELECT tenant_sync_table('shop', 'item', 'item', document => '*');
SELECT tenant_sync_table('shop', 'item', 'item', document => 'INTO x');
-- It must work for every tenant.
SELECT tenant_sync_table('shop', 'item', 'item', document => 'nothing');
\echo :LAST_ERROR_SQLSTATE
SELECT tenant_sync_table('shop', 'item', 'item', document => 'no_key');
SELECT tenant_sync_table('shop', 'item', 'item', document => 'to_jsonb(missing)');
SELECT tenant_sync_table('shop', 'item', 'item', document => 'item.price');
SELECT tenant_sync_table('shop', 'item', 'item', document => 'ROW(item.id, 1)');
SELECT tenant_sync_table('shop', 'item', 'item', document => '"tenancy keys"."tenancy key 0"');
SELECT tenant_sync_table('shop', 'keyless', 'keyless', document => 'to_jsonb(keyless)');
SELECT tenant_sync_table('shop', 'odd', 'odd', document => 'to_jsonb(odd)');
ALTER TABLE tenant_two.note RENAME TO remark;
SELECT tenant_sync_table('shop', 'item', 'item', document => $$to_jsonb(item) || jsonb_build_object('notes', (SELECT jsonb_agg(n.body) FROM note n WHERE n.item_id = item.id))$$);
ALTER TABLE tenant_two.remark RENAME TO note;
-- A table that no tenant has yet.
SELECT tenant_sync_table('shop', 'later', 'later', document => 'to_jsonb(later)', depends_on => '{"x": {"y": "z"}}');
SELECT tenant_unsync_table('shop', 'later');
-- These do.
SELECT tenant_sync_table('shop', 'item', 'item', document => 'item_doc');
SELECT tenant_sync_table('shop', 'item', 'item', document => '"item_doc"');
SELECT tenant_sync_table('shop', 'item', 'item', document => 'item.payload');
SELECT tenant_sync_table('shop', 'item', 'item', document => 'row_to_json(item) -- a comment');
SELECT tenant_sync_table('shop', 'item', 'item', key_columns => '{sku}', document => 'to_jsonb(item)');
SELECT tenant_sync_table('shop', 'item_tag', 'item_tag', document => 'to_jsonb(item_tag)');

-- What it depends on.
SELECT tenant_sync_table('shop', 'item', 'item', depends_on => '[]');
\echo :LAST_ERROR_SQLSTATE
SELECT tenant_sync_table('shop', 'item', 'item', depends_on => '1');
SELECT tenant_sync_table('shop', 'item', 'item', depends_on => '{"note": "id"}');
SELECT tenant_sync_table('shop', 'item', 'item', depends_on => '{"note": {}}');
SELECT tenant_sync_table('shop', 'item', 'item', depends_on => '{"": {"a": "b"}}');
SELECT tenant_sync_table('shop', 'item', 'item', depends_on => '{"note": {"item_id": 5}}');
SELECT tenant_sync_table('shop', 'item', 'item', depends_on => '{"note": {"columns": []}}');
SELECT tenant_sync_table('shop', 'item', 'item', depends_on => '{"note": {"columns": [], "parents": "SELECT 1"}}');
SELECT tenant_sync_table('shop', 'item', 'item', depends_on => '{"note": {"columns": ["id"], "parents": "SELECT 1", "more": 1}}');
SELECT tenant_sync_table('shop', 'item', 'item', depends_on => '{"note": {"columns": ["id"], "parents": "DELETE FROM item"}}');
SELECT tenant_sync_table('shop', 'item', 'item', depends_on => '{"note": {"columns": ["id"], "parents": "SELECT 1) x; DELETE FROM item"}}');
SELECT tenant_sync_table('shop', 'item', 'item', depends_on => '{"note": {"columns": ["id"], "parents": "SELECT 1; SELECT 2"}}');
SELECT tenant_sync_table('shop', 'item', 'item', depends_on => '{"nothing": {"item_id": "id"}}');
SELECT tenant_sync_table('shop', 'item', 'item', depends_on => '{"item_doc": {"id": "id"}}');
SELECT tenant_sync_table('shop', 'item', 'item', depends_on => '{"note": {"nothing": "id"}}');
SELECT tenant_sync_table('shop', 'item', 'item', depends_on => '{"note": {"item_id": "nothing"}}');
SELECT tenant_sync_table('shop', 'item', 'item', depends_on => '{"tag": {"columns": ["id"], "parents": "SELECT nothing FROM item_tag WHERE tag_id = $1"}}');
SELECT tenant_sync_table('shop', 'item', 'item', depends_on => '{"tag": {"columns": ["id"], "parents": "SELECT item_id FROM item_tag WHERE tag_id = $2"}}');
SELECT tenant_sync_table('shop', 'item_tag', 'item_tag', depends_on => '{"tag": {"columns": ["id"], "parents": "SELECT item_id FROM item_tag WHERE tag_id = $1"}}');
SELECT * FROM tenancy.sync_dependency;
-- A warning where changes do not tell enough, once a table; none where they do.
SELECT tenant_sync_table('shop', 'item', 'item', document => 'item_doc', depends_on => '{"note": {"item_id": "id"}, "item_tag": {"item_id": "id"}, "tag": {"columns": ["id"], "parents": "SELECT item_id FROM item_tag WHERE tag_id = $1 -- links"}}');
ALTER TABLE tenant_one.note REPLICA IDENTITY FULL;
ALTER TABLE tenant_two.note REPLICA IDENTITY FULL;
SELECT tenant_sync_table('shop', 'item', 'item', document => 'item_doc', depends_on => '{"note": {"item_id": "id"}, "item_tag": {"item_id": "id"}, "tag": {"columns": ["id"], "parents": "SELECT item_id FROM item_tag WHERE tag_id = $1 -- links"}}');
SELECT joined_table, table_name, columns, parent_columns, parents FROM tenancy.sync_dependency ORDER BY 1, 2;
SELECT document, depends_on FROM tenancy.sync_table WHERE blueprint = 'shop' AND table_name = 'item';
-- Without it, nothing is left of it.
SELECT tenant_sync_table('shop', 'item', 'item');
SELECT count(*) FROM tenancy.sync_dependency;
SELECT tenant_sync_table('shop', 'item', cache_tags => '{items}', depends_on => '{"note": {"item_id": "id"}}');
SELECT tenant_unsync_table('shop', 'item');
SELECT count(*) FROM tenancy.sync_dependency;
RESET ROLE;
SET client_min_messages = warning;
SELECT count(*) AS dropped FROM (SELECT tenant_drop(name, purge => true) FROM (SELECT name FROM tenancy.tenants WHERE status <> 'dropped') t) d;
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
DROP ROLE regress_owner;
