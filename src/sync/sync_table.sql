-- What is synced: set per blueprint, for all its tenants.

CREATE FUNCTION @extschema@.tenant_sync_table(
    blueprint text,
    table_name text,
    index_type text DEFAULT NULL,
    key_columns text[] DEFAULT NULL,
    mapping jsonb DEFAULT NULL,
    cache_keys text[] DEFAULT '{}',
    cache_tags text[] DEFAULT '{}',
    document text DEFAULT NULL,
    depends_on jsonb DEFAULT NULL
) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'tenant_sync_table';
COMMENT ON FUNCTION @extschema@.tenant_sync_table(text, text, text, text[], jsonb, text[], text[], text, jsonb) IS
    'Keeps a table of every tenant of a blueprint in step with the sinks, existing rows included; replaces an earlier definition. document: name of a view with the key columns, or an expression of type jsonb over the row; depends_on: tables whose rows are parts of it. Errors: TN006 unknown blueprint, TN010 the definition cannot work, TN003 index type, 42501 not the blueprint''s owner';

CREATE FUNCTION @extschema@.tenant_unsync_table(blueprint text, table_name text) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'tenant_unsync_table';
COMMENT ON FUNCTION @extschema@.tenant_unsync_table(text, text) IS
    'Ends the sync of a table and removes its indices; false if it was not synced. Errors: TN006 unknown blueprint, 42501 not the blueprint''s owner';

CREATE FUNCTION tenancy.provision(tenant bigint) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'tenancy_provision';
COMMENT ON FUNCTION tenancy.provision(bigint) IS 'Records the indices that a tenant should have and has not. Used by the extension itself';

REVOKE ALL ON FUNCTION
    tenancy.provision(bigint),
    @extschema@.tenant_sync_table(text, text, text, text[], jsonb, text[], text[], text, jsonb),
    @extschema@.tenant_unsync_table(text, text)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    @extschema@.tenant_sync_table(text, text, text, text[], jsonb, text[], text[], text, jsonb),
    @extschema@.tenant_unsync_table(text, text)
TO tenancy_admin;
