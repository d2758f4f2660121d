-- Benchmark statistics: what projects with a technology took, by industry and size of the customer.

CREATE TABLE tenancy.benchmark_table (
    blueprint text PRIMARY KEY,
    table_name name NOT NULL,
    technologies name NOT NULL,
    industry name NOT NULL,
    company_size name NOT NULL,
    timeline name NOT NULL,
    budget name NOT NULL,
    roi name NOT NULL,
    created name NOT NULL,
    FOREIGN KEY (blueprint, table_name) REFERENCES tenancy.sync_table ON DELETE CASCADE
);
COMMENT ON TABLE tenancy.benchmark_table IS 'Which table of a blueprint''s tenants the benchmark statistics are of; set by tenant_benchmark_table()';
COMMENT ON COLUMN tenancy.benchmark_table.technologies IS 'Column, a JSON array or a text[]; the others are columns of one value each';
COMMENT ON COLUMN tenancy.benchmark_table.created IS 'Column whose month a row belongs to';

CREATE TABLE tenancy.benchmark_row (
    tenant_id bigint NOT NULL REFERENCES tenancy.tenant ON DELETE CASCADE,
    key text[] NOT NULL,
    technologies text[] NOT NULL,
    industry text NOT NULL,
    company_size text NOT NULL,
    month date NOT NULL,
    timeline float8,
    budget float8,
    roi float8,
    PRIMARY KEY (tenant_id, key)
);
COMMENT ON TABLE tenancy.benchmark_row IS 'What each row of a tenant counts as in tenancy.benchmark_cell now: a change takes this away before it adds what the row has become';
COMMENT ON COLUMN tenancy.benchmark_row.key IS 'Values of the key columns as text';

CREATE TABLE tenancy.benchmark_cell (
    tenant_id bigint NOT NULL REFERENCES tenancy.tenant ON DELETE CASCADE,
    technology text NOT NULL,
    industry text NOT NULL,
    company_size text NOT NULL,
    month date NOT NULL,
    n bigint NOT NULL CHECK (n >= 0),
    timeline @extschema@.percentile_sketch,
    budget @extschema@.percentile_sketch,
    roi @extschema@.percentile_sketch,
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (tenant_id, technology, industry, company_size, month)
) WITH (fillfactor = 80);
CREATE INDEX benchmark_cell_empty ON tenancy.benchmark_cell (tenant_id) WHERE n = 0;
COMMENT ON TABLE tenancy.benchmark_cell IS 'Benchmark statistics of a month: the sketches of all rows of a technology, an industry and a company size';
COMMENT ON COLUMN tenancy.benchmark_cell.technology IS 'Empty: every row once, whatever technologies it has; a row counts once in the cell of each of them too';
COMMENT ON COLUMN tenancy.benchmark_cell.industry IS 'Empty: not known';
COMMENT ON COLUMN tenancy.benchmark_cell.month IS 'First day';

CREATE TABLE tenancy.benchmark_tenant (
    tenant_id bigint PRIMARY KEY REFERENCES tenancy.tenant ON DELETE CASCADE,
    relation oid,
    shape jsonb
);
COMMENT ON TABLE tenancy.benchmark_tenant IS 'Tenants with benchmark statistics: who writes these locks the row';
COMMENT ON COLUMN tenancy.benchmark_tenant.shape IS 'What the table was when its rows were last asked for: its columns, partitions and files';

REVOKE ALL ON tenancy.benchmark_table, tenancy.benchmark_row, tenancy.benchmark_cell, tenancy.benchmark_tenant FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('tenancy.benchmark_table', 'WHERE blueprint <> ''case_studies''');

CREATE FUNCTION tenancy.benchmark_technologies(technologies jsonb) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(DISTINCT v), '{}')
      FROM (SELECT left(e #>> '{}', 200) AS v
              FROM jsonb_array_elements(CASE jsonb_typeof(technologies) WHEN 'array' THEN technologies
                                             ELSE jsonb_build_array(technologies) END) e
             WHERE jsonb_typeof(e) IN ('string', 'number')) s
     WHERE v <> ''
$$;
COMMENT ON FUNCTION tenancy.benchmark_technologies(jsonb) IS 'Technologies in a column''s value, each once, 200 characters of it at the most; anything but text and numbers is none';

CREATE FUNCTION tenancy.benchmark_change(old @extschema@.percentile_sketch, more @extschema@.percentile_sketch, less @extschema@.percentile_sketch)
    RETURNS @extschema@.percentile_sketch LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'benchmark_change';
COMMENT ON FUNCTION tenancy.benchmark_change(@extschema@.percentile_sketch, @extschema@.percentile_sketch, @extschema@.percentile_sketch) IS 'A sketch with more values, then without others';

CREATE FUNCTION tenancy.benchmark_forget(only_tenant bigint, only_table text) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
    WITH gone AS MATERIALIZED (
        SELECT t.id FROM tenancy.tenant t LEFT JOIN tenancy.benchmark_table b USING (blueprint)
        WHERE t.id = only_tenant AND (b.table_name IS NULL OR b.table_name = only_table::name)
          AND NOT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = t.schema_name AND c.relname = only_table::name)),
    rows AS (DELETE FROM tenancy.benchmark_row r USING gone WHERE r.tenant_id = gone.id)
    DELETE FROM tenancy.benchmark_cell c USING gone WHERE c.tenant_id = gone.id
