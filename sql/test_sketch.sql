-- percentile_sketch: exact while small, then within its accuracy, the same in any order.
\set VERBOSITY terse
SET client_min_messages = warning;
SET jit = off;
SELECT setseed(0.5);
CREATE TABLE sk_row WITH (parallel_workers = 2) AS
SELECT n, n % 400 AS g, a * 1000 AS u, exp(2 + 1.5 * sqrt(-2 * ln(1 - a)) * cos(6.2831853 * b)) AS l, 1 + floor(a * 104) AS w,
    round((exp(10 + b) + 0.5)::numeric, 2) AS money, (a - 0.5) * exp(b * 60 - 30) AS s, (n * 7919) % 5 AS part
FROM (SELECT n, random() AS a, random() AS b FROM generate_series(1, 60000) n OFFSET 0) r;
ANALYZE sk_row;
CREATE FUNCTION sk_error(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    EXECUTE query INTO answer;
    RETURN coalesce(answer, 'null');
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
CREATE FUNCTION sk_bytes(percentile_sketch) RETURNS int LANGUAGE sql AS $$ SELECT octet_length($1::text) / 2 - 1 $$;

-- small: exactly what percentile_cont says, to the bit, and what the other aggregates say
SELECT count(*), count(*) FILTER (WHERE sketch_percentile(k, f)::text IS DISTINCT FROM c::text) AS percentile,
    count(*) FILTER (WHERE sketch_count(k) IS DISTINCT FROM n) AS count, count(*) FILTER (WHERE sketch_min(k) IS DISTINCT FROM low OR sketch_max(k) IS DISTINCT FROM high) AS bounds,
    count(*) FILTER (WHERE abs(sketch_avg(k) - average) > 1e-12 * abs(average)) AS average, count(*) FILTER (WHERE sketch_accuracy(k) <> 0) AS accuracy
FROM (SELECT percentile_sketch(u) AS k, percentile_cont(ARRAY[0, 0.1, 0.5, 0.77, 0.9, 0.99, 1]) WITHIN GROUP (ORDER BY u) AS c, count(*) AS n,
        min(u) AS low, max(u) AS high, avg(u) AS average FROM sk_row GROUP BY g) s, (SELECT ARRAY[0, 0.1, 0.5, 0.77, 0.9, 0.99, 1]::float8[] AS f) f;
SELECT sketch_percentile(k, ARRAY[[0, NULL], [0.25, 1]]), sketch_percentile(k, '{}'::float8[]), sketch_percentile(k, 0.9), k
FROM (SELECT percentile_sketch(x) AS k FROM generate_series(1, 10) x) s;
-- weeks stay exact whatever their number
SELECT sketch_accuracy(k), sk_bytes(k) < 600 AS small, sketch_percentile(k, ARRAY[0.01, 0.5, 0.999]) = percentile AS exact, sketch_sum(k) = sum AS sum
FROM (SELECT percentile_sketch(w) AS k, percentile(w, ARRAY[0.01, 0.5, 0.999]), sum(w) FROM sk_row) s;
SELECT count(*), max(sketch_accuracy(k)), count(*) FILTER (WHERE sketch_percentile(k, 0.37)::text <> m::text) FROM
    (SELECT percentile_sketch(money) AS k, percentile(money, 0.37) AS m FROM sk_row GROUP BY g) s;

-- large: every percentile within the accuracy of percentile_cont, sum exact, bounds exact, size
CREATE FUNCTION sk_worst(k percentile_sketch, exact float8[]) RETURNS float8 LANGUAGE sql AS $$
    SELECT max(abs(e - o) / abs(e)) FROM unnest(exact, sketch_percentile(k, (SELECT array_agg(i / 1000.0::float8 ORDER BY i) FROM generate_series(0, 1000) i))) t(e, o) WHERE e <> 0 $$;
SELECT v, a, sketch_accuracy(k) AS accuracy, sk_worst(k, e) <= sketch_accuracy(k) AS within, sketch_min(k) = low AND sketch_max(k) = high AS bounds,
    abs(sketch_sum(k) - total) <= 1e-9 * abs(total) AS sum, sk_bytes(k) <= most AS size
FROM (SELECT v, a, percentile_sketch(x, a) AS k, percentile(x, (SELECT array_agg(i / 1000.0::float8 ORDER BY i) FROM generate_series(0, 1000) i)) AS e, min(x) AS low, max(x) AS high, sum(x) AS total,
        CASE WHEN v = 's' THEN 9000 WHEN a < 0.005 THEN 5000 ELSE 2500 END AS most
    FROM sk_row, LATERAL (VALUES ('u', u), ('l', l), ('s', s), ('negative', -l), ('shifted', u + 1e6)) x(v, x),
        (VALUES (0.01::float8), (0.006), (0.002), (0.05)) a(a) GROUP BY v, a) s ORDER BY v, a DESC;
-- more octaves than there is room for: coarser, and it says so
SELECT sketch_accuracy(k), sk_worst(k, e) <= sketch_accuracy(k), sk_bytes(k) < 9000
FROM (SELECT percentile_sketch(x) AS k, percentile(x, (SELECT array_agg(i / 1000.0::float8 ORDER BY i) FROM generate_series(0, 1000) i)) AS e
    FROM (SELECT exp((a - 0.5) * 1400) AS x FROM (SELECT random() AS a FROM generate_series(1, 30000) OFFSET 0) r) r) s;
SELECT sketch_percentile(percentile_sketch(x), ARRAY[0, 0.5, 1]) FROM unnest('{4.9e-324,1e-310,2.2e-308,1.7976931348623157e308,-1.7976931348623157e308}'::float8[]) x;
SELECT sketch_accuracy(k), sketch_min(k), sketch_max(k), sk_bytes(k) FROM (SELECT percentile_sketch(4.9e-324 * 2::float8 ^ least(i, 900) * 2::float8 ^ greatest(least(i, 1800) - 900, 0) * 2::float8 ^ greatest(i - 1800, 0)) AS k FROM generate_series(0, 2097) i) s;

-- the same bytes in any order, from any parts, in parallel, by merging in any tree
CREATE TABLE sk_part WITH (parallel_workers = 2) AS SELECT v, part, n % 7 AS sub, percentile_sketch(x) AS k
    FROM sk_row, LATERAL (VALUES ('u', u), ('l', l), ('s', s), ('w', w), ('few', CASE WHEN n <= 150 THEN l END), ('money', CASE WHEN n <= 900 THEN money::float8 END)) x(v, x) GROUP BY v, part, sub;
ANALYZE sk_part;
CREATE FUNCTION sk_plan(query text, part text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
        IF strpos(line, part) > 0 THEN RETURN true; END IF;
    END LOOP;
    RETURN false;
END $$;
\set whole 'SELECT v, percentile_sketch(x)::text AS k FROM sk_row, LATERAL (VALUES (\'u\', u), (\'l\', l), (\'s\', s), (\'w\', w), (\'few\', CASE WHEN n <= 150 THEN l END), (\'money\', CASE WHEN n <= 900 THEN money::float8 END)) x(v, x) GROUP BY v'
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 0;
CREATE TABLE sk_serial AS :whole;
SET max_parallel_workers_per_gather = 2;
SELECT sk_plan(:'whole', 'Partial');
CREATE TABLE sk_parallel AS :whole;
SELECT sk_plan('SELECT v, percentile_sketch_merge(k) FROM sk_part GROUP BY v', 'Partial');
CREATE TABLE sk_merged AS SELECT v, percentile_sketch_merge(k)::text AS k FROM sk_part GROUP BY v;
RESET max_parallel_workers_per_gather;
CREATE TABLE sk_tree AS SELECT v, percentile_sketch_merge(k ORDER BY part DESC)::text AS k FROM
    (SELECT v, part, percentile_sketch_merge(k ORDER BY sub) AS k FROM sk_part GROUP BY v, part) s GROUP BY v;
CREATE TABLE sk_weighted AS SELECT v, percentile_sketch(x, weight)::text AS k FROM
    (SELECT v, x, count(*) AS weight FROM sk_row, LATERAL (VALUES ('u', u), ('l', l), ('s', s), ('w', w), ('few', CASE WHEN n <= 150 THEN l END), ('money', CASE WHEN n <= 900 THEN money::float8 END)) x(v, x) GROUP BY v, x ORDER BY x DESC) s GROUP BY v;
SELECT v, length(s.k) > 0 AS some, p.k = s.k AS parallel, m.k = s.k AS merged, t.k = s.k AS tree, w.k = s.k AS weighted, sketch_accuracy(s.k::percentile_sketch)
FROM sk_serial s JOIN sk_parallel p USING (v) JOIN sk_merged m USING (v) JOIN sk_tree t USING (v) JOIN sk_weighted w USING (v) ORDER BY v;
-- sketches of different accuracies: the coarsest, as if all had it; also after too many octaves
SELECT percentile_sketch_merge(k)::text = (SELECT percentile_sketch(l, 0.1)::text FROM sk_row) AS coarsest FROM
    (SELECT percentile_sketch(l, 0.1) AS k FROM sk_row WHERE n % 3 = 0 UNION ALL SELECT percentile_sketch(l, 0.002) FROM sk_row WHERE n % 3 = 1
     UNION ALL SELECT percentile_sketch(l) FROM sk_row WHERE n % 3 = 2) s;
SELECT percentile_sketch_merge(k ORDER BY o)::text = (SELECT percentile_sketch(l, 0.1)::text FROM sk_row) AS small_is_coarser FROM
    (SELECT 1 AS o, percentile_sketch(l, 0.002) AS k FROM sk_row WHERE n > 5 UNION ALL SELECT 2, percentile_sketch(l, 0.1) FROM sk_row WHERE n <= 5) s;
SELECT percentile_sketch_merge(k)::text = (SELECT percentile_sketch(exp(n % 1200 - 600), 0.01)::text FROM sk_row) AS collapsed FROM
    (SELECT percentile_sketch(exp(n % 1200 - 600), a) AS k FROM sk_row, (VALUES (0, 0.01::float8), (1, 0.002)) v(m, a) WHERE n % 2 = m GROUP BY n % 11, a) s;

-- NaN, infinities, nulls, zeros, none
SELECT sketch_count(k), sketch_min(k), sketch_max(k), sketch_sum(k), sketch_avg(k), sketch_percentile(k, ARRAY[0, 0.4, 0.6, 0.8, 1]), sketch_percentile_rank(k, 'Infinity'), sketch_percentile_rank(k, 'NaN'), k
FROM (SELECT percentile_sketch(x) AS k FROM unnest('{NaN,-Infinity,Infinity,1,-0,NULL}'::float8[]) x) s;
SELECT sketch_sum(percentile_sketch(x)) FROM unnest('{Infinity,1}'::float8[]) x;
SELECT percentile_sketch('-0'::float8)::text = percentile_sketch('0'::float8)::text, sketch_percentile(percentile_sketch('NaN'::float8), 0.5), sketch_accuracy(percentile_sketch('NaN'::float8));
SELECT percentile_sketch(NULL::float8), percentile_sketch(1, NULL::int8), percentile_sketch(1, 0), percentile_sketch_merge(NULL), sketch_percentile(NULL, 0.5);
SELECT percentile_sketch(x), percentile_sketch_merge(NULL) FROM generate_series(1, 0) x;
SELECT sketch_count(k), sketch_min(k), sketch_max(k), sketch_sum(k), sketch_avg(k), sketch_percentile(k, 0.5), sketch_percentile(k, ARRAY[0.5]), sketch_percentile_rank(k, 1), sketch_trimmed_avg(k, 0, 1), sketch_accuracy(k), k,
    (SELECT count(*) FROM sketch_histogram(k))
FROM (SELECT sketch_subtract(k, k) AS k FROM (SELECT percentile_sketch(x) AS k FROM generate_series(1, 3) x) s) s;

-- sums without error
SELECT sketch_sum(percentile_sketch(x)) = 2, sketch_avg(percentile_sketch(x)) = 0.4 FROM unnest('{1e300,1,-1e300,1,4.9e-324}'::float8[]) x;
SELECT sketch_sum(k) = 60000 AND sketch_accuracy(k) > 0 FROM (SELECT percentile_sketch(x) AS k FROM (SELECT unnest(ARRAY[1e16 + l * 1e13, 1, -1e16 - l * 1e13]) FROM sk_row) v(x)) s;
SELECT sketch_sum(percentile_sketch(x)), sketch_sum(percentile_sketch(-x)) FROM unnest('{1.7976931348623157e308,1.7976931348623157e308}'::float8[]) x;
SELECT sketch_sum(percentile_sketch(x)) FROM unnest('{4.9e-324,4.9e-324,-1.5e-323}'::float8[]) x;
SELECT count(*) FILTER (WHERE sketch_sum(k) <> exact) FROM (SELECT percentile_sketch(u) AS k, sum(u::numeric(60, 40))::float8 AS exact FROM (SELECT g, trunc(u * 1000) / 1024 AS u FROM sk_row) r GROUP BY g) s;

-- weights, other types, the aggregate's forms
SELECT sketch_percentile(percentile_sketch(x, 5 - x), 0.5), sketch_count(percentile_sketch(x, 2305843009213693952 / 4)), sketch_sum(percentile_sketch(x::numeric / 4, 3::bigint, 0.05)) FROM generate_series(1, 4) x;
SELECT percentile_sketch(x::float4)::text = percentile_sketch(x::int2)::text, percentile_sketch(x::numeric)::text = percentile_sketch(x::int8)::text, sketch_count(percentile_sketch(DISTINCT x % 2)),
    sketch_count(percentile_sketch(x) FILTER (WHERE x > 3)) FROM generate_series(1, 5) x;
SELECT e, sk_error(e) FROM unnest(ARRAY['SELECT percentile_sketch(1, -1)', 'SELECT percentile_sketch(1, 0.0001)', 'SELECT percentile_sketch(1, ''NaN''::float8)', 'SELECT percentile_sketch(1, 0.5)',
    'SELECT percentile_sketch(1, NULL::float8)', 'SELECT percentile_sketch(x, x / 100.0) FROM generate_series(1, 2) x', 'SELECT percentile_sketch(1, 2305843009213693953)',
    'SELECT percentile_sketch(x, 2305843009213693952) FROM generate_series(1, 2) x', 'SELECT sketch_percentile(percentile_sketch(1), 1.5)', 'SELECT sketch_percentile(percentile_sketch(1), ARRAY[0.5, -1])',
    'SELECT sketch_trimmed_avg(percentile_sketch(1), 0.5, 0.5)', 'SELECT sketch_trimmed_avg(percentile_sketch(1), 0, 2)', 'SELECT sketch_histogram(percentile_sketch(1), 0)',
    'SELECT sketch_subtract(percentile_sketch(1), percentile_sketch(2))', 'SELECT sketch_subtract(percentile_sketch(1), percentile_sketch(1, 2))', 'SELECT sketch_subtract(percentile_sketch(1), percentile_sketch(''NaN''::float8))',
    'SELECT sketch_subtract(percentile_sketch(1), percentile_sketch(l)) FROM sk_row']) e;

-- subtraction: what is left is what would be there
SELECT count(*), count(*) FILTER (WHERE sketch_subtract(a, b)::text IS DISTINCT FROM r::text) FROM
    (SELECT percentile_sketch(l) AS a, percentile_sketch(l) FILTER (WHERE n % 3 = 0) AS b, percentile_sketch(l) FILTER (WHERE n % 3 > 0) AS r FROM sk_row GROUP BY g) s;
SELECT sketch_count(d) = sketch_count(r), sketch_sum(d) = sketch_sum(r), abs(sketch_percentile(d, 0.5) / sketch_percentile(r, 0.5) - 1) < 1e-9, sketch_min(d) <= sketch_min(r), sketch_max(d) >= sketch_max(r),
    sketch_min(d) >= sketch_min(r) * 0.985, sketch_max(d) <= sketch_max(r) * 1.015, sketch_accuracy(d)
FROM (SELECT sketch_subtract(percentile_sketch(l), percentile_sketch(l) FILTER (WHERE n % 2 = 0 OR l < 1 OR l > 100)) AS d, percentile_sketch(l) FILTER (WHERE NOT (n % 2 = 0 OR l < 1 OR l > 100)) AS r FROM sk_row) s;
SELECT sketch_count(d), sketch_min(d) <= 7 AND sketch_max(d) >= 7, abs(sketch_percentile(d, 0.5) / 7 - 1) <= 0.01 FROM
    (SELECT sketch_subtract(percentile_sketch(l), percentile_sketch(l) FILTER (WHERE n > 0)) AS d FROM (SELECT n, l FROM sk_row UNION ALL SELECT 0, 7) r) s;
SELECT sketch_subtract(percentile_sketch(l), percentile_sketch(l))::text = sketch_subtract(percentile_sketch(1), percentile_sketch(1))::text FROM sk_row;
-- merged again after subtraction, and with both signs
SELECT sketch_percentile(percentile_sketch_merge(d), 0.5) BETWEEN -1 AND 1, sketch_count(percentile_sketch_merge(d)) FROM
    (SELECT sketch_subtract(percentile_sketch(s), percentile_sketch(s) FILTER (WHERE s < 0)) AS d FROM sk_row UNION ALL SELECT sketch_subtract(percentile_sketch(s), percentile_sketch(s) FILTER (WHERE s > 0)) FROM sk_row) s;

-- rank, trimmed average, histogram
SELECT count(*) FILTER (WHERE abs(sketch_percentile_rank(k, 500) - r) > 1e-12) AS rank, count(*) FILTER (WHERE abs(sketch_trimmed_avg(k, 0, 1) - a) > 1e-9) AS trimmed FROM
    (SELECT percentile_sketch(u) AS k, avg((u <= 500)::int) AS r, avg(u) AS a FROM sk_row GROUP BY g) s;
SELECT sketch_trimmed_avg(k, 0.1, 0.9), sketch_trimmed_avg(k, 0.25, 0.35), sketch_trimmed_avg(k, 0.99, 1), sketch_percentile_rank(k, 0), sketch_percentile_rank(k, 3), sketch_percentile_rank(k, 3.5) FROM
    (SELECT percentile_sketch(x) AS k FROM generate_series(1, 10) x) s;
SELECT abs(sketch_percentile_rank(k, 7) - r) < 0.01, abs(sketch_trimmed_avg(k, 0.1, 0.9) / t - 1) < 0.01, abs(sketch_trimmed_avg(k, 0, 1) / sketch_avg(k) - 1) < 0.01 FROM
    (SELECT percentile_sketch(l) AS k, avg((l <= 7)::int) AS r FROM sk_row) s, (SELECT avg(l) AS t FROM (SELECT l FROM sk_row ORDER BY l LIMIT 48000 OFFSET 6000) r) t;
SELECT h.* FROM (SELECT percentile_sketch(x) AS k FROM unnest('{0,1,2,3,4,5,6,7,8,10,NaN,Infinity}'::float8[]) x) s, sketch_histogram(k, 5) h;
SELECT h.* FROM (SELECT percentile_sketch(7) AS k) s, sketch_histogram(k) h;
SELECT count(*), sum(count), max(abs(count - 6000)) < 600, max(high) = max(m) FROM (SELECT percentile_sketch(u) AS k, max(u) AS m FROM sk_row) s, sketch_histogram(k) h;
SELECT sum(count), count(*) FILTER (WHERE low = 'NaN' OR high < low OR count < 0) FROM sketch_histogram((SELECT percentile_sketch(x) FROM unnest('{-1.7e308,1.7e308,0}'::float8[]) x), 4);

-- windows and roll-ups over stored sketches
SELECT count(*), count(*) FILTER (WHERE w <> d) FROM
    (SELECT part, percentile_sketch_merge(k) OVER (ORDER BY part ROWS 1 PRECEDING)::text AS w,
        (SELECT percentile_sketch(l)::text FROM sk_row r WHERE r.part BETWEEN s.part - 1 AND s.part) AS d
    FROM (SELECT part, percentile_sketch_merge(k) AS k FROM sk_part WHERE v = 'l' GROUP BY part) s) s;
SELECT v, part, sketch_count(percentile_sketch_merge(k)) FROM sk_part WHERE v IN ('few', 'l') GROUP BY ROLLUP (v, part) ORDER BY 1, 2;
SELECT n, sketch_percentile(percentile_sketch(u) OVER (ORDER BY n ROWS 400 PRECEDING), 0.5) = (SELECT percentile(u, 0.5) FROM sk_row r WHERE r.n BETWEEN s.n - 400 AND s.n) AS exact FROM sk_row s WHERE n BETWEEN 1 AND 200 ORDER BY n LIMIT 3;

-- text and binary, there and back; a value that is toasted
CREATE TABLE sk_copy (k percentile_sketch);
COPY (SELECT k FROM sk_part WHERE k IS NOT NULL) TO '/dev/null';
SELECT count(*), count(*) FILTER (WHERE k::text::percentile_sketch::text <> k::text) FROM sk_part WHERE k IS NOT NULL;
INSERT INTO sk_copy SELECT percentile_sketch(s, 0.0014) FROM sk_row GROUP BY n % 2;
SELECT sum(sk_bytes(k)) > 4000, (SELECT percentile_sketch(s, 0.0014)::text FROM sk_row) = percentile_sketch_merge(k)::text FROM sk_copy;

-- garbage is refused, never a crash, never more memory than it is worth
SELECT e, sk_error(format('SELECT %L::percentile_sketch', e)) FROM unnest(ARRAY['', 'x', '\x', '\x0', '\x01', '\x02', '\x0104', '\x010403e8', '\x010403e800', '\x010403e80000', '\x01040001000101', '\x010403e8000100zz',
    '\x010403e807010200', '\x010403e80001ffffffffffffffff7f', '\x010003e800010201', '\x010003e80001020100', '\x010403e8000202', '\x0105' || '03e801' || '3ff0000000000000', '\x010503e8013ff0000000000000', '\x010503e8017ff0000000000000',
    '\x010503e801fff0000000000000', '\x010503e8013fb999999999999a', '\x010503e8013d719799812dea11', '\x010503e8023d719799812dea113d719799812dea11', '\x0103', '\x010f03e8', '\x010c03e8000000000100', '\x010203e80600', '\x010203e8060000000000000000000000000000000000000000']) e;
CREATE FUNCTION sk_fuzz(seed percentile_sketch, rounds int) RETURNS TABLE (refused int, taken int, other text) LANGUAGE plpgsql AS $$
DECLARE
    bytes bytea;
    kept percentile_sketch;
BEGIN
    refused := 0; taken := 0;
    FOR i IN 1 .. rounds LOOP
        bytes := decode(substr(seed::text, 3), 'hex');
        IF i % 5 = 0 THEN
            bytes := substr(bytes, 1, 1 + (random() * octet_length(bytes))::int);
        ELSIF i % 5 = 1 THEN
            bytes := substr(bytes, 1, 4) || decode(md5(random()::text) || md5(random()::text), 'hex');
        END IF;
        IF i % 5 > 1 OR random() < 0.3 THEN
            FOR j IN 0 .. i % 4 LOOP
                bytes := set_byte(bytes, (random() * (octet_length(bytes) - 1))::int, (random() * 255)::int);
            END LOOP;
        END IF;
        BEGIN
            kept := ('\x' || encode(bytes, 'hex'))::percentile_sketch;
            taken := taken + 1;
            PERFORM sketch_percentile(kept, ARRAY[0, 0.3, 1]), sketch_percentile_rank(kept, 3), sketch_sum(kept), sketch_trimmed_avg(kept, 0.1, 0.7), sketch_min(kept), sketch_max(kept);
            PERFORM FROM sketch_histogram(kept);
            PERFORM percentile_sketch_merge(x) FROM (VALUES (kept), (seed)) v(x);
            PERFORM sketch_subtract(kept, kept);
            IF kept::text::percentile_sketch::text <> kept::text OR encode(bytes, 'hex') <> substr(kept::text, 3) THEN
                other := coalesce(other, '') || ' not the same: ' || encode(bytes, 'hex');
            END IF;
        EXCEPTION WHEN invalid_text_representation THEN
            refused := refused + 1;
        WHEN numeric_value_out_of_range THEN -- more than 2^61 values together
            NULL;
        END;
    END LOOP;
    RETURN NEXT;
END $$;
SELECT f.refused > 0 AS refused, f.taken + f.refused > 400 AS looked_at, f.other FROM
    (SELECT percentile_sketch(l) FROM sk_row UNION ALL SELECT percentile_sketch(s) FROM sk_row WHERE n < 2000 UNION ALL SELECT percentile_sketch(l) FROM sk_row WHERE n < 60
     UNION ALL SELECT percentile_sketch(money) FROM sk_row WHERE n < 60 UNION ALL SELECT percentile_sketch(w) FROM sk_row UNION ALL SELECT percentile_sketch(x) FROM unnest('{NaN,Infinity,3}'::float8[]) x) s(k), sk_fuzz(k, 500) f;
-- the same bytes on every platform
SELECT percentile_sketch(x / 8.0), percentile_sketch(x * 1e300), percentile_sketch(x, 0.05) FROM generate_series(-2, 2) x;
SELECT md5(percentile_sketch(n * n + 0.1)::text), md5(percentile_sketch((n - 3000.3) ^ 3, 0.003)::text) FROM generate_series(1, 5000) n;

-- white space is no digit, and other kinds are none
SELECT ('\x010503e801' || repeat(' ', 16))::percentile_sketch;
SELECT (E'\\x010403e8\n\t')::percentile_sketch;
SELECT '\x011403e800'::percentile_sketch;
SELECT '\x010303e800'::percentile_sketch;
-- parts of a range of a few doubles
SELECT min(h.count) >= 0 AS counts, sum(h.count), bool_and(h.low <= h.high) AS ascending FROM
  (SELECT percentile_sketch(x) FROM unnest('{3.2,3.2000000000000006,3.200000000000001,3.2000000000000015,3.200000000000002,3.2000000000000024,3.200000000000003,3.2000000000000033}'::float8[]) x) s(k), sketch_histogram(k, 10) h;
SELECT min(h.count) >= 0 AS counts, sum(h.count) FROM
  (SELECT percentile_sketch(x, w) FROM (VALUES (0::float8, 9007199254740995), (1, 9007199254740995), (10, 1)) v (x, w)) s(k), sketch_histogram(k, 10) h;

CREATE FUNCTION sk_accepts(text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RETURN $1::percentile_sketch IS NOT NULL;
EXCEPTION WHEN invalid_text_representation THEN
    RETURN false;
END $$;
-- a sum that no such values have is refused: merged it would make sketches that are none
SELECT '\x010203e8060040140000000000004014000000000000014600ffffffff000001d49a04b0'::percentile_sketch;
SELECT sketch_sum(percentile_sketch(1.7e308 * (-1) ^ (n % 3))) FROM generate_series(1, 3000) n;
SELECT sketch_sum(k), k::text::percentile_sketch::text = k::text AS back, sketch_avg(sketch_subtract(k, k)) FROM (SELECT percentile_sketch(x * 1.7976931348623157e308, 1152921504606846) FROM generate_series(0.1, 1, 0.0005) x) s (k);
-- several accuracies in a group: the coarsest, whoever has which rows
CREATE TABLE sk_accuracy AS SELECT n, ln(n + 0.5) AS x, (ARRAY[0.01, 0.02, 0.005])[1 + n % 3] AS a FROM generate_series(1, 20000) n;
ALTER TABLE sk_accuracy SET (parallel_workers = 2);
ANALYZE sk_accuracy;
CREATE TABLE sk_a AS SELECT percentile_sketch(x, a)::text AS k FROM sk_accuracy;
SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
INSERT INTO sk_a SELECT percentile_sketch(x, a)::text FROM sk_accuracy;
RESET max_parallel_workers_per_gather; RESET parallel_setup_cost; RESET parallel_tuple_cost; RESET min_parallel_table_scan_size;
INSERT INTO sk_a SELECT percentile_sketch(x, a ORDER BY a)::text FROM sk_accuracy;
INSERT INTO sk_a SELECT percentile_sketch(x, 0.02)::text FROM sk_accuracy;
SELECT count(DISTINCT k), min(sketch_accuracy(k::percentile_sketch)) FROM sk_a;
-- min and max that are not in the outermost buckets, -0, and buckets of 0
SELECT count(*) FILTER (WHERE sk_accepts(overlay(k PLACING substr(float8send(b)::text, 3) FROM f FOR 16))) AS accepted, count(*)
FROM (SELECT percentile_sketch(n ^ 3)::text FROM generate_series(1, 2000) n) s (k), (VALUES (15, 1::float8), (15, 1.02), (15, 0.9), (15, 4e9), (31, 7.8e9), (31, 8.2e9), (31, 1.5), (15, '-0'), (31, '-0')) v (f, b);
SELECT count(*) FROM (SELECT percentile_sketch(x)::text FROM (SELECT n * n * (ARRAY[-1, 0, 1, 1e200, -1e-200])[1 + n % m] FROM generate_series(1, 4000) n, generate_series(1, 5) m) v (x)) s (k) WHERE sk_accepts(k);
-- nothing is taken away
SELECT sketch_subtract(k, sketch_subtract(e, e))::text = k::text FROM (SELECT percentile_sketch(n ^ 3), percentile_sketch(n) FILTER (WHERE n = 1) FROM generate_series(1, 2000) n) s (k, e);
-- between fractions that are one
SELECT sketch_trimmed_avg(k, 0.9770003047290519, 0.977000304729052), sketch_trimmed_avg(k, 0, 1e-300), sketch_trimmed_avg(k, 0.99999999999999989, 1) FROM (SELECT percentile_sketch(n) FROM generate_series(1, 20) n) s (k);
-- weights, a few values each
SELECT count(DISTINCT k), min(sketch_count(k::percentile_sketch)) FROM (SELECT g % 2 AS same, percentile_sketch(n, 3)::text FROM generate_series(1, 30) n, generate_series(1, 100) g GROUP BY g) s (same, k);
-- binary form there and back, and damaged
\getenv abs_builddir PG_ABS_BUILDDIR
\set file :abs_builddir '/results/sketch.bin'
CREATE TABLE sk_binary AS SELECT percentile_sketch(x) AS k FROM unnest('{NaN,1,2.5}'::float8[]) x UNION ALL SELECT percentile_sketch(n ^ 1.5) FROM generate_series(1, 3000) n;
CREATE TABLE sk_back (k percentile_sketch);
COPY sk_binary TO :'file' (FORMAT binary);
COPY sk_back FROM :'file' (FORMAT binary);
SELECT count(*) FROM sk_binary a JOIN sk_back b ON a.k::text = b.k::text;
COPY (SELECT set_byte(decode(substr(k::text, 3), 'hex'), 0, 2) FROM sk_binary) TO :'file' (FORMAT binary);
COPY sk_back FROM :'file' (FORMAT binary);
COPY (SELECT substr(decode(substr(k::text, 3), 'hex'), 1, 9) FROM sk_binary) TO :'file' (FORMAT binary);
COPY sk_back FROM :'file' (FORMAT binary);
DROP TABLE sk_accuracy, sk_a, sk_binary, sk_back;
DROP FUNCTION sk_accepts;

-- who may
CREATE ROLE sk_nobody;
SELECT has_function_privilege('sk_nobody', p.oid, 'EXECUTE') AS nobody, has_function_privilege('tenancy_app', p.oid, 'EXECUTE') AS app, count(*)
FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND (p.proname ~ '^sketch_' OR p.proname IN ('percentile_sketch', 'percentile_sketch_merge')) GROUP BY 1, 2;
DROP ROLE sk_nobody;
DROP TABLE sk_row, sk_part, sk_serial, sk_parallel, sk_merged, sk_tree, sk_weighted, sk_copy;
DROP FUNCTION sk_error, sk_bytes, sk_worst, sk_plan, sk_fuzz;
