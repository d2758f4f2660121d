-- Search in the current tenant's documents.

CREATE FUNCTION @extschema@.tenant_search(
    query text,
    index_type text DEFAULT 'case_studies',
    filters jsonb DEFAULT '{}',
    page integer DEFAULT 1,
    page_size integer DEFAULT 20,
    options jsonb DEFAULT '{}'
) RETURNS jsonb
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'tenant_search';
COMMENT ON FUNCTION @extschema@.tenant_search(text, text, jsonb, integer, integer, jsonb) IS
    'Searches the current tenant''s documents: on the search server, else in PostgreSQL and then with "fallback" in the answer. Needs SELECT on the table. took_ms is in milliseconds. Errors: TN005 no tenant in use, TN004 suspended, TN010 unknown index type, TN008 no engine can answer, TN009 senseless reply, 22023 filters, page or options, 42501 no SELECT on the table';

REVOKE ALL ON FUNCTION @extschema@.tenant_search(text, text, jsonb, integer, integer, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.tenant_search(text, text, jsonb, integer, integer, jsonb)
    TO tenancy_app, tenancy_admin;
