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
        SELECT pg_catalog.substring(bounds, '^FOR VALUES FROM \(''([^'']*)''\)');
    END;
COMMENT ON FUNCTION tenancy.month_from(text) IS 'Lower bound of a partition; NULL: none. Used by the extension itself';

CREATE FUNCTION tenancy.month_to(bounds text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    BEGIN ATOMIC
        SELECT pg_catalog.substring(bounds, '^FOR VALUES FROM \([^)]*\) TO \(''([^'']*)''\)');
    END;
COMMENT ON FUNCTION tenancy.month_to(text) IS 'Upper bound of a partition; NULL: none. Used by the extension itself';

CREATE FUNCTION tenancy.has_no_rows(of_table oid) RETURNS boolean
    LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tenancy_has_no_rows';
COMMENT ON FUNCTION tenancy.has_no_rows(oid) IS 'True if a table had no row since it was made or truncated; false if that is not known, as one that somebody has locked. Used by the extension itself';

CREATE FUNCTION tenancy.partitions_of(of_table oid, OUT partition oid, OUT bounds text) RETURNS SETOF record
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO' AS $$
    WITH part AS (SELECT c.oid, pg_get_expr(c.relpartbound, c.oid) AS bounds FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid
                   WHERE h.inhparent = of_table AND NOT h.inhdetachpending)
    SELECT p.oid, CASE p.bounds WHEN 'DEFAULT' THEN 'DEFAULT ' ||
               (SELECT coalesce(jsonb_agg(o.bounds ORDER BY o.oid), '[]')::text FROM part o WHERE o.bounds <> 'DEFAULT') ELSE p.bounds END
      FROM part p
$$;
COMMENT ON FUNCTION tenancy.partitions_of(oid) IS 'Partitions of a table with their bounds in UTC, those of the default one being what it does not have: the bounds of the others. Used by the extension itself';

CREATE FUNCTION tenancy.month_keeps(bounds text, new_bounds text) RETURNS boolean
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN bounds = new_bounds THEN true
                WHEN bounds NOT LIKE 'DEFAULT %' OR new_bounds NOT LIKE 'DEFAULT %' THEN false
                ELSE substring(bounds, 9)::jsonb @> substring(new_bounds, 9)::jsonb END
$$;
COMMENT ON FUNCTION tenancy.month_keeps(text, text) IS 'True if all documents of a partition stay where they are when it gets other bounds: only a default one may, and loses nothing to a new partition. Used by the extension itself';

CREATE FUNCTION tenancy.is_filling(of_tenant bigint, of_type text) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM tenancy.resync r JOIN tenancy.tenant t ON t.id = r.tenant_id
      JOIN tenancy.sync_table s ON s.blueprint = t.blueprint AND s.table_name = r.table_name
     WHERE r.sink = 'search' AND r.tenant_id = of_tenant AND r.phase <> 'ghosts' AND s.index_type = of_type)
$$;
COMMENT ON FUNCTION tenancy.is_filling(bigint, text) IS 'True if the rows of an index type''s table are to be sent, so that a new index may lack some. Used by the extension itself';

CREATE FUNCTION tenancy.add_month(of_index text, new_partition oid, new_bounds text) RETURNS void
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO' AS $$
DECLARE
    base text;
    new_name text;
BEGIN
    base := of_index || '-' || CASE WHEN new_bounds LIKE 'DEFAULT %' THEN 'default'
        ELSE coalesce(translate(substring(tenancy.month_from(new_bounds), '^[0-9]+-[0-9]+-[0-9]+'), '-', ''), 'before') END;
    FOR n IN 1..1000000 LOOP
        new_name := base || CASE n WHEN 1 THEN '' ELSE '-' || n END;
        EXIT WHEN NOT EXISTS (SELECT FROM tenancy.search_index WHERE index_name = new_name);
    END LOOP;
    INSERT INTO tenancy.search_index (index_name, tenant_id, index_type, alias, role, month_of, partition, bounds, age_from, filled)
    SELECT new_name, 0, g.index_type, g.alias, 'month', g.index_name, new_partition, new_bounds,
           -- a date may be beyond all timestamps
           coalesce(substring(tenancy.month_to(new_bounds), '^[0-9]{4}-.*')::timestamptz, 'infinity'),
           NOT tenancy.is_filling(g.tenant_id, g.index_type)
      FROM tenancy.search_index g WHERE g.index_name = of_index;