$$;
COMMENT ON FUNCTION tenancy.benchmark_forget(bigint, text) IS 'Forgets what was counted of a tenant''s table, which is not there any more';

CREATE FUNCTION tenancy.benchmark_end() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM tenancy.benchmark_row r USING tenancy.tenant t WHERE t.id = r.tenant_id AND t.blueprint = OLD.blueprint;
    DELETE FROM tenancy.benchmark_cell c USING tenancy.tenant t WHERE t.id = c.tenant_id AND t.blueprint = OLD.blueprint;
    DELETE FROM tenancy.benchmark_tenant x USING tenancy.tenant t WHERE t.id = x.tenant_id AND t.blueprint = OLD.blueprint;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION tenancy.benchmark_end() IS 'Statistics of a blueprint''s tenants go with the definition';
CREATE TRIGGER benchmark_end AFTER DELETE ON tenancy.benchmark_table FOR EACH ROW EXECUTE FUNCTION tenancy.benchmark_end();

CREATE FUNCTION tenancy.benchmark_shape(relation oid) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_build_object('columns', (SELECT jsonb_object_agg(a.attname, a.attnum || ' ' || a.atttypid || ' ' || a.atttypmod) FROM pg_attribute a WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped),
        'key', (SELECT i.indkey::text FROM pg_index i WHERE i.indrelid = relation AND i.indisprimary),
        'tables', (WITH RECURSIVE tree (relid, place) AS (SELECT relation, '' UNION ALL
                SELECT h.inhrelid, h.xmin::text FROM tree JOIN pg_inherits h ON h.inhparent = tree.relid AND NOT h.inhdetachpending
                 WHERE EXISTS (SELECT FROM pg_class p WHERE p.oid = tree.relid AND p.relkind = 'p'))
            SELECT jsonb_object_agg(c.oid || '/' || tree.place, c.relfilenode::bigint) FROM tree JOIN pg_class c ON c.oid = tree.relid))
$$;
COMMENT ON FUNCTION tenancy.benchmark_shape(oid) IS 'What a table''s rows depend on that is not in the rows: columns, primary key, partitions and when they were attached, files';

CREATE FUNCTION tenancy.benchmark_look(relations oid[]) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    looked record;
    asked bigint := 0;
BEGIN
    FOR looked IN SELECT n.id, n.table_name, n.relation, n.old, tenancy.benchmark_shape(n.relation) AS shape
        FROM (SELECT t.id, b.table_name, c.oid AS relation, x.relation AS old_relation, x.shape AS old
              FROM tenancy.benchmark_table b JOIN tenancy.tenant t ON t.blueprint = b.blueprint AND t.status <> 'dropped'
              LEFT JOIN tenancy.benchmark_tenant x ON x.tenant_id = t.id
              LEFT JOIN pg_namespace s ON s.nspname = t.schema_name
              LEFT JOIN pg_class c ON c.relnamespace = s.oid AND c.relname = b.table_name AND c.relkind IN ('r', 'p')) n
        WHERE relations IS NULL OR n.old_relation = ANY (relations) OR n.relation IN (SELECT coalesce(pg_partition_root(r), r) FROM unnest(relations) r) LOOP
        CONTINUE WHEN looked.shape = looked.old;
        INSERT INTO tenancy.benchmark_tenant VALUES (looked.id, looked.relation, looked.shape)
        ON CONFLICT (tenant_id) DO UPDATE SET relation = excluded.relation, shape = excluded.shape;
        IF looked.old IS NOT NULL OR looked.relation IS NULL THEN
            asked := asked + tenancy.request_resync('statistics', looked.id, NULL, looked.table_name);
        END IF;
    END LOOP;
    RETURN asked;
END
$$;
COMMENT ON FUNCTION tenancy.benchmark_look(oid[]) IS 'Asks for all rows of the benchmark tables that are not what they were, of these relations or of all (null); returns of how many';

CREATE FUNCTION tenancy.benchmark_lock(only_tenant bigint) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM tenancy.benchmark_tenant x WHERE x.tenant_id = only_tenant FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO tenancy.benchmark_tenant (tenant_id) VALUES (only_tenant) ON CONFLICT DO NOTHING;
        PERFORM FROM tenancy.benchmark_tenant x WHERE x.tenant_id = only_tenant FOR UPDATE;
    END IF;
