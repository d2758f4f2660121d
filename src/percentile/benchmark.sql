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

REVOKE ALL ON tenancy.benchmark_table, tenancy.benchmark_row, tenancy.benchmark_cell FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('tenancy.benchmark_table', 'WHERE blueprint <> ''case_studies''');

CREATE FUNCTION tenancy.benchmark_technologies(technologies jsonb) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(DISTINCT v), '{}')
      FROM (SELECT e #>> '{}' AS v
              FROM jsonb_array_elements(CASE jsonb_typeof(technologies) WHEN 'array' THEN technologies
                                             ELSE jsonb_build_array(technologies) END) e
             WHERE jsonb_typeof(e) IN ('string', 'number')) s
     WHERE v <> ''
$$;
COMMENT ON FUNCTION tenancy.benchmark_technologies(jsonb) IS 'Technologies in a column''s value, each once; anything but text and numbers is none';

CREATE FUNCTION tenancy.benchmark_change(old @extschema@.percentile_sketch, more @extschema@.percentile_sketch, less @extschema@.percentile_sketch)
    RETURNS @extschema@.percentile_sketch LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'benchmark_change';
COMMENT ON FUNCTION tenancy.benchmark_change(@extschema@.percentile_sketch, @extschema@.percentile_sketch, @extschema@.percentile_sketch) IS 'A sketch with more values, then without others';

CREATE FUNCTION tenancy.benchmark_query(only_tenant bigint, OUT owner oid, OUT schema_name name, OUT key_query text, OUT row_query text) RETURNS record
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    b tenancy.benchmark_table;
    relation oid;
    names text[];
    types text[];
    from_row text;
BEGIN
    SELECT (t.schema_name)::name, c.oid, c.relowner, coalesce(s.key_columns, p.columns)
      INTO schema_name, relation, owner, names
      FROM tenancy.tenant t JOIN tenancy.benchmark_table x USING (blueprint)
      JOIN tenancy.sync_table s ON s.blueprint = t.blueprint AND s.table_name = x.table_name
      JOIN pg_namespace n ON n.nspname = t.schema_name
      JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = x.table_name AND c.relkind IN ('r', 'p')
      LEFT JOIN LATERAL (SELECT array_agg(a.attname::text ORDER BY k.n) AS columns
          FROM pg_index i CROSS JOIN unnest(i.indkey) WITH ORDINALITY k (attnum, n)
          JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
         WHERE i.indrelid = c.oid AND i.indisprimary AND k.n <= i.indnkeyatts) p ON true
     WHERE t.id = only_tenant AND t.status <> 'dropped';
    IF relation IS NULL OR names IS NULL THEN
        RETURN;
    END IF;
    SELECT * INTO b FROM tenancy.benchmark_table x WHERE x.blueprint = (SELECT t.blueprint FROM tenancy.tenant t WHERE t.id = only_tenant);
    SELECT array_agg(format_type(a.atttypid, a.atttypmod) ORDER BY k.n) INTO types
      FROM unnest(names) WITH ORDINALITY k (name, n) JOIN pg_attribute a ON a.attrelid = relation AND a.attname = k.name AND NOT a.attisdropped;
    from_row := format('%I.%I t', schema_name, b.table_name);
    key_query := (SELECT format('SELECT pg_catalog.jsonb_build_array(%s) FROM %s', string_agg(format('t.%I::pg_catalog.text', name), ', ' ORDER BY n), from_row)
        FROM unnest(names) WITH ORDINALITY k (name, n));
    row_query := (SELECT format('SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(%L, k.v, %L, pg_catalog.to_jsonb(t.%I), %L, t.%I::pg_catalog.text, %L, t.%I::pg_catalog.text,'
            || ' %L, t.%I::pg_catalog.float8, %L, t.%I::pg_catalog.float8, %L, t.%I::pg_catalog.float8, %L, pg_catalog.date_trunc(%L, t.%I::pg_catalog.timestamp)::pg_catalog.date))'
            || ' FROM pg_catalog.jsonb_array_elements($1) k (v) JOIN %s ON %s',
            'key', 'technologies', b.technologies, 'industry', b.industry, 'company_size', b.company_size, 'timeline', b.timeline, 'budget', b.budget, 'roi', b.roi,
            'month', 'month', b.created, from_row, string_agg(format('t.%I OPERATOR(pg_catalog.=) (k.v OPERATOR(pg_catalog.->>) %s)::%s', k.name, k.n - 1, k.type), ' AND ' ORDER BY k.n))
        FROM (SELECT name, types[n] AS type, n FROM unnest(names) WITH ORDINALITY k (name, n)) k);
