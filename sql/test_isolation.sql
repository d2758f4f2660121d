-- Guards that keep tenants apart: require_context and forbid_session_path.
SET client_min_messages = warning;
CREATE ROLE regress_iso NOLOGIN;
GRANT tenancy_app TO regress_iso;
RESET client_min_messages;
SELECT tenant_blueprint_add('iso', 1, $$
CREATE TABLE person (id int PRIMARY KEY, name text);
CREATE TABLE letter (id int PRIMARY KEY, person int NOT NULL REFERENCES person ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE log (at date NOT NULL, what text) PARTITION BY RANGE (at);
CREATE TABLE log_one PARTITION OF log FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE VIEW names AS SELECT name FROM person;
DO $grant$BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %I TO tenancy_app', current_schema());
EXECUTE format('GRANT ALL ON ALL TABLES IN SCHEMA %I TO tenancy_app', current_schema()); END$grant$
$$);
SELECT tenant_create('red', 'iso') > 0 AS red, tenant_create('blue', 'iso') > 0 AS blue;
CREATE VIEW every_name AS SELECT name FROM tenant_red.person UNION ALL SELECT name FROM tenant_blue.person;
CREATE TABLE common_place (id int);
GRANT SELECT ON every_name, common_place TO regress_iso;
CREATE FUNCTION blue_names() RETURNS SETOF text LANGUAGE sql SET search_path = tenant_blue AS 'SELECT name FROM person';
CREATE FUNCTION count_names() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM person); END';
INSERT INTO tenant_red.person VALUES (1, 'Rose');
INSERT INTO tenant_blue.person VALUES (1, 'Bert'), (2, 'Bea');

-- Only who may set it turns it on or off.
SET ROLE regress_iso;
SET tenancy.require_context = on;
SET tenancy.forbid_session_path = off;
RESET ROLE;
SET tenancy.require_context = on;
SET ROLE regress_iso;

-- The tenant in use, and what belongs to none.
BEGIN;
SELECT tenant_use('red');
SELECT * FROM person;
SELECT * FROM tenant_red.person;
SELECT * FROM names;
SELECT * FROM log;
SELECT * FROM common_place;
SELECT count_names();
INSERT INTO letter VALUES (1, 1);
COMMIT;

-- No tenant in use.
SELECT * FROM tenant_red.person;
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM common_place;

-- Another tenant, in every way a statement can name it.
BEGIN;
SELECT tenant_use('red');
SAVEPOINT s;
SELECT * FROM tenant_blue.person;
ROLLBACK TO s;
SELECT * FROM person NATURAL JOIN tenant_blue.person;
ROLLBACK TO s;
SELECT * FROM common_place WHERE EXISTS (SELECT FROM tenant_blue.person);
ROLLBACK TO s;
WITH gone AS (DELETE FROM tenant_blue.person RETURNING 1) SELECT * FROM gone;
ROLLBACK TO s;
UPDATE tenant_blue.person SET name = 'x';
ROLLBACK TO s;
INSERT INTO tenant_blue.person VALUES (3, 'Bob');
ROLLBACK TO s;
\set VERBOSITY sqlstate
SELECT * FROM tenant_blue.names;
\set VERBOSITY default
ROLLBACK TO s;
SELECT * FROM every_name;
ROLLBACK TO s;
SELECT * FROM blue_names();
ROLLBACK TO s;
SELECT * FROM tenant_blue.log_one;
ROLLBACK TO s;
EXPLAIN SELECT * FROM tenant_blue.person;
ROLLBACK TO s;
COPY tenant_blue.person TO STDOUT;
ROLLBACK TO s;
COPY (SELECT * FROM tenant_blue.person) TO STDOUT;
ROLLBACK TO s;
TRUNCATE tenant_blue.log;
ROLLBACK TO s;
SET LOCAL search_path = tenant_blue;
SELECT * FROM person;
ROLLBACK TO s;
PREPARE blue AS SELECT * FROM tenant_blue.person;
EXECUTE blue;
ROLLBACK TO s;
SELECT name FROM person;
COMMIT;

-- A plan that was made while it was allowed.
BEGIN;
SELECT tenant_use('blue');
PREPARE mine AS SELECT name FROM tenant_blue.person ORDER BY id;
EXECUTE mine;
COMMIT;
BEGIN;
SELECT tenant_use('red');
SELECT count_names();
EXECUTE mine;
ROLLBACK;
DEALLOCATE mine;

