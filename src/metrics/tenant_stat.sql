-- What each tenant's statements cost.

CREATE FUNCTION tenancy.tenant_statistics(
        OUT schema_oid oid, OUT calls bigint, OUT rows bigint, OUT total_time double precision,
        OUT wal_records bigint, OUT wal_bytes bigint, OUT stats_since timestamptz) RETURNS SETOF record
    LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 100 AS 'MODULE_PATHNAME', 'tenancy_tenant_statistics';
COMMENT ON FUNCTION tenancy.tenant_statistics() IS 'What view tenancy.stat_tenants shows, by schema';

CREATE FUNCTION tenancy.tenant_statistics_reset(schema_oid oid) RETURNS void
    LANGUAGE C VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'tenancy_tenant_statistics_reset';
COMMENT ON FUNCTION tenancy.tenant_statistics_reset(oid) IS 'Forgets what the statements of a schema''s tenant cost; null: of all of this database';

CREATE VIEW tenancy.stat_tenants AS
    SELECT t.id, t.name, s.calls, s.rows, s.total_time, s.wal_records, s.wal_bytes, s.stats_since
    FROM tenancy.tenant_statistics() s
    LEFT JOIN pg_catalog.pg_namespace n ON n.oid = s.schema_oid
    LEFT JOIN tenancy.tenant t ON t.schema_name = n.nspname AND t.status <> 'dropped'
    WHERE t.id IS NOT NULL OR s.schema_oid IS NULL;
COMMENT ON VIEW tenancy.stat_tenants IS 'What the statements of transactions that use a tenant have cost since the server started or tenancy.stat_tenants_reset(); statements that failed are not counted, nor is planning. Nothing without preload';
COMMENT ON COLUMN tenancy.stat_tenants.id IS 'The tenant''s id; NULL: all tenants for whom tenancy.stat_tenants_max left no room';
COMMENT ON COLUMN tenancy.stat_tenants.name IS 'Its name now';
COMMENT ON COLUMN tenancy.stat_tenants.calls IS 'Statements';
COMMENT ON COLUMN tenancy.stat_tenants.rows IS 'Rows that they returned or changed';
COMMENT ON COLUMN tenancy.stat_tenants.total_time IS 'Milliseconds that they ran';
COMMENT ON COLUMN tenancy.stat_tenants.wal_records IS 'WAL records that they wrote; without the commits'' own';
COMMENT ON COLUMN tenancy.stat_tenants.wal_bytes IS 'Bytes of these records';
COMMENT ON COLUMN tenancy.stat_tenants.stats_since IS 'When counting began';

CREATE FUNCTION tenancy.stat_tenants_reset(tenant text DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    schema_oid oid;
BEGIN
    IF tenant IS NOT NULL THEN
        SELECT n.oid INTO schema_oid
        FROM tenancy.tenant t LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = t.schema_name
        WHERE t.name = tenant AND t.status <> 'dropped';
        IF NOT FOUND THEN
            RAISE EXCEPTION 'tenant "%" does not exist', tenant USING ERRCODE = 'TN001';
        END IF;
    END IF;
    IF tenant IS NULL OR schema_oid IS NOT NULL THEN
        PERFORM tenancy.tenant_statistics_reset(schema_oid);
    END IF;
END$$;
COMMENT ON FUNCTION tenancy.stat_tenants_reset(text) IS 'Starts the counters of a tenant, or (null) of all of this database, anew. Errors: TN001 unknown tenant';

REVOKE ALL ON FUNCTION tenancy.tenant_statistics(), tenancy.tenant_statistics_reset(oid), tenancy.stat_tenants_reset(text) FROM PUBLIC;
REVOKE ALL ON tenancy.stat_tenants FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.tenant_statistics() TO tenancy_operator, tenancy_admin, pg_monitor;
GRANT EXECUTE ON FUNCTION tenancy.stat_tenants_reset(text) TO tenancy_operator, tenancy_admin;
GRANT SELECT ON tenancy.stat_tenants TO tenancy_operator, tenancy_admin, pg_monitor;