END
$$;
COMMENT ON FUNCTION tenancy.benchmark_query(bigint) IS 'Queries for the keys of a tenant''s benchmark table, each as a JSON array of text, and for what its rows of such keys ($1, a JSON array of them) count as; to be run as the owner. Nulls if there is no such table';

CREATE FUNCTION tenancy.benchmark_delta(only_tenant bigint, keys jsonb, rows jsonb) RETURNS TABLE (technology text, industry text, company_size text, month date, n bigint,
    timeline_more @extschema@.percentile_sketch, timeline_less @extschema@.percentile_sketch, budget_more @extschema@.percentile_sketch, budget_less @extschema@.percentile_sketch,
    roi_more @extschema@.percentile_sketch, roi_less @extschema@.percentile_sketch)
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET enable_hashjoin = on SET enable_mergejoin = on SET enable_seqscan = on AS $$
    WITH looked AS MATERIALIZED (
        SELECT DISTINCT ARRAY(SELECT jsonb_array_elements_text(k)) AS key FROM jsonb_array_elements(keys) k),
    fresh AS MATERIALIZED (
        SELECT DISTINCT ON (1) ARRAY(SELECT jsonb_array_elements_text(r -> 'key')) AS key, tenancy.benchmark_technologies(r -> 'technologies') AS technologies,
            coalesce(r ->> 'industry', '') AS industry, coalesce(r ->> 'company_size', '') AS company_size, coalesce((r ->> 'month')::date, date '-infinity') AS month,
            (r ->> 'timeline')::float8 AS timeline, (r ->> 'budget')::float8 AS budget, (r ->> 'roi')::float8 AS roi
        FROM jsonb_array_elements(rows) r),
    old AS MATERIALIZED (
        SELECT b.key, b.technologies, b.industry, b.company_size, b.month, b.timeline, b.budget, b.roi
        FROM looked JOIN tenancy.benchmark_row b ON b.tenant_id = only_tenant AND b.key = looked.key),
    gone AS MATERIALIZED (SELECT o.* FROM old o LEFT JOIN fresh f USING (key) WHERE f IS DISTINCT FROM o),
    come AS MATERIALIZED (SELECT f.* FROM fresh f LEFT JOIN old o USING (key) WHERE f IS DISTINCT FROM o),
    deleted AS (
        DELETE FROM tenancy.benchmark_row b USING gone g WHERE b.tenant_id = only_tenant AND b.key = g.key AND g.key NOT IN (SELECT key FROM fresh)),
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
    PERFORM pg_advisory_xact_lock(hashtextextended('tenancy.benchmark', only_tenant));
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
COMMENT ON FUNCTION tenancy.benchmark_apply(bigint, jsonb, jsonb) IS 'Makes the cells agree with rows: keys that were looked for, and what the rows that are there count as; returns how many cells changed';

CREATE FUNCTION tenancy.benchmark_refresh(tenant text) RETURNS bigint LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'tenancy_benchmark_refresh';
COMMENT ON FUNCTION tenancy.benchmark_refresh(text) IS 'Compares the benchmark statistics of a tenant with all its rows and corrects them; returns how many changes of cells that took. Only needed where no worker does it (tenancy.benchmarks = off). Errors: TN001 unknown tenant, TN010 its blueprint has no benchmark table';

CREATE FUNCTION tenancy.benchmark_min_tenants() RETURNS int LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'tenancy_benchmark_min_tenants_setting';
COMMENT ON FUNCTION tenancy.benchmark_min_tenants() IS 'Setting tenancy.benchmark_min_tenants';

