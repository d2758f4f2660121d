-- Tenants: create, use, drop, and who may.
SET client_min_messages = warning;
CREATE ROLE regress_app NOLOGIN;
CREATE ROLE regress_admin NOLOGIN;
CREATE ROLE regress_operator NOLOGIN;
CREATE ROLE regress_nobody NOLOGIN;
GRANT tenancy_app TO regress_app;
GRANT tenancy_admin TO regress_admin;
GRANT tenancy_operator TO regress_operator;
RESET client_min_messages;

-- A small blueprint.
SELECT tenant_blueprint_add('notes', 1, 'CREATE TABLE note (id int PRIMARY KEY, body text); GRANT SELECT, INSERT ON note TO tenancy_app');
SELECT tenant_blueprint_add('notes', 2, 'ALTER TABLE note ADD COLUMN author text; DO $$BEGIN EXECUTE format(''GRANT USAGE ON SCHEMA %I TO tenancy_app'', current_schema()); END$$');

-- Create, with all arguments.
SELECT tenant_create('acme') > 0 AS created;
SELECT tenant_create('beta', 'notes', '{"plan": "gold"}', true) > 0 AS created;
SELECT tenant_create(name => 'gamma-2_x', blueprint => 'notes') > 0 AS created;
SELECT name, schema_name, blueprint, version, status, settings, created_at IS NOT NULL AS created, dropped_at
FROM tenancy.tenants ORDER BY name;
SELECT version, applied_at IS NOT NULL AS applied FROM tenant_beta.schema_migrations ORDER BY version;
SELECT tenant_create('acme');
\echo :LAST_ERROR_SQLSTATE
SELECT tenant_create('beta', if_not_exists => true) = (SELECT id FROM tenancy.tenants WHERE name = 'beta') AS same;
SELECT tenant_create('beta', if_not_exists => NULL);
SELECT tenant_create(NULL);
SELECT tenant_create('x', NULL);
SELECT tenant_create('x', 'notes', NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT tenant_create('x', 'notes', '[]');
\echo :LAST_ERROR_SQLSTATE
SELECT tenant_create('x', 'nothing');
\echo :LAST_ERROR_SQLSTATE

-- Names.
SELECT tenant_create('');
SELECT tenant_create('Acme');
SELECT tenant_create('ac"me');
SELECT tenant_create('ac''me');
SELECT tenant_create('acme; DROP SCHEMA tenancy CASCADE');
SELECT tenant_create('x"; DROP TABLE tenancy.tenant; --');
SELECT tenant_create('9lives');
SELECT tenant_create('ümlaut');
SELECT tenant_create(E'new\nline');
SELECT tenant_create(repeat('a', 200));
\echo :LAST_ERROR_SQLSTATE
SELECT tenant_create(repeat('a', 49)) > 0;
SELECT tenant_create(repeat('a', 48), 'notes') > 0 AS created;
SELECT tenant_create('select', 'notes') > 0 AS created;
BEGIN;
SELECT tenant_use(repeat('a', 48));
SELECT current_schema() = 'tenant_' || repeat('a', 48) AS there;
SELECT tenant_use('select');
SELECT current_schema(), tenant_current();
SELECT tenant_use('gamma-2_x');
SELECT current_schema(), tenant_current();
SHOW search_path;
COMMIT;

-- A schema that is nobody's.
CREATE SCHEMA tenant_taken;
SELECT tenant_create('taken', 'notes');
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM tenancy.tenants WHERE name = 'taken';
DROP SCHEMA tenant_taken;

-- A failing step, and an abort, leave nothing behind.
SELECT tenant_blueprint_add('broken', 1, 'CREATE TABLE a (id int)');
SELECT tenant_blueprint_add('broken', 7, 'INSERT INTO a VALUES (1 / 0)');
SELECT tenant_create('half', 'broken');
\echo :LAST_ERROR_SQLSTATE
BEGIN;
SELECT tenant_create('half', 'notes') > 0 AS created;
ROLLBACK;
SELECT (SELECT count(*) FROM tenancy.tenants WHERE name = 'half') AS tenants,
       (SELECT count(*) FROM pg_namespace WHERE nspname = 'tenant_half') AS schemas,
       (SELECT count(*) FROM tenancy.search_index WHERE alias LIKE '%half') AS indices;
SELECT current_user = session_user AS same_user, current_setting('search_path') AS path;

-- Index rows come with a synced blueprint.
BEGIN;
SELECT tenant_create('indexed') > 0 AS created;
SELECT regexp_replace(index_name, '\.[0-9a-f]{8}\.\d+\.', '.INSTANCE.ID.') AS index_name, index_type, alias, state,
       body ? 'mappings' AS mapped
FROM tenancy.search_index WHERE alias LIKE '%indexed' ORDER BY 1;
ROLLBACK;

-- Use: only in a transaction block, and local to it.
SELECT tenant_use('beta');
\echo :LAST_ERROR_SQLSTATE
SELECT tenant_current() IS NULL AS none;
BEGIN;
SELECT tenant_use('beta');
SELECT tenant_current();
SHOW search_path;
INSERT INTO note VALUES (1, 'in beta');
SELECT tenant_use('gamma-2_x');
SELECT count(*) FROM note;
COMMIT;
SELECT tenant_current() IS NULL AS none, current_setting('search_path') AS path;
BEGIN;
SELECT tenant_use('beta');
ROLLBACK;
SELECT tenant_current() IS NULL AS none, current_setting('search_path') AS path;
BEGIN; SELECT tenant_use('missing'); ROLLBACK;
\echo :LAST_ERROR_SQLSTATE
BEGIN; SELECT tenant_use('be"ta'); ROLLBACK;
BEGIN; SELECT tenant_use(''); ROLLBACK;
BEGIN; SELECT tenant_use(NULL); ROLLBACK;
-- A failed use must not leave the tenant before it in use.
BEGIN;
SELECT tenant_use('beta');
SAVEPOINT s;
SELECT tenant_use('missing');
ROLLBACK TO s;
SELECT tenant_current();
COMMIT;

-- Savepoints.
BEGIN;
SET LOCAL search_path = pg_catalog, public;
SAVEPOINT a;
SELECT tenant_use('beta');
SAVEPOINT b;
SELECT tenant_use('acme');
SELECT tenant_current(), current_schema();
ROLLBACK TO b;
SELECT tenant_current(), current_schema();
SAVEPOINT c;
SELECT tenant_reset();
SELECT tenant_current(), current_setting('search_path');
ROLLBACK TO c;
SELECT tenant_current(), current_schema();
ROLLBACK TO a;
SELECT tenant_current(), current_setting('search_path');
SELECT tenant_use('beta');
SAVEPOINT d;
SELECT tenant_use('acme');
RELEASE d;
SELECT tenant_current(), current_schema();
COMMIT;

-- Reset: back to what was before the first use, as often as wanted.
BEGIN;
SET LOCAL search_path = "$user", public, pg_temp;
SELECT tenant_use('beta');
SELECT tenant_use('acme');
SELECT tenant_reset();
SELECT tenant_current(), current_setting('search_path');
SET LOCAL search_path = '';
SELECT public.tenant_use('beta');
SELECT tenant_reset();
SELECT public.tenant_current(), current_setting('search_path');
SELECT public.tenant_reset();
SELECT public.tenant_current(), current_setting('search_path');
COMMIT;
SELECT tenant_reset();
SHOW search_path;

-- Nobody sets the tenant another way.
SET tenancy.current_tenant = 'beta';
BEGIN;
SELECT set_config('tenancy.current_tenant', 'beta', true);
ROLLBACK;
BEGIN;
SELECT set_config('tenancy.outer_search_path', 'beta', true);
ROLLBACK;
RESET ALL;

-- Suspended.
UPDATE tenancy.tenant SET status = 'suspended' WHERE name = 'beta';
BEGIN; SELECT tenant_use('beta'); ROLLBACK;
\echo :LAST_ERROR_SQLSTATE
SELECT tenant_create('beta', 'notes');
UPDATE tenancy.tenant SET status = 'active' WHERE name = 'beta';

-- The schema is gone.
BEGIN;
DROP SCHEMA tenant_select CASCADE;
SELECT tenant_use('select');
ROLLBACK;
\echo :LAST_ERROR_SQLSTATE

-- Drop.
SELECT tenant_drop('missing');
\echo :LAST_ERROR_SQLSTATE
SELECT tenant_drop('missing', true);
SELECT tenant_drop('x"; DROP TABLE tenancy.tenant; --', if_exists => true);
SELECT tenant_drop(NULL);
SELECT tenant_drop('beta', NULL);
SELECT tenant_drop('beta', purge => NULL);
SELECT id AS beta_id FROM tenancy.tenants WHERE name = 'beta' \gset
BEGIN;
SELECT tenant_create('beta2') AS beta2_id \gset
INSERT INTO tenancy.resync (sink, tenant_id, table_name) VALUES ('search', :beta2_id, 'users');
INSERT INTO tenancy.dead_letter (sink, tenant_id, relation, key, status, reason, version, key_hash)
VALUES ('search', :beta2_id, 'tenant_beta2.users', '{1}', 400, 'no', 1, 1);
SELECT tenant_use('beta2');
SELECT tenant_drop('beta2');
SELECT tenant_current(), current_setting('search_path');
SELECT replace(schema_name, :'beta2_id', 'ID') AS schema_name, status, dropped_at IS NOT NULL AS dropped
FROM tenancy.tenants WHERE id = :beta2_id;
SELECT count(*) FROM pg_namespace WHERE nspname = 'tenancy_dropped_' || :beta2_id;
SELECT state, count(*) FROM tenancy.search_index WHERE tenant_id = :beta2_id GROUP BY 1;
SELECT (SELECT count(*) FROM tenancy.resync WHERE tenant_id = :beta2_id) AS resync,
       (SELECT count(*) FROM tenancy.dead_letter WHERE tenant_id = :beta2_id) AS dead;
ROLLBACK;

SELECT tenant_drop('beta');
SELECT to_regclass(format('tenancy_dropped_%s.note', :beta_id)) IS NOT NULL AS kept;
SELECT tenant_drop('beta');
BEGIN; SELECT tenant_use('beta'); ROLLBACK;
SELECT tenant_create('beta', 'notes') <> :beta_id AS new_id;
BEGIN; SELECT tenant_use('beta'); SELECT count(*) FROM note; COMMIT;
SELECT tenant_drop('beta', purge => true);
SELECT status, count(*) FROM tenancy.tenants WHERE name = 'beta' GROUP BY 1;
SELECT to_regnamespace('tenant_beta') IS NULL AS gone;
SELECT tenant_create('beta', 'notes') > 0 AS created;
BEGIN; SELECT tenant_drop('beta', purge => true); SELECT tenant_create('beta', 'notes') > 0 AS created; ROLLBACK;
-- The schema is gone already.
DROP SCHEMA tenant_select CASCADE;
SELECT tenant_drop('select');
SELECT tenant_create('select', 'notes') > 0 AS created;
DROP SCHEMA tenant_select CASCADE;
SELECT tenant_drop('select', purge => true);

-- Privileges.
SET ROLE regress_nobody;
SELECT tenant_create('mine');
SELECT tenant_drop('acme');
SELECT tenant_use('acme');
SELECT tenant_current();
SELECT tenant_reset();
SELECT tenant_blueprint_add('mine', 1, '');
SELECT * FROM tenancy.tenants;
SET ROLE regress_app;
SELECT tenant_create('mine');
SELECT tenant_drop('acme');
SELECT tenant_blueprint_add('mine', 1, '');
SELECT * FROM tenancy.tenants;
SELECT * FROM tenancy.tenant;
BEGIN;
SELECT tenant_use('beta');
INSERT INTO note VALUES (5, 'by the app') RETURNING body;
SELECT * FROM schema_migrations;
ROLLBACK;
SET ROLE regress_operator;
SELECT count(*) > 0 AS seen FROM tenancy.tenants;
SELECT tenant_create('mine');
SELECT tenant_use('acme');
SET ROLE regress_admin;
SELECT count(*) > 0 AS seen FROM tenancy.tenants;
SELECT * FROM tenancy.tenant;
SELECT tenant_create('mine', 'notes') > 0 AS created;
BEGIN; SELECT tenant_use('mine'); SELECT tenant_current(); COMMIT;
SELECT tenant_drop('mine', purge => true);
RESET ROLE;

-- The admin's own objects do not get into the way of the steps.
SET ROLE regress_admin;
CREATE TEMP TABLE note (mine int);
CREATE FUNCTION pg_temp.format(text, name) RETURNS text LANGUAGE sql AS 'SELECT ''DROP SCHEMA tenancy''';
SET search_path = pg_temp, public;
SELECT tenant_create('mine', 'notes') > 0 AS created;
RESET ROLE;
RESET search_path;
SELECT column_name FROM information_schema.columns WHERE table_schema = 'tenant_mine' AND table_name = 'note' ORDER BY 1;
DROP TABLE pg_temp.note;
DROP FUNCTION pg_temp.format(text, name);

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
DELETE FROM tenancy.blueprint_step WHERE blueprint IN ('notes', 'broken');
DELETE FROM tenancy.blueprint WHERE name IN ('notes', 'broken');
DROP ROLE regress_app, regress_admin, regress_operator, regress_nobody;
