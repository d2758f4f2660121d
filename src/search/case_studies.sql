-- What applications on the shipped blueprint prepare as statements.  A function needs no PREPARE, so it is there on whichever
-- connection a pooler gives a transaction.  Tables are named with the tenant's schema: a temporary one of the session, which a pooler
-- hands on, is none of them.

CREATE FUNCTION @extschema@.tenant_get_technology_by_id(id uuid) RETURNS jsonb
    LANGUAGE c STABLE STRICT PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'tenant_get_technology_by_id';
COMMENT ON FUNCTION @extschema@.tenant_get_technology_by_id(uuid) IS
    'The current tenant''s technology of that id, or null; blueprint case_studies. Redis keeps it as technology:ID for tenancy.read_cache_ttl where every role of tenancy_app may read the table. Errors: TN005 no tenant in use, TN004 suspended, 42P01 its blueprint has no technologies, 42501 no SELECT on them';

CREATE FUNCTION @extschema@.tenant_search_case_studies(
    query text,
    max_results integer DEFAULT 20,
    filters jsonb DEFAULT '{}',
    OUT id uuid, OUT title text, OUT customer_company text, OUT industry text, OUT technologies jsonb,
    OUT created_at timestamptz, OUT score double precision
) RETURNS SETOF record
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE ROWS 20 AS $$
BEGIN
    IF @extschema@.tenant_current() IS NULL THEN
        RAISE EXCEPTION 'no tenant is in use' USING ERRCODE = 'TN005', HINT = 'Call tenant_use() first, in the same transaction.';
    END IF;
    -- a document whose id is no key of the table is of no row
    RETURN QUERY EXECUTE pg_catalog.format($sql$
        SELECT c.id, c.title, c.customer_company::pg_catalog.text, c.industry::pg_catalog.text, c.technologies,
               c.created_at, r.score
          FROM @extschema@.tenant_search_rows($1, 'case_studies', $2, $3, '{"source": false}')
               WITH ORDINALITY r (id, score, source, highlight, cursor, n)
          JOIN %I.case_studies c ON c.id OPERATOR(pg_catalog.=)
               CASE WHEN r.id OPERATOR(pg_catalog.~) '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
                    THEN r.id::pg_catalog.uuid END
         ORDER BY r.n $sql$, pg_catalog.concat('tenant_', @extschema@.tenant_current()))
        USING query, filters, max_results;
END
$$;
COMMENT ON FUNCTION @extschema@.tenant_search_case_studies(text, integer, jsonb) IS
    'Rows of the current tenant''s case studies that tenant_search() finds, best first, at most max_results (1 to 1000); blueprint case_studies. Errors: as tenant_search()';

CREATE FUNCTION @extschema@.get_technology_by_id(id uuid) RETURNS jsonb
    LANGUAGE sql STABLE STRICT PARALLEL RESTRICTED
    AS 'SELECT @extschema@.tenant_get_technology_by_id(id)';
COMMENT ON FUNCTION @extschema@.get_technology_by_id(uuid) IS 'tenant_get_technology_by_id() under the name of the statement that it replaces';

CREATE FUNCTION @extschema@.search_case_studies(
    query text,
    max_results integer DEFAULT 20,
    OUT id uuid, OUT title text, OUT customer_company text, OUT industry text, OUT technologies jsonb,
    OUT created_at timestamptz, OUT score double precision
) RETURNS SETOF record
    LANGUAGE sql VOLATILE PARALLEL UNSAFE ROWS 20
    AS 'SELECT * FROM @extschema@.tenant_search_case_studies(query, max_results)';
COMMENT ON FUNCTION @extschema@.search_case_studies(text, integer) IS 'tenant_search_case_studies() under the name of the statement that it replaces';

REVOKE ALL ON FUNCTION
    @extschema@.tenant_get_technology_by_id(uuid),
    @extschema@.tenant_search_case_studies(text, integer, jsonb),
    @extschema@.get_technology_by_id(uuid),
    @extschema@.search_case_studies(text, integer)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    @extschema@.tenant_get_technology_by_id(uuid),
    @extschema@.tenant_search_case_studies(text, integer, jsonb),
    @extschema@.get_technology_by_id(uuid),
    @extschema@.search_case_studies(text, integer)
TO tenancy_app, tenancy_admin;