CREATE FUNCTION @extschema@.tenant_benchmark_table(blueprint text, table_name text, technologies text DEFAULT 'technologies', industry text DEFAULT 'industry',
    company_size text DEFAULT 'company_size', timeline text DEFAULT 'timeline_weeks', budget text DEFAULT 'budget_usd', roi text DEFAULT 'roi_percent', created text DEFAULT 'created_at') RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM tenancy.sync_table s WHERE s.blueprint = tenant_benchmark_table.blueprint AND s.table_name = tenant_benchmark_table.table_name::name) THEN
        RAISE EXCEPTION USING ERRCODE = 'TN010', MESSAGE = format('table "%s" of blueprint "%s" is not synced', table_name, blueprint), HINT = 'Call tenant_sync_table() first.';
    END IF;
    UPDATE tenancy.sync_table s SET benchmark = s.table_name = tenant_benchmark_table.table_name::name
     WHERE s.blueprint = tenant_benchmark_table.blueprint AND s.benchmark IS DISTINCT FROM (s.table_name = tenant_benchmark_table.table_name::name);
    INSERT INTO tenancy.benchmark_table VALUES (blueprint, table_name, technologies, industry, company_size, timeline, budget, roi, created)
    ON CONFLICT ON CONSTRAINT benchmark_table_pkey DO UPDATE SET table_name = excluded.table_name, technologies = excluded.technologies, industry = excluded.industry,
        company_size = excluded.company_size, timeline = excluded.timeline, budget = excluded.budget, roi = excluded.roi, created = excluded.created;
    PERFORM tenancy.request_resync('statistics', NULL, blueprint, NULL);
END
$$;
COMMENT ON FUNCTION @extschema@.tenant_benchmark_table(text, text, text, text, text, text, text, text, text) IS 'Says which synced table of a blueprint, one at the most, has the projects for the benchmark statistics, and in which columns. Errors: TN010 the table is not synced';

CREATE FUNCTION tenancy.benchmark_summary(sketch @extschema@.percentile_sketch) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_build_object('count', @extschema@.sketch_count(sketch), 'avg', @extschema@.sketch_avg(sketch), 'p25', p[1], 'median', p[2], 'p75', p[3], 'p90', p[4], 'accuracy', @extschema@.sketch_accuracy(sketch))
      FROM (SELECT @extschema@.sketch_percentile(sketch, ARRAY[0.25, 0.5, 0.75, 0.9]) AS p) s WHERE p IS NOT NULL
$$;
COMMENT ON FUNCTION tenancy.benchmark_summary(@extschema@.percentile_sketch) IS 'What a benchmark says of a measure, null without a value; accuracy 0: exactly';

CREATE FUNCTION tenancy.benchmark_merged(only_tenant bigint, technology text, industry text, company_size text, since date, until date, OUT n bigint, OUT tenants bigint[],
    OUT timeline @extschema@.percentile_sketch, OUT budget @extschema@.percentile_sketch, OUT roi @extschema@.percentile_sketch, OUT updated_at timestamptz) RETURNS record
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT sum(c.n)::bigint, ARRAY[count(DISTINCT c.tenant_id), count(DISTINCT c.tenant_id) FILTER (WHERE @extschema@.sketch_count(c.timeline) > 0),
        count(DISTINCT c.tenant_id) FILTER (WHERE @extschema@.sketch_count(c.budget) > 0), count(DISTINCT c.tenant_id) FILTER (WHERE @extschema@.sketch_count(c.roi) > 0)], @extschema@.percentile_sketch_merge(c.timeline), @extschema@.percentile_sketch_merge(c.budget), @extschema@.percentile_sketch_merge(c.roi), max(c.updated_at)
      FROM tenancy.benchmark_cell c JOIN tenancy.tenant t ON t.id = c.tenant_id AND t.status <> 'dropped'
     WHERE (only_tenant IS NULL OR c.tenant_id = only_tenant) AND c.technology = coalesce(benchmark_merged.technology, '')
       AND (benchmark_merged.industry IS NULL OR c.industry = benchmark_merged.industry) AND (benchmark_merged.company_size IS NULL OR c.company_size = benchmark_merged.company_size)
       AND (since IS NULL OR c.month >= date_trunc('month', since)) AND (until IS NULL OR c.month <= date_trunc('month', until))
$$;
COMMENT ON FUNCTION tenancy.benchmark_merged(bigint, text, text, text, date, date) IS 'All cells that fit, as one; of all tenants if only_tenant is null. tenants: how many have a row, and a value of each measure';

CREATE FUNCTION tenancy.benchmark_json(technology text, industry text, company_size text, n bigint, timeline @extschema@.percentile_sketch, budget @extschema@.percentile_sketch,
    roi @extschema@.percentile_sketch, updated_at timestamptz) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_build_object('technology', technology, 'customer_industry', industry, 'company_size', company_size, 'count', coalesce(n, 0), 'last_updated', updated_at,
        'timeline_weeks', tenancy.benchmark_summary(timeline), 'budget_usd', tenancy.benchmark_summary(budget), 'roi_percent', tenancy.benchmark_summary(roi))
