-- percentile, percentile_discrete and median beside percentile_cont and percentile_disc.
\set VERBOSITY terse
SET client_min_messages = warning;
SET jit = off;

-- 12,000 cases: up to 30 rows each, with few or many different values, nulls, NaN, infinities and zeros of one sign
SELECT setseed(0.25);
CREATE TABLE pct_case AS
SELECT id, (random() * 30)::int AS rows, (random() * 5)::int AS kind,
    CASE (random() * 7)::int WHEN 0 THEN 0 WHEN 1 THEN 1 WHEN 2 THEN 0.5 WHEN 3 THEN NULL
        WHEN 4 THEN round((random() * 10)::numeric) / 10 ELSE random() END::float8 AS f
FROM generate_series(1, 12000) id;
CREATE TABLE pct_row WITH (parallel_workers = 2) AS
SELECT id, f, n, kind,
    CASE WHEN kind = 0 OR b < 0.1 THEN NULL
        WHEN kind = 1 AND b > 0.7 THEN (ARRAY['NaN', 'Infinity', '-Infinity', CASE WHEN id % 2 = 0 THEN '0' ELSE '-0' END])[1 + (b * 1000)::int % 4]::float8
        WHEN kind = 2 THEN round(a * 3) * 1.1
        WHEN kind = 3 THEN (a - 0.5) * exp(b * 600 - 300)
        ELSE a * 1000 - 500 END AS f8
FROM (SELECT id, f, kind, n, random() AS a, random() AS b FROM pct_case, LATERAL generate_series(1, rows) n OFFSET 0) s;
CREATE TABLE pct_value WITH (parallel_workers = 2) AS
SELECT id, f, n, f8,
    CASE WHEN abs(f8) BETWEEN 1e-30 AND 1e30 OR f8 = 0 OR f8 IN ('NaN', 'Infinity', '-Infinity') THEN f8 END::float4 AS f4,
    CASE WHEN abs(f8) < 30000 THEN f8 END::int2 AS i2,
    CASE WHEN abs(f8) < 2e9 THEN f8 END::int4 AS i4,
    CASE WHEN abs(f8) < 1000 THEN f8 * 9e15 WHEN abs(f8) < 9e18 THEN f8 END::int8 AS i8,
    CASE WHEN abs(f8) < 1e12 THEN round(f8::numeric, 2) WHEN f8 IN ('NaN', 'Infinity', '-Infinity') THEN f8::numeric ELSE f8::numeric END AS num,
    CASE WHEN abs(f8) < 1000 THEN make_interval(months => (f8 / 7)::int, days => f8::int, secs => f8 * 1.7) END AS iv,
    CASE WHEN f8 = 'Infinity' THEN date 'infinity' WHEN abs(f8) < 20000 THEN date '2020-02-28' + f8::int END AS d,
    CASE WHEN abs(f8) < 20000 THEN timestamp '2020-02-28 12:00' + make_interval(secs => f8 * 86400) END AS ts,
    CASE WHEN abs(f8) < 20000 THEN timestamptz '2020-02-28 12:00+01' + make_interval(secs => f8 * 86400) END AS tz
FROM pct_row;
ANALYZE pct_value;

-- what both say; NaN has no sign, everything else is compared to the bit
CREATE FUNCTION pct_bits(float8) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE WHEN $1 = 'NaN' THEN 'NaN' ELSE encode(float8send($1), 'hex') END $$;
CREATE TABLE pct_core AS SELECT id, f, count(*) AS rows,
    percentile_cont(f) WITHIN GROUP (ORDER BY f8) AS f8, percentile_cont(f) WITHIN GROUP (ORDER BY f4) AS f4,
    percentile_cont(f) WITHIN GROUP (ORDER BY i2) AS i2, percentile_cont(f) WITHIN GROUP (ORDER BY i4) AS i4,
    percentile_cont(f) WITHIN GROUP (ORDER BY i8) AS i8, percentile_cont(f) WITHIN GROUP (ORDER BY num) AS num,
    percentile_cont(f) WITHIN GROUP (ORDER BY iv) AS iv,
    percentile_cont(f) WITHIN GROUP (ORDER BY extract(epoch FROM ts)::float8) AS ts,
    percentile_disc(f) WITHIN GROUP (ORDER BY f8) AS df8, percentile_disc(f) WITHIN GROUP (ORDER BY f4) AS df4,
    percentile_disc(f) WITHIN GROUP (ORDER BY i2) AS di2, percentile_disc(f) WITHIN GROUP (ORDER BY i4) AS di4,
    percentile_disc(f) WITHIN GROUP (ORDER BY i8) AS di8, percentile_disc(f) WITHIN GROUP (ORDER BY num) AS dnum,
    percentile_disc(f) WITHIN GROUP (ORDER BY iv) AS div, percentile_disc(f) WITHIN GROUP (ORDER BY d) AS dd,
    percentile_disc(f) WITHIN GROUP (ORDER BY ts) AS dts, percentile_disc(f) WITHIN GROUP (ORDER BY tz) AS dtz
