-- Benchmark statistics: what cells say, after every kind of change; refreshed by hand, as there is no worker here.
\set VERBOSITY terse
SET client_min_messages = warning;
SELECT setseed(0.25);
SELECT tenant_create('bench') > 0, tenant_create('other') > 0;
INSERT INTO tenant_bench.case_studies (title, industry, company_size, technologies, timeline_weeks, budget_usd, roi_percent, created_at)
SELECT 'case ' || n, (ARRAY['Retail', 'Health', NULL])[1 + n % 3], (ARRAY['small', 'large'])[1 + n % 2],
    CASE n % 5 WHEN 0 THEN '["PostgreSQL", "Redis", "Redis"]' WHEN 1 THEN '["PostgreSQL"]' WHEN 2 THEN '[]' WHEN 3 THEN '["a ''\"b", {"x": 1}, null, 7, ""]' ELSE '["Redis"]' END::jsonb,
    CASE WHEN n % 7 > 0 THEN 1 + (random() * 50)::int END, round((random() * 1e6)::numeric, 2), round((random() * 500 - 100)::numeric, 2), timestamptz '2024-01-15 12:00+00' + make_interval(days => n)
FROM generate_series(1, 1000) n;

-- what the platform's view computes: every row and each of its technologies
CREATE VIEW bench_expected AS
SELECT t.technology, c.industry AS customer_industry, c.company_size, count(*) AS count, avg(c.timeline_weeks)::float8 AS avg_timeline,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY c.timeline_weeks) AS median_timeline, percentile_cont(0.9) WITHIN GROUP (ORDER BY c.timeline_weeks) AS p90_timeline,
    avg(c.budget_usd)::float8 AS avg_budget, percentile_cont(0.5) WITHIN GROUP (ORDER BY c.budget_usd) AS median_budget, avg(c.roi_percent)::float8 AS avg_roi