END
$$;
COMMENT ON FUNCTION tenancy.add_month(text, oid, text) IS 'Has a partition get an index. Used by the extension itself';

CREATE FUNCTION tenancy.change_placement(of_tenant bigint, of_type text, fits boolean, is_monthly boolean) RETURNS void
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    why CONSTANT text := 'it cannot be placed monthly any more';
    given_up text;
BEGIN
    IF is_monthly AND fits THEN
        DELETE FROM tenancy.index_move m
         WHERE m.tenant_id = of_tenant AND m.index_type = of_type AND m.reason = why AND m.phase NOT IN ('switching', 'grace')
        RETURNING coalesce(m.to_index, '') INTO given_up;
        UPDATE tenancy.search_index SET state = 'dropping', updated_at = now() WHERE index_name = given_up AND role = 'filling';
    ELSIF is_monthly AND NOT EXISTS (SELECT FROM tenancy.index_move m
          WHERE m.tenant_id = of_tenant AND m.index_type = of_type AND m.placement = 'dedicated' AND m.phase <> 'failed')
    THEN
        PERFORM tenancy.queue_reindex(of_tenant, of_type, why, 'dedicated');
    ELSIF fits AND NOT is_monthly AND (tenancy.kept_placement(of_tenant, of_type) = 'monthly' OR tenancy.needs_monthly(of_tenant, of_type))
          AND NOT EXISTS (SELECT FROM tenancy.index_move m
                           WHERE m.tenant_id = of_tenant AND m.index_type = of_type AND m.placement = 'monthly' AND m.phase <> 'failed')
    THEN
        PERFORM tenancy.place(t.name, of_type, 'monthly') FROM tenancy.tenant t WHERE t.id = of_tenant AND t.status <> 'dropped';
    END IF;
END
$$;
COMMENT ON FUNCTION tenancy.change_placement(bigint, text, boolean, boolean) IS 'Has an index placed otherwise whose table became, or is no more, one that it can be placed monthly for. Used by the extension itself';

