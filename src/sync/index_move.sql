-- Search indices that are replaced by others while they serve.

CREATE TABLE tenancy.index_move (
    tenant_id bigint NOT NULL,
    index_type text NOT NULL,
    phase text NOT NULL DEFAULT 'queued'
        CHECK (phase IN ('queued', 'creating', 'filling', 'verifying', 'switching', 'grace', 'failed')),
    from_index text,
    to_index text,
    placement text CHECK (placement IN ('dedicated', 'shared', 'monthly')),
    reason text NOT NULL,
    again text,
    attempts integer NOT NULL DEFAULT 0,
    rows_done bigint NOT NULL DEFAULT 0,
    differences bigint,
    last_error text,
    requested_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    started_at timestamptz,
    switched_at timestamptz,
    PRIMARY KEY (tenant_id, index_type)
);
COMMENT ON TABLE tenancy.index_move IS 'Indices that are being replaced by a new generation; a row goes when the old index is dropped. See view tenancy.stat_progress_reindex';
COMMENT ON COLUMN tenancy.index_move.placement IS 'What the new one is to be; NULL: as the old one';
COMMENT ON COLUMN tenancy.index_move.reason IS 'Why it was asked for';
COMMENT ON COLUMN tenancy.index_move.again IS 'Reason to begin anew when this one is over; NULL: none';
COMMENT ON COLUMN tenancy.index_move.attempts IS 'Times that the new index took nothing, or was not what the table says';
COMMENT ON COLUMN tenancy.index_move.rows_done IS 'Rows that were sent for the new index';
COMMENT ON COLUMN tenancy.index_move.differences IS 'What the last comparison of the new index with its table found; NULL: not compared since it was filled';
COMMENT ON COLUMN tenancy.index_move.from_index IS 'Index that serves until the switch; NULL: not begun';

CREATE FUNCTION tenancy.queue_reindex(of_tenant bigint, of_type text, why text, wanted text DEFAULT NULL) RETURNS boolean
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    running tenancy.index_move;
BEGIN
    PERFORM FROM tenancy.search_index
      WHERE tenant_id = of_tenant AND index_type = of_type AND role = 'serving' AND state NOT IN ('pending', 'dropping')
        FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO tenancy.index_move (tenant_id, index_type, reason, placement) VALUES (of_tenant, of_type, why, wanted)
        ON CONFLICT DO NOTHING;
    IF FOUND THEN
        RETURN true;
    END IF;
    SELECT * INTO running FROM tenancy.index_move WHERE tenant_id = of_tenant AND index_type = of_type FOR UPDATE;
    IF running.phase IN ('switching', 'grace') THEN
        UPDATE tenancy.index_move SET again = why, placement = coalesce(wanted, CASE WHEN again IS NOT NULL THEN placement END)
         WHERE tenant_id = of_tenant AND index_type = of_type;
    ELSIF running.phase = 'queued' THEN
        UPDATE tenancy.index_move SET placement = coalesce(wanted, placement)
         WHERE tenant_id = of_tenant AND index_type = of_type;
    ELSE
        UPDATE tenancy.search_index SET state = 'dropping', updated_at = now()
         WHERE index_name = running.to_index AND role = 'filling';
        UPDATE tenancy.index_move
           SET phase = 'queued', from_index = NULL, to_index = NULL, reason = why, attempts = 0, rows_done = 0,
               placement = CASE phase WHEN 'failed' THEN wanted ELSE coalesce(wanted, placement) END,
               differences = NULL, last_error = NULL, requested_at = clock_timestamp(), started_at = NULL
         WHERE tenant_id = of_tenant AND index_type = of_type;
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION tenancy.queue_reindex(bigint, text, text, text) IS 'Asks for a new generation of an index, with the body that it should have then; one that is being filled is begun anew, after a switch another one follows. False: there is no index, or it is still to be made. Used by the extension itself; see tenancy.reindex()';