END
$$;
COMMENT ON FUNCTION tenancy.benchmark_lock(bigint) IS 'Keeps others from writing a tenant''s cells until the transaction ends';

CREATE FUNCTION tenancy.benchmark_delta(only_tenant bigint, keys jsonb, rows jsonb) RETURNS TABLE (technology text, industry text, company_size text, month date, n bigint,
    timeline_more @extschema@.percentile_sketch, timeline_less @extschema@.percentile_sketch, budget_more @extschema@.percentile_sketch, budget_less @extschema@.percentile_sketch,
    roi_more @extschema@.percentile_sketch, roi_less @extschema@.percentile_sketch)
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET enable_hashjoin = on SET enable_mergejoin = on SET enable_seqscan = on AS $$
    WITH looked AS MATERIALIZED (
        SELECT DISTINCT ARRAY(SELECT jsonb_array_elements_text(k)) AS key FROM jsonb_array_elements(keys) k),
    fresh AS MATERIALIZED (
        SELECT ARRAY(SELECT jsonb_array_elements_text(r.v -> 'key')) AS key, tenancy.benchmark_technologies(r.v -> 'row' -> b.technologies) AS technologies,
            coalesce(left(r.v -> 'row' ->> b.industry::text, 200), '') AS industry, coalesce(left(r.v -> 'row' ->> b.company_size::text, 200), '') AS company_size,
            coalesce(date_trunc('month', (r.v -> 'row' ->> b.created)::timestamp)::date, date '-infinity') AS month,
            (r.v -> 'row' ->> b.timeline)::float8 AS timeline, (r.v -> 'row' ->> b.budget)::float8 AS budget, (r.v -> 'row' ->> b.roi)::float8 AS roi
        FROM jsonb_array_elements(rows) r (v),
            (SELECT x.technologies::text, x.industry::text COLLATE "default", x.company_size::text COLLATE "default", x.timeline::text, x.budget::text, x.roi::text, x.created::text
              FROM tenancy.benchmark_table x JOIN tenancy.tenant t USING (blueprint) WHERE t.id = only_tenant) b (technologies, industry, company_size, timeline, budget, roi, created)),
    old AS MATERIALIZED (
        SELECT b.key, b.technologies, b.industry, b.company_size, b.month, b.timeline, b.budget, b.roi
        FROM looked JOIN tenancy.benchmark_row b ON b.tenant_id = only_tenant AND b.key = looked.key),
    gone AS MATERIALIZED (SELECT o.* FROM old o LEFT JOIN fresh f USING (key) WHERE f IS DISTINCT FROM o),
    come AS MATERIALIZED (SELECT f.* FROM fresh f LEFT JOIN old o USING (key) WHERE f IS DISTINCT FROM o),
    deleted AS (
        DELETE FROM tenancy.benchmark_row b USING gone g WHERE b.tenant_id = only_tenant AND b.key = g.key AND NOT EXISTS (SELECT FROM fresh f WHERE f.key = g.key)),
    written AS (
        INSERT INTO tenancy.benchmark_row SELECT only_tenant, c.* FROM come c
        ON CONFLICT (tenant_id, key) DO UPDATE SET technologies = excluded.technologies, industry = excluded.industry, company_size = excluded.company_size,
            month = excluded.month, timeline = excluded.timeline, budget = excluded.budget, roi = excluded.roi),
    part AS (
        SELECT -1 AS sign, t.technology, g.* FROM gone g, unnest(g.technologies || ''::text) t (technology)
        UNION ALL SELECT 1, t.technology, c.* FROM come c, unnest(c.technologies || ''::text) t (technology))
    SELECT p.technology, p.industry, p.company_size, p.month, sum(sign),
        @extschema@.percentile_sketch(timeline) FILTER (WHERE sign > 0), @extschema@.percentile_sketch(timeline) FILTER (WHERE sign < 0),
        @extschema@.percentile_sketch(budget) FILTER (WHERE sign > 0), @extschema@.percentile_sketch(budget) FILTER (WHERE sign < 0),
        @extschema@.percentile_sketch(roi) FILTER (WHERE sign > 0), @extschema@.percentile_sketch(roi) FILTER (WHERE sign < 0)
    FROM part p GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
$$;
COMMENT ON FUNCTION tenancy.benchmark_delta(bigint, jsonb, jsonb) IS 'Writes what rows count as now, and says what that changes in each cell';

CREATE FUNCTION tenancy.benchmark_apply(only_tenant bigint, keys jsonb, rows jsonb) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
DECLARE
    cells bigint;