-- What foreign keys do after the tenant is no longer in use is theirs.
BEGIN;
SELECT tenant_use('blue');
INSERT INTO letter VALUES (1, 1);
SELECT tenant_use('red');
COMMIT;
BEGIN;
SELECT tenant_use('blue');
DELETE FROM person WHERE id = 1;
SELECT count(*) FROM letter;
COMMIT;

-- A name that passes to another tenant, and a schema that was set aside.
RESET ROLE;
SELECT tenant_rename('blue', 'green');
SET ROLE regress_iso;
SELECT * FROM tenant_green.person;
BEGIN;
SELECT tenant_use('green');
SELECT name FROM person;
COMMIT;
RESET ROLE;
SELECT tenant_drop('green');
SELECT tenant_create('green', 'iso') > 0 AS again;
SELECT schema_name AS aside FROM tenancy.tenants WHERE name = 'green' AND status = 'dropped' \gset
\set VERBOSITY sqlstate
BEGIN;
SELECT tenant_use('green');
SELECT count(*) FROM person;
SELECT name FROM :"aside".person;
ROLLBACK;
\set VERBOSITY default

-- Whoever makes tenants is not checked for it.
SELECT tenant_create('late', 'iso') > 0 AS late;
SELECT tenant_blueprint_add('fills', 1, 'CREATE TABLE t (i int); INSERT INTO t VALUES (1)');
SELECT tenant_create('full', 'fills') > 0 AS filled;
SHOW tenancy.require_context;
RESET tenancy.require_context;
SELECT count(*) FROM tenant_full.t;

-- A search_path that outlives its transaction: a warning, or an error and the old path.
SET search_path = tenant_red, public;
SHOW search_path;
RESET search_path;
SET tenancy.forbid_session_path = error;
SET search_path = tenant_red, public;
\echo :LAST_ERROR_SQLSTATE
SHOW search_path;
SET search_path = "$user", 'tenant_red';
SELECT set_config('search_path', 'public, tenant_red', false);
SHOW search_path;
SELECT set_config('search_path', 'public, tenant_red', true);
DO $$BEGIN PERFORM set_config('search_path', 'tenant_red', false); END$$;
BEGIN;
SET search_path = tenant_red;
SELECT name FROM person;
COMMIT;
SHOW search_path;
BEGIN;
SET search_path = tenant_red;
SELECT public.tenant_use('late');
COMMIT;
SHOW search_path;
BEGIN;
SET LOCAL search_path = tenant_red;
SELECT name FROM person;
COMMIT;
BEGIN;
SET search_path = tenant_red;
SET search_path = public;
COMMIT;
SHOW search_path;
BEGIN;
SAVEPOINT s;
SET search_path = tenant_red;
ROLLBACK TO s;
COMMIT;
CREATE FUNCTION red_names() RETURNS SETOF text LANGUAGE sql SET search_path = tenant_red AS 'SELECT name FROM person';
SELECT * FROM red_names();
BEGIN;
SELECT tenant_use('red');
DECLARE c CURSOR FOR SELECT 1;
SAVEPOINT s;
DECLARE h CURSOR WITH HOLD FOR SELECT 1;
ROLLBACK TO s;
SELECT tenant_reset();
DECLARE h CURSOR WITH HOLD FOR SELECT 1;
COMMIT;
CLOSE h;
SET search_path = tenant_nobody, public;
RESET search_path;
CREATE ROLE tenant_red NOLOGIN;
SET ROLE tenant_red;
SELECT current_user = session_user AS still_me;
SET tenancy.forbid_session_path = off;
SET search_path = tenant_red;
SELECT name FROM person;
RESET search_path;
RESET tenancy.forbid_session_path;

DROP FUNCTION blue_names, red_names, count_names;
DROP VIEW every_name;
DROP TABLE common_place;
SELECT tenant_drop(name, purge => true) FROM unnest('{red,green,late,full}'::text[]) AS name;
SET client_min_messages = warning;
DROP SCHEMA :"aside" CASCADE;
DELETE FROM tenancy.tenant;
DELETE FROM tenancy.blueprint_step WHERE blueprint IN ('iso', 'fills');
DELETE FROM tenancy.blueprint WHERE name IN ('iso', 'fills');
DROP ROLE tenant_red;
DROP OWNED BY regress_iso;
DROP ROLE regress_iso;