CREATE FUNCTION tenancy.follow_partitions(of_index text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    whole tenancy.search_index;
    fits boolean;
    changed boolean;
    lost text[];
    part record;
BEGIN
    SELECT * INTO whole FROM tenancy.search_index
     WHERE index_name = of_index AND role IN ('serving', 'filling') AND state <> 'dropping' AND relation IS NOT NULL FOR UPDATE;
    IF NOT FOUND THEN
        UPDATE tenancy.search_index m SET state = 'dropping', updated_at = now()
         WHERE m.month_of = of_index AND m.state <> 'dropping';
        RETURN FOUND;
    END IF;
    fits := tenancy.monthly_refusal(whole.tenant_id, whole.index_type) IS NULL;
    IF whole.role = 'serving' AND (whole.monthly OR fits) THEN
        PERFORM tenancy.change_placement(whole.tenant_id, whole.index_type, fits, whole.monthly);
    END IF;
    IF NOT whole.monthly THEN
        RETURN false;
    END IF;
    WITH now_there AS MATERIALIZED (SELECT * FROM tenancy.partitions_of(whole.relation)), gone AS (
        UPDATE tenancy.search_index m SET state = 'dropping', updated_at = now()
         WHERE m.month_of = of_index AND m.state <> 'dropping' AND NOT EXISTS (SELECT FROM now_there p
                WHERE p.partition = m.partition AND tenancy.month_keeps(m.bounds, p.bounds))
        RETURNING m.bounds, m.partition)
    SELECT array_agg(bounds) IS NOT NULL,
           array_agg(bounds) FILTER (WHERE bounds LIKE 'DEFAULT %' AND NOT tenancy.has_no_rows(partition))
      INTO changed, lost FROM gone;
    IF NOT fits THEN
        -- searches use the table until a dedicated one takes over, whatever is in which index
        UPDATE tenancy.search_index SET filled = false WHERE index_name = of_index AND role = 'serving' AND filled;
        RETURN changed;
    END IF;
    UPDATE tenancy.search_index m SET bounds = p.bounds FROM tenancy.partitions_of(whole.relation) p
     WHERE m.month_of = of_index AND m.state <> 'dropping' AND m.partition = p.partition AND m.bounds <> p.bounds;
    IF lost IS NOT NULL THEN
        -- what stays in the default partition goes into its new index
        PERFORM tenancy.request_resync('search', whole.tenant_id, s.blueprint, s.table_name)
           FROM tenancy.tenant t JOIN tenancy.sync_table s ON s.blueprint = t.blueprint
          WHERE t.id = whole.tenant_id AND s.index_type = whole.index_type;
    END IF;
    FOR part IN SELECT p.partition, p.bounds FROM tenancy.partitions_of(whole.relation) p
             WHERE NOT EXISTS (SELECT FROM tenancy.search_index m
                   WHERE m.month_of = of_index AND m.state <> 'dropping' AND m.partition = p.partition)
             ORDER BY p.partition
    LOOP
        PERFORM tenancy.add_month(of_index, part.partition, part.bounds);
        changed := true;
    END LOOP;
    RETURN changed;
END
$$;
COMMENT ON FUNCTION tenancy.follow_partitions(text) IS 'Has every partition of the table of a monthly index get an index, and those of partitions that are none any more go; true if there were such. A table that is not partitioned so any more gets a dedicated one, one that is again a monthly one if it was one before. Used by the extension itself';

CREATE FUNCTION tenancy.month_came(of_index text) RETURNS void
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- no row was there before the index was: none was left out
    UPDATE tenancy.search_index SET filled = true WHERE index_name = of_index AND tenancy.has_no_rows(partition);
    IF FOUND THEN
        RETURN;
    END IF;
    -- a scan that is under way goes on to its end and is done again; one that is still to be asked for waits for all months
    INSERT INTO tenancy.resync AS r (sink, tenant_id, table_name, phase)
    SELECT 'search', t.id, s.table_name, 'rows'
      FROM tenancy.search_index m JOIN tenancy.search_index w ON w.index_name = m.month_of
      JOIN tenancy.tenant t ON t.id = w.tenant_id JOIN tenancy.sync_table s ON s.blueprint = t.blueprint AND s.index_type = w.index_type
     WHERE m.index_name = of_index AND w.role = 'filling' AND (w.filled OR EXISTS (SELECT FROM tenancy.resync o
           WHERE o.sink = 'search' AND o.tenant_id = t.id AND o.table_name = s.table_name))
    ON CONFLICT (sink, tenant_id, table_name) DO UPDATE
       SET fresh = false, again = CASE WHEN r.phase = 'ghosts' OR r.phase = 'rows' AND r.started_at IS NOT NULL THEN 'rows' ELSE r.again END;
END
$$;
COMMENT ON FUNCTION tenancy.month_came(text) IS 'Has the rows sent that a new month of an index that does not serve yet was not there for. Used by the search worker';

CREATE FUNCTION tenancy.month_lost(of_index text) RETURNS void
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE tenancy.search_index SET state = 'missing', filled = false, attempts = 0, updated_at = now()
     WHERE index_name = of_index AND state IN ('ready', 'altered');
    UPDATE tenancy.index_move v SET phase = 'creating', differences = NULL
      FROM tenancy.search_index m WHERE m.index_name = of_index AND v.to_index = m.month_of AND v.phase = 'switching';
    UPDATE tenancy.search_index w SET state = 'ready', replaces = NULL, filled = false, revision = w.revision + 1, attempts = 0, updated_at = now()
      FROM tenancy.search_index m WHERE m.index_name = of_index AND w.index_name = m.month_of AND w.role = 'filling' AND w.replaces IS NOT NULL;
END
$$;
COMMENT ON FUNCTION tenancy.month_lost(text) IS 'Has an index of one partition made again that the server has lost, before its generation takes over. Used by the search worker';

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
    tenancy.change_placement(bigint, text, boolean, boolean),
    tenancy.follow_partitions(text),
    tenancy.has_no_rows(oid),
    tenancy.is_filling(bigint, text),
    tenancy.month_came(text),
    tenancy.month_from(text),
    tenancy.month_keeps(text, text),
    tenancy.month_lost(text),
    tenancy.month_to(text),
    tenancy.monthly_column(oid),
    tenancy.monthly_refusal(bigint, text),
    tenancy.months_follow(),
    tenancy.needs_monthly(bigint, text),
    tenancy.partitions_of(oid),
    tenancy.place_monthly(text)
FROM PUBLIC;
