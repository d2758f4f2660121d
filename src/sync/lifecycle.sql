-- Lifecycle of indices: policies, and what they come to on a search server.

CREATE TABLE tenancy.lifecycle_policy (
    name text PRIMARY KEY,
    phases jsonb NOT NULL
);
COMMENT ON TABLE tenancy.lifecycle_policy IS 'What becomes of indices as they grow old; set by tenancy.lifecycle_policy()';
COMMENT ON COLUMN tenancy.lifecycle_policy.phases IS 'hot, warm, cold and delete, each with what it does and, but for hot, after what age';

CREATE TABLE tenancy.lifecycle_attachment (
    blueprint text NOT NULL REFERENCES tenancy.blueprint ON DELETE CASCADE,
    index_type text NOT NULL,
    policy text NOT NULL REFERENCES tenancy.lifecycle_policy,
    append_only boolean NOT NULL,
    PRIMARY KEY (blueprint, index_type)
);
COMMENT ON TABLE tenancy.lifecycle_attachment IS 'Policy of all indices of a type; set by tenancy.lifecycle_attach()';
COMMENT ON COLUMN tenancy.lifecycle_attachment.append_only IS 'Rows of the table are never changed nor deleted';

SELECT pg_catalog.pg_extension_config_dump('tenancy.lifecycle_policy', 'WHERE name <> ''case_studies_ilm''');
SELECT pg_catalog.pg_extension_config_dump('tenancy.lifecycle_attachment', '');

CREATE FUNCTION tenancy.lifecycle_age(age text) RETURNS interval
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    BEGIN ATOMIC
        SELECT pg_catalog.make_interval(secs => pg_catalog.substring(age, '^[0-9]+')::double precision
            OPERATOR(pg_catalog.*) CASE pg_catalog.substring(age, '[a-z]+$')
                WHEN 'd' THEN 86400 WHEN 'h' THEN 3600 WHEN 'm' THEN 60 ELSE 1 END::double precision);
    END;
COMMENT ON FUNCTION tenancy.lifecycle_age(text) IS 'An age such as 30d, 12h, 5m or 10s. Used by the extension itself';

CREATE FUNCTION tenancy.lifecycle_check_members(at text, given jsonb, allowed text[]) RETURNS void
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    unknown text;
BEGIN
    IF jsonb_typeof(given) <> 'object' THEN
        RAISE EXCEPTION '% of a lifecycle policy must be a JSON object', at USING ERRCODE = 'TN020';
    END IF;
    SELECT k INTO unknown FROM jsonb_object_keys(given) k WHERE k <> ALL (allowed) ORDER BY k LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '% of a lifecycle policy cannot have "%"', at, unknown
            USING ERRCODE = 'TN020', HINT = format('It can have %s.', array_to_string(allowed, ', '));
    END IF;
END
$$;
COMMENT ON FUNCTION tenancy.lifecycle_check_members(text, jsonb, text[]) IS 'Refuses what is no object of these members. Used by the extension itself';

