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
    'Searches the current tenant''s documents: on the search server, else in PostgreSQL and then with "fallback" in the answer. Needs SELECT on the table. Filters and options: docs/search.md. "next" of the answer as option "after" goes on with the next page. took_ms is in milliseconds. Errors: TN005 no tenant in use, TN004 suspended, TN010 unknown index type, TN008 no engine can answer, TN009 senseless reply, 22023 filters, page, options or cursor, 54000 a cursor would be too long, 42501 no SELECT on the table, or on what else documents are made of';

CREATE FUNCTION @extschema@.tenant_search_rows(
    query text,
    index_type text DEFAULT 'case_studies',
    filters jsonb DEFAULT '{}',
    size integer DEFAULT 100,
    options jsonb DEFAULT '{}',
    OUT id text, OUT score double precision, OUT source jsonb, OUT highlight jsonb, OUT cursor text
) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 100
AS 'MODULE_PATHNAME', 'tenant_search_rows';
COMMENT ON FUNCTION @extschema@.tenant_search_rows(text, text, jsonb, integer, jsonb) IS
    'What tenant_search() finds, a row for each of at most size (1 to 1000) documents, to join with: id is the key as text, several columns joined by ":"; cursor goes on after the row as option "after". Knows neither the option facets nor suggest. Errors: as tenant_search()';

REVOKE ALL ON FUNCTION
    @extschema@.tenant_search(text, text, jsonb, integer, integer, jsonb),
    @extschema@.tenant_search_rows(text, text, jsonb, integer, jsonb)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    @extschema@.tenant_search(text, text, jsonb, integer, integer, jsonb),
    @extschema@.tenant_search_rows(text, text, jsonb, integer, jsonb)
    TO tenancy_app, tenancy_admin;

CREATE FUNCTION @extschema@.tenant_search_dsl(body jsonb, index_type text DEFAULT 'case_studies') RETURNS jsonb
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'tenant_search_dsl';
COMMENT ON FUNCTION @extschema@.tenant_search_dsl(jsonb, text) IS
    'Sends the body of a _search request about the current tenant''s documents, and nothing else, to the search server; returns its reply as it is. Allowed is what docs/search.md lists: no scripts, no other index, nothing that finds or counts beside the query. Needs SELECT on the table without row-level security. Errors: 22004 body or index_type is null, 22023 a part that is not allowed, TN005 no tenant in use, TN004 suspended, TN010 unknown index type, TN008 no server can answer, TN009 it refuses the body or answers nonsense, 42501 no SELECT on the table, or on what else documents are made of';
REVOKE ALL ON FUNCTION @extschema@.tenant_search_dsl(jsonb, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.tenant_search_dsl(jsonb, text) TO tenancy_admin;
