-- What applications on the shipped blueprint used to prepare as statements: functions need no PREPARE, so they work behind a
-- pooler that gives each transaction another connection.

CREATE FUNCTION @extschema@.tenant_technology(id uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE STRICT PARALLEL RESTRICTED AS $$
DECLARE
    found jsonb;
BEGIN
    IF @extschema@.tenant_current() IS NULL THEN
        RAISE EXCEPTION 'no tenant is in use' USING ERRCODE = 'TN005', HINT = 'Call tenant_use() first, in the same transaction.';
    END IF;
    EXECUTE pg_catalog.format('SELECT pg_catalog.to_jsonb(t) OPERATOR(pg_catalog.-) ''search_vector'' FROM %I.technologies t WHERE t.id OPERATOR(pg_catalog.=) $1',
        (SELECT s.schema_name FROM @extschema@.tenant_schema() s)) INTO found USING tenant_technology.id;
    RETURN found;
END
$$;