CREATE FUNCTION tenancy.lifecycle_check_value(at text, given jsonb, kind text, pattern text, example text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF given IS NOT NULL AND (jsonb_typeof(given) <> kind OR given #>> '{}' !~ pattern) THEN
        RAISE EXCEPTION '% of a lifecycle policy cannot be %', at, left(given::text, 100)
            USING ERRCODE = 'TN020', HINT = format('It is written like this: %s.', example);
    END IF;
END
$$;
COMMENT ON FUNCTION tenancy.lifecycle_check_value(text, jsonb, text, text, text) IS 'Refuses a value that is not of the kind and pattern. Used by the extension itself';

CREATE FUNCTION tenancy.lifecycle_check(phases jsonb) RETURNS void
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    roll jsonb;
    phase text;
    given jsonb;
    before interval := '0';
    before_phase text;
    age constant text := '^[1-9][0-9]{0,8}[smhd]$';
    amount constant text := '^[0-9]{1,9}$';
BEGIN
    PERFORM tenancy.lifecycle_check_members('phases', phases, '{hot,warm,cold,delete}');
    IF phases = '{}' THEN
        RAISE EXCEPTION 'a lifecycle policy must have a phase' USING ERRCODE = 'TN020';
    END IF;
    FOREACH phase IN ARRAY '{hot,warm,cold,delete}'::text[] LOOP
        given := phases -> phase;
        CONTINUE WHEN given IS NULL;
        PERFORM tenancy.lifecycle_check_members(phase, given,
            CASE phase WHEN 'hot' THEN '{rollover,priority}' WHEN 'delete' THEN '{after}'
                ELSE '{after,readonly,replicas,nodes,priority}' END::text[]);
        PERFORM tenancy.lifecycle_check_value(phase || '.after', given -> 'after', 'string', age, '"30d", "12h", "5m" or "10s"');
        PERFORM tenancy.lifecycle_check_value(phase || '.priority', given -> 'priority', 'number', amount, '50');
        PERFORM tenancy.lifecycle_check_value(phase || '.replicas', given -> 'replicas', 'number', '^[0-9]{1,3}$', '1');
        PERFORM tenancy.lifecycle_check_value(phase || '.readonly', given -> 'readonly', 'boolean', '', 'true');
        PERFORM tenancy.lifecycle_check_value(phase || '.nodes', given -> 'nodes', 'string', '^[A-Za-z0-9_-]{1,64}$', '"warm"');
        CONTINUE WHEN phase = 'hot';
        IF NOT given ? 'after' THEN
            RAISE EXCEPTION '% of a lifecycle policy must say after what age', phase USING ERRCODE = 'TN020',
                HINT = 'Such as {"after": "30d"}.';
        END IF;
        IF tenancy.lifecycle_age(given ->> 'after') <= before AND before_phase IS NOT NULL THEN
            RAISE EXCEPTION '% of a lifecycle policy must be after %', phase, before_phase USING ERRCODE = 'TN020';
        END IF;
        before := tenancy.lifecycle_age(given ->> 'after');
        before_phase := phase;
    END LOOP;
    roll := phases #> '{hot,rollover}';
    IF roll IS NOT NULL THEN
        PERFORM tenancy.lifecycle_check_members('hot.rollover', roll, '{max_size,max_age,max_docs}');
        PERFORM tenancy.lifecycle_check_value('hot.rollover.max_size', roll -> 'max_size', 'string', '^[1-9][0-9]{0,8}(b|kb|mb|gb|tb)$', '"50gb"');
        PERFORM tenancy.lifecycle_check_value('hot.rollover.max_age', roll -> 'max_age', 'string', age, '"30d"');
        PERFORM tenancy.lifecycle_check_value('hot.rollover.max_docs', roll -> 'max_docs', 'number', '^[1-9][0-9]{0,17}$', '10000000');
        IF roll = '{}' THEN
            RAISE EXCEPTION 'hot.rollover of a lifecycle policy must have a condition' USING ERRCODE = 'TN020',
                HINT = 'Such as {"max_age": "30d"}.';
        END IF;
    END IF;
END
$$;
COMMENT ON FUNCTION tenancy.lifecycle_check(jsonb) IS 'Refuses what are no phases of a lifecycle policy. Used by the extension itself. Errors: TN020';

CREATE FUNCTION tenancy.lifecycle_policy(name text, phases jsonb) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    refusal text;
BEGIN
    IF name IS NULL OR name !~ '^[a-z][a-z0-9_]{0,47}$' THEN
        RAISE EXCEPTION 'invalid lifecycle policy name "%"', name USING ERRCODE = 'TN003',
            DETAIL = 'The name is a lower case letter, followed by at most 47 lower case letters, digits or underscores.';
    END IF;
    IF phases IS NULL THEN
        IF EXISTS (SELECT FROM tenancy.lifecycle_attachment a WHERE a.policy = name) THEN
            RAISE EXCEPTION 'lifecycle policy "%" is in use', name USING ERRCODE = 'TN020',
                HINT = 'tenancy.lifecycle_attachment shows where; tenancy.lifecycle_detach() ends that.';
        END IF;
        DELETE FROM tenancy.lifecycle_policy p WHERE p.name = name;
        RETURN;
    END IF;
    PERFORM tenancy.lifecycle_check(phases);
    SELECT tenancy.lifecycle_refusal(phases, tenancy.lifecycle_placement(a.blueprint, a.index_type), a.append_only)
      INTO refusal FROM tenancy.lifecycle_attachment a WHERE a.policy = name
     ORDER BY 1 NULLS LAST LIMIT 1;
    IF refusal IS NOT NULL THEN
        RAISE EXCEPTION 'lifecycle policy "%" cannot have these phases where it is in use', name
            USING ERRCODE = 'TN020', DETAIL = refusal;
    END IF;
    INSERT INTO tenancy.lifecycle_policy VALUES (name, phases)
        ON CONFLICT ON CONSTRAINT lifecycle_policy_pkey DO UPDATE SET phases = excluded.phases;
END
$$;
COMMENT ON FUNCTION tenancy.lifecycle_policy(text, jsonb) IS
    'Defines a lifecycle policy, or another one of that name. phases: hot {rollover {max_size, max_age, max_docs}, priority}, warm and cold {after, readonly, replicas, nodes, priority}, delete {after}; ages as 30d, 12h, 5m, 10s. NULL: no such policy any more. Errors: TN003 name, TN020 what is wrong with the phases, or they could not be where the policy is in use';

CREATE FUNCTION tenancy.lifecycle_placement(blueprint text, index_type text) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
        SELECT CASE WHEN pg_catalog.bool_or(i.shared IS NOT NULL) THEN 'shared' WHEN pg_catalog.bool_and(i.monthly) THEN 'monthly' ELSE 'dedicated' END
          FROM tenancy.search_index i JOIN tenancy.tenant t ON t.id OPERATOR(pg_catalog.=) i.tenant_id
         WHERE t.blueprint OPERATOR(pg_catalog.=) lifecycle_placement.blueprint
           AND i.index_type OPERATOR(pg_catalog.=) lifecycle_placement.index_type
           AND i.role OPERATOR(pg_catalog.<>) 'retired' AND i.state OPERATOR(pg_catalog.<>) 'dropping';
    END;
COMMENT ON FUNCTION tenancy.lifecycle_placement(text, text) IS 'Placement of the indices of a type: monthly if all are, shared if that of a tenant is, else dedicated. Used by the extension itself';

CREATE FUNCTION tenancy.lifecycle_refusal(phases jsonb, placement text, append_only boolean) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    BEGIN ATOMIC
        SELECT CASE
            WHEN placement OPERATOR(pg_catalog.=) 'shared' THEN
                'The index has documents of other tenants too.'
            WHEN phases OPERATOR(pg_catalog.#>) '{hot,rollover}' IS NOT NULL AND placement OPERATOR(pg_catalog.<>) 'monthly' THEN
                'Rollover would duplicate documents: a row that is changed or sent again goes into the new index and stays in the old one. In monthly placement every month has an index of its own instead.'
            WHEN placement OPERATOR(pg_catalog.<>) 'monthly' AND NOT append_only
                 AND (phases OPERATOR(pg_catalog.#>) '{warm,readonly}' OPERATOR(pg_catalog.=) 'true'
                      OR phases OPERATOR(pg_catalog.#>) '{cold,readonly}' OPERATOR(pg_catalog.=) 'true') THEN
                'Readonly would refuse documents: rows of a table that is not append-only are changed at any age.'
            WHEN phases OPERATOR(pg_catalog.?) 'delete' AND placement OPERATOR(pg_catalog.<>) 'monthly' AND NOT append_only THEN
                'Delete would lose documents whose rows are still there. In monthly placement a month''s index goes with its partition.'
            END;
    END;
COMMENT ON FUNCTION tenancy.lifecycle_refusal(jsonb, text, boolean) IS
    'Why phases cannot be for a table in a placement (dedicated, shared, monthly), since documents would be duplicated, refused or lost; NULL: they can';

CREATE FUNCTION tenancy.lifecycle_set(of_blueprint text, of_type text, new_policy text, rows_stay boolean) RETURNS void
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wanted jsonb;
    refusal text;
BEGIN
    IF NOT EXISTS (SELECT FROM tenancy.sync_table WHERE blueprint = of_blueprint AND index_type = of_type) THEN
        RAISE EXCEPTION 'blueprint "%" has no index type "%"', of_blueprint, of_type USING ERRCODE = 'TN010';
    END IF;
    SELECT phases INTO wanted FROM tenancy.lifecycle_policy WHERE name = new_policy FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'lifecycle policy "%" does not exist', new_policy USING ERRCODE = 'TN020';
    END IF;
    refusal := tenancy.lifecycle_refusal(wanted, tenancy.lifecycle_placement(of_blueprint, of_type), rows_stay);
    IF refusal IS NOT NULL THEN
        RAISE EXCEPTION 'lifecycle policy "%" cannot be attached to index type "%"', new_policy, of_type
            USING ERRCODE = 'TN020', DETAIL = refusal;
    END IF;
    INSERT INTO tenancy.lifecycle_attachment VALUES (of_blueprint, of_type, new_policy, rows_stay)
        ON CONFLICT (blueprint, index_type) DO UPDATE SET policy = excluded.policy, append_only = excluded.append_only;
END
$$;
COMMENT ON FUNCTION tenancy.lifecycle_set(text, text, text, boolean) IS 'What tenancy.lifecycle_attach() does, once it is allowed. Used by the extension itself';

CREATE FUNCTION tenancy.lifecycle_attach(blueprint text, index_type text, policy text, append_only boolean DEFAULT false) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'tenancy_lifecycle_attach';
COMMENT ON FUNCTION tenancy.lifecycle_attach(text, text, text, boolean) IS
    'Has the indices of a type follow a lifecycle policy. append_only: rows are never changed nor deleted, and documents may go with their index while their rows stay. Errors: TN006 unknown blueprint, TN010 unknown index type, TN020 no such policy, or it would duplicate, refuse or lose documents; 42501 not the blueprint''s owner';

CREATE FUNCTION tenancy.lifecycle_detach(blueprint text, index_type text) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'tenancy_lifecycle_detach';
COMMENT ON FUNCTION tenancy.lifecycle_detach(text, text) IS
    'Has the indices of a type follow no policy any more: what it set is taken back; false if there was none. Errors: TN006 unknown blueprint, 42501 not the blueprint''s owner';

CREATE FUNCTION tenancy.lifecycle_phases(policy text) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    found_phases jsonb;
BEGIN
    SELECT p.phases INTO found_phases FROM tenancy.lifecycle_policy p WHERE p.name = policy;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'lifecycle policy "%" does not exist', policy USING ERRCODE = 'TN020';
    END IF;
    RETURN found_phases;
END
$$;
COMMENT ON FUNCTION tenancy.lifecycle_phases(text) IS 'Phases of a lifecycle policy. Errors: TN020 there is no such policy';

CREATE FUNCTION tenancy.lifecycle_ilm_body(phases jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_build_object('policy', jsonb_build_object('phases', jsonb_object_agg(phase.key,
        jsonb_strip_nulls(jsonb_build_object('min_age', phase.value ->> 'after', 'actions',
            CASE phase.key WHEN 'delete' THEN '{"delete": {}}'::jsonb ELSE
                CASE WHEN phase.value ? 'rollover' THEN jsonb_build_object('rollover', phase.value -> 'rollover') ELSE '{}'::jsonb END
                || CASE WHEN phase.value -> 'readonly' = 'true' THEN '{"readonly": {}}' ELSE '{}'::jsonb END
                || CASE WHEN phase.value ?| '{replicas,nodes}' THEN jsonb_build_object('allocate', jsonb_strip_nulls(jsonb_build_object(
                        'number_of_replicas', phase.value -> 'replicas',
                        'require', CASE WHEN phase.value ? 'nodes' THEN jsonb_build_object('data', phase.value -> 'nodes') END))) ELSE '{}'::jsonb END
                || CASE WHEN phase.value ? 'priority' THEN jsonb_build_object('set_priority', jsonb_build_object('priority', phase.value -> 'priority')) ELSE '{}'::jsonb END
            END)))))
      FROM jsonb_each(phases) phase
$$;
COMMENT ON FUNCTION tenancy.lifecycle_ilm_body(jsonb) IS 'Phases as the body of PUT _ilm/policy. Used by the extension itself';

CREATE FUNCTION tenancy.lifecycle_ilm(policy text) RETURNS jsonb
    LANGUAGE sql STABLE STRICT PARALLEL SAFE
    BEGIN ATOMIC
        SELECT tenancy.lifecycle_ilm_body(tenancy.lifecycle_phases(policy));
    END;
COMMENT ON FUNCTION tenancy.lifecycle_ilm(text) IS 'A lifecycle policy as the body of PUT _ilm/policy of Elasticsearch. Errors: TN020 there is no such policy';

CREATE FUNCTION tenancy.lifecycle_ism_body(policy text, phases jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    WITH phase AS (
        SELECT p.key AS name, p.value AS v, row_number() OVER w AS n, lead(p.key) OVER w AS next, lead(p.value) OVER w AS next_v,
               phases #> '{hot,rollover}' IS NOT NULL AS rolls
          FROM jsonb_each('{"hot": {}}' || phases) p
        WINDOW w AS (ORDER BY array_position('{hot,warm,cold,delete}', p.key)))
    SELECT jsonb_build_object('policy', jsonb_build_object(
        'description', 'pg_tenancy: ' || policy,
        'default_state', 'hot',
        'states', jsonb_agg(jsonb_build_object('name', name,
            'actions', CASE WHEN name = 'delete' THEN '[{"delete": {}}]'::jsonb ELSE
                CASE WHEN v ? 'priority' THEN jsonb_build_array(jsonb_build_object('index_priority', jsonb_build_object('priority', v -> 'priority'))) ELSE '[]'::jsonb END
                || CASE WHEN v -> 'readonly' = 'true' THEN '[{"read_only": {}}]' ELSE '[]'::jsonb END
                || CASE WHEN v ? 'replicas' THEN jsonb_build_array(jsonb_build_object('replica_count', jsonb_build_object('number_of_replicas', v -> 'replicas'))) ELSE '[]'::jsonb END
                || CASE WHEN v ? 'nodes' THEN jsonb_build_array(jsonb_build_object('allocation', jsonb_build_object('require', jsonb_build_object('data', v -> 'nodes')))) ELSE '[]'::jsonb END
                || CASE WHEN v ? 'rollover' THEN jsonb_build_array(jsonb_build_object('rollover', jsonb_strip_nulls(jsonb_build_object(
                        'min_size', v #> '{rollover,max_size}', 'min_index_age', v #> '{rollover,max_age}', 'min_doc_count', v #> '{rollover,max_docs}')))) ELSE '[]'::jsonb END
                END,
            'transitions', CASE WHEN next IS NULL THEN '[]'::jsonb ELSE jsonb_build_array(jsonb_build_object('state_name', next,
                'conditions', jsonb_build_object(CASE WHEN rolls THEN 'min_rollover_age' ELSE 'min_index_age' END, next_v ->> 'after'))) END)
            ORDER BY n)))
      FROM phase
$$;
COMMENT ON FUNCTION tenancy.lifecycle_ism_body(text, jsonb) IS 'Phases as the body of PUT _plugins/_ism/policies. Used by the extension itself';

CREATE FUNCTION tenancy.lifecycle_ism(policy text) RETURNS jsonb
    LANGUAGE sql STABLE STRICT PARALLEL SAFE
    BEGIN ATOMIC
        SELECT tenancy.lifecycle_ism_body(policy, tenancy.lifecycle_phases(policy));
    END;
COMMENT ON FUNCTION tenancy.lifecycle_ism(text) IS 'A lifecycle policy as the body of PUT _plugins/_ism/policies of OpenSearch. Errors: TN020 there is no such policy';

CREATE FUNCTION tenancy.lifecycle_phase(phases jsonb, age interval) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    BEGIN ATOMIC
        SELECT CASE
            WHEN age OPERATOR(pg_catalog.>=) tenancy.lifecycle_age(phases OPERATOR(pg_catalog.#>>) '{delete,after}') THEN 'delete'
            WHEN age OPERATOR(pg_catalog.>=) tenancy.lifecycle_age(phases OPERATOR(pg_catalog.#>>) '{cold,after}') THEN 'cold'
            WHEN age OPERATOR(pg_catalog.>=) tenancy.lifecycle_age(phases OPERATOR(pg_catalog.#>>) '{warm,after}') THEN 'warm'
            ELSE 'hot' END;
    END;
COMMENT ON FUNCTION tenancy.lifecycle_phase(jsonb, interval) IS 'Phase that an index of an age is in: hot, warm, cold or delete';

CREATE FUNCTION tenancy.lifecycle_settings(phases jsonb, phase text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(jsonb_object_agg(name, value), '{}')
      FROM (SELECT DISTINCT ON (s.name) s.name, s.value
              FROM unnest('{hot,warm,cold}'::text[]) WITH ORDINALITY p (name, n)
             CROSS JOIN LATERAL (VALUES
                    ('index.priority', phases #> ARRAY[p.name, 'priority']),
                    ('index.blocks.write', nullif(phases #> ARRAY[p.name, 'readonly'], 'false')),
                    ('index.number_of_replicas', phases #> ARRAY[p.name, 'replicas']),
                    ('index.routing.allocation.require.data', phases #> ARRAY[p.name, 'nodes'])) s (name, value)
             WHERE s.value IS NOT NULL
               AND p.n <= coalesce(array_position('{hot,warm,cold}', lifecycle_settings.phase), 3)
             ORDER BY s.name, p.n DESC) x
$$;
COMMENT ON FUNCTION tenancy.lifecycle_settings(jsonb, text) IS 'Settings that an index has in a phase, from those before too';

REVOKE ALL ON FUNCTION
    tenancy.lifecycle_age(text),
    tenancy.lifecycle_attach(text, text, text, boolean),
    tenancy.lifecycle_check(jsonb),
    tenancy.lifecycle_check_members(text, jsonb, text[]),
    tenancy.lifecycle_check_value(text, jsonb, text, text, text),
    tenancy.lifecycle_detach(text, text),
    tenancy.lifecycle_ilm(text),
    tenancy.lifecycle_ilm_body(jsonb),
    tenancy.lifecycle_ism(text),
    tenancy.lifecycle_ism_body(text, jsonb),
    tenancy.lifecycle_phase(jsonb, interval),
    tenancy.lifecycle_phases(text),
    tenancy.lifecycle_placement(text, text),
    tenancy.lifecycle_policy(text, jsonb),
    tenancy.lifecycle_refusal(jsonb, text, boolean),
    tenancy.lifecycle_set(text, text, text, boolean),
    tenancy.lifecycle_settings(jsonb, text)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    tenancy.lifecycle_attach(text, text, text, boolean),
    tenancy.lifecycle_detach(text, text),
    tenancy.lifecycle_policy(text, jsonb)
TO tenancy_admin;
GRANT EXECUTE ON FUNCTION
    tenancy.lifecycle_ilm(text),
    tenancy.lifecycle_ilm_body(jsonb),
    tenancy.lifecycle_ism(text),
    tenancy.lifecycle_ism_body(text, jsonb),
    tenancy.lifecycle_phase(jsonb, interval),
    tenancy.lifecycle_phases(text),
    tenancy.lifecycle_refusal(jsonb, text, boolean),
    tenancy.lifecycle_settings(jsonb, text)
TO tenancy_operator, tenancy_admin;

SELECT tenancy.lifecycle_policy('case_studies_ilm', '{
    "hot": {"rollover": {"max_size": "50gb", "max_age": "30d", "max_docs": 10000000}, "priority": 100},
    "warm": {"after": "30d", "readonly": true, "replicas": 1, "nodes": "warm", "priority": 50},
    "cold": {"after": "90d", "replicas": 0, "priority": 0},
    "delete": {"after": "365d"}
}');
