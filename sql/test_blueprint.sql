-- Blueprints: steps, who may add them, and what they may do.
SET client_min_messages = warning;
CREATE ROLE regress_owner NOLOGIN;
CREATE ROLE regress_other NOLOGIN;
CREATE ROLE regress_member NOLOGIN;
GRANT tenancy_admin TO regress_owner, regress_other, regress_member;
GRANT regress_owner TO regress_member;
RESET client_min_messages;

-- Adding steps.
SET ROLE regress_owner;
SELECT tenant_blueprint_add('shop', 1, 'CREATE TABLE item (id int PRIMARY KEY)');
SELECT tenant_blueprint_add('shop', 1, 'CREATE TABLE item (id int PRIMARY KEY)');
SELECT tenant_blueprint_add('shop', 1, 'CREATE TABLE item (id bigint PRIMARY KEY)');
\echo :LAST_ERROR_SQLSTATE
SELECT tenant_blueprint_add('shop', 5, 'ALTER TABLE item ADD COLUMN who name; INSERT INTO item VALUES (1, current_user)');
SELECT tenant_blueprint_add('shop', 4, 'SELECT');
\echo :LAST_ERROR_SQLSTATE
SELECT tenant_blueprint_add('shop', 0, 'SELECT');
SELECT tenant_blueprint_add('shop', -1, 'SELECT');
SELECT tenant_blueprint_add(NULL, 1, 'SELECT');
SELECT tenant_blueprint_add('shop', NULL, 'SELECT');
SELECT tenant_blueprint_add('shop', 6, NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT tenant_blueprint_add('Shop', 1, 'SELECT');
SELECT tenant_blueprint_add('sh"op', 1, 'SELECT');
SELECT tenant_blueprint_add('sh-op', 1, 'SELECT');
SELECT tenant_blueprint_add('', 1, 'SELECT');
SELECT tenant_blueprint_add(repeat('b', 49), 1, 'SELECT');
\echo :LAST_ERROR_SQLSTATE
SET ROLE regress_other;
SELECT tenant_blueprint_add('shop', 6, 'SELECT');
\echo :LAST_ERROR_SQLSTATE
SELECT tenant_blueprint_add('case_studies', 2, 'SELECT');
SET ROLE regress_member;
SELECT tenant_blueprint_add('shop', 6, 'SELECT 1;');
RESET ROLE;
SELECT tenant_blueprint_add('shop', 7, '');
SELECT b.name, b.owner, s.version, s.checksum = sha256(convert_to(s.sql, getdatabaseencoding())) AS checksum_ok
FROM tenancy.blueprint b JOIN tenancy.blueprint_step s ON s.blueprint = b.name WHERE b.name = 'shop' ORDER BY version;

-- Steps run in order, as the owner, whoever makes the tenant.
SELECT tenant_create('corner', 'shop') > 0 AS created;
SELECT * FROM tenant_corner.item;
SELECT version FROM tenant_corner.schema_migrations ORDER BY 1;
SELECT m.checksum = s.checksum AS same FROM tenant_corner.schema_migrations m
JOIN tenancy.blueprint_step s USING (version) WHERE s.blueprint = 'shop' GROUP BY 1;
SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'tenant_corner';
SELECT DISTINCT relowner::regrole FROM pg_class WHERE relnamespace = 'tenant_corner'::regnamespace;
SELECT version FROM tenancy.tenants WHERE name = 'corner';
-- A blueprint can be empty.
INSERT INTO tenancy.blueprint (name, owner) VALUES ('empty', 'regress_owner');
SELECT tenant_create('hollow', 'empty') > 0 AS created;
SELECT version FROM tenancy.tenants WHERE name = 'hollow';

-- What a step may not do: each is tried as a blueprint of regress_owner, applied by a superuser.
CREATE FUNCTION try_step(step text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    SET LOCAL ROLE regress_owner;
    PERFORM tenant_blueprint_add('tried', 1, step);
    RESET ROLE;
    PERFORM tenant_create('tried', 'tried');
    RAISE 'the step was let through';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;
SELECT try_step('SELECT 1');
SELECT try_step('CREATE TABLE stolen AS SELECT * FROM pg_authid');
SELECT try_step('RESET ROLE; CREATE TABLE stolen AS SELECT * FROM pg_authid');
SELECT try_step('SET ROLE NONE');
SELECT try_step('SET LOCAL ROLE NONE');
SELECT try_step('SET SESSION AUTHORIZATION DEFAULT');
SELECT try_step('RESET SESSION AUTHORIZATION');
SELECT try_step('SELECT set_config(''role'', ''none'', false)');
SELECT try_step('DO $d$ BEGIN EXECUTE ''RESET ROLE''; END $d$');
SELECT try_step('RESET ALL; CREATE TABLE stolen AS SELECT * FROM pg_authid');
SELECT try_step('COMMIT');
SELECT try_step('SELECT 1; ROLLBACK');
SELECT try_step('SAVEPOINT s');
SELECT try_step('DO $d$ BEGIN COMMIT; END $d$');
SELECT try_step('COPY pg_class TO STDOUT');
SELECT left(try_step('COPY pg_class TO ''/tmp/stolen'''), 5) AS sqlstate;
SELECT try_step('CREATE TEMP TABLE mine (id int)');
SELECT try_step('PREPARE p AS SELECT 1');
SELECT try_step('DECLARE c CURSOR WITH HOLD FOR SELECT 1');
SELECT try_step('LISTEN x');
SELECT try_step('CREATE TABLE public.mine (id int)');
SELECT try_step('UPDATE tenancy.blueprint SET owner = 10');
SELECT try_step('INSERT INTO tenancy.tenant (name, schema_name, blueprint, version) VALUES (''y'', ''y'', ''shop'', 1)');
SELECT try_step('DROP EXTENSION pg_tenancy CASCADE');
SELECT left(try_step('GRANT tenancy_operator TO regress_owner'), 5) AS sqlstate;
SELECT try_step('VACUUM');
SELECT try_step('CREATE TABLE schema_migrations (id int)');
SELECT try_step('DROP TABLE schema_migrations');
SELECT try_step('SELEKT');
-- A deferred trigger would run at commit, as the one who made the tenant.
SELECT try_step($step$
    CREATE TABLE bait (id int);
    CREATE FUNCTION spring() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''sprung as %'', current_user; END';
    CREATE CONSTRAINT TRIGGER spring AFTER INSERT ON bait DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION spring();
    INSERT INTO bait VALUES (1);
$step$);
-- A trigger on schema_migrations runs as its owner.
SELECT try_step($step$
    CREATE FUNCTION spring() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''sprung as %'', current_user; END';
    CREATE TRIGGER spring AFTER INSERT ON schema_migrations FOR EACH ROW EXECUTE FUNCTION spring();
$step$);

-- Settings made by a step end with it.
SELECT tenant_blueprint_add('sets', 1, 'SET search_path = pg_catalog; SET SESSION work_mem = ''123kB''; SET LOCAL statement_timeout = 12345; SET standard_conforming_strings = off');
SELECT tenant_blueprint_add('sets', 2, 'CREATE TABLE seen AS SELECT current_setting(''search_path'') AS path, current_setting(''work_mem'') <> ''123kB'' AS clean, ''a\b'' AS literal');
SET standard_conforming_strings = off;
SET escape_string_warning = off;
SET search_path = public, pg_catalog;
BEGIN;
SELECT tenant_create('sets', 'sets') > 0 AS created;
SELECT * FROM tenant_sets.seen;
SELECT current_setting('search_path'), current_setting('work_mem') <> '123kB' AS clean, current_setting('statement_timeout') <> '12345ms' AS clean;
COMMIT;
SELECT current_setting('search_path'), current_setting('work_mem') <> '123kB' AS clean;
RESET standard_conforming_strings;
RESET escape_string_warning;
-- Nor do they outlive an error.
SELECT tenant_blueprint_add('fails', 1, 'SET search_path = pg_catalog; SELECT 1 / 0');
SELECT tenant_create('fails', 'fails');
SELECT current_setting('search_path'), current_user = session_user AS same_user;
DO $$ BEGIN PERFORM tenant_create('fails', 'fails'); EXCEPTION WHEN division_by_zero THEN RAISE NOTICE 'caught, path %', current_setting('search_path'); END $$;
SELECT current_user = session_user AS same_user, to_regnamespace('tenant_fails') IS NULL AS nothing_left;
RESET search_path;

-- An owner that is gone.
SET client_min_messages = warning;
CREATE ROLE regress_gone NOLOGIN;
RESET client_min_messages;
INSERT INTO tenancy.blueprint (name, owner) VALUES ('orphan', 'regress_gone');
DROP ROLE regress_gone;
\set VERBOSITY terse
SELECT tenant_create('orphan', 'orphan');
\set VERBOSITY default

-- The shipped blueprint.
SELECT owner = (SELECT extowner FROM pg_extension WHERE extname = 'pg_tenancy') AS owner_ok FROM tenancy.blueprint WHERE name = 'case_studies';
SELECT tenant_create('lib') > 0 AS created;
SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'tenant_lib' ORDER BY table_name, ordinal_position;
SELECT tablename, regexp_replace(indexdef, '.* USING', 'USING') AS definition FROM pg_indexes WHERE schemaname = 'tenant_lib' ORDER BY indexname;
SELECT tablename, regexp_replace(indexdef, '.* USING', 'USING') AS definition FROM pg_indexes
WHERE tablename IN ('technology_taxonomy', 'industry_classifications') ORDER BY indexname;
SELECT table_name, index_type, key_columns, cache_keys, cache_tags, mapping #>> '{mappings,_meta,search_fields}' AS search_fields,
       mapping #>> '{settings,index,number_of_shards}' AS shards
FROM tenancy.sync_table WHERE blueprint = 'case_studies' ORDER BY 1;
SET ROLE tenancy_app;
BEGIN;
SELECT tenant_use('lib');
INSERT INTO users (email, name) VALUES ('a@example.com', 'A');
INSERT INTO case_studies (title, customer_company, technologies, full_text, budget_usd, created_by)
SELECT 'Faster Databases', 'Initech', '["PostgreSQL", "Redis"]', 'We cached queries', 1.25, id FROM users;
INSERT INTO technologies (name, vendor) VALUES ('PostgreSQL', 'PGDG');
SELECT title, search_vector FROM case_studies WHERE technologies ?| ARRAY['Redis', 'x'] AND search_vector @@ websearch_to_tsquery('english', 'cached query');
SELECT name, search_vector FROM technologies;
-- A text that is longer than a tsvector can be.
INSERT INTO case_studies (title, full_text) SELECT 'long', string_agg(md5(i::text), ' ') FROM generate_series(1, 60000) i;
SELECT length(full_text) FROM case_studies WHERE title = 'long';
SELECT count(*) FROM technology_taxonomy;
SELECT count(*) FROM industry_classifications;
DELETE FROM case_studies;
SAVEPOINT s;
\set VERBOSITY terse
INSERT INTO case_studies (title, technologies) VALUES ('x', '"Redis"');
\set VERBOSITY default
ROLLBACK TO s;
INSERT INTO technology_taxonomy (name, category) VALUES ('x', 'y');
ROLLBACK;
RESET ROLE;
BEGIN;
INSERT INTO technology_taxonomy (name, category) VALUES ('PostgreSQL', 'database');
SAVEPOINT s;
INSERT INTO technology_taxonomy (name, category) VALUES ('PostgreSQL', 'database');
ROLLBACK TO s;
INSERT INTO industry_classifications (system, code, name) VALUES ('NAICS', '51', 'Information');
INSERT INTO industry_classifications (system, code, name, parent_code) VALUES ('NAICS', '513', 'Publishing', '51');
ROLLBACK;

SELECT count(*) AS dropped FROM (SELECT tenant_drop(name, purge => true) FROM (SELECT name FROM tenancy.tenants) t) d;
DELETE FROM tenancy.blueprint_step WHERE blueprint <> 'case_studies';
DELETE FROM tenancy.blueprint WHERE name <> 'case_studies';
DROP FUNCTION try_step(text);
DROP ROLE regress_owner, regress_other, regress_member;
