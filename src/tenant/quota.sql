-- What a tenant may have and do, and how much it has.

CREATE TABLE tenancy.tenant_usage (
    tenant_id bigint PRIMARY KEY REFERENCES tenancy.tenant ON DELETE CASCADE,
    rows bigint NOT NULL,
    bytes bigint NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT pg_catalog.now()
) WITH (fillfactor = 70);
COMMENT ON TABLE tenancy.tenant_usage IS 'How much each tenant has, as tenancy.usage_refresh() found it';
COMMENT ON COLUMN tenancy.tenant_usage.rows IS 'Live rows of its tables, as PostgreSQL''s statistics estimate them';
COMMENT ON COLUMN tenancy.tenant_usage.bytes IS 'Bytes of its tables, indexes and TOAST: as of the last VACUUM or ANALYZE of each, or exact if asked for';
COMMENT ON COLUMN tenancy.tenant_usage.changed_at IS 'When one of the two was found to be another one';

CREATE TABLE tenancy.quota (
    tenant_id bigint NOT NULL REFERENCES tenancy.tenant ON DELETE CASCADE,
    resource text NOT NULL CHECK (resource IN ('rows', 'bytes', 'connections', 'statement_timeout')),
    soft bigint CHECK (soft >= 0 AND soft <= hard),
    hard bigint NOT NULL CHECK (hard >= 0),
    PRIMARY KEY (tenant_id, resource)
);
COMMENT ON TABLE tenancy.quota IS 'What a tenant may have and do: tenant_quota_set() writes it';
COMMENT ON COLUMN tenancy.quota.resource IS 'rows, bytes: what it may have; connections: transactions that may use it at the same time; statement_timeout: milliseconds that a statement may take';
COMMENT ON COLUMN tenancy.quota.soft IS 'From here on view tenancy.quotas says so';
COMMENT ON COLUMN tenancy.quota.hard IS 'The limit';
SELECT pg_catalog.pg_extension_config_dump('tenancy.quota', '');

CREATE VIEW tenancy.usage AS
    SELECT t.id, t.name, u.rows, u.bytes, u.changed_at
    FROM tenancy.tenant t JOIN tenancy.tenant_usage u ON u.tenant_id = t.id
    WHERE t.status <> 'dropped';
COMMENT ON VIEW tenancy.usage IS 'How much each tenant has, as of the last CALL tenancy.usage_refresh()';

CREATE VIEW tenancy.quotas AS
    SELECT t.name AS tenant, q.resource, q.soft, q.hard, s.used,
           CASE WHEN t.frozen AND s.used >= 0.9 * q.hard THEN 'frozen'
                WHEN s.used >= q.hard THEN 'over hard'
                WHEN s.used >= q.soft THEN 'over soft'
                ELSE 'ok' END AS state
    FROM tenancy.quota q
    JOIN tenancy.tenant t ON t.id = q.tenant_id AND t.status <> 'dropped'
    LEFT JOIN tenancy.tenant_usage u ON u.tenant_id = t.id
    CROSS JOIN LATERAL (SELECT CASE q.resource WHEN 'rows' THEN u.rows WHEN 'bytes' THEN u.bytes END AS used) s;
COMMENT ON VIEW tenancy.quotas IS 'Quotas and what is used of them; used is null for connections and statement_timeout';
COMMENT ON COLUMN tenancy.quotas.state IS 'ok; over soft; over hard: the next tenancy.usage_refresh() freezes the tenant; frozen: nothing can be added to its tables until less than 90 % of hard is used';

