-- Where the documents of a tenant and an index type are: in an index of their own, or in one that tenants share.

CREATE FUNCTION tenancy.share_index(of_index text) RETURNS text
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    part tenancy.search_index;
    stem text;
    wanted jsonb;
    found_one text;
    of_owner oid;
BEGIN
    SELECT * INTO STRICT part FROM tenancy.search_index WHERE index_name = of_index FOR UPDATE;
    stem := regexp_replace(of_index, '[0-9]+[.][0-9]+$', 'shared.');
    -- what a tenant's own index would be made with; tenants of one owner only, whose documents could name another tenant
    wanted := part.body || jsonb_build_object('mappings', coalesce(part.body -> 'mappings', '{}') || jsonb_build_object('properties',
        part.fields || coalesce(part.body #> '{mappings,properties}', '{}')
        || '{"_tenancy": {"properties": {"tenant": {"type": "keyword"}, "part": {"type": "keyword"}}}}'),
        'settings', coalesce(part.body -> 'settings', '{}'));
    SELECT b.owner INTO of_owner FROM tenancy.tenant t JOIN tenancy.blueprint b ON b.name = t.blueprint WHERE t.id = part.tenant_id;
    FOR attempt IN 1..2 LOOP
        SELECT s.index_name INTO found_one FROM tenancy.search_index s
         WHERE s.role = 'shared' AND s.index_type = part.index_type AND s.body = wanted AND s.state <> 'dropping'
           AND s.index_name LIKE replace(stem, '_', '\_') || '%'
           AND s.owner = of_owner
           AND (SELECT count(*) FROM tenancy.search_index p WHERE p.shared = s.index_name)
               < current_setting('tenancy.shared_parts')::integer
         ORDER BY s.index_name LIMIT 1 FOR SHARE;
        EXIT WHEN FOUND OR attempt = 2;
        -- who makes one makes the others wait and find it
        PERFORM pg_advisory_xact_lock(hashtextextended('tenancy.share_index ' || stem, 0));
    END LOOP;
    IF found_one IS NULL THEN
        SELECT stem || coalesce(max(substring(index_name from '[0-9]+$')::integer), 0) + 1 INTO found_one
          FROM tenancy.search_index WHERE role = 'shared' AND index_name LIKE replace(stem, '_', '\_') || '%';
        INSERT INTO tenancy.search_index (index_name, tenant_id, index_type, alias, role, body, filled, owner)
        VALUES (found_one, 0, part.index_type, found_one || '.all', 'shared', wanted, true,
                of_owner);
    END IF;
    UPDATE tenancy.search_index SET shared = found_one WHERE index_name = of_index;
    RETURN found_one;
END
$$;
COMMENT ON FUNCTION tenancy.share_index(text) IS 'Makes an index that is still to be made a part of one that tenants share: of one with the same mapping and settings that has room, or of a new one; returns its name. Used by the extension itself';

CREATE FUNCTION tenancy.place(tenant text, index_type text, placement text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    old tenancy.search_index;
    new_name text;
    refusal text;
BEGIN
    IF placement IS NULL OR placement NOT IN ('dedicated', 'shared', 'monthly') THEN
        RAISE EXCEPTION 'unknown placement "%"', placement
            USING ERRCODE = '22023', HINT = 'It can be dedicated, shared or monthly.';
    END IF;
    SELECT i.* INTO old FROM tenancy.search_index i JOIN tenancy.tenant t ON t.id = i.tenant_id
     WHERE t.name = tenant AND t.status <> 'dropped' AND i.index_type = place.index_type AND i.role = 'serving'
       AND i.state <> 'dropping' FOR UPDATE OF i;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'tenant "%" has no index of type "%"', tenant, index_type USING ERRCODE = 'TN001';
    END IF;
    SELECT tenancy.lifecycle_refusal(p.phases, placement, a.append_only) INTO refusal
      FROM tenancy.lifecycle_attachment a JOIN tenancy.lifecycle_policy p ON p.name = a.policy JOIN tenancy.tenant t USING (blueprint)
     WHERE t.id = old.tenant_id AND a.index_type = old.index_type;
    IF refusal IS NOT NULL THEN
        RAISE EXCEPTION 'index type "%" follows a lifecycle policy that it could not have then', index_type USING ERRCODE = 'TN020',
            DETAIL = refusal, HINT = 'tenancy.lifecycle_detach() ends that.';
    END IF;
    refusal := CASE placement WHEN 'monthly' THEN tenancy.monthly_refusal(old.tenant_id, old.index_type) END;
    IF refusal IS NOT NULL THEN
        RAISE EXCEPTION 'index type "%" of tenant "%" cannot be placed monthly', index_type, tenant
            USING ERRCODE = 'TN010', DETAIL = refusal;
    END IF;
    UPDATE tenancy.placement p SET placement = place.placement
     WHERE p.tenant_id = old.tenant_id AND p.index_type = old.index_type;
    IF tenancy.placement_of(old) = placement
       AND NOT EXISTS (SELECT FROM tenancy.index_move m WHERE m.tenant_id = old.tenant_id AND m.index_type = old.index_type)
    THEN
        RETURN false;
    END IF;
    IF old.state = 'pending' THEN
        -- it may be on its way to the server: what was made goes, another one takes its place
        UPDATE tenancy.search_index SET state = 'dropping', role = 'retired', updated_at = now() WHERE index_name = old.index_name;
        SELECT regexp_replace(old.index_name, '[0-9]+$', '')
               || greatest(max(substring(i.index_name from '[0-9]+$')::integer), (SELECT (epoch - 1) * 100000 FROM tenancy.instance)) + 1
          INTO new_name FROM tenancy.search_index i WHERE i.tenant_id = old.tenant_id AND i.index_type = old.index_type;
        INSERT INTO tenancy.search_index (index_name, tenant_id, index_type, alias, old_aliases, body, fields, relation, shape)
        VALUES (new_name, old.tenant_id, old.index_type, old.alias, old.old_aliases, old.body, old.fields, old.relation, old.shape);
        IF placement = 'shared' THEN
            PERFORM tenancy.share_index(new_name);
        ELSIF placement = 'monthly' THEN
            PERFORM tenancy.place_monthly(new_name);
        END IF;
        RETURN true;
    END IF;
    RETURN tenancy.queue_reindex(old.tenant_id, old.index_type, format('tenancy.place() wanted it %s', placement), placement);
END
$$;
COMMENT ON FUNCTION tenancy.place(text, text, text) IS 'Moves the index of a tenant and an index type: dedicated, an index of its own; shared, a part of an index of many tenants; monthly, an index for each partition of a table that is partitioned by RANGE of a date or timestamp column, made before its first document and dropped with the partition. Searches and changes go on, as with tenancy.reindex(). False: it is there already. Errors: TN001 no such tenant or index, 22023 unknown placement, TN010 monthly, but the table is not partitioned so, TN020 the index type follows a lifecycle policy that could not be there';

CREATE FUNCTION tenancy.placement_advice(small_bytes bigint DEFAULT 104857600, large_bytes bigint DEFAULT 10737418240)
    RETURNS TABLE (tenant text, index_type text, placement text, advice text, reason text, documents bigint, bytes bigint)
    LANGUAGE sql STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH sized AS (
        SELECT t.name, t.id, t.blueprint, i.index_type, i.shared, i.monthly, tenancy.placement_of(i) AS placement, z.documents, z.bytes,
               z.partitions, sum(z.bytes) OVER (PARTITION BY i.shared) AS together
          FROM tenancy.search_index i JOIN tenancy.tenant t ON t.id = i.tenant_id AND t.status <> 'dropped'
         CROSS JOIN LATERAL (
               SELECT coalesce(sum(greatest(c.reltuples, 0)) FILTER (WHERE c.relkind = 'r'), 0)::bigint AS documents,
                      coalesce(sum(pg_table_size(c.oid)), 0)::bigint AS bytes, count(*) FILTER (WHERE c.relispartition) AS partitions
                 FROM pg_class c
                WHERE c.oid = i.relation OR c.oid IN (SELECT p.relid FROM pg_partition_tree(i.relation::regclass) p)) z
         WHERE i.role = 'serving' AND i.state <> 'dropping'),
    advised AS (
        SELECT s.*, CASE
                WHEN bytes < small_bytes THEN 'shared'
                WHEN monthly THEN 'monthly'
                WHEN bytes > large_bytes AND partitions > 1 AND tenancy.monthly_refusal(id, s.index_type) IS NULL THEN 'monthly'
                WHEN shared IS NULL THEN 'dedicated'
                WHEN bytes > large_bytes OR bytes > together / 5 AND bytes > large_bytes / 10 THEN 'dedicated'
                ELSE 'shared' END AS better
          FROM sized s),
    possible AS (
        SELECT v.*, (SELECT tenancy.lifecycle_refusal(p.phases, v.better, l.append_only) IS NOT NULL
                       FROM tenancy.lifecycle_attachment l JOIN tenancy.lifecycle_policy p ON p.name = l.policy
                      WHERE l.blueprint = v.blueprint AND l.index_type = v.index_type) IS TRUE AS refused
          FROM advised v)
    SELECT name, index_type, placement, CASE WHEN better = placement OR refused THEN 'keep' ELSE better END,
           CASE WHEN refused AND better <> placement THEN format('it would be %s, but for its lifecycle policy', better)
                WHEN better = 'shared' AND bytes < small_bytes THEN format('it has less than %s', pg_size_pretty(small_bytes))
                WHEN better = 'shared' THEN 'it has a small part of the shared index'
                WHEN better = 'monthly' AND monthly THEN 'it has an index for each partition'
                WHEN better = 'monthly' THEN format('it has more than %s in %s partitions', pg_size_pretty(large_bytes), partitions)
                WHEN shared IS NULL THEN format('it has %s or more', pg_size_pretty(small_bytes))
                WHEN bytes > large_bytes THEN format('it has more than %s', pg_size_pretty(large_bytes))
                ELSE 'it has more than a fifth of the shared index' END,
           documents, bytes
      FROM possible ORDER BY bytes DESC, name, index_type
$$;
COMMENT ON FUNCTION tenancy.placement_advice(bigint, bigint) IS 'Which indices had better be placed otherwise by tenancy.place(), and why: advice is shared for what has less than small_bytes; monthly for a table with more than large_bytes that is partitioned so that it can be; dedicated for what has more than that, or than a fifth of the shared index and a tenth of large_bytes; else keep, as where a lifecycle policy forbids it. documents: rows as of the last ANALYZE; bytes: size of the tables, which is about that of the documents';

REVOKE ALL ON FUNCTION tenancy.share_index(text), tenancy.place(text, text, text), tenancy.placement_advice(bigint, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.place(text, text, text), tenancy.placement_advice(bigint, bigint) TO tenancy_operator, tenancy_admin;
