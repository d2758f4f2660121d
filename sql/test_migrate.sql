-- Migrations: steps in tenants that are there, up and down.
SET client_min_messages = warning;
CREATE ROLE regress_owner NOLOGIN;
CREATE ROLE regress_other NOLOGIN;
GRANT tenancy_admin TO regress_owner, regress_other;
RESET client_min_messages;

-- Steps with a way back, and those outside a transaction.
SET ROLE regress_owner;
SELECT tenant_blueprint_add('shop', 1, 'CREATE TABLE item (id int PRIMARY KEY)');
SELECT tenant_create('t' || n, 'shop') > 0 AS created FROM generate_series(1, 4) n;
SELECT tenant_blueprint_add('shop', 2, 'ALTER TABLE item ADD COLUMN n int', 'ALTER TABLE item DROP COLUMN n');
SELECT tenant_blueprint_add('shop', 2, 'ALTER TABLE item ADD COLUMN n int', 'ALTER TABLE item DROP COLUMN n');
SELECT tenant_blueprint_add('shop', 2, 'ALTER TABLE item ADD COLUMN n int');
\echo :LAST_ERROR_SQLSTATE
SELECT tenant_blueprint_add('shop', 2, 'ALTER TABLE item ADD COLUMN n int', 'ALTER TABLE item DROP COLUMN n', false);
SELECT tenant_blueprint_add('shop', 3, 'SELECT', transactional => NULL);
SELECT tenant_blueprint_add('shop', 3, 'ALTER TABLE item ADD COLUMN who name DEFAULT current_user', down => 'ALTER TABLE item DROP COLUMN who');
RESET ROLE;
SELECT version, down, transactional FROM tenancy.blueprint_step WHERE blueprint = 'shop' ORDER BY 1;

-- One tenant, in a transaction.
SELECT tenant_migrate_tenant('t1', 2);
SELECT tenant_migrate_tenant('t1', 2);
SELECT tenant_migrate_tenant('t1');
SELECT tenant_migrate_tenant('t1', 0);
\echo :LAST_ERROR_SQLSTATE
SELECT tenant_migrate_tenant('t1', 9);
SELECT tenant_migrate_tenant('nobody');
\echo :LAST_ERROR_SQLSTATE
SELECT tenant_migrate_tenant(NULL);
BEGIN;
SELECT tenant_migrate_tenant('t1', 1);
SELECT version FROM tenancy.tenants WHERE name = 't1';
SELECT attname FROM pg_attribute WHERE attrelid = 'tenant_t1.item'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum;
SELECT version FROM tenant_t1.schema_migrations ORDER BY 1;
ROLLBACK;
SELECT version FROM tenancy.tenants WHERE name = 't1';
SELECT version FROM tenant_t1.schema_migrations ORDER BY 1;
SET ROLE regress_other;
SELECT tenant_migrate_tenant('t2');
\echo :LAST_ERROR_SQLSTATE
CALL tenant_migrate('shop');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
SET ROLE tenancy_app;
CALL tenant_migrate('shop');
RESET ROLE;

-- What would be done.
CALL tenant_migrate('shop', dry_run => true);
CALL tenant_migrate('shop', 2, tenants => '{t1,t2}', canaries => 0, dry_run => true);
SELECT count(*) FROM tenancy.migration;

-- All of them, by the owner; how far it is depends on the clock.
SET client_min_messages = warning;
SET ROLE regress_owner;
CALL tenant_migrate('shop', jobs => 1);
RESET ROLE;
SELECT name, version FROM tenancy.tenants ORDER BY 1;
SELECT tenant, from_version, h.version, status, attempts, waits, sqlstate, error FROM tenancy.migration_history h ORDER BY tenant, h.id;
SELECT blueprint, to_version, called_by, state, total, finished_at >= started_at AS ended FROM tenancy.migration;
SELECT column_default FROM information_schema.columns WHERE table_schema = 'tenant_t4' AND column_name = 'who';
SELECT relowner::regrole FROM pg_class WHERE oid = 'tenant_t4.item'::regclass;
SELECT count(*) FROM tenancy.stat_progress_migrate;
CALL tenant_migrate('shop');

-- Arguments.
RESET client_min_messages;
BEGIN;
CALL tenant_migrate('shop');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
DO $$ BEGIN CALL tenant_migrate('shop', dry_run => true); END $$;
CALL tenant_migrate(NULL);
CALL tenant_migrate('nothing');
\echo :LAST_ERROR_SQLSTATE
CALL tenant_migrate('shop', 7);
\echo :LAST_ERROR_SQLSTATE
CALL tenant_migrate('shop', tenants => '{t1,nobody}');
\echo :LAST_ERROR_SQLSTATE
CALL tenant_migrate('shop', tenants => '{NULL}');
CALL tenant_migrate('shop', jobs => 0);
CALL tenant_migrate('shop', jobs => NULL);
CALL tenant_migrate('shop', lock_timeout => '-1s');
CALL tenant_migrate('shop', max_failures => -1);
\echo :LAST_ERROR_SQLSTATE

