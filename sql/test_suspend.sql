-- Tenants that are suspended, read-only, or over a quota.
SET client_min_messages = warning;
CREATE ROLE regress_susp NOLOGIN;
GRANT tenancy_app TO regress_susp;
CREATE ROLE regress_oper NOLOGIN;
GRANT tenancy_operator TO regress_oper;
RESET client_min_messages;
SET tenancy.allow_suspended = off; -- the tests run as a superuser
SELECT tenant_blueprint_add('susp', 1, $$
CREATE TABLE person (id int PRIMARY KEY, name text);
CREATE TABLE log (at date NOT NULL, what text) PARTITION BY RANGE (at);
CREATE TABLE log_one PARTITION OF log FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
DO $grant$BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %I TO tenancy_app', current_schema());
EXECUTE format('GRANT ALL ON ALL TABLES IN SCHEMA %I TO tenancy_app', current_schema()); END$grant$
$$);
SELECT tenant_create('red', 'susp') > 0 AS red, tenant_create('blue', 'susp') > 0 AS blue;
INSERT INTO tenant_red.person VALUES (1, 'Rose');
INSERT INTO tenant_blue.person VALUES (1, 'Bert');

-- Arguments and rights.
SELECT tenant_suspend('nobody');
\echo :LAST_ERROR_SQLSTATE
SELECT tenant_suspend('red', 'asleep');
\echo :LAST_ERROR_SQLSTATE
SELECT tenant_suspend(NULL);
SELECT tenant_suspend('red', NULL);
SELECT tenant_resume('nobody');
\echo :LAST_ERROR_SQLSTATE
SET ROLE regress_susp;
SELECT tenant_suspend('red');
SELECT tenant_resume('red');
SET tenancy.allow_suspended = on;
RESET ROLE;

-- Blocked: not to be used, by nobody.
SET ROLE regress_oper;
SELECT tenant_suspend('red', reason => 'has not paid since March');
RESET ROLE;
SELECT name, status, suspended_at IS NOT NULL AS at, suspended_reason FROM tenancy.tenants WHERE status <> 'dropped' ORDER BY name;
BEGIN;
SELECT tenant_use('red');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
SELECT * FROM tenant_red.person;
\echo :LAST_ERROR_SQLSTATE
INSERT INTO tenant_red.log VALUES ('2026-05-01', 'x');
TRUNCATE tenant_red.log;
COPY tenant_red.person TO STDOUT;
SELECT * FROM tenant_blue.person;
BEGIN;
SELECT tenant_use('blue');
SELECT * FROM person NATURAL JOIN tenant_red.person;
ROLLBACK;
SET tenancy.allow_suspended = superuser;
SELECT * FROM tenant_red.person;
SET tenancy.allow_suspended = on;
SELECT * FROM tenant_red.person;
SET tenancy.allow_suspended = off;
SELECT tenant_resume('red');
SELECT name, status, suspended_at IS NOT NULL AS at, suspended_reason FROM tenancy.tenants WHERE status <> 'dropped' ORDER BY name;
SELECT * FROM tenant_red.person;
BEGIN;
SELECT tenant_suspend('red');
SELECT * FROM tenant_red.person;
ROLLBACK;
SELECT * FROM tenant_red.person;

-- In a transaction that uses it: from the next statement on, also for a plan that is there.
BEGIN;
SELECT tenant_use('red');
PREPARE people AS SELECT name FROM person;
EXECUTE people;
SELECT tenant_suspend('red');
SELECT tenant_use('blue');
COMMIT;
BEGIN;
SELECT tenant_use('blue');
EXECUTE people;
COMMIT;
DEALLOCATE people;

-- Read-only.
SELECT tenant_suspend('red', 'read_only', 'moves to another server');
BEGIN;
SELECT tenant_use('red');
SELECT * FROM person;
SAVEPOINT s;
INSERT INTO person VALUES (2, 'Rita');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
UPDATE person SET name = 'x';
ROLLBACK TO s;
DELETE FROM person;
ROLLBACK TO s;
TRUNCATE person;
ROLLBACK TO s;
COPY person FROM STDIN;
2	Rita
\.
ROLLBACK TO s;
SELECT * FROM person FOR UPDATE;
ROLLBACK TO s;
WITH gone AS (DELETE FROM log RETURNING 1) SELECT * FROM gone;
ROLLBACK TO s;
SELECT count(*) FROM log;
COMMIT;
-- A superuser's backups and repairs go on; others' do not, through a view neither.
RESET tenancy.allow_suspended;
COPY tenant_red.person TO STDOUT;
SET ROLE regress_susp;
BEGIN;
SELECT tenant_use('red');
DELETE FROM person;
ROLLBACK;
RESET ROLE;
SET tenancy.allow_suspended = off;
-- By a parent that is nobody's.
CREATE TABLE base (id int);
SET tenancy.allow_suspended = on;
CREATE TABLE tenant_red.derived () INHERITS (base);
INSERT INTO tenant_red.derived VALUES (1);
SET tenancy.allow_suspended = off;
SELECT * FROM base;
DELETE FROM base;
UPDATE base SET id = 2;
DROP TABLE base CASCADE;
-- It can be renamed, migrated and dropped as before.
SELECT tenant_rename('red', 'crimson');
DELETE FROM tenant_crimson.person;
SELECT status FROM tenancy.tenants WHERE name = 'crimson';
SELECT tenant_drop('crimson', purge => true);
SELECT tenant_create('red', 'susp') > 0 AS again;
SELECT * FROM tenant_red.person;

