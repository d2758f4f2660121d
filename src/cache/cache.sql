-- The tenants' values in Redis.

CREATE FUNCTION @extschema@.tenant_cache_get(key text, tenant text DEFAULT NULL) RETURNS jsonb
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'tenant_cache_get';
COMMENT ON FUNCTION @extschema@.tenant_cache_get(text, text) IS
    'Value of a key of the current or the named tenant; null if there is none or Redis does not answer. Errors: TN005 no tenant in use, TN001 unknown tenant, 42501 another tenant''s name without tenancy_operator or tenancy_admin, 22023 key';

CREATE FUNCTION @extschema@.tenant_cache_set(
    key text,
    value jsonb,
    ttl integer DEFAULT 3600,
    tags text[] DEFAULT '{}'
) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'tenant_cache_set';
COMMENT ON FUNCTION @extschema@.tenant_cache_set(text, jsonb, integer, text[]) IS
    'Stores a value for ttl seconds at once, whatever becomes of the transaction; false if Redis did not take it. Errors: TN005 no tenant in use, 22023 key, tags or ttl, 54000 value over 16 MB';

CREATE FUNCTION @extschema@.tenant_cache_delete(key text) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'tenant_cache_delete';
COMMENT ON FUNCTION @extschema@.tenant_cache_delete(text) IS
    'Removes a key at once, whatever becomes of the transaction; true if it was there. Errors: TN005 no tenant in use, 22023 key';

REVOKE ALL ON FUNCTION
    @extschema@.tenant_cache_get(text, text),
    @extschema@.tenant_cache_set(text, jsonb, integer, text[]),
    @extschema@.tenant_cache_delete(text)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    @extschema@.tenant_cache_get(text, text),
    @extschema@.tenant_cache_set(text, jsonb, integer, text[]),
    @extschema@.tenant_cache_delete(text)
TO tenancy_app, tenancy_admin;
GRANT EXECUTE ON FUNCTION @extschema@.tenant_cache_get(text, text) TO tenancy_operator;
