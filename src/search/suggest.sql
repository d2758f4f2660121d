-- What is typed so far becomes values that go on from it.

CREATE FUNCTION @extschema@.tenant_suggest(
    prefix text,
    index_type text DEFAULT 'case_studies',
    size integer DEFAULT 10,
    options jsonb DEFAULT '{}'
) RETURNS jsonb
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'tenant_suggest';
COMMENT ON FUNCTION @extschema@.tenant_suggest(text, text, integer, jsonb) IS
    'Suggests values of the current tenant''s documents that go on from what is typed: {"suggestions": [{"text", "field"}], "engine", "fallback", "took_ms"}, from the search server, else from PostgreSQL. size: 1 to 100. options: engine, fields, filters. Needs SELECT on the table. took_ms is in milliseconds. Errors: TN005 no tenant in use, TN004 suspended, TN010 unknown index type, TN008 the server is wanted and does not answer, TN009 senseless reply, 22023 size or options, 42501 no SELECT on the table, or on what else documents are made of';

REVOKE ALL ON FUNCTION @extschema@.tenant_suggest(text, text, integer, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.tenant_suggest(text, text, integer, jsonb)
    TO tenancy_app, tenancy_admin;
