-- What is to be done to indices by their lifecycle policy, by the search worker or by the server.

CREATE TABLE tenancy.server_policy (
    name text PRIMARY KEY,
    policy text NOT NULL
);
COMMENT ON TABLE tenancy.server_policy IS 'Lifecycle policies that the search server was given; a row goes when the server has it no more';
COMMENT ON COLUMN tenancy.server_policy.name IS 'Its name there, which tells what it says: another one has another name';
COMMENT ON COLUMN tenancy.server_policy.policy IS 'Policy of tenancy.lifecycle_policy that it was made of';

CREATE FUNCTION tenancy.lifecycle_for_nodes(phases jsonb, nodes text[]) RETURNS jsonb
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(jsonb_object_agg(p.key, CASE WHEN p.value ->> 'nodes' = ANY (nodes) THEN p.value ELSE p.value - 'nodes' END), '{}')
      FROM jsonb_each(phases) p
$$;
COMMENT ON FUNCTION tenancy.lifecycle_for_nodes(jsonb, text[]) IS 'Phases without wishes for nodes that there are none of. Used by the extension itself';

CREATE FUNCTION tenancy.lifecycle_handed(phases jsonb, nodes text[]) RETURNS jsonb
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(jsonb_object_agg(p.key, p.value - 'rollover'), '{}')
      FROM jsonb_each(tenancy.lifecycle_for_nodes(phases, nodes)) p WHERE p.key <> 'delete' AND p.value - '{rollover,after}'::text[] <> '{}'
$$;
COMMENT ON FUNCTION tenancy.lifecycle_handed(jsonb, text[]) IS 'What of phases a search server with an API for it carries out: not rollover, which no placement here has, and not delete, after which the registry must know of a new index. Used by the extension itself';

CREATE FUNCTION tenancy.lifecycle_server_name(policy text, phases jsonb) RETURNS text
    LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('pg_tenancy-%s-%s-%s', (SELECT id FROM tenancy.instance), policy, left(md5(phases::text), 8))
$$;
COMMENT ON FUNCTION tenancy.lifecycle_server_name(text, jsonb) IS 'Name that a policy has on the search server, with what it says. Used by the extension itself';

CREATE FUNCTION tenancy.lifecycle_server_policies(api text, nodes text[])
    RETURNS TABLE (name text, body jsonb)
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    IF api IS NULL THEN
        DELETE FROM tenancy.server_policy;
        RETURN;
    END IF;
    RETURN QUERY
        SELECT w.name, CASE api WHEN 'ilm' THEN tenancy.lifecycle_ilm_body(w.phases) ELSE tenancy.lifecycle_ism_body(w.policy, w.phases) END
          FROM (SELECT DISTINCT p.name AS policy, h AS phases, tenancy.lifecycle_server_name(p.name, h) AS name
                  FROM tenancy.lifecycle_policy p JOIN tenancy.lifecycle_attachment a ON a.policy = p.name
                 CROSS JOIN tenancy.lifecycle_handed(p.phases, nodes) h WHERE h <> '{}') w;
    INSERT INTO tenancy.server_policy (name, policy)
    SELECT tenancy.lifecycle_server_name(p.name, h), p.name
      FROM tenancy.lifecycle_policy p CROSS JOIN tenancy.lifecycle_handed(p.phases, nodes) h
     WHERE h <> '{}' AND EXISTS (SELECT FROM tenancy.lifecycle_attachment a WHERE a.policy = p.name)
        ON CONFLICT DO NOTHING;
    -- without a body: to be removed
    RETURN QUERY
        SELECT s.name, NULL::jsonb FROM tenancy.server_policy s
         WHERE NOT EXISTS (SELECT FROM tenancy.lifecycle_attachment a JOIN tenancy.lifecycle_policy p ON p.name = a.policy
                            WHERE tenancy.lifecycle_server_name(p.name, tenancy.lifecycle_handed(p.phases, nodes)) = s.name)
           AND NOT EXISTS (SELECT FROM tenancy.search_index i WHERE i.lifecycle ->> 'policy' = s.name);
END
$$;
COMMENT ON FUNCTION tenancy.lifecycle_server_policies(text, text[]) IS 'Policies that a search server with an API for them (ilm or ism; NULL: it has none) should have, with their bodies, and those that may go, without. Used by the search worker';

