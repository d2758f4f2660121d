-- Filling the cache before it is asked.

CREATE TABLE tenancy.cache_warm_rule (
    name text PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('values', 'searches')),
    blueprint text,
    query text CHECK (kind <> 'values' OR query IS NOT NULL),
    top integer NOT NULL CHECK (top BETWEEN 1 AND 100000),
    ttl integer NOT NULL CHECK (ttl BETWEEN 1 AND 86400),
    tags text[] NOT NULL DEFAULT '{}',
    tables text[] NOT NULL DEFAULT '{}',
    enabled boolean NOT NULL DEFAULT true,
    owner name NOT NULL DEFAULT current_user,
    shipped boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE tenancy.cache_warm_rule IS 'What tenancy.cache_warm() puts into the cache; change, add and remove rows as you like. A dump has all but the shipped ones';
COMMENT ON COLUMN tenancy.cache_warm_rule.kind IS 'values: what query returns; searches: the answers of the searches that were asked most often in the last 24 hours';
COMMENT ON COLUMN tenancy.cache_warm_rule.blueprint IS 'Whose tenants it is for; NULL: all';
COMMENT ON COLUMN tenancy.cache_warm_rule.query IS 'One statement that returns keys (text) and values (jsonb); $1 is top. It reads a tenant''s tables as the owner of its schema, with that schema as search_path';
COMMENT ON COLUMN tenancy.cache_warm_rule.top IS 'How many values or searches of each tenant, at the most';
COMMENT ON COLUMN tenancy.cache_warm_rule.ttl IS 'Seconds that they are kept, 10 % more or less';
COMMENT ON COLUMN tenancy.cache_warm_rule.tags IS 'Tags of the values, so that changes of the tables that they were made of drop them; not needed for keys that cache_keys of tenant_sync_table() names';
COMMENT ON COLUMN tenancy.cache_warm_rule.tables IS 'Tables of the tenant that the query reads: it runs only where every role of tenancy_app may read all of them';
COMMENT ON COLUMN tenancy.cache_warm_rule.owner IS 'Whose query it is: who wrote it last, unless a superuser says otherwise. It runs only for tenants whose schema''s owner''s privileges this role has';
COMMENT ON COLUMN tenancy.cache_warm_rule.shipped IS 'It came with the extension';

CREATE FUNCTION tenancy.cache_warm_rule_owner() RETURNS trigger LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname OPERATOR(pg_catalog.=) current_user) THEN
        RETURN NEW;
    END IF;
    IF TG_OP OPERATOR(pg_catalog.=) 'INSERT' OR NEW.query IS DISTINCT FROM OLD.query OR NEW.tables IS DISTINCT FROM OLD.tables
       OR NEW.owner IS DISTINCT FROM OLD.owner OR NEW.blueprint IS DISTINCT FROM OLD.blueprint THEN
        NEW.owner := current_user;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION tenancy.cache_warm_rule_owner() IS 'Trigger of tenancy.cache_warm_rule: a rule is its writer''s';
REVOKE ALL ON FUNCTION tenancy.cache_warm_rule_owner() FROM PUBLIC;
CREATE TRIGGER owner BEFORE INSERT OR UPDATE ON tenancy.cache_warm_rule FOR EACH ROW EXECUTE FUNCTION tenancy.cache_warm_rule_owner();
COMMENT ON TRIGGER owner ON tenancy.cache_warm_rule IS 'A rule is its writer''s';

INSERT INTO tenancy.cache_warm_rule (name, kind, blueprint, query, top, ttl, tables, shipped) VALUES
    ('top technologies', 'values', 'case_studies',
     'SELECT ''technology:'' || id, to_jsonb(t) - ''search_vector'' FROM technologies t ORDER BY query_count DESC, id LIMIT $1',
     100, 3600, '{technologies}', true),
    ('top searches', 'searches', NULL, NULL, 50, 1800, '{}', true);
REVOKE ALL ON tenancy.cache_warm_rule FROM PUBLIC;
GRANT SELECT ON tenancy.cache_warm_rule TO tenancy_operator;
GRANT SELECT, INSERT, UPDATE, DELETE ON tenancy.cache_warm_rule TO tenancy_admin;
SELECT pg_catalog.pg_extension_config_dump('tenancy.cache_warm_rule', 'WHERE NOT shipped');

CREATE FUNCTION tenancy.cache_warm_tenant(tenant text) RETURNS bigint
    LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tenancy_cache_warm_tenant';
COMMENT ON FUNCTION tenancy.cache_warm_tenant(text) IS 'Fills the cache of one tenant by the rules of tenancy.cache_warm_rule; returns how many values were stored. The tenant is in use until the transaction ends. Errors: TN001 unknown tenant, TN004 suspended, 42804 and 22023 a rule''s query, and those of the queries';
CREATE FUNCTION tenancy.hot_searches(
    tenant text,
    OUT query text, OUT index_type text, OUT filters jsonb, OUT page integer, OUT page_size integer, OUT options jsonb,
    OUT searches bigint
) RETURNS SETOF record
    LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 50 AS 'MODULE_PATHNAME', 'tenancy_hot_searches';
COMMENT ON FUNCTION tenancy.hot_searches(text) IS 'The searches of a tenant that were asked most often through this server in the last 24 hours, of those whose answers are kept; searches: how often, rather too high than too low. Errors: TN001 unknown tenant';

CREATE PROCEDURE tenancy.cache_warm(tenant text DEFAULT NULL, rate integer DEFAULT 500) LANGUAGE plpgsql AS $$
DECLARE
    name text;
    stored bigint;
BEGIN
    IF rate IS NULL OR rate OPERATOR(pg_catalog.<) 1 THEN
        RAISE EXCEPTION 'rate must be at least 1' USING ERRCODE = '22023';
    END IF;
    IF tenant IS NOT NULL AND NOT EXISTS (
        SELECT FROM tenancy.tenants t WHERE t.name OPERATOR(pg_catalog.=) tenant AND t.status OPERATOR(pg_catalog.<>) 'dropped') THEN
        RAISE EXCEPTION 'tenant "%" does not exist', tenant USING ERRCODE = 'TN001';
    END IF;
    FOR name IN
        SELECT t.name FROM tenancy.tenants t
         WHERE t.status OPERATOR(pg_catalog.=) 'active' AND (tenant IS NULL OR t.name OPERATOR(pg_catalog.=) tenant)
         ORDER BY t.id
    LOOP
        stored := 0;
        BEGIN
            stored := tenancy.cache_warm_tenant(name);
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING 'could not warm the cache of tenant "%": %', name, SQLERRM;
        END;
        COMMIT;
        PERFORM pg_catalog.pg_sleep(stored OPERATOR(pg_catalog./) rate::double precision);
    END LOOP;
END
$$;
COMMENT ON PROCEDURE tenancy.cache_warm(text, integer) IS 'Fills the cache of a tenant (NULL: of all active ones, one after the other, each in a transaction of its own) by the rules of tenancy.cache_warm_rule, with at most rate values per second on average. What fails for one tenant is a warning. Call it outside of a transaction, as often as the shortest ttl of a rule. Errors: TN001 unknown tenant, 22023 rate, 2D000 in a transaction';
REVOKE ALL ON FUNCTION tenancy.cache_warm_tenant(text), tenancy.hot_searches(text) FROM PUBLIC;
REVOKE ALL ON PROCEDURE tenancy.cache_warm(text, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.cache_warm_tenant(text), tenancy.hot_searches(text) TO tenancy_operator, tenancy_admin;
GRANT EXECUTE ON PROCEDURE tenancy.cache_warm(text, integer) TO tenancy_operator, tenancy_admin;