CREATE FUNCTION tenancy.kept_fields(old_body jsonb, new_body jsonb, fields jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    BEGIN ATOMIC
        SELECT CASE WHEN old_body OPERATOR(pg_catalog.#>) '{mappings,_meta,generated}' IS NOT NULL
                      OR new_body OPERATOR(pg_catalog.#>) '{mappings,_meta,generated}' IS NOT NULL THEN '{}' ELSE fields END;
    END;
COMMENT ON FUNCTION tenancy.kept_fields(jsonb, jsonb, jsonb) IS 'Fields of columns that came later, for another body: one that was generated has them all. Used by the extension itself';

CREATE FUNCTION tenancy.start_reindex(of_tenant bigint, of_type text) RETURNS void
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    old tenancy.search_index;
    new_name text;
    wanted text;
BEGIN
    SELECT * INTO old FROM tenancy.search_index
      WHERE tenant_id = of_tenant AND index_type = of_type AND role = 'serving' AND state <> 'dropping' FOR UPDATE;
    IF NOT FOUND THEN
        DELETE FROM tenancy.index_move WHERE tenant_id = of_tenant AND index_type = of_type;
        RETURN;
    END IF;
    -- above what an epoch that is lost may have made
    SELECT regexp_replace(old.index_name, '[0-9]+$', '')
           || greatest(max(substring(index_name from '[0-9]+$')::integer), (SELECT (epoch - 1) * 100000 FROM tenancy.instance)) + 1
      INTO new_name FROM tenancy.search_index WHERE tenant_id = of_tenant AND index_type = of_type;
    INSERT INTO tenancy.search_index (index_name, tenant_id, index_type, alias, role, body, fields, relation, shape, age_from)
    SELECT new_name, of_tenant, of_type, old.alias, 'filling', b, tenancy.kept_fields(old.body, b, old.fields), old.relation, old.shape,
           old.age_from
      FROM tenancy.index_body(of_tenant, of_type) b;
    SELECT placement INTO wanted FROM tenancy.index_move WHERE tenant_id = of_tenant AND index_type = of_type;
    wanted := coalesce(wanted, tenancy.placement_of(old));
    IF wanted = 'shared' THEN
        PERFORM tenancy.share_index(new_name);
    ELSIF wanted = 'monthly' THEN
        PERFORM tenancy.place_monthly(new_name);
    END IF;
    UPDATE tenancy.index_move
       SET phase = 'creating', from_index = old.index_name, to_index = new_name, started_at = clock_timestamp()
     WHERE tenant_id = of_tenant AND index_type = of_type;
END
$$;
COMMENT ON FUNCTION tenancy.start_reindex(bigint, text) IS 'Begins what tenancy.queue_reindex() asked for. Used by the search worker';

CREATE FUNCTION tenancy.index_move_trouble(of_index text, why text, is_final boolean) RETURNS boolean
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tries integer;
BEGIN
    of_index := coalesce((SELECT month_of FROM tenancy.search_index WHERE index_name = of_index), of_index);
    UPDATE tenancy.search_index SET state = 'dropping', updated_at = now() WHERE index_name = of_index AND role = 'retired';
    IF FOUND THEN
        RETURN true;
    END IF;
    UPDATE tenancy.index_move
       SET attempts = attempts + 1, last_error = why, differences = NULL,
           phase = CASE WHEN is_final OR attempts >= 10 THEN 'failed' ELSE 'creating' END
     WHERE to_index = of_index AND phase IN ('creating', 'filling', 'verifying')
     RETURNING CASE phase WHEN 'failed' THEN 0 ELSE attempts END INTO tries;
    UPDATE tenancy.search_index
       SET state = CASE tries WHEN 0 THEN 'dropping' ELSE 'missing' END, attempts = tries, filled = false,
           last_error = why, updated_at = now()
     WHERE index_name = of_index AND role = 'filling' AND tries IS NOT NULL;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION tenancy.index_move_trouble(text, text, boolean) IS 'An index that does not serve takes no documents: it is filled again later, or given up. False: it cannot be done without now. Used by the search worker';

CREATE FUNCTION tenancy.index_move_barred(of_index text, why text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE tenancy.index_move SET phase = 'creating' WHERE to_index = of_index AND phase = 'switching';
    UPDATE tenancy.search_index SET replaces = NULL, revision = revision + 1 WHERE index_name = of_index AND role = 'filling';
    RETURN tenancy.index_move_trouble(of_index, why, false);
END
$$;
COMMENT ON FUNCTION tenancy.index_move_barred(text, text) IS 'An index that was to take over must not, and lacks fields: it is put aside, as it holds up the one that serves. Used by the search worker';

CREATE FUNCTION tenancy.index_move_switched(new_index text) RETURNS void
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE tenancy.search_index o SET role = 'retired', revision = o.revision + 1
      FROM tenancy.search_index n WHERE n.index_name = new_index AND o.index_name = n.replaces AND o.role = 'serving';
    UPDATE tenancy.search_index SET role = 'serving', replaces = NULL WHERE index_name = new_index;
    UPDATE tenancy.index_move SET phase = 'grace', switched_at = clock_timestamp(), last_error = NULL
     WHERE to_index = new_index;
    -- the new index may take what the old one refused
    PERFORM tenancy.mark_dirty(d.relation, d.key)
       FROM tenancy.dead_letter d JOIN tenancy.search_index i ON i.tenant_id = d.tenant_id AND i.relation = d.relation
      WHERE d.sink = 'search' AND i.index_name = new_index;
END
$$;
COMMENT ON FUNCTION tenancy.index_move_switched(text) IS 'Notes that an index has taken over the alias of the one it replaces. Used by the search worker';

CREATE FUNCTION tenancy.index_moves_end(grace interval) RETURNS void
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    over record;
    unused text[];
BEGIN
    UPDATE tenancy.search_index o SET state = 'dropping', updated_at = now()
      FROM tenancy.index_move m
     WHERE m.phase = 'grace' AND m.switched_at + grace <= clock_timestamp()
       AND o.index_name = m.from_index AND o.role = 'retired' AND o.state <> 'dropping';
    -- shared indices that nobody has a part of; who wants a part locks the index, so it is locked before it is looked at again
    SELECT array_agg(index_name) INTO unused FROM (SELECT s.index_name FROM tenancy.search_index s
         WHERE s.role = 'shared' AND s.state <> 'dropping'
           AND NOT EXISTS (SELECT FROM tenancy.search_index p WHERE p.shared = s.index_name)
           FOR UPDATE SKIP LOCKED) locked;
    UPDATE tenancy.search_index s SET state = 'dropping', updated_at = now()
     WHERE s.index_name = ANY (unused)
       AND NOT EXISTS (SELECT FROM tenancy.search_index p WHERE p.shared = s.index_name);
    FOR over IN
        DELETE FROM tenancy.index_move m
         WHERE m.phase <> 'queued' AND NOT EXISTS (SELECT FROM tenancy.search_index i
                WHERE CASE m.phase WHEN 'grace' THEN i.index_name = m.from_index
                           ELSE i.index_name = m.to_index AND i.state <> 'dropping' END)
           AND (m.phase <> 'failed' OR NOT EXISTS (SELECT FROM tenancy.search_index i
                WHERE i.tenant_id = m.tenant_id AND i.index_type = m.index_type AND i.role = 'serving'))
        RETURNING m.tenant_id, m.index_type, m.again, m.placement
    LOOP
        IF over.again IS NOT NULL THEN
            PERFORM tenancy.queue_reindex(over.tenant_id, over.index_type, over.again, over.placement);
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION tenancy.index_moves_end(interval) IS 'Ends moves whose grace is over, or whose index is gone. Used by the search worker';

CREATE FUNCTION tenancy.index_has_table(of_index text) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT i.relation IS NOT NULL
           OR EXISTS (SELECT FROM tenancy.tenant t JOIN tenancy.sync_table s ON s.blueprint = t.blueprint
                        JOIN pg_namespace n ON n.nspname = t.schema_name
                        JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = s.table_name
                       WHERE t.id = i.tenant_id AND s.index_type = i.index_type)
      FROM tenancy.search_index i WHERE i.index_name = of_index
$$;
COMMENT ON FUNCTION tenancy.index_has_table(text) IS 'True if there are rows that an index of a tenant can have. Used by the search worker';

CREATE FUNCTION tenancy.index_moves_advance(grace interval) RETURNS TABLE (moving bigint, to_verify bigint)
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM tenancy.index_moves_end(grace);
    PERFORM tenancy.start_reindex(q.tenant_id, q.index_type)
       FROM (SELECT m.tenant_id, m.index_type FROM tenancy.index_move m WHERE m.phase = 'queued'
              ORDER BY m.requested_at
              LIMIT greatest(0, 4 - (SELECT count(*) FROM tenancy.index_move a
                                      WHERE a.phase IN ('creating', 'filling', 'verifying', 'switching')
                                        -- one that does not get on keeps none from beginning
                                        AND NOT EXISTS (SELECT FROM tenancy.search_index i
                                            WHERE a.to_index IN (i.index_name, i.month_of) AND i.attempts >= 5)))) q;
    UPDATE tenancy.index_move m SET phase = n.phase, differences = CASE n.phase WHEN 'switching' THEN 0 END
      FROM (SELECT i.index_name, CASE
              WHEN i.replaces IS NOT NULL THEN m.phase
              WHEN i.state IN ('pending', 'missing', 'emptying') THEN 'creating'
              WHEN EXISTS (SELECT FROM tenancy.search_index n WHERE n.month_of = i.index_name
                              AND n.state IN ('pending', 'missing', 'emptying')) THEN 'creating'
              WHEN i.state <> 'ready' THEN m.phase
              WHEN EXISTS (SELECT FROM tenancy.resync r JOIN tenancy.tenant t ON t.id = r.tenant_id
                     JOIN tenancy.sync_table s ON s.blueprint = t.blueprint AND s.table_name = r.table_name
                    WHERE r.sink = 'search' AND r.tenant_id = m.tenant_id AND s.index_type = m.index_type) THEN 'filling'
              WHEN NOT tenancy.index_has_table(i.index_name) THEN 'switching' -- nothing to be filled with
              WHEN NOT i.filled THEN 'filling'
              WHEN m.differences = 0 THEN 'switching' ELSE 'verifying' END AS phase
              FROM tenancy.index_move m JOIN tenancy.search_index i ON i.index_name = m.to_index
             WHERE m.phase IN ('creating', 'filling', 'verifying', 'switching')) n
     WHERE m.to_index = n.index_name AND m.phase <> n.phase;
    -- its rows went by while it could not be said that it has them
    PERFORM tenancy.request_resync('search', m.tenant_id, NULL, s.table_name)
       FROM tenancy.index_move m JOIN tenancy.search_index i ON i.index_name = m.to_index AND i.state = 'ready' AND NOT i.filled
       JOIN tenancy.tenant t ON t.id = m.tenant_id
       JOIN tenancy.sync_table s ON s.blueprint = t.blueprint AND s.index_type = m.index_type
      WHERE m.phase = 'filling' AND tenancy.index_has_table(i.index_name) AND NOT EXISTS (SELECT FROM tenancy.resync r
            WHERE r.sink = 'search' AND r.tenant_id = m.tenant_id AND r.table_name = s.table_name);
    UPDATE tenancy.search_index i
       SET state = 'altered', replaces = m.from_index, filled = i.filled OR i.relation IS NULL, revision = i.revision + 1,
           attempts = 0, updated_at = now()
      FROM tenancy.index_move m
     WHERE m.phase = 'switching' AND i.index_name = m.to_index AND i.state = 'ready' AND i.role = 'filling';
    RETURN QUERY SELECT count(*) FILTER (WHERE phase <> 'failed'), count(*) FILTER (WHERE phase = 'verifying' AND NOT tenancy.index_is_held(to_index))
                   FROM tenancy.index_move;
END
$$;
COMMENT ON FUNCTION tenancy.index_moves_advance(interval) IS 'Takes every move one phase on, where that is due; returns how many there are, and how many wait for a comparison. Used by the search worker';

CREATE FUNCTION tenancy.index_is_held(of_index text) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM tenancy.sync_pause p
                    WHERE p.sink = 'search' AND (p.tenant_id IS NULL OR p.tenant_id = i.tenant_id))
           OR EXISTS (SELECT FROM tenancy.backlog b
                       WHERE b.sink = 'search' AND (b.relid = i.relation OR b.relid IN
                             (SELECT p.relid FROM pg_partition_tree(i.relation::regclass) p)))
      FROM tenancy.search_index i WHERE i.index_name = of_index
$$;
COMMENT ON FUNCTION tenancy.index_is_held(text) IS 'True if changes wait for a pause to end, or in tenancy.backlog: an index is not what its table says then. Used by the extension itself';

CREATE FUNCTION tenancy.index_move_verified(of_index text, wrong bigint) RETURNS void
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF wrong > 0 AND tenancy.index_is_held(of_index) THEN
        RETURN;
    END IF;
    UPDATE tenancy.index_move SET differences = wrong WHERE to_index = of_index AND phase = 'verifying';
    IF FOUND AND wrong > 0 THEN
        PERFORM tenancy.index_move_differs(of_index, wrong);
    END IF;
END
$$;
COMMENT ON FUNCTION tenancy.index_move_verified(text, bigint) IS 'Notes what the comparison of a new index with its table found. Used by the extension itself';

CREATE FUNCTION tenancy.index_move_differs(of_index text, wrong bigint) RETURNS void
    LANGUAGE sql VOLATILE
    BEGIN ATOMIC
        UPDATE tenancy.index_move
           SET attempts = attempts OPERATOR(pg_catalog.+) 1, differences = NULL,
               last_error = pg_catalog.format('%s documents of the new index were not what the table says', wrong),
               phase = CASE WHEN attempts OPERATOR(pg_catalog.>=) 10 THEN 'failed' ELSE phase END
         WHERE to_index OPERATOR(pg_catalog.=) of_index;
        UPDATE tenancy.search_index i SET state = 'dropping', updated_at = pg_catalog.now()
          FROM tenancy.index_move m
         WHERE m.to_index OPERATOR(pg_catalog.=) of_index AND m.phase OPERATOR(pg_catalog.=) 'failed'
           AND i.index_name OPERATOR(pg_catalog.=) of_index;
    END;
COMMENT ON FUNCTION tenancy.index_move_differs(text, bigint) IS 'The new index is not right yet: it is mended and compared again, ten times. Used by the extension itself';

CREATE FUNCTION tenancy.adopt_body(of_tenant bigint, of_type text) RETURNS text
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    old tenancy.search_index;
    wanted jsonb;
    kept jsonb;
    present jsonb;
    then_body jsonb;
    diff record;
    outcome text;
BEGIN
    PERFORM tenancy.follow_partitions(i.index_name)
       FROM (SELECT index_name FROM tenancy.search_index
              WHERE tenant_id = of_tenant AND index_type = of_type AND role IN ('serving', 'filling') ORDER BY role DESC) i;
    SELECT * INTO old FROM tenancy.search_index
      WHERE tenant_id = of_tenant AND index_type = of_type AND role = 'serving' AND state <> 'dropping' FOR UPDATE;
    wanted := tenancy.index_body(of_tenant, of_type);
    IF old.index_name IS NULL OR wanted IS NULL THEN
        RETURN NULL;
    END IF;
    kept := tenancy.kept_fields(old.body, wanted, old.fields);
    present := tenancy.merged_body(old.body, old.fields);
    then_body := tenancy.merged_body(wanted, kept);
    IF present = then_body THEN
        outcome := NULL;
    ELSIF old.state IN ('pending', 'missing', 'emptying') THEN
        UPDATE tenancy.search_index
           SET body = wanted, fields = kept, revision = revision + 1, updated_at = now(),
               to_put = CASE WHEN shared IS NULL THEN '{}' ELSE coalesce(then_body #> '{mappings,properties}', '{}') END
         WHERE index_name = old.index_name;
        -- it may be on its way with the old one
        outcome := CASE old.state WHEN 'pending' THEN 'later' ELSE 'reindex' END;
    ELSE
        SELECT d.change, d.fields, d.root, d.settings INTO diff FROM tenancy.mapping_diff(present, then_body) d;
        IF diff.change = 'reindex' THEN
            -- the server refuses those that it has mapped otherwise by itself
            SELECT 'put' AS change, coalesce(jsonb_object_agg(key, value), '{}') AS fields, '{}'::jsonb AS root, '{}'::jsonb AS settings
              INTO diff FROM jsonb_each(then_body #> '{mappings,properties}')
             WHERE NOT coalesce(present #> '{mappings,properties}' ? key, false);
            IF tenancy.merged_body(present, diff.fields) <> then_body THEN
                diff.change := 'reindex';
            END IF;
        END IF;
        IF diff.change = 'reindex' OR old.shared IS NOT NULL AND (diff.root <> '{}' OR diff.settings <> '{}') THEN
            outcome := 'reindex';
        ELSE
            -- of a field that waits already all is put
            SELECT coalesce(jsonb_object_agg(key, CASE WHEN old.to_put ? key THEN then_body #> ARRAY['mappings', 'properties', key] ELSE value END), '{}')
              INTO diff.fields FROM jsonb_each(diff.fields);
            UPDATE tenancy.search_index
               SET body = wanted, fields = kept, to_put = to_put || diff.fields,
                   to_set = CASE WHEN diff.root = '{}' AND diff.settings = '{}' THEN to_set ELSE jsonb_build_object(
                       'settings', coalesce(to_set -> 'settings', '{}') || diff.settings, 'root', coalesce(to_set -> 'root', '{}') || diff.root) END,
                   revision = revision + 1, attempts = 0, updated_at = now(),
                   state = CASE WHEN diff.fields = '{}' AND diff.root = '{}' AND diff.settings = '{}' THEN state ELSE 'altered' END
             WHERE index_name = old.index_name;
            outcome := 'put';
        END IF;
    END IF;
    -- what takes its place soon may have another one
    IF outcome = 'reindex'
       OR EXISTS (SELECT FROM tenancy.search_index WHERE tenant_id = of_tenant AND index_type = of_type AND role = 'filling'
                     AND state <> 'dropping' AND tenancy.merged_body(body, fields) <> then_body)
    THEN
        outcome := CASE WHEN tenancy.queue_reindex(of_tenant, of_type, 'the mapping was changed') THEN 'reindex' ELSE outcome END;
    END IF;
    RETURN outcome;
END
$$;
COMMENT ON FUNCTION tenancy.adopt_body(bigint, text) IS 'Brings an index in line with the body that it should have: by putting fields and settings (put), by a new generation (reindex), or when it is made (later); NULL: nothing to do. Used by the extension itself';

CREATE FUNCTION tenancy.reindex(tenant text DEFAULT NULL, index_type text DEFAULT NULL) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF tenant IS NOT NULL AND NOT EXISTS (SELECT FROM tenancy.tenant t WHERE t.name = tenant AND t.status <> 'dropped') THEN
        RAISE EXCEPTION 'tenant "%" does not exist', tenant USING ERRCODE = 'TN001';
    END IF;
    RETURN (SELECT count(*) FILTER (WHERE tenancy.queue_reindex(t.id, s.index_type, 'tenancy.reindex() was called'))
              FROM tenancy.tenant t JOIN tenancy.sync_table s ON s.blueprint = t.blueprint
             WHERE t.status <> 'dropped' AND s.index_type IS NOT NULL AND (tenant IS NULL OR t.name = tenant)
               AND (reindex.index_type IS NULL OR s.index_type = reindex.index_type));
END
$$;
COMMENT ON FUNCTION tenancy.reindex(text, text) IS 'Makes the index of a tenant and an index type anew (NULL: of all), with its mapping and settings as they are declared now. The old one serves until the new one has every row and was compared; then the alias is moved in one step, and the old one kept in step for tenancy.reindex_grace more. See tenancy.stat_progress_reindex. Returns the number of indices. Errors: TN001 unknown tenant';

CREATE FUNCTION tenancy.reindex_cancel(tenant text, index_type text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    cancelled text;
BEGIN
    DELETE FROM tenancy.index_move m USING tenancy.tenant t
     WHERE t.name = tenant AND t.status <> 'dropped' AND m.tenant_id = t.id
       AND m.index_type = reindex_cancel.index_type AND m.phase NOT IN ('switching', 'grace')
     RETURNING coalesce(m.to_index, '') INTO cancelled;
    UPDATE tenancy.search_index SET state = 'dropping', updated_at = now()
     WHERE index_name = cancelled AND role = 'filling';
    UPDATE tenancy.placement p SET placement = tenancy.placement_of(i)
      FROM tenancy.search_index i JOIN tenancy.tenant t ON t.id = i.tenant_id AND t.name = tenant AND t.status <> 'dropped'
     WHERE cancelled IS NOT NULL AND i.index_type = reindex_cancel.index_type AND i.role = 'serving' AND i.state <> 'dropping'
       AND p.tenant_id = i.tenant_id AND p.index_type = i.index_type;
    RETURN cancelled IS NOT NULL;
END
$$;
COMMENT ON FUNCTION tenancy.reindex_cancel(text, text) IS 'Gives up a new index that has not taken the old one''s place yet, or forgets one that failed; false if there is none';

CREATE VIEW tenancy.stat_progress_reindex AS
    SELECT t.name AS tenant, m.index_type, m.phase, m.from_index, m.to_index, m.reason,
           greatest(m.rows_done, CASE m.phase WHEN 'filling' THEN r.rows_done END) AS rows_done, m.attempts,
           m.started_at, m.switched_at, coalesce(m.last_error, i.last_error,
               (SELECT min(n.last_error) FROM tenancy.search_index n WHERE n.month_of = m.to_index AND n.state <> 'ready'), r.last_error) AS last_error
      FROM tenancy.index_move m
      JOIN tenancy.tenant t ON t.id = m.tenant_id
      LEFT JOIN tenancy.sync_table s ON s.blueprint = t.blueprint AND s.index_type = m.index_type
      LEFT JOIN tenancy.search_index i ON i.index_name = m.to_index
      LEFT JOIN tenancy.resync r ON r.sink = 'search' AND r.tenant_id = m.tenant_id AND r.table_name = s.table_name
     WHERE t.status <> 'dropped';
COMMENT ON VIEW tenancy.stat_progress_reindex IS 'Indices that are being replaced';
COMMENT ON COLUMN tenancy.stat_progress_reindex.phase IS 'queued; creating: the new index is made; filling: it gets every row, and every change; verifying: it is compared with the table; switching: the alias is moved; grace: it serves, and the old one is kept in step; failed: it was given up, see last_error, and the old one goes on serving';
COMMENT ON COLUMN tenancy.stat_progress_reindex.rows_done IS 'Rows that were sent for the new index';

REVOKE ALL ON tenancy.index_move, tenancy.stat_progress_reindex FROM PUBLIC;
REVOKE ALL ON FUNCTION
    tenancy.kept_fields(jsonb, jsonb, jsonb), tenancy.queue_reindex(bigint, text, text, text), tenancy.start_reindex(bigint, text),
    tenancy.index_move_trouble(text, text, boolean), tenancy.index_move_barred(text, text), tenancy.index_move_switched(text), tenancy.index_moves_end(interval),
    tenancy.index_has_table(text), tenancy.index_is_held(text), tenancy.index_moves_advance(interval), tenancy.index_move_verified(text, bigint),
    tenancy.index_move_differs(text, bigint), tenancy.adopt_body(bigint, text), tenancy.reindex(text, text),
    tenancy.reindex_cancel(text, text)
FROM PUBLIC;
GRANT SELECT ON tenancy.index_move, tenancy.stat_progress_reindex TO tenancy_operator, tenancy_admin;
GRANT EXECUTE ON FUNCTION tenancy.reindex(text, text), tenancy.reindex_cancel(text, text) TO tenancy_operator, tenancy_admin;