$$;
COMMENT ON FUNCTION tenancy.benchmark_json(text, text, text, bigint, @extschema@.percentile_sketch, @extschema@.percentile_sketch, @extschema@.percentile_sketch, timestamptz) IS 'A benchmark as tenant_benchmark() gives it';

CREATE FUNCTION tenancy.benchmark_tenant_id(name text) RETURNS bigint
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found_id bigint;
BEGIN
    IF name IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'TN005', MESSAGE = 'no tenant is in use', HINT = 'Call tenant_use() in this transaction first.';
    END IF;
    SELECT t.id INTO found_id FROM tenancy.tenant t WHERE t.name = benchmark_tenant_id.name AND t.status <> 'dropped';
    IF found_id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'TN001', MESSAGE = format('tenant "%s" does not exist', name);
    END IF;
    RETURN found_id;
END
$$;
COMMENT ON FUNCTION tenancy.benchmark_tenant_id(text) IS 'Id of a tenant. Errors: TN005 null, TN001 unknown';

CREATE FUNCTION @extschema@.tenant_benchmark(technology text DEFAULT NULL, industry text DEFAULT NULL, company_size text DEFAULT NULL, since date DEFAULT NULL, until date DEFAULT NULL) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT tenancy.benchmark_json(technology, industry, company_size, m.n, m.timeline, m.budget, m.roi, m.updated_at)
      FROM tenancy.benchmark_merged(tenancy.benchmark_tenant_id(@extschema@.tenant_current()), technology, industry, company_size, since, until) m