BEGIN
    PERFORM tenancy.benchmark_lock(only_tenant);
    -- every cell by its key, however many there are and whatever is known of the table
    WITH d AS MATERIALIZED (SELECT * FROM tenancy.benchmark_delta(only_tenant, keys, coalesce(rows, '[]'))),
    changed AS (
        UPDATE tenancy.benchmark_cell c SET n = c.n + d.n, updated_at = now(), timeline = tenancy.benchmark_change(c.timeline, d.timeline_more, d.timeline_less),
            budget = tenancy.benchmark_change(c.budget, d.budget_more, d.budget_less), roi = tenancy.benchmark_change(c.roi, d.roi_more, d.roi_less)
        FROM d WHERE c.tenant_id = only_tenant AND c.technology = d.technology AND c.industry = d.industry AND c.company_size = d.company_size AND c.month = d.month),
    made AS (
        INSERT INTO tenancy.benchmark_cell (tenant_id, technology, industry, company_size, month, n, timeline, budget, roi)
        SELECT only_tenant, d.technology, d.industry, d.company_size, d.month, d.n, d.timeline_more, d.budget_more, d.roi_more FROM d
        WHERE NOT EXISTS (SELECT FROM tenancy.benchmark_cell c
            WHERE c.tenant_id = only_tenant AND c.technology = d.technology AND c.industry = d.industry AND c.company_size = d.company_size AND c.month = d.month))
    SELECT count(*) INTO cells FROM d;
    DELETE FROM tenancy.benchmark_cell c WHERE c.tenant_id = only_tenant AND c.n = 0;
    RETURN cells;
END
$$;
COMMENT ON FUNCTION tenancy.benchmark_apply(bigint, jsonb, jsonb) IS 'Makes the cells agree with rows: keys that were looked for (JSON arrays of text), and key and document, {"key": [...], "row": {...}}, of those that are there; returns how many cells changed';

CREATE FUNCTION tenancy.benchmark_refresh(tenant text) RETURNS bigint LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'tenancy_benchmark_refresh';
COMMENT ON FUNCTION tenancy.benchmark_refresh(text) IS 'Compares the benchmark statistics of a tenant with all its rows and corrects them; returns how many changes of cells that took. Only needed where no worker does it (tenancy.benchmarks = off). Others cannot write the tenant''s statistics until the transaction ends: refresh many tenants with tenancy.benchmark_refresh_all(). Errors: TN001 unknown tenant, TN010 its blueprint has no benchmark table, or the table has not its columns, 25001 not READ COMMITTED, 55P03 the table is locked';

CREATE FUNCTION tenancy.benchmark_tenants() RETURNS TABLE (name text)
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT t.name FROM tenancy.tenant t JOIN tenancy.benchmark_table b USING (blueprint) WHERE t.status <> 'dropped' ORDER BY t.name
$$;
COMMENT ON FUNCTION tenancy.benchmark_tenants() IS 'Tenants that have a benchmark table';

CREATE FUNCTION tenancy.benchmark_min_tenants() RETURNS int LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'tenancy_benchmark_min_tenants_setting';
COMMENT ON FUNCTION tenancy.benchmark_min_tenants() IS 'Setting tenancy.benchmark_min_tenants';

