-- Tenants: made, used and dropped by SQL.

CREATE FUNCTION @extschema@.tenant_blueprint_add(
    blueprint text,
    version bigint,
    sql text,
    down text DEFAULT NULL,
    transactional boolean DEFAULT true
) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'tenant_blueprint_add';
COMMENT ON FUNCTION @extschema@.tenant_blueprint_add(text, bigint, text, text, boolean) IS
    'Adds a step to a blueprint; the first step makes the blueprint, owned by the caller. down takes the step back; with transactional => false tenants that exist get the step outside a transaction, one statement at a time, as CREATE INDEX CONCURRENTLY needs it. The same step again is skipped. Errors: TN003 name, TN006 another text for the version or a version that is not the highest, 42501 not the blueprint''s owner';

CREATE FUNCTION @extschema@.tenant_create(
    name text,
    blueprint text DEFAULT 'case_studies',
    settings jsonb DEFAULT '{}',
    if_not_exists boolean DEFAULT false
) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'tenant_create';
COMMENT ON FUNCTION @extschema@.tenant_create(text, text, jsonb, boolean) IS
    'Makes a tenant from a blueprint and returns its id. Errors: TN003 name, TN002 the tenant exists, TN006 unknown blueprint, 42P06 the schema exists without a tenant, and those of the steps';

CREATE FUNCTION @extschema@.tenant_drop(
    name text,
    if_exists boolean DEFAULT false,
    purge boolean DEFAULT false
) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'tenant_drop';
COMMENT ON FUNCTION @extschema@.tenant_drop(text, boolean, boolean) IS
    'Drops a tenant: sets it aside as schema tenancy_dropped_ID or, with purge, deletes it; waits for transactions that use it. False if there was none. Errors: TN001 unknown tenant';

CREATE FUNCTION @extschema@.tenant_rename(old text, new text) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'tenant_rename';
COMMENT ON FUNCTION @extschema@.tenant_rename(text, text) IS
    'Renames a tenant with its schema; waits for transactions that use it. Its documents stay as they are, the search alias follows, the cache starts empty. Errors: TN001 unknown tenant, TN002 the new name is taken, TN003 name, 42P06 the schema exists without a tenant, 3F000 the tenant''s schema is gone';

CREATE FUNCTION @extschema@.tenant_use(name text) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'tenant_use';
COMMENT ON FUNCTION @extschema@.tenant_use(text) IS
    'Makes a tenant the one of this transaction: search_path = its schema, public. Errors: 25P01 not in a transaction block, TN001 unknown tenant, TN004 suspended';

CREATE FUNCTION @extschema@.tenant_current() RETURNS text
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'tenant_current';
COMMENT ON FUNCTION @extschema@.tenant_current() IS 'Name of the tenant that this transaction uses, or null';

CREATE FUNCTION @extschema@.tenant_reset() RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'tenant_reset';
COMMENT ON FUNCTION @extschema@.tenant_reset() IS
    'Ends the use of a tenant by this transaction; search_path becomes what it was before the first tenant_use()';

CREATE FUNCTION @extschema@.tenant_suspend(name text, mode text DEFAULT 'blocked', reason text DEFAULT NULL) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'tenant_suspend';
COMMENT ON FUNCTION @extschema@.tenant_suspend(text, text, text) IS
    'Stops a tenant for now. blocked: it cannot be used and its tables cannot be touched; read_only: they cannot be changed. Holds from the commit on, for every role, also in transactions that use it already, from their next statement. Errors: TN001 unknown tenant, 22023 unknown mode';

CREATE FUNCTION @extschema@.tenant_resume(name text) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'tenant_resume';
COMMENT ON FUNCTION @extschema@.tenant_resume(text) IS 'Ends what tenant_suspend() began. Errors: TN001 unknown tenant';

CREATE FUNCTION tenancy.tenant_access_changed() RETURNS trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'tenancy_tenant_access_changed';
COMMENT ON FUNCTION tenancy.tenant_access_changed() IS 'Has all sessions look at status and frozen of tenancy.tenant again, once the transaction has committed';
CREATE TRIGGER access_made AFTER INSERT ON tenancy.tenant FOR EACH ROW
    WHEN (NEW.status IN ('read_only', 'suspended') OR NEW.frozen) EXECUTE FUNCTION tenancy.tenant_access_changed();
CREATE TRIGGER access_changed AFTER UPDATE OF status, frozen ON tenancy.tenant FOR EACH ROW
    WHEN (OLD.status <> NEW.status OR OLD.frozen <> NEW.frozen) EXECUTE FUNCTION tenancy.tenant_access_changed();

CREATE VIEW tenancy.tenants AS
    SELECT id, name, schema_name, blueprint, version, status, settings, created_at, dropped_at, suspended_at, suspended_reason
    FROM tenancy.tenant;
COMMENT ON VIEW tenancy.tenants IS 'Every tenant; version is the highest step of its blueprint that it has';

REVOKE ALL ON FUNCTION
    @extschema@.tenant_blueprint_add(text, bigint, text, text, boolean),
    @extschema@.tenant_create(text, text, jsonb, boolean),
    @extschema@.tenant_drop(text, boolean, boolean),
    @extschema@.tenant_rename(text, text),
    @extschema@.tenant_suspend(text, text, text),
    @extschema@.tenant_resume(text),
    tenancy.tenant_access_changed(),
    @extschema@.tenant_use(text),
    @extschema@.tenant_current(),
    @extschema@.tenant_reset()
FROM PUBLIC;
REVOKE ALL ON tenancy.tenants FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    @extschema@.tenant_blueprint_add(text, bigint, text, text, boolean),
    @extschema@.tenant_create(text, text, jsonb, boolean),
    @extschema@.tenant_drop(text, boolean, boolean),
    @extschema@.tenant_rename(text, text)
TO tenancy_admin;
GRANT EXECUTE ON FUNCTION
    @extschema@.tenant_suspend(text, text, text),
    @extschema@.tenant_resume(text)
TO tenancy_admin, tenancy_operator;
GRANT EXECUTE ON FUNCTION
    @extschema@.tenant_use(text),
    @extschema@.tenant_current(),
    @extschema@.tenant_reset()
TO tenancy_admin, tenancy_app;
GRANT SELECT ON tenancy.tenants TO tenancy_admin, tenancy_operator;