-- Down, some and all.
SET client_min_messages = warning;
CALL tenant_migrate('shop', 1, tenants => '{t1,t2}');
SELECT name, version FROM tenancy.tenants ORDER BY 1;
SELECT version FROM tenant_t1.schema_migrations ORDER BY 1;
CALL tenant_migrate('shop', 2);
SELECT name, version FROM tenancy.tenants ORDER BY 1;
CALL tenant_migrate('shop', 0);
\echo :LAST_ERROR_SQLSTATE
SELECT name, version FROM tenancy.tenants ORDER BY 1;

-- A tenant that fails is left as it was, the others go on; canaries and max_failures stop.
CREATE TABLE tenant_t2.extra (id int);
SELECT tenant_blueprint_add('shop', 4, 'ALTER TABLE item ADD COLUMN x int; CREATE TABLE extra (id int)', 'DROP TABLE extra; ALTER TABLE item DROP COLUMN x');
UPDATE tenancy.tenant SET settings = '{"canary": true}' WHERE name = 't2';
CALL tenant_migrate('shop', max_failures => 2, jobs => 1);
\echo :LAST_ERROR_SQLSTATE
SELECT name, version FROM tenancy.tenants ORDER BY 1;
UPDATE tenancy.tenant SET settings = '{"canary": true}' WHERE name = 't3';
UPDATE tenancy.tenant SET settings = '{}' WHERE name = 't2';
CALL tenant_migrate('shop', jobs => 1);
CALL tenant_migrate('shop', max_failures => 1, jobs => 1);
SELECT name, version FROM tenancy.tenants ORDER BY 1;
SELECT attname FROM pg_attribute WHERE attrelid = 'tenant_t2.item'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum;
SELECT version FROM tenant_t2.schema_migrations ORDER BY 1;
SELECT state, total FROM tenancy.migration ORDER BY id DESC LIMIT 3;
SELECT tenant, from_version, version, status, attempts, sqlstate, error FROM tenancy.migration_history WHERE status = 'failed' ORDER BY id;
DROP TABLE tenant_t2.extra;
CALL tenant_migrate('shop');

-- Outside a transaction: the same in a tenant that is made, and in those that are there.
SELECT tenant_blueprint_add('shop', 5, 'CREATE INDEX CONCURRENTLY item_n ON item (n); VACUUM item; SET work_mem = ''123kB''; CREATE TABLE seen AS SELECT current_setting(''work_mem'') AS mem, current_user AS who',
    'DROP TABLE seen; DROP INDEX CONCURRENTLY item_n', transactional => false);
SELECT tenant_blueprint_add('shop', 6, 'ALTER TABLE item ADD COLUMN y int', 'ALTER TABLE item DROP COLUMN y');
SELECT tenant_create('fresh', 'shop') > 0 AS created;
RESET client_min_messages;
SELECT tenant_migrate_tenant('t1');
\echo :LAST_ERROR_SQLSTATE
CALL tenant_migrate('shop', dry_run => true);
ALTER ROLE regress_owner LOGIN;
SET client_min_messages = warning;
CALL tenant_migrate('shop');
SELECT name, version FROM tenancy.tenants ORDER BY 1;
SELECT n.nspname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relname = 'item_n' ORDER BY 1;
SELECT * FROM tenant_t1.seen;
SELECT * FROM tenant_fresh.seen;
SELECT version FROM tenant_t4.schema_migrations ORDER BY 1;
CALL tenant_migrate('shop', 4);
SELECT name, version FROM tenancy.tenants ORDER BY 1;
SELECT count(*) FROM pg_class WHERE relname = 'item_n';
-- What it may not do there either.
SELECT tenant_blueprint_add('shop', 7, 'SET SESSION AUTHORIZATION postgres', transactional => false);
CALL tenant_migrate('shop', jobs => 1);
SELECT name, version FROM tenancy.tenants ORDER BY 1;

SET client_min_messages = warning;
SELECT count(*) AS dropped FROM (SELECT tenant_drop(name, purge => true) FROM (SELECT name FROM tenancy.tenants) t) d;
DELETE FROM tenancy.migration;
DELETE FROM tenancy.migration_history;
DELETE FROM tenancy.blueprint_step WHERE blueprint <> 'case_studies';
DELETE FROM tenancy.blueprint WHERE name <> 'case_studies';
DROP ROLE regress_owner, regress_other;