FROM pct_value GROUP BY id, f;
\set query 'SELECT id, f, count(*) AS rows, percentile(f8, f) AS f8, percentile(f4, f) AS f4, percentile(i2, f) AS i2, percentile(i4, f) AS i4, percentile(i8, f) AS i8, percentile(num, f) AS num, percentile(iv, f) AS iv, percentile(d, f) AS d, percentile(ts, f) AS ts, percentile(tz, f) AS tz, percentile_discrete(f8, f) AS df8, percentile_discrete(f4, f) AS df4, percentile_discrete(i2, f) AS di2, percentile_discrete(i4, f) AS di4, percentile_discrete(i8, f) AS di8, percentile_discrete(num, f) AS dnum, percentile_discrete(iv, f) AS div, percentile_discrete(d, f) AS dd, percentile_discrete(ts, f) AS dts, percentile_discrete(tz, f) AS dtz FROM pct_value GROUP BY id, f'
SET max_parallel_workers_per_gather = 0;
CREATE TABLE pct_serial AS :query;
CREATE FUNCTION pct_differences(ours regclass) RETURNS TABLE (compared bigint, wrong bigint) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format($q$
        SELECT count(*), count(*) FILTER (WHERE o.rows IS DISTINCT FROM c.rows
            OR pct_bits(o.f8) IS DISTINCT FROM pct_bits(c.f8) OR pct_bits(o.f4) IS DISTINCT FROM pct_bits(c.f4)
            OR pct_bits(o.i2) IS DISTINCT FROM pct_bits(c.i2) OR pct_bits(o.i4) IS DISTINCT FROM pct_bits(c.i4)
            OR pct_bits(o.i8) IS DISTINCT FROM pct_bits(c.i8) OR pct_bits(o.num) IS DISTINCT FROM pct_bits(c.num)
            OR o.iv::text IS DISTINCT FROM c.iv::text
            OR pct_bits(o.df8) IS DISTINCT FROM pct_bits(c.df8) OR pct_bits(o.df4) IS DISTINCT FROM pct_bits(c.df4)
            OR (o.di2, o.di4, o.di8, o.dd, o.dts, o.dtz) IS DISTINCT FROM (c.di2, c.di4, c.di8, c.dd, c.dts, c.dtz)
            OR o.dnum::text IS DISTINCT FROM c.dnum::text OR o.div::text IS DISTINCT FROM c.div::text
            OR (o.ts IS NULL) <> (c.ts IS NULL) OR abs(extract(epoch FROM o.ts)::float8 - c.ts) > 0.000002
            OR extract(epoch FROM o.tz) IS DISTINCT FROM extract(epoch FROM o.ts) - 3600)
        FROM pct_core c FULL JOIN %s o USING (id)$q$, ours);
END $$;
SELECT * FROM pct_differences('pct_serial');