CREATE FUNCTION tenancy.lifecycle_server_policy_gone(of_name text) RETURNS void
    LANGUAGE sql VOLATILE
    BEGIN ATOMIC
        DELETE FROM tenancy.server_policy WHERE name OPERATOR(pg_catalog.=) of_name;
    END;
COMMENT ON FUNCTION tenancy.lifecycle_server_policy_gone(text) IS 'Notes that the search server has a policy no more. Used by the search worker';

CREATE VIEW tenancy.lifecycle_index AS
    SELECT x.index_name, x.tenant, x.index_type, x.placement, x.policy, x.append_only, x.age_from, x.age,
           CASE WHEN x.policy IS NOT NULL THEN coalesce(tenancy.lifecycle_phase(x.phases, x.age), 'hot') END AS phase,
           x.lifecycle OPERATOR(pg_catalog.->>) 'phase' AS applied,
           CASE WHEN x.policy IS NOT NULL THEN coalesce(x.lifecycle OPERATOR(pg_catalog.->>) 'by', 'worker') END AS carried_out_by,
           x.lifted_at, coalesce(x.lifecycle_error, tenancy.lifecycle_refusal(x.phases, x.placement, x.append_only)) AS last_error
      FROM (SELECT i.index_name, t.name AS tenant, i.index_type, CASE WHEN i.month_of IS NULL THEN tenancy.placement_of(i) ELSE 'monthly' END AS placement, a.policy, a.append_only,
                   p.phases, i.age_from, i.lifecycle, i.lifecycle_error, i.lifted_at,
                   CASE WHEN pg_catalog.isfinite(i.age_from) THEN pg_catalog.now() OPERATOR(pg_catalog.-) i.age_from END AS age
              FROM tenancy.search_index i
              LEFT JOIN tenancy.search_index g ON g.index_name OPERATOR(pg_catalog.=) i.month_of
              JOIN tenancy.tenant t ON t.id OPERATOR(pg_catalog.=) coalesce(g.tenant_id, i.tenant_id)
              LEFT JOIN tenancy.lifecycle_attachment a
                ON a.blueprint OPERATOR(pg_catalog.=) t.blueprint AND a.index_type OPERATOR(pg_catalog.=) i.index_type
              LEFT JOIN tenancy.lifecycle_policy p ON p.name OPERATOR(pg_catalog.=) a.policy
             WHERE coalesce(g.role, i.role) OPERATOR(pg_catalog.=) 'serving' AND i.state OPERATOR(pg_catalog.<>) 'dropping'
               AND NOT i.monthly) x;
COMMENT ON VIEW tenancy.lifecycle_index IS 'Every index that serves, one of many months each month, with its lifecycle policy. age: of a month from the end of its partition''s, NULL where that has none; phase: the one that its age says; applied: the one whose settings it has (of a table that is not append-only never delete: its index goes with the partition); carried_out_by: worker: the search worker, ilm or ism: the server, whose own API shows how far it is, and applied is null; lifted_at: when readonly was lifted for a late change, until it is restored';

CREATE FUNCTION tenancy.lifecycle_wanted(phases jsonb, phase text, policy text, had jsonb, api text, nodes text[], origin timestamptz) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE
        WHEN phase IS NULL THEN '{}'
        WHEN api IS NULL OR phase = 'delete' OR handed = '{}' THEN
            jsonb_build_object('phase', phase, 'settings', tenancy.lifecycle_settings(possible, phase))
        ELSE jsonb_strip_nulls(jsonb_build_object('by', api, 'policy', tenancy.lifecycle_server_name(policy, handed),
            'origin', (extract(epoch FROM origin) * 1000)::bigint,
            'settings', (SELECT coalesce(jsonb_object_agg(key, CASE
                    -- one that was lifted and restored is the worker's from then on
                    WHEN key = 'index.blocks.write' AND had ->> 'by' = api AND had #> ARRAY['settings', key] IN ('true', 'false')
                        THEN coalesce(tenancy.lifecycle_settings(possible, phase) -> key, '"server"')
                    ELSE '"server"' END), '{}')
                FROM jsonb_object_keys(tenancy.lifecycle_settings(handed, 'cold')) key))) END
      FROM tenancy.lifecycle_for_nodes(phases, nodes) possible, tenancy.lifecycle_handed(phases, nodes) handed
