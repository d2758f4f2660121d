-- Comparing tables with their indices.

CREATE FUNCTION tenancy.verify(tenant text DEFAULT NULL, relation text DEFAULT NULL, repair boolean DEFAULT false)
    RETURNS TABLE (tenant text, relation text, missing bigint, stale bigint, ghost bigint, checked bigint)
    LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 100 AS 'MODULE_PATHNAME', 'tenancy_verify';
COMMENT ON FUNCTION tenancy.verify(text, text, boolean) IS 'Compares every row of a tenant''s table with its document in the search index, and looks for documents without a row; NULL: of all tenants, all tables that are indexed. missing: rows without a document; stale: rows whose document is another one, or has a version that was never given out; ghost: documents without a row; checked: rows looked at. What is on its way to the sink for less than 10 s does not count, what is for longer and rows with a dead letter do. repair: marks what was found dirty, so that the sync mends it; the counts are of what was found. A table that cannot be compared now has NULL counts, and a warning says why. The cache is not looked at: what it holds cannot be compared. Works on committed rows in a background worker, and holds nothing while it waits for the server. Errors: TN001 no such tenant, 42P01 no such indexed table, TN007 the sync cannot run, TN008 the search server is not there, 53400 no background worker is free';
REVOKE ALL ON FUNCTION tenancy.verify(text, text, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.verify(text, text, boolean) TO tenancy_operator, tenancy_admin;