-- the same in parallel
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET enable_sort = off;
SET work_mem = '1GB';
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
CREATE FUNCTION pct_plan(query text, part text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
        IF strpos(line, part) > 0 THEN RETURN true; END IF;
    END LOOP;
    RETURN false;
END $$;
SELECT pct_plan(:'query', 'Partial HashAggregate') AS partial, pct_plan(:'query', 'Gather') AS gather;
CREATE TABLE pct_parallel AS :query;
RESET enable_sort;
RESET work_mem;
SELECT * FROM pct_differences('pct_parallel');
-- one group, whole table
\set whole 'SELECT percentile(f8, 0.37) AS f8, percentile(num, 0.37) AS num, percentile(iv, 0.37) AS iv, percentile_discrete(num, 0.37) AS dnum, percentile_discrete(i8, 0.37) AS i8, median(f4) AS f4, percentile(ts, ARRAY[0.1, 0.9]) AS ts FROM pct_value'
SELECT pct_plan(:'whole', 'Partial Aggregate');
CREATE TEMP TABLE pct_whole AS :whole;
SET max_parallel_workers_per_gather = 0;
INSERT INTO pct_whole :whole;
SELECT count(*), count(DISTINCT pct_whole::text) FROM pct_whole;
SELECT pct_bits(w.f8) = pct_bits(c.f8), pct_bits(w.f4) = pct_bits(c.f4)
FROM pct_whole w, (SELECT percentile_cont(0.37) WITHIN GROUP (ORDER BY f8) AS f8, percentile_cont(0.5) WITHIN GROUP (ORDER BY f4) AS f4 FROM pct_value) c LIMIT 1;
-- a worker that saw no row, and one that saw only nulls
SET max_parallel_workers_per_gather = 2;
SELECT median(f8), percentile(iv, 0.5), percentile_discrete(num, 0.5) FROM pct_value WHERE id = -1;
SELECT median(f8), percentile(iv, 0.5), percentile_discrete(num, 0.5) FROM pct_value WHERE f8 IS NULL;
SELECT percentile(i4, 1) - percentile(i4, 0), percentile_discrete(iv, 1) FROM pct_value WHERE id = 77 AND n = 1;
RESET max_parallel_workers_per_gather;

-- several fractions, any shape
SELECT count(*), count(*) FILTER (WHERE a::text IS DISTINCT FROM b::text), count(*) FILTER (WHERE c::text IS DISTINCT FROM d::text),
    count(*) FILTER (WHERE e::text IS DISTINCT FROM g::text), count(*) FILTER (WHERE h::text IS DISTINCT FROM i::text)
FROM (SELECT percentile(f8, ARRAY[[1, f, 0.25], [0.9, NULL, 0]]) AS a,
        percentile_cont(ARRAY[[1, f, 0.25], [0.9, NULL, 0]]) WITHIN GROUP (ORDER BY f8) AS b,
        percentile_discrete(i4, ARRAY[f, 0.5, f]) AS c, percentile_disc(ARRAY[f, 0.5, f]) WITHIN GROUP (ORDER BY i4) AS d,
        percentile(iv, ARRAY[f, 0.1]) AS e, percentile_cont(ARRAY[f, 0.1]) WITHIN GROUP (ORDER BY iv) AS g,
        percentile_discrete(num, ARRAY[0.3, f]) AS h, percentile_disc(ARRAY[0.3, f]) WITHIN GROUP (ORDER BY num) AS i
    FROM pct_value GROUP BY id, f) s;
SELECT percentile(x, '{}'::float8[]), percentile(x, NULL::float8[]), percentile(x, '[0:1]={0,1}'::float8[]),
    percentile_discrete(x, ARRAY[NULL]::float8[]), percentile(x, NULL::float8) FROM generate_series(1, 5) x;
SELECT percentile(x, (SELECT array_agg(i / 1000.0::float8) FROM generate_series(0, 1000) i))
    = percentile_cont((SELECT array_agg(i / 1000.0::float8) FROM generate_series(0, 1000) i)) WITHIN GROUP (ORDER BY x)
FROM generate_series(1, 7777) x;

-- core's own tests of percentile_cont and percentile_disc, as calls of ours
CREATE TABLE pct_agg (a int2, b float4);
INSERT INTO pct_agg VALUES (56, 7.8), (100, 99.097), (0, 0.09561), (42, 324.78);
CREATE TABLE pct_thousand AS SELECT i % 1000 AS thousand FROM generate_series(0, 9999) i;
SELECT p, percentile(x::float8, p) FROM generate_series(1, 5) x, (VALUES (0::float8), (0.1), (0.25), (0.4), (0.5), (0.6), (0.75), (0.9), (1)) v(p)
GROUP BY p ORDER BY p;
SELECT percentile(b, 0.5), median(b), sum(b) FROM pct_agg;
SELECT percentile(thousand, 0.5), percentile_discrete(thousand, 0.5) FROM pct_thousand;
SELECT percentile_discrete(thousand, ARRAY[0, 0.1, 0.25, 0.5, 0.75, 0.9, 1]), percentile(thousand, ARRAY[0, 0.25, 0.5, 0.75, 1]),
    percentile_discrete(thousand, ARRAY[[NULL, 1, 0.5], [0.75, 0.25, NULL]]) FROM pct_thousand;
SELECT percentile(x, ARRAY[0, 1, 0.25, 0.75, 0.5, 1, 0.3, 0.32, 0.35, 0.38, 0.4]) FROM generate_series(1, 6) x;

-- many rows: every level of the selection, ties, outliers, in memory and in a file
CREATE TABLE pct_many AS SELECT n, a * 1000 AS u, exp(2 + 1.5 * sqrt(-2 * ln(1 - a)) * cos(6.28 * b)) AS l, round(a * 103) AS t,
    CASE WHEN n % 10000 = 0 THEN (a - 0.5) * 1e308 ELSE 1 + b * 1e-12 END AS o
FROM (SELECT n, random() AS a, random() AS b FROM generate_series(1, 200000) n OFFSET 0) s;
CREATE FUNCTION pct_many_differ() RETURNS TABLE (wrong int) LANGUAGE sql AS $$
    SELECT (percentile(u, x) IS DISTINCT FROM percentile_cont(x) WITHIN GROUP (ORDER BY u))::int
        + (percentile(l, x) IS DISTINCT FROM percentile_cont(x) WITHIN GROUP (ORDER BY l))::int
        + (percentile(t, x) IS DISTINCT FROM percentile_cont(x) WITHIN GROUP (ORDER BY t))::int
        + (percentile(o, x) IS DISTINCT FROM percentile_cont(x) WITHIN GROUP (ORDER BY o))::int
        + (percentile_discrete(n, x) IS DISTINCT FROM percentile_disc(x) WITHIN GROUP (ORDER BY n))::int
        + (percentile(make_interval(secs => u), x) IS DISTINCT FROM percentile_cont(x) WITHIN GROUP (ORDER BY make_interval(secs => u)))::int
    FROM pct_many, (SELECT ARRAY[0, 0.001, 0.1, 0.5, 0.5000001, 0.9, 0.99, 0.9999, 1]::float8[] AS x) f GROUP BY x $$;
SET work_mem = '64MB';
SELECT wrong FROM pct_many_differ();
SET hash_mem_multiplier = 1;
SET work_mem = '64kB';
SELECT percentile(u, 0.3) = percentile_cont(0.3) WITHIN GROUP (ORDER BY u), percentile(o, 0.3) = percentile_cont(0.3) WITHIN GROUP (ORDER BY o),
    percentile(t, ARRAY[0.2, 0.8]) = percentile_cont(ARRAY[0.2, 0.8]) WITHIN GROUP (ORDER BY t), percentile(l, 0.3) = percentile_cont(0.3) WITHIN GROUP (ORDER BY l)
FROM pct_many;
SELECT count(*), count(*) FILTER (WHERE a IS DISTINCT FROM b) FROM (SELECT percentile(u, 0.7) AS a, percentile_cont(0.7) WITHIN GROUP (ORDER BY u) AS b
    FROM pct_many GROUP BY n % 5) s;
SET temp_file_limit = '512kB';
\set VERBOSITY sqlstate
SELECT percentile(u, 0.3) FROM pct_many;
\set VERBOSITY terse
RESET temp_file_limit;
SELECT percentile(make_interval(secs => u), 0.3) FROM pct_many;
SELECT percentile_discrete(u::numeric, 0.3) FROM pct_many;
SELECT max(m) > 0 FROM (SELECT median(u) OVER (ORDER BY n ROWS BETWEEN 100000 PRECEDING AND CURRENT ROW) AS m FROM pct_many) s;
RESET work_mem;
RESET hash_mem_multiplier;

-- fractions: what is refused, with core's code; none is looked at without a row
CREATE FUNCTION pct_error(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    EXECUTE query INTO answer;
    RETURN coalesce(answer, 'null');
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
SELECT f, rows, pct_error(format('SELECT percentile(x, %s) FROM %s', f, rows)) AS ours,
    pct_error(format('SELECT percentile(x, %s) FROM %s', f, rows)) = pct_error(format('SELECT percentile_cont(%s) WITHIN GROUP (ORDER BY x) FROM %s', f, rows)) AS core,
    pct_error(format('SELECT percentile_discrete(x, %s) FROM %s', f, rows)) = pct_error(format('SELECT percentile_disc(%s) WITHIN GROUP (ORDER BY x) FROM %s', f, rows)) AS core_discrete
FROM unnest(ARRAY['1.5', '-0.1', '''NaN''::float8', '''Infinity''::float8', 'ARRAY[0.5, 2]', 'ARRAY[0.5, NULL]', '-0.0::float8']) WITH ORDINALITY a(f, i),
    unnest(ARRAY['generate_series(1, 3) x', '(VALUES (NULL::float8)) v(x)', '(SELECT 1.0 WHERE false) v(x)']) WITH ORDINALITY b(rows, j)
ORDER BY i, j;
SELECT pct_error('SELECT percentile(x, x / 10.0) FROM generate_series(1, 3) x') AS column,
    pct_error('SELECT percentile(x, ARRAY[x / 10.0]) FROM generate_series(1, 3) x') AS array,
    pct_error('SELECT percentile(make_interval(x), x / 10.0) FROM generate_series(1, 3) x') AS interval,
    pct_error('SELECT percentile_discrete(x, CASE WHEN x > 2 THEN NULL ELSE 0.5 END) FROM generate_series(1, 3) x') AS null,
    pct_error('SELECT percentile(x, x / 10.0) OVER () FROM generate_series(1, 3) x') AS window;
PREPARE pct_prepared(float8) AS SELECT percentile(x, $1), percentile_discrete(x, ARRAY[$1, 1 - $1]) FROM generate_series(1, 4) x;
EXECUTE pct_prepared(0.2);
EXECUTE pct_prepared(0.9);
EXECUTE pct_prepared(2);

-- values at the edges
SELECT median(x), percentile_discrete(x, 0), percentile_discrete(x, 1) FROM (VALUES (32767::int2), (-32768)) v(x);
SELECT median(x), percentile_discrete(x, 0), percentile_discrete(x, 1) FROM (VALUES (2147483647), (-2147483648)) v(x);
SELECT median(x), percentile_discrete(x, 0), percentile_discrete(x, 1) FROM (VALUES (9223372036854775807), (-9223372036854775808)) v(x);
SELECT median(x), percentile_discrete(x, 0), percentile_discrete(x, 1) FROM (VALUES ('1.7976931348623157e308'::float8), ('-1.7976931348623157e308')) v(x);
SELECT median(x), percentile_cont(0.5) WITHIN GROUP (ORDER BY x) FROM (VALUES ('-0'::float8), ('-0'), ('-0')) v(x);
SELECT percentile(x, ARRAY[0.25, 0.5]), percentile_cont(ARRAY[0.25, 0.5]) WITHIN GROUP (ORDER BY x) FROM (VALUES ('Infinity'::float8), ('-Infinity')) v(x);
SELECT percentile(x, 0.5), percentile(x, 1), percentile_discrete(x, 0) FROM (VALUES ('2024-02-28'::date), ('2024-03-02')) v(x);
SELECT median(x), percentile_discrete(x, 0.5) FROM (VALUES ('4713-01-01 BC'::timestamp), ('294276-12-31 23:59:59.999999')) v(x);
SELECT median(x), percentile(x, 0.1), percentile_discrete(x, 1) FROM (VALUES ('2024-01-01'::timestamptz), ('infinity')) v(x);
SELECT median(x) FROM (VALUES ('2024-01-01'::timestamp), ('-infinity')) v(x);
SELECT median(x) FROM (VALUES ('5874897-12-31'::date)) v(x);
SELECT pct_error('SELECT median(x) FROM (VALUES (1e400), (1)) v(x)') = pct_error('SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x) FROM (VALUES (1e400), (1)) v(x)') AS refused;
SELECT percentile_discrete(x, 1) = 1e400 FROM (VALUES (1e400), (1)) v(x);
-- numeric as float8 is the cast's, to the bit
SELECT count(*), count(*) FILTER (WHERE pct_bits(percentile) <> pct_bits(x::float8)) FROM (
    SELECT x, percentile(x, 0.5) FROM (
        SELECT round((random() - 0.5)::numeric * 10::numeric ^ (i % 40 - 12), i % 23) AS x FROM generate_series(1, 20000) i
        UNION SELECT v::numeric FROM unnest('{0,0.00,1,-1,10000,9999,0.0001,1e20,1e22,1e24,9007199254740992,9007199254740993,90071992547409.93,1e-20,1e-21,12345678901234567890.123,NaN,Infinity,-Infinity,1e300,1e-300}'::text[]) v) s
    GROUP BY x) t;

-- as a plain aggregate: FILTER, DISTINCT, ORDER BY, GROUPING SETS, HAVING
SELECT percentile(x, 0.5) FILTER (WHERE x > 3), percentile(DISTINCT x % 3, 0.5), percentile(x, 0.5 ORDER BY x DESC), median(x) FILTER (WHERE false)
FROM generate_series(1, 9) x;
SELECT x % 2 AS a, x % 3 AS b, median(x), percentile_discrete(x, 0.9) FROM generate_series(1, 30) x GROUP BY CUBE (x % 2, x % 3) HAVING median(x) > 15
ORDER BY 1, 2;
SELECT g, (SELECT median(x * g) FROM generate_series(1, 4) x) FROM generate_series(1, 3) g;

-- window frames
CREATE TABLE pct_frame AS SELECT row_number() OVER (ORDER BY id, n) AS r, f8 + 0 AS f8, f4 + '0'::float4 AS f4, i2, i4, i8, num, iv, d, ts FROM pct_value WHERE id BETWEEN 100 AND 140;
CREATE FUNCTION pct_frame_differ(before int, after int) RETURNS TABLE (compared bigint, wrong bigint) LANGUAGE sql AS $$
    SELECT count(*), count(*) FILTER (WHERE (w.a::text, w.b, w.c, w.d, w.e::text, w.f::text, w.g, w.h, w.i)
        IS DISTINCT FROM (p.a::text, p.b, p.c, p.d, p.e::text, p.f::text, p.g, p.h, p.i))
    FROM (SELECT r, percentile(f8, 0.3) OVER m AS a, percentile_discrete(i4, 0.7) OVER m AS b, percentile(i8, 0.9) OVER m AS c, median(num) OVER m AS d,
            percentile(f4, ARRAY[0.2, 0.5]) OVER m AS e, percentile(iv, 0.4) OVER m AS f, percentile_discrete(d, 0.6) OVER m AS g, percentile_discrete(ts, 0.1) OVER m AS h,
            percentile_discrete(i2, 0.5) OVER m AS i
        FROM pct_frame WINDOW m AS (ORDER BY r ROWS BETWEEN before PRECEDING AND after FOLLOWING)) w
    JOIN LATERAL (SELECT percentile_cont(0.3) WITHIN GROUP (ORDER BY f8) AS a, percentile_disc(0.7) WITHIN GROUP (ORDER BY i4) AS b,
            percentile_cont(0.9) WITHIN GROUP (ORDER BY i8) AS c, percentile_cont(0.5) WITHIN GROUP (ORDER BY num) AS d,
            percentile_cont(ARRAY[0.2, 0.5]) WITHIN GROUP (ORDER BY f4) AS e, percentile_cont(0.4) WITHIN GROUP (ORDER BY iv) AS f,
            percentile_disc(0.6) WITHIN GROUP (ORDER BY d) AS g, percentile_disc(0.1) WITHIN GROUP (ORDER BY ts) AS h, percentile_disc(0.5) WITHIN GROUP (ORDER BY i2) AS i
        FROM pct_frame WHERE pct_frame.r BETWEEN w.r - before AND w.r + after) p ON true $$;
SELECT * FROM pct_frame_differ(0, 0);
SELECT * FROM pct_frame_differ(7, 3);
SELECT * FROM pct_frame_differ(90, 0);
-- a frame of many chunks, and one that excludes rows
SELECT count(*), count(*) FILTER (WHERE m IS DISTINCT FROM (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY u) FROM pct_many p WHERE p.n BETWEEN w.n - 2999 AND w.n))
FROM (SELECT n, percentile(u, 0.5) OVER (ORDER BY n ROWS 2999 PRECEDING) AS m FROM pct_many WHERE n <= 12000) w WHERE n % 500 = 0;
SELECT x, median(x) OVER (ORDER BY x ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING EXCLUDE CURRENT ROW), median(x) OVER (ORDER BY x),
    median(x) OVER (ORDER BY x ROWS BETWEEN 3 FOLLOWING AND 4 FOLLOWING)
FROM generate_series(1, 6) x;

-- who may
CREATE ROLE pct_nobody;
SELECT has_function_privilege('pct_nobody', p.oid, 'EXECUTE') AS nobody, has_function_privilege('tenancy_app', p.oid, 'EXECUTE') AS app, count(*)
FROM pg_proc p WHERE p.prokind = 'a' AND p.pronamespace = 'public'::regnamespace AND p.proname IN ('percentile', 'percentile_discrete', 'median') GROUP BY 1, 2;
DROP ROLE pct_nobody;
DROP FUNCTION pct_bits, pct_differences, pct_plan, pct_many_differ, pct_error, pct_frame_differ;
DROP TABLE pct_case, pct_row, pct_value, pct_core, pct_serial, pct_parallel, pct_agg, pct_thousand, pct_many, pct_frame;