-- Freezes tenants that are over a quota of rows or bytes, thaws those that are under 90 % of each.
CREATE FUNCTION tenancy.quota_apply(only_id bigint DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE tenancy.tenant t
    SET frozen = NOT t.frozen
    FROM (SELECT n.id, coalesce(bool_or(q.used >= q.hard), false) AS is_over,
                 coalesce(bool_or(q.used >= 0.9 * q.hard), false) AS is_near
          FROM tenancy.tenant n LEFT JOIN tenancy.quotas q ON q.tenant = n.name
          WHERE n.status <> 'dropped' AND (n.frozen OR q.used >= q.hard) AND (only_id IS NULL OR n.id = only_id)
          GROUP BY n.id) s
    WHERE t.id = s.id AND t.frozen <> (s.is_over OR t.frozen AND s.is_near);
END$$;
COMMENT ON FUNCTION tenancy.quota_apply(bigint) IS 'Freezes and thaws a tenant, or (null) all, by the quotas and usage that are known';

CREATE PROCEDURE tenancy.usage_refresh(exact boolean DEFAULT false)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    LOCK TABLE tenancy.tenant_usage IN SHARE ROW EXCLUSIVE MODE; -- one at a time
    INSERT INTO tenancy.tenant_usage AS u (tenant_id, rows, bytes)
    SELECT t.id, coalesce(s.rows, 0), coalesce(s.bytes, 0)
    FROM tenancy.tenant t
    LEFT JOIN pg_namespace n ON n.nspname = t.schema_name
    LEFT JOIN (
        SELECT c.relnamespace,
               -- what was never analyzed since the statistics began (a crash, a promotion, a reset) is as the catalog knows it
               sum(CASE WHEN c.relkind = 'i' THEN 0
                        WHEN c.reltuples > pg_stat_get_live_tuples(c.oid)
                             AND coalesce(pg_stat_get_last_autoanalyze_time(c.oid), pg_stat_get_last_analyze_time(c.oid),
                                          pg_stat_get_last_autovacuum_time(c.oid), pg_stat_get_last_vacuum_time(c.oid)) IS NULL
                        THEN c.reltuples ELSE pg_stat_get_live_tuples(c.oid) END) AS rows,
               CASE WHEN exact
                    THEN sum(pg_relation_size(c.oid) + CASE WHEN c.reltoastrelid <> 0 THEN pg_total_relation_size(c.reltoastrelid) ELSE 0 END)
                    ELSE sum((c.relpages::bigint + coalesce(o.relpages, 0)) * current_setting('block_size')::bigint) END AS bytes
        FROM pg_class c LEFT JOIN pg_class o ON o.oid = c.reltoastrelid
        WHERE c.relkind IN ('r', 'm', 'i')
        GROUP BY c.relnamespace) s ON s.relnamespace = n.oid
    WHERE t.status <> 'dropped'
    ON CONFLICT (tenant_id) DO UPDATE SET rows = excluded.rows, bytes = excluded.bytes, changed_at = now()
    WHERE (u.rows, u.bytes) IS DISTINCT FROM (excluded.rows, excluded.bytes);
    PERFORM tenancy.quota_apply();
END$$;
COMMENT ON PROCEDURE tenancy.usage_refresh(boolean) IS 'Looks how much every tenant has and applies quotas of rows and bytes. exact: bytes from the files'' sizes instead of the catalog';

CREATE FUNCTION @extschema@.tenant_quota_set(name text, resource text, hard bigint, soft bigint DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found_id bigint;
BEGIN
    IF resource IS NULL OR resource NOT IN ('rows', 'bytes', 'connections', 'statement_timeout') THEN
        RAISE EXCEPTION 'unknown resource "%"', resource
            USING ERRCODE = '22023', HINT = 'It is "rows", "bytes", "connections" or "statement_timeout".';
    ELSIF hard < 0 OR soft < 0 OR soft > hard
        OR resource IN ('connections', 'statement_timeout') AND (soft IS NOT NULL OR hard > 2147483647 OR resource = 'statement_timeout' AND hard = 0) THEN
        RAISE EXCEPTION 'a quota of this size makes no sense for "%"', resource USING ERRCODE = '22023';
    END IF;
    SELECT t.id INTO found_id FROM tenancy.tenant t
    WHERE t.name = tenant_quota_set.name AND t.status <> 'dropped' FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'tenant "%" does not exist', name USING ERRCODE = 'TN001';
    END IF;
    DELETE FROM tenancy.quota q WHERE q.tenant_id = found_id AND q.resource = tenant_quota_set.resource;
    IF hard IS NOT NULL THEN
        INSERT INTO tenancy.quota (tenant_id, resource, soft, hard) VALUES (found_id, tenant_quota_set.resource, tenant_quota_set.soft, tenant_quota_set.hard);
    END IF;
    IF resource = 'connections' THEN
        UPDATE tenancy.tenant t SET max_connections = tenant_quota_set.hard WHERE t.id = found_id;
    ELSIF resource = 'statement_timeout' THEN
        UPDATE tenancy.tenant t SET statement_timeout = tenant_quota_set.hard WHERE t.id = found_id;
    ELSE
        PERFORM tenancy.quota_apply(found_id);
    END IF;
END$$;
COMMENT ON FUNCTION @extschema@.tenant_quota_set(text, text, bigint, bigint) IS
    'Sets what a tenant may have (rows, bytes) or do (connections: transactions at the same time; statement_timeout: ms); hard null: no limit. Rows and bytes are those of the last tenancy.usage_refresh(). Errors: TN001 unknown tenant, 22023 unknown resource or a size that makes no sense';

REVOKE ALL ON tenancy.tenant_usage, tenancy.quota, tenancy.usage, tenancy.quotas FROM PUBLIC;
REVOKE ALL ON FUNCTION tenancy.quota_apply(bigint), @extschema@.tenant_quota_set(text, text, bigint, bigint) FROM PUBLIC;
REVOKE ALL ON PROCEDURE tenancy.usage_refresh(boolean) FROM PUBLIC;
GRANT SELECT ON tenancy.tenant_usage, tenancy.quota, tenancy.usage, tenancy.quotas TO tenancy_admin, tenancy_operator;
GRANT EXECUTE ON FUNCTION @extschema@.tenant_quota_set(text, text, bigint, bigint) TO tenancy_admin;
GRANT EXECUTE ON PROCEDURE tenancy.usage_refresh(boolean) TO tenancy_admin, tenancy_operator;
