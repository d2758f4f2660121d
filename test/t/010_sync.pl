# Every way a row can change arrives in the index and in Redis.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;
use TenancyLoad;

need_servers('elasticsearch7', 'redis');
my $search = TenancySearch->start('elasticsearch7');
my $redis = TenancyRedis->start;
my $node = tenancy_node('sync', search => $search, redis => $redis, conf => "max_prepared_transactions = 5\n");
$node->start;

# Runs statements in the tenant's schema.
sub sql
{
	return $node->safe_psql('postgres', "SET search_path = tenant_acme, public;\n" . join(';', @_));
}

sub agrees { return all_agree($node, 'postgres', $search, @_) }

$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('zoo', 1, $$
CREATE TABLE part (region text, code text, n int, PRIMARY KEY (region, code)) PARTITION BY LIST (region);
CREATE TABLE part_a PARTITION OF part FOR VALUES IN ('a:b', 'a');
CREATE TABLE part_c PARTITION OF part FOR VALUES IN ('c\', 'c\:');
CREATE TABLE part_rest PARTITION OF part DEFAULT;
CREATE TABLE wide (
	gone1 text, id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, f4 real, f8 double precision, num numeric, d date,
	ts timestamp, tz timestamptz, words text, gone2 int, twice double precision GENERATED ALWAYS AS (f8 * 2) STORED,
	list text[], j json, b bytea, dim int[]);
ALTER TABLE wide DROP COLUMN gone1, DROP COLUMN gone2;
CREATE TABLE place (id int PRIMARY KEY, seat int UNIQUE DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE "Quo""ted" ("I'd" int PRIMARY KEY, "a""b" text, "c\d" text);
$$);
SELECT tenant_sync_table('zoo', t, t, mapping => '{"mappings": {"dynamic": false}}', cache_tags => ARRAY[t])
	FROM unnest(ARRAY['part', 'wide', 'place']) t;
SELECT tenant_sync_table('zoo', 'Quo"ted', 'quoted', mapping => '{"mappings": {"dynamic": false}}');
SELECT tenant_create('acme');
SELECT tenant_create('zoo', 'zoo');
SELECT tenant_create('other');
INSERT INTO tenant_other.case_studies (title) SELECT 'other ' || n FROM generate_series(1, 10) n;
SQL
agrees('start');

# Rows come.
sql(q{INSERT INTO case_studies (title, customer_company, industry, technologies, timeline_weeks, budget_usd, roi_percent)
	SELECT 'title ' || n, 'company ' || n % 10, 'industry ' || n % 5, jsonb_build_array('pg', n % 3), n % 50, n * 10.25, n % 99
	FROM generate_series(1, 2500) n},
	q{INSERT INTO technologies (name, features, pricing_tiers) VALUES ('a', '{"x": [1, null]}', '[{"name": "free", "price_usd": 0}]')});
sql("COPY case_studies (title, timeline_weeks) FROM stdin;\ncopied 1\t1\ncopied \\\\ \\n\t2\n\\.\n");
my $rows = agrees('many rows');
cmp_ok($rows, '>=', 2500, 'many rows: they were looked at');
sql(q{CREATE UNIQUE INDEX by_title ON case_studies (title)});
sql(q{INSERT INTO case_studies (title, timeline_weeks) VALUES ('title 1', 1), ('fresh', 2)
	ON CONFLICT (title) DO UPDATE SET timeline_weeks = 1000 + excluded.timeline_weeks},
	q{INSERT INTO case_studies (title) VALUES ('title 2'), ('fresher') ON CONFLICT DO NOTHING});
is(sql(q{SELECT timeline_weeks FROM case_studies WHERE title = 'title 1'}), 1001, 'ON CONFLICT updated');
agrees('ON CONFLICT');

# Rows change and go.
sql(q{UPDATE case_studies SET industry = 'moved' WHERE timeline_weeks < 5},
	q{UPDATE case_studies SET id = gen_random_uuid() WHERE title LIKE 'title 1_'},
	q{DELETE FROM case_studies WHERE timeline_weeks = 7});
sql(q{MERGE INTO case_studies c USING (VALUES ('title 21', 1), ('title 22', 2), ('merged', 3)) v (title, n) ON c.title = v.title
	WHEN MATCHED AND v.n = 1 THEN DELETE WHEN MATCHED THEN UPDATE SET timeline_weeks = 77
	WHEN NOT MATCHED THEN INSERT (title) VALUES (v.title)});
agrees('UPDATE, another key, DELETE, MERGE');

# A key that goes and comes back, and keys that change places.
sql(q{BEGIN; CREATE TEMP TABLE saved AS SELECT id FROM case_studies WHERE title = 'title 30';
	DELETE FROM case_studies WHERE title = 'title 30';
	INSERT INTO case_studies (id, title) SELECT id, 'came back' FROM saved; COMMIT});
sql(q{INSERT INTO users (id, email, name) VALUES ('00000000-0000-0000-0000-000000000001', 'a@b', 'a')},
	q{UPDATE case_studies SET created_by = '00000000-0000-0000-0000-000000000001' WHERE title = 'title 31'});
agrees('same key again');

# One row often.
sql(q{DO $$ BEGIN FOR i IN 1 .. 100 LOOP UPDATE case_studies SET timeline_weeks = i WHERE title = 'title 40'; END LOOP; END $$});
sql(q{DO $$ BEGIN FOR i IN 1 .. 100 LOOP UPDATE case_studies SET timeline_weeks = 100 + i WHERE title = 'title 41'; COMMIT; END LOOP; END $$});
agrees('one row 100 times');
my $id = sql(q{SELECT id FROM case_studies WHERE title = 'title 41'});
is($search->document('case_studies_tenant_acme', $id)->{timeline_weeks}, 200, 'the last value is in the index');

# Subtransactions and transactions that never were.
sql(q{BEGIN; UPDATE case_studies SET title = 'outer' WHERE title = 'title 50'; SAVEPOINT a;
	UPDATE case_studies SET title = 'inner' WHERE title = 'title 51'; DELETE FROM case_studies WHERE title = 'title 52';
	SAVEPOINT b; INSERT INTO case_studies (title) VALUES ('deep'); ROLLBACK TO b; INSERT INTO case_studies (title) VALUES ('deep 2');
	RELEASE a; SAVEPOINT c; DELETE FROM case_studies; ROLLBACK TO c; COMMIT});
sql(q{BEGIN; DELETE FROM case_studies; INSERT INTO case_studies (title) VALUES ('never'); ROLLBACK});
sql(q{DO $$ BEGIN FOR i IN 1 .. 200 LOOP BEGIN INSERT INTO case_studies (title) VALUES ('sub ' || i);
	IF i % 2 = 0 THEN RAISE EXCEPTION 'no'; END IF; EXCEPTION WHEN raise_exception THEN NULL; END; END LOOP; END $$});
is(sql(q{SELECT count(*) FROM case_studies WHERE title LIKE 'sub %'}), 100, 'half of the subtransactions');
agrees('subtransactions');

# Large values that stay where they are.
sql(q{INSERT INTO case_studies (title, full_text) SELECT 'large', string_agg(md5(n::text), ' ') FROM generate_series(1, 6200) n});
sql(q{UPDATE case_studies SET industry = 'toasted' WHERE title = 'large'});
$id = sql(q{SELECT id FROM case_studies WHERE title = 'large'});
agrees('large value unchanged by UPDATE');
cmp_ok(length $search->document('case_studies_tenant_acme', $id)->{full_text}, '>', 200_000, 'the large value is in the index');

# Two-phase commit.
sql(q{BEGIN; UPDATE case_studies SET title = 'prepared' WHERE title = 'title 60'; PREPARE TRANSACTION 'one'});
sql(q{BEGIN; DELETE FROM case_studies WHERE title = 'title 61'; PREPARE TRANSACTION 'two'});
agrees('prepared');
sql(q{COMMIT PREPARED 'one'});
sql(q{ROLLBACK PREPARED 'two'});
agrees('COMMIT PREPARED');
is(sql(q{SELECT count(*) FROM case_studies WHERE title IN ('prepared', 'title 61')}), 2, 'and it is so');

# A column more while rows flow.
my $load = start_load($node, 'postgres', tenants => ['acme'], writers => 1);
ok(wait_until(sub { load_runs($load) >= 2 }, 60), 'rows flow');
sql(q{ALTER TABLE case_studies ADD COLUMN added int DEFAULT 5});
sql(q{UPDATE case_studies SET added = 6 WHERE title LIKE 'title 7_'});
my $runs = load_runs($load);
ok(wait_until(sub { load_runs($load) >= $runs + 2 }, 60), 'rows flow on');
stop_load($load);
# A default without a rewrite changes no row in the WAL: the others are touched.
sql(q{UPDATE case_studies SET added = added});
agrees('ADD COLUMN while rows flow');
sql(q{ALTER TABLE case_studies DROP COLUMN added, ADD COLUMN "Other ""name" text});
sql(q{UPDATE case_studies SET "Other ""name" = title});
agrees('DROP COLUMN');

# TRUNCATE.
sql(q{BEGIN; INSERT INTO case_studies (title) VALUES ('before'); TRUNCATE case_studies; INSERT INTO case_studies (title) VALUES ('after'); COMMIT});
is(agrees('TRUNCATE between'), 1 + sql('SELECT count(*) FROM technologies') + 10, 'TRUNCATE between: one row is left');
is($search->count('case_studies_tenant_acme'), 1, 'TRUNCATE between: one document is left');
sql(q{TRUNCATE case_studies, technologies});
agrees('TRUNCATE');
is($search->count('case_studies_tenant_acme'), 0, 'TRUNCATE: no document is left');
sql(q{BEGIN; INSERT INTO case_studies (title) VALUES ('kept'); SAVEPOINT a; TRUNCATE case_studies; ROLLBACK TO a; COMMIT});
agrees('TRUNCATE rolled back');
is($search->count('case_studies_tenant_acme'), 1, 'TRUNCATE rolled back: the document is there');

# Values that are hard to write down.
sql(<<'SQL');
SET search_path = tenant_zoo, public;
INSERT INTO wide (f4, f8, num, d, ts, tz, words, list, j, b, dim) VALUES
	('NaN', 'NaN', 'NaN', 'infinity', 'infinity', 'infinity', E'q"u\\o\'te\r\n\t\b\f' || chr(1) || chr(31) || chr(127) || chr(128512) || chr(8232), ARRAY['a"', NULL, E'\n'], E'{"a":\n "\\u0001"}', '\x00ff', '{{1,2},{3,4}}'),
	('Infinity', '-Infinity', 'Infinity', '-infinity', '-infinity', '-infinity', '', '{}', 'null', '', NULL),
	(1e-30, 8e307, 1e-20, '4713-01-01 BC', '0044-03-15 12:00 BC', '2026-07-01 12:00+05:30', NULL, NULL, '"x"', NULL, '{}'),
	(0.1, 1e-300, 123456.789012, '9999-12-31', '2026-02-28 23:59:59.999999', 'epoch', repeat('é', 3000), ARRAY['x'], '[]', NULL, NULL);
INSERT INTO "Quo""ted" VALUES (1, 'x', '"'), (-2, NULL, '\');
INSERT INTO place VALUES (1, 1), (2, 2), (3, 3);
SQL
agrees('hard values');
# A search server asked for parts of its reply rounds numbers, so this one is looked at as it is stored.
sql('UPDATE tenant_zoo.wide SET num = 99999999999999999999.000000001, f8 = 5e-324 WHERE id = 4');
ok(sync_wait($node, 'postgres', 60), 'long numbers are in');
like(($search->raw('GET', '/wide_tenant_zoo/_source/4'))[1], qr/"f8": ?5e-324, ?"num": ?99999999999999999999\.000000001,/, 'long numbers keep every digit');
sql('UPDATE tenant_zoo.wide SET num = 1, f8 = 1 WHERE id = 4');
is_deeply([ @{ $search->document('wide_tenant_zoo', 1) }{qw(f4 f8 num d ts tz twice)} ], [ (undef) x 7 ], 'NaN and infinity are null');
sql(<<'SQL');
SET search_path = tenant_zoo, public;
BEGIN;
UPDATE place SET seat = 4 - seat;
COMMIT;
BEGIN;
UPDATE place SET id = 10 + id;
UPDATE place SET id = 14 - id;
COMMIT;
UPDATE wide SET f8 = id WHERE id <= 2;
SQL
is(sql('SELECT string_agg(id || \':\' || seat, \' \' ORDER BY id) FROM tenant_zoo.place'), '1:1 2:2 3:3', 'places were changed, and back');
agrees('deferred swap');
sql('SET search_path = tenant_zoo; UPDATE place SET seat = CASE id WHEN 1 THEN 2 WHEN 2 THEN 1 ELSE seat END');
agrees('deferred swap of two');
is($search->document('place_tenant_zoo', 1)->{seat}, 2, 'swapped');

# A partitioned table whose keys need escapes.
sql(<<'SQL');
SET search_path = tenant_zoo, public;
INSERT INTO part SELECT r, c, 0 FROM unnest(ARRAY['a:b', 'a', 'c\', 'c\:', 'rest', '']) r, unnest(ARRAY['b:c', 'c', ':', '\', '\:', '', 'd\\:d', 'é/?#%', ' ']) c;
SQL
agrees('keys with : and \\');
is($search->count('part_tenant_zoo'), 54, 'every key is a document of its own');
sql(q{SET search_path = tenant_zoo; UPDATE part SET region = 'c\' WHERE region = 'a' AND code = 'c' AND false;
	DELETE FROM part WHERE region = 'c\' AND code <> ':'; UPDATE part SET region = 'c\' WHERE region = 'a' AND code <> ':';
	UPDATE part SET code = code || ':x', n = 1 WHERE region = 'rest'});
agrees('rows move between partitions');
sql('TRUNCATE tenant_zoo.part_a');
agrees('TRUNCATE of a partition');
is($search->count('part_tenant_zoo'), 36, 'the others are there');
sql('ALTER TABLE tenant_zoo.part DETACH PARTITION tenant_zoo.part_c; CREATE TABLE tenant_zoo.part_new PARTITION OF tenant_zoo.part FOR VALUES IN (\'new\')',
	q{INSERT INTO tenant_zoo.part VALUES ('new', 'x', 1)});
is($search->document('part_tenant_zoo', 'new:x') ? 1 : sync_wait($node, 'postgres', 60) && $search->document('part_tenant_zoo', 'new:x')->{n}, 1,
	'a partition made later is synced');
sql('TRUNCATE tenant_zoo.part');
ok(sync_wait($node, 'postgres', 60), 'TRUNCATE of all partitions is in');
is($search->count('part_tenant_zoo') // 'none', sql('SELECT count(*) FROM tenant_zoo.part'), 'TRUNCATE of all partitions');

# Redis saw it all.
sql(q{INSERT INTO case_studies (title, timeline_weeks) SELECT 'c ' || n, n FROM generate_series(1, 200) n});
ok(sync_wait($node, 'postgres', 60), 'rows for the cache are in');
is(fill_cache($node, 'postgres', $redis, 'acme'), 201, 'filled');
fill_cache($node, 'postgres', $redis, 'other');
sql(q{UPDATE case_studies SET title = title || '.' WHERE timeline_weeks <= 50}, q{DELETE FROM case_studies WHERE timeline_weeks > 190});
agrees('the end');
is_deeply([ stale_keys($node, 'postgres', $redis, 'acme') ], [ 0, 141 ], 'changed rows left Redis, others did not');
is_deeply([ stale_keys($node, 'postgres', $redis, 'other') ], [ 0, 10 ], 'nor did the other tenant\'s');
is($node->safe_psql('postgres', 'SELECT count(*) FROM tenancy.dead_letter'), 0, 'nothing was refused');
done_testing();