-- Quotas: rights and arguments.
SELECT tenant_quota_set('nobody', 'rows', 1);
\echo :LAST_ERROR_SQLSTATE
SELECT tenant_quota_set('red', 'air', 1);
\echo :LAST_ERROR_SQLSTATE
SELECT tenant_quota_set('red', NULL, 1);
SELECT tenant_quota_set('red', 'rows', 1, 2);
SELECT tenant_quota_set('red', 'rows', -1);
SELECT tenant_quota_set('red', 'connections', 5, 2);
SELECT tenant_quota_set('red', 'statement_timeout', 0);
\echo :LAST_ERROR_SQLSTATE
SET ROLE regress_susp;
SELECT tenant_quota_set('red', 'rows', 1);
CALL tenancy.usage_refresh();
RESET ROLE;

-- Bytes, exactly: frozen at the limit, thawed below 90 % of it.
INSERT INTO tenant_red.person SELECT n, repeat('x', 1000) FROM generate_series(1, 100) n;
CALL tenancy.usage_refresh(true);
SELECT name, bytes >= 100000 AS enough, changed_at IS NOT NULL AS at FROM tenancy.usage WHERE name = 'red';
SELECT tenant_quota_set('red', 'bytes', 1000000, 100000);
SELECT tenant, resource, soft, hard, state FROM tenancy.quotas;
INSERT INTO tenant_red.person VALUES (101, 'still allowed');
SELECT tenant_quota_set('red', 'bytes', 100000);
SELECT tenant, resource, soft, hard, state FROM tenancy.quotas;
BEGIN;
SELECT tenant_use('red');
SELECT count(*) FROM person;
SAVEPOINT s;
INSERT INTO person VALUES (102, 'too much');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
UPDATE person SET name = name || 'x';
ROLLBACK TO s;
INSERT INTO tenant_blue.person VALUES (2, 'Bea');
SELECT id FROM person WHERE id > 99 FOR UPDATE;
DELETE FROM person WHERE id > 3;
SELECT count(*) FROM person;
COMMIT;
CALL tenancy.usage_refresh(true);
SELECT state FROM tenancy.quotas;
VACUUM FULL tenant_red.person;
CALL tenancy.usage_refresh(true);
SELECT state FROM tenancy.quotas;
INSERT INTO tenant_red.person VALUES (102, 'fits again');
-- Between 90 % and the limit it stays as it was.
SELECT tenant_quota_set('red', 'bytes', (SELECT bytes + 1 FROM tenancy.usage WHERE name = 'red'));
SELECT state FROM tenancy.quotas;
SELECT tenant_quota_set('red', 'bytes', (SELECT bytes FROM tenancy.usage WHERE name = 'red'));
SELECT state FROM tenancy.quotas;
SELECT tenant_quota_set('red', 'bytes', (SELECT bytes + 1 FROM tenancy.usage WHERE name = 'red'));
SELECT state FROM tenancy.quotas;
INSERT INTO tenant_red.person VALUES (103, 'no');
SELECT tenant_quota_set('red', 'bytes', NULL);
SELECT count(*) FROM tenancy.quotas;
INSERT INTO tenant_red.person VALUES (103, 'yes');
-- Rows, by the statistics.
SELECT pg_stat_force_next_flush();
ANALYZE tenant_red.person;
CALL tenancy.usage_refresh();
SELECT rows FROM tenancy.usage WHERE name = 'red';
SELECT tenant_quota_set('red', 'rows', 5);
INSERT INTO tenant_red.person VALUES (104, 'no');
SELECT pg_stat_reset();
CALL tenancy.usage_refresh();
SELECT rows FROM tenancy.usage WHERE name = 'red';
INSERT INTO tenant_red.person VALUES (104, 'still no');
SELECT tenant_quota_set('red', 'rows', NULL);

-- Connections: transactions that use it.
SELECT tenant_quota_set('red', 'connections', 0);
BEGIN;
SELECT tenant_use('red');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
SELECT tenant_quota_set('red', 'connections', 1);
BEGIN;
SELECT tenant_use('red');
SELECT tenant_use('red');
COMMIT;
SELECT tenant_quota_set('red', 'connections', NULL);

-- Time of a statement: the shorter one, and as long as the tenant is in use.
SELECT tenant_quota_set('red', 'statement_timeout', 2000);
BEGIN;
SELECT tenant_use('red');
SHOW statement_timeout;
SELECT pg_sleep(60);
ROLLBACK;
SHOW statement_timeout;
BEGIN;
SELECT tenant_use('red');
SELECT tenant_use('blue');
SHOW statement_timeout;
SELECT tenant_use('red');
SELECT tenant_reset();
SHOW statement_timeout;
SET LOCAL statement_timeout = 1500;
SELECT tenant_use('red');
SHOW statement_timeout;
SELECT tenant_reset();
SHOW statement_timeout;
SET LOCAL statement_timeout = 5000;
SAVEPOINT s;
SELECT tenant_use('red');
SHOW statement_timeout;
ROLLBACK TO s;
SHOW statement_timeout;
SELECT tenant_use('red');
SELECT tenant_reset();
SHOW statement_timeout;
COMMIT;
SHOW statement_timeout;
BEGIN;
SELECT tenant_use('red');
SET LOCAL statement_timeout = 1000;
SELECT tenant_use('blue');
SHOW statement_timeout;
COMMIT;

SELECT tenant_drop(name, purge => true) FROM unnest('{red,blue}'::text[]) AS name;
SELECT count(*) FROM tenancy.quota;
SELECT count(*) FROM tenancy.tenant_usage;
DELETE FROM tenancy.blueprint_step WHERE blueprint = 'susp';
DELETE FROM tenancy.blueprint WHERE name = 'susp';
DROP ROLE regress_susp, regress_oper;