$$;
COMMENT ON FUNCTION @extschema@.tenant_benchmark(text, text, text, date, date) IS 'Benchmark of the tenant in use: count, average, 25, 50, 75 and 90 % of timeline, budget and ROI of its projects with a technology (null: all, each once), of an industry, of a company size ('''': those without one), of the months since to until. A measure without a value is null. A change is in it within seconds (tenancy.benchmarks), else after tenancy.benchmark_refresh(). Errors: TN005 no tenant in use';

CREATE FUNCTION tenancy.benchmark_across(technology text DEFAULT NULL, industry text DEFAULT NULL, company_size text DEFAULT NULL, since date DEFAULT NULL, until date DEFAULT NULL) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT tenancy.benchmark_json(technology, industry, company_size, m.n, CASE WHEN m.tenants[2] >= k THEN m.timeline END, CASE WHEN m.tenants[3] >= k THEN m.budget END,
            CASE WHEN m.tenants[4] >= k THEN m.roi END, m.updated_at) || jsonb_build_object('tenants', m.tenants[1])
      FROM tenancy.benchmark_min_tenants() k, tenancy.benchmark_merged(NULL, technology, industry, company_size, since, until) m WHERE m.tenants[1] >= k
$$;
COMMENT ON FUNCTION tenancy.benchmark_across(text, text, text, date, date) IS 'The same across all tenants, for operators; null if fewer than tenancy.benchmark_min_tenants tenants have a row in it; so is a measure of which fewer have a value';

CREATE FUNCTION tenancy.benchmark_chart(sketch @extschema@.percentile_sketch, parts int, width int) RETURNS SETOF text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 10 SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('%s - %s | %s %s', lpad(round(h.low::numeric, 1)::text, 14), lpad(round(h.high::numeric, 1)::text, 14),
        rpad(repeat('#', (h.count * greatest(width, 1) / greatest(max(h.count) OVER (), 1))::int), greatest(width, 1)), h.count)
    FROM @extschema@.sketch_histogram(sketch, parts) h ORDER BY h.part
$$;
COMMENT ON FUNCTION tenancy.benchmark_chart(@extschema@.percentile_sketch, int, int) IS 'A sketch''s histogram as lines of text, the longest bar width characters';

CREATE FUNCTION @extschema@.tenant_benchmark_chart(measure text, technology text DEFAULT NULL, industry text DEFAULT NULL, company_size text DEFAULT NULL, parts int DEFAULT 10, width int DEFAULT 40) RETURNS SETOF text
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER ROWS 10 SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    m record;
BEGIN
    SELECT * INTO m FROM tenancy.benchmark_merged(tenancy.benchmark_tenant_id(@extschema@.tenant_current()), technology, industry, company_size, NULL, NULL);
    IF measure = 'timeline_weeks' THEN
        RETURN QUERY SELECT tenancy.benchmark_chart(m.timeline, parts, width);
    ELSIF measure = 'budget_usd' THEN
        RETURN QUERY SELECT tenancy.benchmark_chart(m.budget, parts, width);
    ELSIF measure = 'roi_percent' THEN
        RETURN QUERY SELECT tenancy.benchmark_chart(m.roi, parts, width);
    ELSE
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = 'measure must be "timeline_weeks", "budget_usd" or "roi_percent"';
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@.tenant_benchmark_chart(text, text, text, text, int, int) IS 'Bars of a measure (timeline_weeks, budget_usd, roi_percent) of the tenant in use, one line for each of parts equal ranges; for a look in psql. Errors: 22023 another measure or number of parts, TN005 no tenant in use';

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

CREATE FUNCTION @extschema@.tenant_benchmark_statistics() RETURNS TABLE (technology text, customer_industry text, company_size text, count bigint, avg_timeline float8, median_timeline float8,
    p90_timeline float8, avg_budget float8, median_budget float8, avg_roi float8, last_updated timestamptz)
    LANGUAGE sql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT technology, customer_industry, company_size, count, avg_timeline, median_timeline, p90_timeline, avg_budget, median_budget, avg_roi, last_updated
      FROM tenancy.benchmark_statistics(tenancy.benchmark_tenant_id(@extschema@.tenant_current()))
$$;
COMMENT ON FUNCTION @extschema@.tenant_benchmark_statistics() IS 'What view benchmark_statistics shows. Errors: TN005 no tenant in use';

CREATE VIEW @extschema@.benchmark_statistics AS SELECT * FROM @extschema@.tenant_benchmark_statistics();
COMMENT ON VIEW @extschema@.benchmark_statistics IS 'Benchmarks of the tenant in use by technology, industry and company size, always fresh (tenancy.benchmarks): a project counts once for each of its technologies. Timelines in weeks, budgets in US dollars, ROI in percent';

CREATE MATERIALIZED VIEW tenancy.benchmark_statistics_mv AS
    SELECT t.name AS tenant, s.* FROM tenancy.benchmark_statistics(NULL) s JOIN tenancy.tenant t ON t.id OPERATOR(pg_catalog.=) s.tenant_id;
COMMENT ON MATERIALIZED VIEW tenancy.benchmark_statistics_mv IS 'The same of all tenants as of the last tenancy.benchmark_refresh_mv(), for those who want it once a day';
CREATE UNIQUE INDEX benchmark_statistics_mv_key ON tenancy.benchmark_statistics_mv (tenant_id, technology, customer_industry, company_size) NULLS NOT DISTINCT;

CREATE FUNCTION tenancy.benchmark_refresh_mv() RETURNS void LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    REFRESH MATERIALIZED VIEW CONCURRENTLY tenancy.benchmark_statistics_mv;
END
$$;
COMMENT ON FUNCTION tenancy.benchmark_refresh_mv() IS 'Refreshes tenancy.benchmark_statistics_mv; those who read it do not wait';

DO $do$
DECLARE
    f record;
BEGIN
    FOR f IN SELECT p.oid::regprocedure AS name, p.proname, p.pronamespace::regnamespace::text AS schema FROM pg_proc p
        WHERE p.proname ~ '^(tenant_)?benchmark' AND p.pronamespace IN ('tenancy'::regnamespace, '@extschema@'::regnamespace)
          AND EXISTS (SELECT FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'pg_tenancy' WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e') LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f.name);
        IF f.proname IN ('tenant_benchmark', 'tenant_benchmark_chart', 'tenant_benchmark_statistics') THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO tenancy_app, tenancy_admin', f.name);
        ELSIF f.proname = 'tenant_benchmark_table' THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO tenancy_admin', f.name);
        ELSIF f.proname IN ('benchmark_across', 'benchmark_min_tenants', 'benchmark_refresh', 'benchmark_refresh_mv') THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO tenancy_operator, tenancy_admin', f.name);
        END IF;
    END LOOP;
END
$do$;
REVOKE ALL ON @extschema@.benchmark_statistics, tenancy.benchmark_statistics_mv FROM PUBLIC;
GRANT SELECT ON @extschema@.benchmark_statistics TO tenancy_app, tenancy_admin;
GRANT SELECT ON tenancy.benchmark_statistics_mv TO tenancy_operator, tenancy_admin;

SELECT @extschema@.tenant_benchmark_table('case_studies', 'case_studies');
