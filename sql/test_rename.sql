-- tenant_rename: names, errors, privileges.
SET client_min_messages = warning;
CREATE ROLE regress_rename_admin NOLOGIN IN ROLE tenancy_admin;
CREATE ROLE regress_rename_app NOLOGIN IN ROLE tenancy_app;
SELECT tenant_blueprint_add('shelf', 1, 'CREATE TABLE book (id int PRIMARY KEY)');
SELECT tenant_create(n, 'shelf') > 0 AS created FROM unnest(ARRAY['one', 'two']) n;
RESET client_min_messages;
INSERT INTO tenant_one.book VALUES (1);

SET ROLE regress_rename_admin;
SELECT tenant_rename('one', 'uno');
RESET ROLE;
SELECT name, schema_name, status FROM tenancy.tenants WHERE blueprint = 'shelf' ORDER BY name;
SELECT count(*) FROM tenant_uno.book;

-- Refused.
SELECT tenant_rename('one', 'eins');
\echo :LAST_ERROR_SQLSTATE
SELECT tenant_rename('uno', 'two');
\echo :LAST_ERROR_SQLSTATE
SELECT tenant_rename('uno', 'uno');
\echo :LAST_ERROR_SQLSTATE
SELECT tenant_rename('uno', 'Uno');
\echo :LAST_ERROR_SQLSTATE
SELECT tenant_rename('uno', NULL);
\echo :LAST_ERROR_SQLSTATE
CREATE SCHEMA tenant_taken;
SELECT tenant_rename('uno', 'taken');
\echo :LAST_ERROR_SQLSTATE
DROP SCHEMA tenant_taken;
SET ROLE regress_rename_app;
SELECT tenant_rename('uno', 'eins');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
ALTER SCHEMA tenant_two RENAME TO by_hand;
SELECT tenant_rename('two', 'due');
\echo :LAST_ERROR_SQLSTATE
ALTER SCHEMA by_hand RENAME TO tenant_two;

-- The transaction that renames goes on; a rollback undoes everything.
BEGIN;
SELECT tenant_use('uno');
SELECT tenant_rename('uno', 'eins');
SELECT tenant_current(), current_schema(), count(*) FROM book;
SELECT tenant_rename('two', 'uno');
SELECT tenant_use('uno');
SELECT count(*) FROM book;
ROLLBACK;
SELECT name, schema_name FROM tenancy.tenants WHERE blueprint = 'shelf' ORDER BY name;

-- A dropped tenant's name is free.
SELECT tenant_drop('two');
SELECT tenant_rename('uno', 'two');
SELECT name, schema_name = 'tenant_two' AS there, status FROM tenancy.tenants WHERE blueprint = 'shelf' ORDER BY status;
SELECT tenant_drop('two', purge => true);
DROP ROLE regress_rename_admin, regress_rename_app;
