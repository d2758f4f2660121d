-- Indices whose table is partitioned by time, each partition with an index of its own.

CREATE FUNCTION tenancy.monthly_column(of_table oid) RETURNS text
    LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT a.attname FROM pg_partitioned_table p JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
     WHERE p.partrelid = of_table AND p.partstrat = 'r' AND p.partnatts = 1
       AND a.atttypid IN ('date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype)
$$;
COMMENT ON FUNCTION tenancy.monthly_column(oid) IS 'Column by whose time a table is partitioned by RANGE; NULL: it is not. Used by the extension itself';

CREATE FUNCTION tenancy.monthly_refusal(of_tenant bigint, of_type text) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE
        WHEN c.oid IS NULL THEN 'There is no table that is partitioned.'
        WHEN m.name IS NULL THEN format('Table "%s" is not partitioned by RANGE of one date or timestamp column.', c.relname)
        WHEN NOT EXISTS (SELECT FROM unnest(coalesce(s.key_columns, (SELECT array_agg(a.attname::text) FROM pg_index x
                 JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = ANY (x.indkey) WHERE x.indrelid = c.oid AND x.indisprimary))) k
              WHERE k = m.name)
            THEN format('Column "%s" is not among the columns that identify a row: they do not tell its partition.', m.name) END
      FROM tenancy.tenant t JOIN tenancy.sync_table s ON s.blueprint = t.blueprint AND s.index_type = of_type
      LEFT JOIN pg_namespace n ON n.nspname = t.schema_name
      LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = s.table_name AND c.relkind = 'p'
     CROSS JOIN LATERAL (SELECT tenancy.monthly_column(c.oid) AS name) m
     WHERE t.id = of_tenant
$$;
COMMENT ON FUNCTION tenancy.monthly_refusal(bigint, text) IS 'Why an index cannot be placed monthly; NULL: it can. Used by the extension itself';

CREATE FUNCTION tenancy.month_from(bounds text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    BEGIN ATOMIC
        SELECT pg_catalog.substring(bounds, 'FROM \(''([^'']*)''\)');
    END;
COMMENT ON FUNCTION tenancy.month_from(text) IS 'Lower bound of a partition; NULL: none. Used by the extension itself';

CREATE FUNCTION tenancy.month_to(bounds text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    BEGIN ATOMIC
        SELECT pg_catalog.substring(bounds, 'TO \(''([^'']*)''\)');
    END;
COMMENT ON FUNCTION tenancy.month_to(text) IS 'Upper bound of a partition; NULL: none. Used by the extension itself';

CREATE FUNCTION tenancy.add_month(of_index text, new_partition oid, new_bounds text) RETURNS void
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO' AS $$
DECLARE
    base text;
    new_name text;
BEGIN
    base := of_index || '-' || CASE WHEN new_bounds = 'DEFAULT' THEN 'default'
        ELSE coalesce(to_char(nullif(tenancy.month_from(new_bounds), '-infinity')::timestamp, 'YYYYMMDD'), 'before') END;
    FOR n IN 1..1000000 LOOP
        new_name := base || CASE n WHEN 1 THEN '' ELSE '-' || n END;
        EXIT WHEN NOT EXISTS (SELECT FROM tenancy.search_index WHERE index_name = new_name);
    END LOOP;
    INSERT INTO tenancy.search_index (index_name, tenant_id, index_type, alias, role, month_of, partition, bounds, age_from)
    SELECT new_name, 0, g.index_type, g.alias, 'month', g.index_name, new_partition, new_bounds,
           coalesce(tenancy.month_to(new_bounds)::timestamptz, 'infinity')
      FROM tenancy.search_index g WHERE g.index_name = of_index;
END
$$;
COMMENT ON FUNCTION tenancy.add_month(text, oid, text) IS 'Has a partition get an index. Used by the extension itself';

CREATE FUNCTION tenancy.follow_partitions(of_index text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO' AS $$
DECLARE
    whole tenancy.search_index;
    refusal text;
    changed boolean;
    part record;
BEGIN
    SELECT * INTO whole FROM tenancy.search_index
     WHERE index_name = of_index AND monthly AND role IN ('serving', 'filling') AND state <> 'dropping';
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    refusal := tenancy.monthly_refusal(whole.tenant_id, whole.index_type);
    UPDATE tenancy.search_index m SET state = 'dropping', updated_at = now()
     WHERE m.month_of = of_index AND m.state <> 'dropping'
       AND (refusal IS NOT NULL OR NOT EXISTS (SELECT FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid
             WHERE h.inhparent = whole.relation AND NOT h.inhdetachpending AND c.oid = m.partition
               AND pg_get_expr(c.relpartbound, c.oid) = m.bounds));
    changed := FOUND;
    FOR part IN SELECT c.oid, pg_get_expr(c.relpartbound, c.oid) AS bounds FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid
             WHERE h.inhparent = whole.relation AND NOT h.inhdetachpending AND refusal IS NULL
               AND NOT EXISTS (SELECT FROM tenancy.search_index m
                   WHERE m.month_of = of_index AND m.state <> 'dropping' AND m.partition = c.oid)
             ORDER BY c.oid
    LOOP
        PERFORM tenancy.add_month(of_index, part.oid, part.bounds);
        changed := true;
    END LOOP;
    IF refusal IS NOT NULL AND whole.relation IS NOT NULL AND NOT EXISTS (SELECT FROM tenancy.index_move m
          WHERE m.tenant_id = whole.tenant_id AND m.index_type = whole.index_type AND m.placement = 'dedicated')
    THEN
        PERFORM tenancy.queue_reindex(whole.tenant_id, whole.index_type, 'it cannot be placed monthly any more', 'dedicated');
    END IF;
    RETURN changed;
END
$$;
COMMENT ON FUNCTION tenancy.follow_partitions(text) IS 'Has every partition of the table of a monthly index get an index, and those of partitions that are none any more go; true if there were such. A table that is not partitioned so any more gets a dedicated one. Used by the extension itself';

CREATE FUNCTION tenancy.place_monthly(of_index text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE tenancy.search_index SET monthly = true
     WHERE index_name = of_index AND tenancy.monthly_refusal(tenant_id, index_type) IS NULL;
    RETURN FOUND AND tenancy.follow_partitions(of_index) IS NOT NULL;
END
$$;
COMMENT ON FUNCTION tenancy.place_monthly(text) IS 'Makes an index that is still to be made one with an index for each partition; false: it cannot be. Used by the extension itself';

CREATE FUNCTION tenancy.needs_monthly(of_tenant bigint, of_type text) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM tenancy.tenant t
      JOIN tenancy.lifecycle_attachment a ON a.blueprint = t.blueprint AND a.index_type = of_type
      JOIN tenancy.lifecycle_policy p ON p.name = a.policy
     WHERE t.id = of_tenant AND tenancy.lifecycle_refusal(p.phases, 'dedicated', a.append_only) IS NOT NULL)
$$;
COMMENT ON FUNCTION tenancy.needs_monthly(bigint, text) IS 'True if an index type follows a lifecycle policy that it can have in monthly placement only. Used by the extension itself';

CREATE FUNCTION tenancy.months_follow() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' OR NEW.state = 'dropping' AND OLD.state <> 'dropping' THEN
        UPDATE tenancy.search_index SET state = 'dropping', updated_at = now() WHERE month_of = OLD.index_name AND state <> 'dropping';
    ELSIF NEW.alias <> OLD.alias THEN
        UPDATE tenancy.search_index
           SET old_aliases = old_aliases || alias, alias = NEW.alias, revision = revision + 1, attempts = 0, updated_at = now(),
               state = CASE state WHEN 'ready' THEN 'altered' ELSE state END
         WHERE month_of = NEW.index_name AND state <> 'dropping';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION tenancy.months_follow() IS 'Has months share what becomes of the index that they are months of';
CREATE TRIGGER months_follow AFTER UPDATE ON tenancy.search_index
    FOR EACH ROW WHEN (OLD.monthly) EXECUTE FUNCTION tenancy.months_follow();
CREATE TRIGGER months_follow_last AFTER DELETE ON tenancy.search_index
    FOR EACH ROW WHEN (OLD.monthly) EXECUTE FUNCTION tenancy.months_follow();

REVOKE ALL ON FUNCTION
    tenancy.add_month(text, oid, text),
    tenancy.follow_partitions(text),
    tenancy.month_from(text),
    tenancy.month_to(text),
    tenancy.monthly_column(oid),
    tenancy.monthly_refusal(bigint, text),
    tenancy.months_follow(),
    tenancy.needs_monthly(bigint, text),
    tenancy.place_monthly(text)
FROM PUBLIC;