CREATE FUNCTION tenancy.benchmark_set_table(blueprint text, table_name text, technologies text, industry text, company_size text, timeline text, budget text, roi text, created text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF table_name IS NOT NULL AND NOT EXISTS (SELECT FROM tenancy.sync_table s WHERE s.blueprint = benchmark_set_table.blueprint AND s.table_name = benchmark_set_table.table_name::name) THEN
        RAISE EXCEPTION USING ERRCODE = 'TN010', MESSAGE = format('table "%s" of blueprint "%s" is not synced', table_name, blueprint), HINT = 'Call tenant_sync_table() first.';
    END IF;
    UPDATE tenancy.sync_table s SET benchmark = s.table_name IS NOT DISTINCT FROM benchmark_set_table.table_name::name
     WHERE s.blueprint = benchmark_set_table.blueprint AND s.benchmark IS DISTINCT FROM (s.table_name IS NOT DISTINCT FROM benchmark_set_table.table_name::name);
    IF table_name IS NULL THEN
        DELETE FROM tenancy.benchmark_table b WHERE b.blueprint = benchmark_set_table.blueprint;
        RETURN;
    END IF;
    INSERT INTO tenancy.benchmark_table VALUES (blueprint, table_name, technologies, industry, company_size, timeline, budget, roi, created)
    ON CONFLICT ON CONSTRAINT benchmark_table_pkey DO UPDATE SET table_name = excluded.table_name, technologies = excluded.technologies, industry = excluded.industry,
        company_size = excluded.company_size, timeline = excluded.timeline, budget = excluded.budget, roi = excluded.roi, created = excluded.created;
    PERFORM FROM tenancy.sink k WHERE k.name = 'statistics' FOR SHARE; -- who switches it on asks for all rows, and sees this
    PERFORM tenancy.request_resync('statistics', NULL, blueprint, NULL);
END
$$;
COMMENT ON FUNCTION tenancy.benchmark_set_table(text, text, text, text, text, text, text, text, text) IS 'What tenant_benchmark_table() does for a blueprint''s owner';

CREATE FUNCTION @extschema@.tenant_benchmark_table(blueprint text, table_name text, technologies text DEFAULT 'technologies', industry text DEFAULT 'industry',
    company_size text DEFAULT 'company_size', timeline text DEFAULT 'timeline_weeks', budget text DEFAULT 'budget_usd', roi text DEFAULT 'roi_percent', created text DEFAULT 'created_at') RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tenant_benchmark_table';
COMMENT ON FUNCTION @extschema@.tenant_benchmark_table(text, text, text, text, text, text, text, text, text) IS 'Says which synced table of a blueprint, one at the most, has the projects for the benchmark statistics, and in which columns; null: none any more, and what was counted goes. Timeline, budget and ROI are numbers, of which NaN and infinity count as none. Errors: 42501 not the blueprint''s owner, TN010 the table is not synced';

CREATE FUNCTION tenancy.benchmark_summary(sketch @extschema@.percentile_sketch) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_build_object('count', @extschema@.sketch_count(sketch), 'avg', @extschema@.sketch_avg(sketch), 'p25', p[1], 'median', p[2], 'p75', p[3], 'p90', p[4], 'accuracy', @extschema@.sketch_accuracy(sketch))
      FROM (SELECT @extschema@.sketch_percentile(sketch, ARRAY[0.25, 0.5, 0.75, 0.9]) AS p) s WHERE p IS NOT NULL
$$;
COMMENT ON FUNCTION tenancy.benchmark_summary(@extschema@.percentile_sketch) IS 'What a benchmark says of a measure, null without a value; accuracy 0: exactly';

CREATE FUNCTION tenancy.benchmark_merged(only_tenant bigint, technology text, industry text, company_size text, since date, until date, OUT n bigint,
    OUT timeline @extschema@.percentile_sketch, OUT budget @extschema@.percentile_sketch, OUT roi @extschema@.percentile_sketch, OUT updated_at timestamptz) RETURNS record
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT sum(c.n)::bigint, @extschema@.percentile_sketch_merge(c.timeline), @extschema@.percentile_sketch_merge(c.budget), @extschema@.percentile_sketch_merge(c.roi), max(c.updated_at)
      FROM tenancy.benchmark_cell c JOIN tenancy.tenant t ON t.id = c.tenant_id AND t.status <> 'dropped'
     WHERE c.tenant_id = only_tenant AND c.technology = coalesce(benchmark_merged.technology, '')
       AND (benchmark_merged.industry IS NULL OR c.industry = benchmark_merged.industry) AND (benchmark_merged.company_size IS NULL OR c.company_size = benchmark_merged.company_size)
       AND (since IS NULL OR c.month >= date_trunc('month', since)) AND (until IS NULL OR c.month <= date_trunc('month', until))
$$;
COMMENT ON FUNCTION tenancy.benchmark_merged(bigint, text, text, text, date, date) IS 'All cells of a tenant that fit, as one';

CREATE FUNCTION tenancy.benchmark_json(technology text, industry text, company_size text, n bigint, timeline @extschema@.percentile_sketch, budget @extschema@.percentile_sketch,
    roi @extschema@.percentile_sketch, updated_at timestamptz) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_build_object('technology', technology, 'customer_industry', industry, 'company_size', company_size, 'count', coalesce(n, 0), 'last_updated', updated_at,
        'timeline_weeks', tenancy.benchmark_summary(timeline), 'budget_usd', tenancy.benchmark_summary(budget), 'roi_percent', tenancy.benchmark_summary(roi))
$$;
COMMENT ON FUNCTION tenancy.benchmark_json(text, text, text, bigint, @extschema@.percentile_sketch, @extschema@.percentile_sketch, @extschema@.percentile_sketch, timestamptz) IS 'A benchmark as tenant_benchmark() gives it';

CREATE FUNCTION tenancy.benchmark_ask(question text, options jsonb) RETURNS jsonb
    LANGUAGE c STABLE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'tenancy_benchmark_ask';
COMMENT ON FUNCTION tenancy.benchmark_ask(text, jsonb) IS 'What tenancy.benchmark_answer() says of the tenant in use, to who may read all of its table. Errors: TN005 no tenant in use, 42501 no right to SELECT from the table, or row security hides some of it';

CREATE FUNCTION @extschema@.tenant_benchmark(technology text DEFAULT NULL, industry text DEFAULT NULL, company_size text DEFAULT NULL, since date DEFAULT NULL, until date DEFAULT NULL) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp AS $$
    SELECT tenancy.benchmark_ask('benchmark', jsonb_build_object('technology', technology, 'industry', industry, 'company_size', company_size, 'since', since, 'until', until))
$$;
COMMENT ON FUNCTION @extschema@.tenant_benchmark(text, text, text, date, date) IS 'Benchmark of the tenant in use: count, average, 25, 50, 75 and 90 % of timeline, budget and ROI of its projects with a technology (null: all, each once), of an industry, of a company size (empty text: those without one), of the months since to until (projects without a date are older than any). A measure without a value is null. A change is in it within seconds (tenancy.benchmarks), else after tenancy.benchmark_refresh(). Errors: TN005 no tenant in use, 42501 no right to SELECT from its table';

CREATE FUNCTION tenancy.benchmark_rounded(value float8) RETURNS float8
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN abs(value) > 1e-100 THEN round(value::numeric, 1 - floor(log(abs(value)::numeric))::int)::float8 ELSE value * 0 END
$$;
COMMENT ON FUNCTION tenancy.benchmark_rounded(float8) IS 'A number with its first two digits';

CREATE FUNCTION tenancy.benchmark_between(of_tenants float8[], at_least int) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_build_object('tenants', n, 'p25', tenancy.benchmark_rounded(p[1]), 'median', tenancy.benchmark_rounded(p[2]), 'p75', tenancy.benchmark_rounded(p[3]))
      FROM (SELECT count(*) AS n, @extschema@.percentile(v, ARRAY[0.25, 0.5, 0.75]) AS p FROM unnest(of_tenants) v WHERE v IS NOT NULL) s WHERE n >= at_least
$$;
COMMENT ON FUNCTION tenancy.benchmark_between(float8[], int) IS 'Percentiles of one value for each tenant; null if there are fewer than at_least';

CREATE FUNCTION tenancy.benchmark_across(technology text DEFAULT NULL, industry text DEFAULT NULL, company_size text DEFAULT NULL) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH each AS (
        SELECT c.tenant_id, sum(c.n)::bigint AS n, max(c.updated_at) AS updated_at, @extschema@.sketch_percentile(@extschema@.percentile_sketch_merge(c.timeline), 0.5) AS timeline,
            @extschema@.sketch_percentile(@extschema@.percentile_sketch_merge(c.budget), 0.5) AS budget, @extschema@.sketch_percentile(@extschema@.percentile_sketch_merge(c.roi), 0.5) AS roi
          FROM tenancy.benchmark_cell c JOIN tenancy.tenant t ON t.id = c.tenant_id AND t.status <> 'dropped'
         WHERE c.technology = coalesce(benchmark_across.technology, '') AND (benchmark_across.industry IS NULL OR c.industry = benchmark_across.industry)
           AND (benchmark_across.company_size IS NULL OR c.company_size = benchmark_across.company_size) GROUP BY c.tenant_id)
    SELECT jsonb_build_object('technology', technology, 'customer_industry', industry, 'company_size', company_size, 'tenants', count(*), 'count', sum(n)::bigint / k * k, 'last_updated', max(updated_at)::date,
        'timeline_weeks', tenancy.benchmark_between(array_agg(timeline), k), 'budget_usd', tenancy.benchmark_between(array_agg(budget), k), 'roi_percent', tenancy.benchmark_between(array_agg(roi), k))
      FROM each, tenancy.benchmark_min_tenants() k GROUP BY k HAVING count(*) >= k
$$;
COMMENT ON FUNCTION tenancy.benchmark_across(text, text, text) IS 'Benchmark across all tenants, for operators: 25, 50 and 75 % of the tenants'' medians, each tenant counting once, with two digits; null if fewer than tenancy.benchmark_min_tenants tenants have a row in it, so is a measure of which fewer have a value. The count of projects is rounded down to a multiple of that';

CREATE FUNCTION tenancy.benchmark_histogram(tenant text, measure text, technology text DEFAULT NULL, industry text DEFAULT NULL, company_size text DEFAULT NULL, parts int DEFAULT 10)
    RETURNS TABLE (part int, low float8, high float8, count bigint)
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER ROWS 10 SET search_path = pg_catalog, pg_temp AS $$
    SELECT h.part, h.low, h.high, h.count
      FROM tenancy.tenant t, tenancy.benchmark_merged(t.id, technology, industry, company_size, NULL, NULL) m,
        @extschema@.sketch_histogram(CASE measure WHEN 'timeline_weeks' THEN m.timeline WHEN 'budget_usd' THEN m.budget WHEN 'roi_percent' THEN m.roi END, parts) h
     WHERE t.name = benchmark_histogram.tenant AND t.status <> 'dropped'
$$;
COMMENT ON FUNCTION tenancy.benchmark_histogram(text, text, text, text, text, int) IS 'How many of a tenant''s projects are in each of equal parts of the range of a measure (timeline_weeks, budget_usd, roi_percent): for a dashboard. It says what single projects are, so that only tenancy_admin may call it. Nothing for another measure or tenant';

CREATE FUNCTION tenancy.benchmark_chart(sketch @extschema@.percentile_sketch, parts int, width int) RETURNS SETOF text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 10 SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('%s - %s | %s %s', lpad(round(h.low::numeric, 1)::text, 14), lpad(round(h.high::numeric, 1)::text, 14),
        rpad(repeat('#', (h.count * greatest(width, 1) / greatest(max(h.count) OVER (), 1))::int), greatest(width, 1)), h.count)
    FROM @extschema@.sketch_histogram(sketch, parts) h ORDER BY h.part
$$;
COMMENT ON FUNCTION tenancy.benchmark_chart(@extschema@.percentile_sketch, int, int) IS 'A sketch''s histogram as lines of text, the longest bar width characters';

CREATE FUNCTION @extschema@.tenant_benchmark_chart(measure text, technology text DEFAULT NULL, industry text DEFAULT NULL, company_size text DEFAULT NULL, parts int DEFAULT 10, width int DEFAULT 40) RETURNS SETOF text
    LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 10 SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_array_elements_text(tenancy.benchmark_ask('chart', jsonb_build_object('measure', measure, 'technology', technology, 'industry', industry, 'company_size', company_size, 'parts', parts, 'width', width)))
$$;
COMMENT ON FUNCTION @extschema@.tenant_benchmark_chart(text, text, text, text, int, int) IS 'Bars of a measure (timeline_weeks, budget_usd, roi_percent) of the tenant in use, one line for each of parts equal ranges; for a look in psql. Errors: 22023 another measure or number of parts, TN005 no tenant in use, 42501 no right to SELECT from its table';

CREATE FUNCTION tenancy.benchmark_statistics(only_tenant bigint) RETURNS TABLE (tenant_id bigint, technology text, customer_industry text, company_size text, count bigint, avg_timeline float8, median_timeline float8,
    p90_timeline float8, avg_budget float8, median_budget float8, avg_roi float8, last_updated timestamptz)
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.tenant_id, s.technology, nullif(s.industry, ''), nullif(s.company_size, ''), s.n, @extschema@.sketch_avg(s.timeline), @extschema@.sketch_percentile(s.timeline, 0.5), @extschema@.sketch_percentile(s.timeline, 0.9),
        @extschema@.sketch_avg(s.budget), @extschema@.sketch_percentile(s.budget, 0.5), @extschema@.sketch_avg(s.roi), s.updated_at
      FROM (SELECT c.tenant_id, c.technology, c.industry, c.company_size, sum(c.n)::bigint AS n, @extschema@.percentile_sketch_merge(c.timeline) AS timeline,
                @extschema@.percentile_sketch_merge(c.budget) AS budget, @extschema@.percentile_sketch_merge(c.roi) AS roi, max(c.updated_at) AS updated_at
              FROM tenancy.benchmark_cell c JOIN tenancy.tenant t ON t.id = c.tenant_id AND t.status <> 'dropped'
             WHERE c.technology <> '' AND (only_tenant IS NULL OR c.tenant_id = only_tenant) GROUP BY 1, 2, 3, 4) s
$$;
COMMENT ON FUNCTION tenancy.benchmark_statistics(bigint) IS 'What view benchmark_statistics shows, of one tenant or of all';

CREATE FUNCTION tenancy.benchmark_answer(only_tenant bigint, question text, options jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    m record;
    answer jsonb;
BEGIN
    IF question = 'statistics' THEN
        SELECT jsonb_agg(to_jsonb(s)) INTO answer FROM tenancy.benchmark_statistics(only_tenant) s;
        RETURN answer;
    ELSIF question = 'chart' AND coalesce(options ->> 'measure', '') NOT IN ('timeline_weeks', 'budget_usd', 'roi_percent') THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = 'measure must be "timeline_weeks", "budget_usd" or "roi_percent"';
    END IF;
    SELECT * INTO m FROM tenancy.benchmark_merged(only_tenant, options ->> 'technology', options ->> 'industry', options ->> 'company_size', (options ->> 'since')::date, (options ->> 'until')::date);
    IF question = 'benchmark' THEN
        RETURN tenancy.benchmark_json(options ->> 'technology', options ->> 'industry', options ->> 'company_size', m.n, m.timeline, m.budget, m.roi, m.updated_at);
    END IF;
    SELECT jsonb_agg(line ORDER BY o) INTO answer
      FROM tenancy.benchmark_chart(CASE options ->> 'measure' WHEN 'timeline_weeks' THEN m.timeline WHEN 'budget_usd' THEN m.budget ELSE m.roi END,
        (options ->> 'parts')::int, (options ->> 'width')::int) WITH ORDINALITY c (line, o);
    RETURN answer;
END
$$;
COMMENT ON FUNCTION tenancy.benchmark_answer(bigint, text, jsonb) IS 'Answer to a question (benchmark, chart, statistics) about a tenant';

CREATE FUNCTION @extschema@.tenant_benchmark_statistics() RETURNS TABLE (technology text, customer_industry text, company_size text, count bigint, avg_timeline float8, median_timeline float8,
    p90_timeline float8, avg_budget float8, median_budget float8, avg_roi float8, last_updated timestamptz)
    LANGUAGE sql STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.technology, s.customer_industry, s.company_size, s.count, s.avg_timeline, s.median_timeline, s.p90_timeline, s.avg_budget, s.median_budget, s.avg_roi, s.last_updated
      FROM jsonb_to_recordset(tenancy.benchmark_ask('statistics', '{}')) s (technology text, customer_industry text, company_size text, count bigint, avg_timeline float8, median_timeline float8,
        p90_timeline float8, avg_budget float8, median_budget float8, avg_roi float8, last_updated timestamptz)
$$;
COMMENT ON FUNCTION @extschema@.tenant_benchmark_statistics() IS 'What view benchmark_statistics shows. Errors: TN005 no tenant in use, 42501 no right to SELECT from its table';

CREATE VIEW @extschema@.benchmark_statistics AS SELECT * FROM @extschema@.tenant_benchmark_statistics();
COMMENT ON VIEW @extschema@.benchmark_statistics IS 'Benchmarks of the tenant in use by technology, industry and company size, always fresh (tenancy.benchmarks): a project counts once for each of its technologies. Timelines in weeks, budgets in US dollars, ROI in percent';

CREATE MATERIALIZED VIEW tenancy.benchmark_statistics_mv AS
    SELECT t.name AS tenant, s.* FROM tenancy.benchmark_statistics(NULL) s JOIN tenancy.tenant t ON t.id OPERATOR(pg_catalog.=) s.tenant_id;
COMMENT ON MATERIALIZED VIEW tenancy.benchmark_statistics_mv IS 'The same of all tenants as of the last tenancy.benchmark_refresh_mv(), for those who want it once a day. It says what single tenants have: only tenancy_admin may read it';
CREATE UNIQUE INDEX benchmark_statistics_mv_key ON tenancy.benchmark_statistics_mv (tenant_id, technology, customer_industry, company_size) NULLS NOT DISTINCT;

CREATE FUNCTION tenancy.benchmark_refresh_mv() RETURNS void LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    REFRESH MATERIALIZED VIEW CONCURRENTLY tenancy.benchmark_statistics_mv;
END
$$;
COMMENT ON FUNCTION tenancy.benchmark_refresh_mv() IS 'Refreshes tenancy.benchmark_statistics_mv; those who read it do not wait';

CREATE PROCEDURE tenancy.benchmark_refresh_all() LANGUAGE plpgsql AS $$
DECLARE
    tenant text;
BEGIN
    FOR tenant IN SELECT t.name FROM tenancy.benchmark_tenants() t LOOP
        PERFORM tenancy.benchmark_refresh(tenant);
        COMMIT;
    END LOOP;
    PERFORM tenancy.benchmark_refresh_mv();
END
$$;
COMMENT ON PROCEDURE tenancy.benchmark_refresh_all() IS 'Refreshes the statistics of each tenant in a transaction of its own, then tenancy.benchmark_statistics_mv: once a day, say, where no worker does it';

DO $do$
DECLARE
    f record;
BEGIN
    FOR f IN SELECT p.oid::regprocedure AS name, p.proname, p.pronamespace::regnamespace::text AS schema FROM pg_proc p
        WHERE p.proname ~ '^(tenant_)?benchmark' AND p.pronamespace IN ('tenancy'::regnamespace, '@extschema@'::regnamespace)
          AND EXISTS (SELECT FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'pg_tenancy' WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e') LOOP
        EXECUTE format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', f.name);
        IF f.proname IN ('tenant_benchmark', 'tenant_benchmark_chart', 'tenant_benchmark_statistics', 'benchmark_ask') THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO tenancy_app, tenancy_admin', f.name);
        ELSIF f.proname IN ('tenant_benchmark_table', 'benchmark_histogram') THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO tenancy_admin', f.name);
        ELSIF f.proname IN ('benchmark_across', 'benchmark_min_tenants', 'benchmark_refresh', 'benchmark_refresh_all', 'benchmark_refresh_mv', 'benchmark_tenants') THEN
            EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO tenancy_operator, tenancy_admin', f.name);
        END IF;
    END LOOP;
END
$do$;
REVOKE ALL ON @extschema@.benchmark_statistics, tenancy.benchmark_statistics_mv FROM PUBLIC;
GRANT SELECT ON @extschema@.benchmark_statistics TO tenancy_app, tenancy_admin;
GRANT SELECT ON tenancy.benchmark_statistics_mv TO tenancy_admin;

SELECT tenancy.benchmark_set_table('case_studies', 'case_studies', 'technologies', 'industry', 'company_size', 'timeline_weeks', 'budget_usd', 'roi_percent', 'created_at');