FROM tenant_bench.case_studies c,
    LATERAL (SELECT DISTINCT e #>> '{}' AS technology FROM jsonb_array_elements(c.technologies) e WHERE jsonb_typeof(e) IN ('string', 'number') AND e #>> '{}' <> '') t
GROUP BY 1, 2, 3;
CREATE FUNCTION bench_near(a float8, b float8) RETURNS boolean LANGUAGE sql AS $$ SELECT a IS NOT DISTINCT FROM b OR abs(a - b) <= 1e-9 * abs(b) $$;
CREATE FUNCTION bench_differences(OUT cells bigint, OUT wrong bigint, OUT rows boolean) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tenant_use('bench');
    SELECT count(*), count(*) FILTER (WHERE e.count IS DISTINCT FROM s.count OR e.median_timeline IS DISTINCT FROM s.median_timeline OR e.p90_timeline IS DISTINCT FROM s.p90_timeline
        OR e.median_budget IS DISTINCT FROM s.median_budget OR NOT bench_near(e.avg_timeline, s.avg_timeline) OR NOT bench_near(e.avg_budget, s.avg_budget) OR NOT bench_near(e.avg_roi, s.avg_roi))
      INTO cells, wrong
      FROM bench_expected e FULL JOIN benchmark_statistics s ON e.technology = s.technology AND e.customer_industry IS NOT DISTINCT FROM s.customer_industry AND e.company_size IS NOT DISTINCT FROM s.company_size;
    rows := (tenant_benchmark() ->> 'count')::bigint = (SELECT count(*) FROM tenant_bench.case_studies);
END $$;
BEGIN; SELECT * FROM bench_differences(); COMMIT;
SELECT tenancy.benchmark_refresh('bench') > 0;
BEGIN; SELECT * FROM bench_differences(); COMMIT;
SELECT tenancy.benchmark_refresh('bench');

-- inserted, changed in every column that counts, moved to other cells, deleted, key changed
INSERT INTO tenant_bench.case_studies (title, industry, company_size, technologies, timeline_weeks) VALUES ('new', 'Space', NULL, '["PostgreSQL", "Rust"]', 3);
UPDATE tenant_bench.case_studies SET technologies = '["Rust"]' WHERE timeline_weeks < 5;
UPDATE tenant_bench.case_studies SET industry = 'Retail', company_size = 'huge' WHERE timeline_weeks BETWEEN 5 AND 9;
UPDATE tenant_bench.case_studies SET budget_usd = NULL, roi_percent = roi_percent + 1 WHERE timeline_weeks BETWEEN 10 AND 12;
UPDATE tenant_bench.case_studies SET timeline_weeks = NULL, created_at = created_at - interval '3 years' WHERE timeline_weeks = 13;
UPDATE tenant_bench.case_studies SET id = gen_random_uuid() WHERE timeline_weeks BETWEEN 14 AND 16;
UPDATE tenant_bench.case_studies SET full_text = 'does not count' WHERE timeline_weeks > 30;
DELETE FROM tenant_bench.case_studies WHERE timeline_weeks = 20 OR company_size = 'small' AND industry = 'Health';
SELECT tenancy.benchmark_refresh('bench') > 0;
BEGIN; SELECT * FROM bench_differences(); COMMIT;
SELECT count(*), count(*) FILTER (WHERE n < 1) FROM tenancy.benchmark_cell WHERE n = 0;
-- so is a change of some rows only
UPDATE tenant_bench.case_studies SET timeline_weeks = timeline_weeks * 2, technologies = technologies || '["Go"]' WHERE timeline_weeks = 21;
SELECT tenancy.benchmark_apply(t.id, k, NULL) > 0 AND tenancy.benchmark_refresh('bench') > 0 FROM tenancy.tenant t,
    (SELECT jsonb_agg(jsonb_build_array(id)) AS k FROM tenant_bench.case_studies WHERE timeline_weeks = 42) s WHERE t.name = 'bench';
BEGIN; SELECT * FROM bench_differences(); COMMIT;
-- none is left, none is there
TRUNCATE tenant_bench.case_studies;
SELECT tenancy.benchmark_refresh('bench') > 0;
BEGIN; SELECT * FROM bench_differences(); COMMIT;
SELECT count(*) FROM tenancy.benchmark_cell;
SELECT count(*) FROM tenancy.benchmark_row;

-- what a tenant asks
INSERT INTO tenant_bench.case_studies (title, industry, company_size, technologies, timeline_weeks, budget_usd, roi_percent, created_at)
SELECT 'case ' || n, CASE WHEN n % 2 = 0 THEN 'Retail' ELSE 'Health' END, 'large', '["PostgreSQL", "Redis"]', n, n * 1000, n, timestamptz '2024-01-31 23:59+00' + make_interval(months => n / 10) FROM generate_series(1, 20) n;
INSERT INTO tenant_other.case_studies (title, technologies, timeline_weeks) VALUES ('secret', '["PostgreSQL"]', 1000);
SELECT tenancy.benchmark_refresh('bench'), tenancy.benchmark_refresh('other');
CREATE ROLE bench_app IN ROLE tenancy_app;
CREATE ROLE bench_operator IN ROLE tenancy_operator;
SET ROLE bench_app;
SELECT tenant_benchmark();
SELECT * FROM benchmark_statistics;
BEGIN;
SELECT tenant_use('bench');
SELECT jsonb_pretty(tenant_benchmark('PostgreSQL', 'Retail', 'large') - 'last_updated');
SELECT tenant_benchmark() -> 'count' AS all, tenant_benchmark('Redis') -> 'count' AS redis, tenant_benchmark('Rust') - 'last_updated' AS rust, tenant_benchmark(industry => 'Health') -> 'count' AS health,
    tenant_benchmark(company_size => '') -> 'count' AS no_size, tenant_benchmark(since => '2024-02-20') -> 'count' AS since, tenant_benchmark(until => '2024-01-01') -> 'count' AS until;
SELECT technology, customer_industry, company_size, count, median_timeline, p90_timeline, avg_budget, last_updated IS NOT NULL AS updated FROM benchmark_statistics ORDER BY 1, 2;
SELECT * FROM tenant_benchmark_chart('timeline_weeks', 'PostgreSQL', parts => 4, width => 10);
SELECT * FROM tenant_benchmark_chart('budget_usd', 'Rust');
SAVEPOINT a;
SELECT * FROM tenant_benchmark_chart('title');
ROLLBACK TO a;
SELECT * FROM tenancy.benchmark_cell;
ROLLBACK TO a;
SELECT tenancy.benchmark_across();
ROLLBACK TO a;
SELECT * FROM tenancy.benchmark_statistics_mv;
ROLLBACK TO a;
SELECT tenancy.benchmark_refresh('other');
ROLLBACK;

-- across tenants: only as one of many
SET ROLE bench_operator;
SELECT tenancy.benchmark_across('PostgreSQL'), tenancy.benchmark_min_tenants();
SET tenancy.benchmark_min_tenants = 2;
RESET ROLE;
SET tenancy.benchmark_min_tenants = 2;
SET ROLE bench_operator;
SELECT tenancy.benchmark_across('PostgreSQL') - 'last_updated', tenancy.benchmark_across('Redis');
SELECT tenancy.benchmark_refresh_mv();
SELECT tenant FROM tenancy.benchmark_statistics_mv;
RESET ROLE;
RESET tenancy.benchmark_min_tenants;
SELECT tenant, technology, customer_industry, count, median_timeline FROM tenancy.benchmark_statistics_mv ORDER BY 1, 2, 3;
SELECT tenancy.benchmark_between(ARRAY[12345, NULL, 0.001234, -98765, 0], 4), tenancy.benchmark_between(ARRAY[1, 2, NULL], 3), tenancy.benchmark_rounded(1e308), tenancy.benchmark_rounded(1e-308);

-- who may ask: as in a SELECT from the table
REVOKE SELECT ON tenant_bench.case_studies FROM tenancy_app;
SET ROLE bench_app;
BEGIN;
SELECT tenant_use('bench');
SAVEPOINT a;
SELECT tenant_benchmark();
ROLLBACK TO a;
SELECT count(*) FROM benchmark_statistics;
ROLLBACK TO a;
SELECT * FROM tenant_benchmark_chart('budget_usd');
ROLLBACK TO a;
SELECT tenancy.benchmark_answer(1, 'statistics', '{}');
ROLLBACK;
RESET ROLE;
GRANT SELECT ON tenant_bench.case_studies TO tenancy_app;
ALTER TABLE tenant_bench.case_studies ENABLE ROW LEVEL SECURITY;
SET ROLE bench_app;
BEGIN;
SELECT tenant_use('bench');
SELECT tenant_benchmark();
ROLLBACK;
RESET ROLE;
ALTER TABLE tenant_bench.case_studies DISABLE ROW LEVEL SECURITY;

-- another table: a text[] column, a key of two columns, other names
SELECT tenant_blueprint_add('bench_print', 1, 'CREATE TABLE project (a int, b timestamptz, tech text[], sector text, size int, weeks numeric, price real, gain float8, begun date, PRIMARY KEY (b, a))');
SELECT tenant_benchmark_table('bench_print', 'project');
SELECT tenant_sync_table('bench_print', 'project', cache_keys => ARRAY['p:{a}']);
SELECT tenant_benchmark_table('bench_print', 'project', 'tech', 'sector', 'size', 'weeks', 'price', 'gain', 'begun');
SELECT tenancy.benchmark_refresh('nobody');
SELECT tenant_create('third', 'bench_print') > 0;
SET timezone = 'Asia/Tokyo';
SET datestyle = 'German';
INSERT INTO tenant_third.project SELECT n, '2024-03-01 00:00:00.000001+00', ARRAY['X', 'Y'], 'S', 5, n + 0.5, n, CASE WHEN n = 1 THEN 'NaN'::float8 ELSE n END, '2024-03-31' FROM generate_series(1, 3) n;
SELECT tenancy.benchmark_refresh('third');
RESET timezone;
RESET datestyle;
UPDATE tenant_third.project SET tech = '{Y}' WHERE a = 3;
SELECT tenancy.benchmark_refresh('third');
SELECT technology, industry, company_size, month, n, sketch_percentile(timeline, 0.5) AS timeline, sketch_sum(budget) AS budget, sketch_max(roi) AS roi FROM tenancy.benchmark_cell
WHERE tenant_id = (SELECT id FROM tenancy.tenant WHERE name = 'third') ORDER BY 1;
-- the rows are read with their owner's rights only, by no view
ALTER TABLE tenant_third.project RENAME TO was;
CREATE VIEW tenant_third.project AS SELECT * FROM tenant_third.was;
SELECT tenancy.benchmark_refresh('third');
SELECT count(*) FROM tenancy.benchmark_cell WHERE tenant_id = (SELECT id FROM tenancy.tenant WHERE name = 'third');
-- rows have their own key, whatever its type; another table, other keys; values that do not fit
SELECT tenant_blueprint_add('bench_keys', 1, $$
    CREATE TABLE a (k boolean, c char(4), i inet, at date, t text, n int, PRIMARY KEY (k, c, i));
    CREATE TABLE b (k int PRIMARY KEY, at date, t jsonb, n numeric);
    CREATE TABLE child () INHERITS (b)$$);
SELECT tenant_sync_table('bench_keys', 'a', 'bench_a'), tenant_sync_table('bench_keys', 'b', 'bench_b');
SELECT tenant_benchmark_table('bench_keys', 'a', 't', 't', 't', 'n', 'n', 'n', 'at');
SELECT tenant_create('keys', 'bench_keys') > 0;
CREATE VIEW keys_cells AS SELECT technology, industry, n, sketch_sum(budget) AS budget FROM tenancy.benchmark_cell WHERE tenant_id = (SELECT id FROM tenancy.tenant WHERE name = 'keys');
INSERT INTO tenant_keys.a VALUES (true, 'ab', '10.0.0.1/32', '2024-05-05', 'x', 1), (false, 'abcd', '10.0.0.0/8', NULL, NULL, NULL);
SELECT tenancy.benchmark_refresh('keys'), tenancy.benchmark_refresh('keys');
SELECT * FROM keys_cells ORDER BY 1, 2;
INSERT INTO tenant_keys.b SELECT n, '2024-05-05', CASE n WHEN 1 THEN to_jsonb(repeat('long', 1000)) ELSE '["x", "x"]' END, n FROM generate_series(1, 3) n;
INSERT INTO tenant_keys.child SELECT 1, '2024-05-05', '["child"]', 1000;
SELECT tenant_benchmark_table('bench_keys', 'b', 't', 'k', 'k', 'n', 'n', 'n', 'at');
SELECT tenancy.benchmark_refresh('keys') > 0;
SELECT length(technology), left(technology, 5) AS technology, industry, n, budget FROM keys_cells ORDER BY 2, 3;
ALTER TABLE tenant_keys.b ALTER k TYPE text, ALTER n TYPE float8;
UPDATE tenant_keys.b SET n = CASE k WHEN '1' THEN 'NaN'::float8 WHEN '2' THEN '-Infinity' ELSE 3 END;
SELECT tenancy.benchmark_refresh('keys') > 0;
SELECT industry, n, budget FROM keys_cells WHERE technology = '' ORDER BY 1;
-- columns that are not there or say nothing; no key
ALTER TABLE tenant_keys.b RENAME n TO m;
SELECT tenancy.benchmark_refresh('keys');
ALTER TABLE tenant_keys.b RENAME m TO n;
ALTER TABLE tenant_keys.b ALTER n TYPE text;
SELECT tenancy.benchmark_refresh('keys');
ALTER TABLE tenant_keys.b ALTER n TYPE real USING n::real, ALTER at TYPE text;
SELECT tenancy.benchmark_refresh('keys');
ALTER TABLE tenant_keys.b ALTER at TYPE timestamp USING at::timestamp, DROP CONSTRAINT b_pkey;
SELECT tenancy.benchmark_refresh('keys');
ALTER TABLE tenant_keys.b ADD PRIMARY KEY (k);
SELECT tenancy.benchmark_refresh('keys');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT tenancy.benchmark_refresh('keys');
ROLLBACK;
-- no function of a user runs
CREATE TYPE bench_mood AS ENUM ('a');
CREATE FUNCTION bench_endless(bench_mood) RETURNS json LANGUAGE plpgsql AS $$ BEGIN LOOP END LOOP; END $$;
CREATE CAST (bench_mood AS json) WITH FUNCTION bench_endless;
ALTER TABLE tenant_keys.b ADD moods bench_mood[], ADD mood bench_mood DEFAULT 'a';
SELECT tenant_benchmark_table('bench_keys', 'b', 'moods', 'k', 'k', 'n', 'n', 'n', 'at');
SELECT tenancy.benchmark_refresh('keys');
SELECT tenant_benchmark_table('bench_keys', 'b', 'mood', 'mood', 'k', 'n', 'n', 'n', 'at');
SELECT tenancy.benchmark_refresh('keys') > 0;
SELECT technology, industry, n FROM keys_cells ORDER BY 1;
SELECT tenant_benchmark_table('bench_keys', 'b', 't', 'k', 'k', 'n', 'n', 'n', 'at');
SELECT tenancy.benchmark_refresh('keys') > 0;
ALTER TABLE tenant_keys.b DROP moods, DROP mood;
DROP TYPE bench_mood CASCADE;
-- row security does not hide rows from what is counted
ALTER TABLE tenant_keys.b ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
DELETE FROM tenancy.benchmark_row WHERE tenant_id = (SELECT id FROM tenancy.tenant WHERE name = 'keys');
DELETE FROM tenancy.benchmark_cell WHERE tenant_id = (SELECT id FROM tenancy.tenant WHERE name = 'keys');
SELECT tenancy.benchmark_refresh('keys') > 0;
SELECT industry, n, budget FROM keys_cells WHERE technology = '' ORDER BY 1;
-- another table than before is noticed, not one that is as it was
SELECT tenancy.benchmark_look(NULL) >= 0, tenancy.benchmark_look(NULL);
UPDATE tenancy.sink SET enabled = true WHERE name = 'statistics';
ALTER TABLE tenant_keys.b ALTER n TYPE float8;
SELECT tenancy.benchmark_look(ARRAY['tenant_keys.a'::regclass::oid]), tenancy.benchmark_look(ARRAY['tenant_keys.b'::regclass::oid]), tenancy.benchmark_look(NULL);
UPDATE tenancy.sink SET enabled = false WHERE name = 'statistics';
-- it is the blueprint's owner's to say
CREATE ROLE bench_admin IN ROLE tenancy_admin;
SET ROLE bench_admin;
SELECT tenant_benchmark_table('bench_keys', 'a');
RESET ROLE;
CALL tenancy.benchmark_refresh_all();
SELECT count(*) > 0 FROM tenancy.benchmark_statistics_mv WHERE tenant = 'keys';
-- the end of it
SELECT tenant_benchmark_table('bench_keys', NULL);
SELECT count(*) FROM keys_cells;
SELECT tenancy.benchmark_refresh('keys');
SELECT tenant_benchmark_table('bench_keys', 'a', 't', 't', 't', 'n', 'n', 'n', 'at');
SELECT tenancy.benchmark_refresh('keys') > 0;
SELECT tenant_unsync_table('bench_keys', 'a');
SELECT count(*) FROM keys_cells;
DROP VIEW keys_cells;
DROP ROLE bench_admin;
SELECT tenant_drop('keys', purge => true);
SELECT tenant_drop('bench', purge => true), tenant_drop('other', purge => true), tenant_drop('third', purge => true);
SELECT (SELECT count(*) FROM tenancy.benchmark_row) + (SELECT count(*) FROM tenancy.benchmark_cell);
DROP ROLE bench_app, bench_operator;
DROP FUNCTION bench_differences, bench_near;
DELETE FROM tenancy.sync_table WHERE blueprint IN ('bench_print', 'bench_keys');
DELETE FROM tenancy.blueprint_step WHERE blueprint IN ('bench_print', 'bench_keys');
DELETE FROM tenancy.blueprint WHERE name IN ('bench_print', 'bench_keys');
REFRESH MATERIALIZED VIEW tenancy.benchmark_statistics_mv;
