-- Documents that are made of several tables: who searches them needs the rights to each.
\set VERBOSITY terse
SELECT tenant_blueprint_add('rights_test', 1, $$
    CREATE TABLE item (id integer PRIMARY KEY, name text, words tsvector GENERATED ALWAYS AS (to_tsvector('english', coalesce(name, ''))) STORED);
    CREATE TABLE note (id integer PRIMARY KEY, item_id integer, body text);
    CREATE VIEW item_doc AS SELECT i.id, i.name, (SELECT string_agg(n.body, ' ') FROM note n WHERE n.item_id = i.id) AS notes FROM item i;
    CREATE TABLE other (id integer PRIMARY KEY, name text);
    ALTER TABLE note REPLICA IDENTITY FULL
$$);
SELECT tenant_create('rights', 'rights_test') > 0;
INSERT INTO tenant_rights.item VALUES (1, 'kafka');
CREATE FUNCTION public.said(what text DEFAULT 'tenant_search') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer jsonb;
BEGIN
    EXECUTE format('SELECT to_jsonb(%I(%L, ''item'', options => ''{"engine": "postgresql"}''))', what, 'kafka') INTO answer;
    RETURN 'allowed';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
CREATE ROLE regress_reader IN ROLE tenancy_app;
GRANT USAGE ON SCHEMA tenant_rights TO regress_reader;
GRANT SELECT ON tenant_rights.item TO regress_reader;
CREATE FUNCTION public.tried(config text) RETURNS TABLE (made text, searched text, listed text, suggested text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tenant_use('rights');
    SET LOCAL ROLE regress_reader;
    RETURN QUERY SELECT config, said(), said('tenant_search_rows'), said('tenant_suggest');
    SET LOCAL ROLE NONE;
END $$;
SET client_min_messages = error;

SELECT tenant_sync_table('rights_test', 'item', 'item', mapping => '{"mappings": {"_meta": {"search_fields": ["name"]}, "properties": {"id": {"type": "integer"}, "name": {"type": "text"}, "notes": {"type": "text"}}}}',
    document => 'item_doc', depends_on => '{"note": {"item_id": "id"}}');
BEGIN;
SELECT * FROM public.tried('a view');
GRANT SELECT ON tenant_rights.note TO regress_reader;
SELECT * FROM public.tried('a view, the other table granted');
GRANT SELECT ON tenant_rights.item_doc TO regress_reader;
SELECT * FROM public.tried('a view, all granted');
ROLLBACK;
SELECT tenant_sync_table('rights_test', 'item', 'item', mapping => '{"mappings": {"_meta": {"search_fields": ["name"]}, "properties": {"id": {"type": "integer"}, "name": {"type": "text"}, "notes": {"type": "text"}}}}',
    document => $$to_jsonb(item) || jsonb_build_object('notes', (SELECT string_agg(n.body, ' ') FROM note n WHERE n.item_id = item.id))$$, depends_on => '{"note": {"item_id": "id"}}');
BEGIN;
SELECT * FROM public.tried('an expression');
GRANT SELECT ON tenant_rights.note TO regress_reader;
SELECT * FROM public.tried('an expression, the other table granted');
ALTER TABLE tenant_rights.note RENAME TO remark;
SELECT * FROM public.tried('an expression, the other table gone');
ROLLBACK;
SELECT tenant_sync_table('rights_test', 'item', 'item', mapping => '{"mappings": {"_meta": {"search_fields": ["name"]}, "properties": {"name": {"type": "text"}}}}');
BEGIN;
SELECT * FROM public.tried('the row');
ROLLBACK;
RESET client_min_messages;
SELECT tenant_drop('rights', purge => true);
DROP FUNCTION public.tried(text), public.said(text);
DELETE FROM tenancy.blueprint_step WHERE blueprint = 'rights_test';
DELETE FROM tenancy.blueprint WHERE name = 'rights_test';
DROP ROLE regress_reader;