$$;
COMMENT ON FUNCTION tenancy.lifecycle_wanted(jsonb, text, text, jsonb, text, text[], timestamptz) IS 'What an index should have by its policy in a phase: settings, or with an API the policy there, whose settings are "server". Used by the extension itself';

CREATE FUNCTION tenancy.lifecycle_put(had jsonb, wanted jsonb, body jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(jsonb_object_agg(k, coalesce(nullif(w, '"server"'),
            CASE k WHEN 'index.number_of_replicas' THEN coalesce(body #> '{settings,index,number_of_replicas}',
                body #> '{settings,number_of_replicas}', body #> '{settings,index.number_of_replicas}') END, 'null')), '{}')
      FROM (SELECT jsonb_object_keys(had -> 'settings') UNION SELECT jsonb_object_keys(wanted -> 'settings')) s (k)
     CROSS JOIN LATERAL (SELECT wanted #> ARRAY['settings', k] AS w, had #> ARRAY['settings', k] AS h) v
     WHERE w IS DISTINCT FROM h AND NOT (coalesce(w, '"server"') = '"server"' AND h IS NULL)
$$;
COMMENT ON FUNCTION tenancy.lifecycle_put(jsonb, jsonb, jsonb) IS 'Settings to put so that an index gets from what it had to what it should have; null: the server''s default. Used by the extension itself';

CREATE FUNCTION tenancy.lifecycle_work(rest interval, api text, dated boolean, nodes text[])
    RETURNS TABLE (index_name text, phase text, lifecycle jsonb, put jsonb, old_policy text, new_policy text, origin bigint, remark text)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT x.index_name, x.phase, x.wanted, tenancy.lifecycle_put(x.had, x.wanted, x.body),
           x.had ->> 'policy', x.wanted ->> 'policy', (x.wanted ->> 'origin')::bigint,
           'no node has the attribute data with value ' || (SELECT string_agg(DISTINCT n.value ->> 'nodes', ' or ')
              FROM jsonb_each(x.phases) n WHERE n.value ->> 'nodes' <> ALL (nodes)
               -- of the phase that it has come to; the server does them all
               AND (x.wanted ? 'by' OR array_position('{hot,warm,cold}', n.key) <= array_position('{hot,warm,cold}', x.phase)))
           || ', shards stay where they are'
      FROM (SELECT i.index_name, coalesce(w.body, i.body) AS body, i.lifecycle AS had, g.phase, i.lifted_at, p.phases,
                   tenancy.lifecycle_wanted(p.phases, g.phase, v.policy, i.lifecycle,
                       -- the server counts from when it made the index, if it cannot be told otherwise, and has none hot before its time
                       CASE WHEN isfinite(i.age_from) AND i.age_from <= now() AND (dated OR i.age_from = i.created_at) THEN api END, nodes,
                       CASE WHEN dated THEN i.age_from END) AS wanted
              FROM tenancy.search_index i JOIN tenancy.lifecycle_index v USING (index_name)
              LEFT JOIN tenancy.search_index w ON w.index_name = i.month_of
              LEFT JOIN tenancy.lifecycle_policy p
                ON p.name = v.policy AND tenancy.lifecycle_refusal(p.phases, v.placement, v.append_only) IS NULL
              -- rows that are still there keep their documents
             CROSS JOIN LATERAL (SELECT CASE WHEN p.name IS NULL THEN NULL WHEN v.phase = 'delete' AND (NOT v.append_only OR i.month_of IS NOT NULL) THEN 'cold'
                                      ELSE v.phase END) g (phase)
             WHERE i.state = 'ready' AND i.shared IS NULL AND (i.filled OR p.name IS NULL)
               AND (p.name IS NOT NULL OR i.lifecycle <> '{}')
               AND (i.lifecycle_tried_at IS NULL OR i.lifecycle_tried_at < now() - rest)) x
     WHERE x.wanted <> x.had AND (x.lifted_at IS NULL OR x.lifted_at < now() - rest)
        -- its block is to be restored
        OR x.lifted_at < now() - rest
     ORDER BY 1 LIMIT 8
$$;
COMMENT ON FUNCTION tenancy.lifecycle_work(interval, text, boolean, text[]) IS 'Indices whose phase is another one than what was done to them, and what to do. api: of the server for such policies, ilm or ism, NULL: none; dated: it can be told from when an index''s age counts; nodes: values of the attribute data that nodes have. Used by the search worker';

CREATE FUNCTION tenancy.lifecycle_done(of_index text, done jsonb, error text, remark text) RETURNS void
    LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    UPDATE tenancy.search_index
       SET lifecycle = CASE WHEN error IS NULL THEN done ELSE lifecycle END,
           lifted_at = CASE WHEN error IS NULL THEN NULL ELSE lifted_at END,
           lifecycle_error = coalesce(error, remark),
           lifecycle_tried_at = CASE WHEN error IS NULL THEN NULL ELSE clock_timestamp() END,
           state = CASE WHEN error IS NULL AND done ->> 'phase' = 'delete' THEN 'dropping' ELSE state END,
           updated_at = now()
     WHERE index_name = of_index AND state = 'ready';
    -- a new generation of it has what is to go too
    DELETE FROM tenancy.index_move m USING tenancy.search_index i
     WHERE i.index_name = of_index AND i.state = 'dropping' AND done ->> 'phase' = 'delete'
       AND m.tenant_id = i.tenant_id AND m.index_type = i.index_type;
    UPDATE tenancy.search_index o SET state = 'dropping', updated_at = now() FROM tenancy.search_index i
     WHERE i.index_name = of_index AND i.state = 'dropping' AND done ->> 'phase' = 'delete'
       AND o.tenant_id = i.tenant_id AND o.index_type = i.index_type AND o.state <> 'dropping';
    -- what comes from now on has an index again
    SELECT tenancy.provision(tenant_id) FROM tenancy.search_index
     WHERE index_name = of_index AND state = 'dropping' AND done ->> 'phase' = 'delete'
$$;
COMMENT ON FUNCTION tenancy.lifecycle_done(text, jsonb, text, text) IS 'Notes what was done to an index, or why it was not. Used by the extension itself';

CREATE FUNCTION tenancy.lifecycle_lifted(of_index text) RETURNS void
    LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    UPDATE tenancy.search_index
       SET lifecycle = jsonb_set(lifecycle, '{settings,index.blocks.write}', 'false'), lifted_at = clock_timestamp()
     WHERE index_name = of_index AND state IN ('ready', 'altered')
$$;
COMMENT ON FUNCTION tenancy.lifecycle_lifted(text) IS 'Notes that readonly was lifted for a late change. Used by the extension itself';

CREATE FUNCTION tenancy.lifecycle_is_used() RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM tenancy.lifecycle_attachment) OR EXISTS (SELECT FROM tenancy.server_policy)
        OR EXISTS (SELECT FROM tenancy.search_index WHERE lifecycle <> '{}')
$$;
COMMENT ON FUNCTION tenancy.lifecycle_is_used() IS 'True if an index follows a lifecycle policy, or did. Used by the search worker';

CREATE FUNCTION tenancy.lifecycle_is_readonly(of_index text) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce((SELECT lifecycle #> '{settings,index.blocks.write}' IN ('true', '"server"')
                       FROM tenancy.search_index WHERE index_name = of_index AND state = 'ready'), false)
$$;
COMMENT ON FUNCTION tenancy.lifecycle_is_readonly(text) IS 'True if its lifecycle policy may have made an index readonly. Used by the search worker';

REVOKE ALL ON tenancy.server_policy, tenancy.lifecycle_index FROM PUBLIC;
REVOKE ALL ON FUNCTION
    tenancy.lifecycle_done(text, jsonb, text, text),
    tenancy.lifecycle_for_nodes(jsonb, text[]),
    tenancy.lifecycle_handed(jsonb, text[]),
    tenancy.lifecycle_is_readonly(text),
    tenancy.lifecycle_is_used(),
    tenancy.lifecycle_lifted(text),
    tenancy.lifecycle_put(jsonb, jsonb, jsonb),
    tenancy.lifecycle_server_name(text, jsonb),
    tenancy.lifecycle_server_policies(text, text[]),
    tenancy.lifecycle_server_policy_gone(text),
    tenancy.lifecycle_wanted(jsonb, text, text, jsonb, text, text[], timestamptz),
    tenancy.lifecycle_work(interval, text, boolean, text[])
FROM PUBLIC;
GRANT SELECT ON tenancy.server_policy, tenancy.lifecycle_index TO tenancy_operator, tenancy_admin;
GRANT EXECUTE ON FUNCTION tenancy.placement_of(tenancy.search_index) TO tenancy_operator, tenancy_admin;
