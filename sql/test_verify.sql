-- Arguments and privileges of tenancy.verify(), which need no server.
\set VERBOSITY terse
SET client_min_messages = warning;

SELECT tenant_create('verify_one') > 0;
SELECT tenant_blueprint_add('verify_plain', 1, 'CREATE TABLE plain (id int PRIMARY KEY)');
SELECT tenant_sync_table('verify_plain', 'plain', cache_tags => ARRAY['plain']);
SELECT tenant_create('verify_two', 'verify_plain') > 0;

-- names that nothing has
DO $$
DECLARE
    arguments text;
BEGIN
    FOREACH arguments IN ARRAY ARRAY[
        '''nobody''', '''''', 'repeat(''x'', 100)', 'relation => ''nothing''', 'relation => ''''', 'relation => repeat(''x'', 100)',
        'relation => ''plain''', '''verify_two'', ''plain''', '''verify_two'', ''case_studies''', '''nobody'', ''case_studies''',
        '''verify_one'', ''CASE_STUDIES''', 'repair => NULL'] LOOP
        BEGIN
            EXECUTE format('SELECT * FROM tenancy.verify(%s)', arguments);
            RAISE WARNING '%: no error', arguments;
        EXCEPTION WHEN others THEN
            RAISE WARNING '%: % %', arguments, sqlstate, left(sqlerrm, 60);
        END;
    END LOOP;
END
$$;

-- nothing to compare with: not preloaded, or no search server
DO $$
DECLARE
    arguments text;
BEGIN
    FOREACH arguments IN ARRAY ARRAY['', 'NULL, NULL', '''verify_one''', '''verify_one'', ''case_studies''', 'relation => ''technologies''',
        '''verify_two''', 'repair => true'] LOOP
        BEGIN
            EXECUTE format('SELECT * FROM tenancy.verify(%s)', arguments);
            RAISE WARNING '%: no error', arguments;
        EXCEPTION WHEN others THEN
            RAISE WARNING '%: %', arguments, sqlstate;
        END;
    END LOOP;
END
$$;

-- who may
CREATE ROLE regress_verify_app IN ROLE tenancy_app;
CREATE ROLE regress_verify_operator IN ROLE tenancy_operator;
CREATE ROLE regress_verify_admin IN ROLE tenancy_admin;
SELECT r, has_function_privilege('regress_verify_' || r, 'tenancy.verify(text, text, boolean)', 'EXECUTE')
  FROM unnest(ARRAY['app', 'operator', 'admin']) r;
SET ROLE regress_verify_app;
SELECT * FROM tenancy.verify();
SET ROLE regress_verify_operator;
SELECT * FROM tenancy.verify('nobody');
RESET ROLE;
DROP ROLE regress_verify_app, regress_verify_operator, regress_verify_admin;

-- the settings
SELECT name, setting, unit, context, min_val, max_val FROM pg_settings WHERE name LIKE 'tenancy.verify%' ORDER BY name;
SET tenancy.verify_interval = 1;

SELECT tenant_drop(name) FROM tenancy.tenants WHERE name LIKE 'verify%' ORDER BY name;
