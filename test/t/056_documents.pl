# Documents by SQL: every document is what its view or expression says now, whichever of the joined tables changed.

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
my $node = tenancy_node('documents', search => $search, redis => $redis, conf => "tenancy.retry_max = '1s'\n");
$node->start;

sub sql { return $node->safe_psql('postgres', join(';', @_)) }
sub blocked { return sql("SELECT string_agg(table_name || ': ' || last_error, E'\\n') FROM tenancy.resync WHERE sink = 'search' AND phase = 'blocked'") }
sub letters { return sql("SELECT string_agg(relation::regclass || ' ' || key[1] || ': ' || reason, E'\\n' ORDER BY relation, key) FROM tenancy.dead_letter") }
sub document { my ($alias, $id) = @_; $search->refresh($alias); return $search->document($alias, $id) }

my $lines = q{(SELECT jsonb_agg(jsonb_build_object('n', l.n, 'sku', l.sku) ORDER BY l.n) FROM %sorder_line l WHERE (l.a, l.b) = (%s.a, %s.b))};
sub order_document { my ($schema, $row) = @_; return "to_jsonb($row) || jsonb_build_object('lines', " . sprintf($lines, $schema, $row, $row) . ')' }

sql(<<'SQL');
CREATE EXTENSION pg_tenancy;
CREATE ROLE shopkeeper;
GRANT tenancy_admin TO shopkeeper;
GRANT CREATE ON DATABASE postgres TO shopkeeper;
SET ROLE shopkeeper;
SELECT tenant_blueprint_add('shop', 1, $$
CREATE TABLE author (id int PRIMARY KEY, name text);
CREATE TABLE article (id int PRIMARY KEY, author_id int, title text, published boolean NOT NULL DEFAULT true, at timestamptz, amount float8);
CREATE INDEX ON article (author_id);
CREATE TABLE comment (id int PRIMARY KEY, article_id int, body text) PARTITION BY RANGE (id);
CREATE TABLE comment_1 PARTITION OF comment FOR VALUES FROM (0) TO (1000);
CREATE TABLE comment_2 PARTITION OF comment FOR VALUES FROM (1000) TO (1000000);
CREATE INDEX ON comment (article_id);
ALTER TABLE comment_1 REPLICA IDENTITY FULL;
ALTER TABLE comment_2 REPLICA IDENTITY FULL;
ALTER TABLE comment REPLICA IDENTITY FULL;
CREATE TABLE tag (id bigint PRIMARY KEY, name text);
CREATE TABLE article_tag (article_id int, tag_id bigint, PRIMARY KEY (article_id, tag_id));
CREATE TABLE hint (id int PRIMARY KEY, article_id int, body text);
CREATE VIEW article_doc AS
SELECT a.*, w.name AS author, (SELECT jsonb_agg(c.body ORDER BY c.id) FROM comment c WHERE c.article_id = a.id) AS comments,
	(SELECT jsonb_agg(t.name ORDER BY t.id) FROM article_tag l JOIN tag t ON t.id = l.tag_id WHERE l.article_id = a.id) AS tags,
	(SELECT count(*) FROM hint h WHERE h.article_id = a.id) AS hints
FROM article a LEFT JOIN author w ON w.id = a.author_id WHERE a.published;
CREATE TABLE orders (a int, b text, state text, PRIMARY KEY (a, b));
CREATE TABLE order_line (b text, a int, n int, sku text, PRIMARY KEY (a, b, n));
CREATE TABLE metric (id int PRIMARY KEY, kind text, v int);
CREATE FUNCTION writes(i int) RETURNS jsonb LANGUAGE plpgsql AS 'BEGIN UPDATE metric SET v = v + 1 WHERE id = i; RETURN ''{}''; END';
CREATE TABLE pair (id int PRIMARY KEY, copies int);
CREATE VIEW pair_doc AS SELECT p.* FROM pair p, generate_series(1, p.copies);
$$);
SELECT tenant_sync_table('shop', 'article', 'article', document => 'article_doc', mapping => '{"mappings": {"dynamic": false}}', cache_keys => ARRAY['article:{id}'], depends_on => '{"author": {"id": "author_id"}, "comment": {"article_id": "id"},
	"article_tag": {"article_id": "id"}, "hint": {"article_id": "id"}, "tag": {"columns": ["id"], "parents": "SELECT article_id FROM article_tag WHERE tag_id = $1"}}');
SELECT tenant_sync_table('shop', 'author', 'author');
SELECT tenant_sync_table('shop', 'pair', 'pair', document => 'pair_doc');
SQL
sql('SET ROLE shopkeeper', q{SELECT tenant_sync_table('shop', 'orders', 'orders', cache_keys => ARRAY['order:{a}:{b}'], mapping => '{"mappings": {"dynamic": false}}', depends_on => '{"order_line": {"a": "a", "b": "b"}}', document => $doc$} . order_document('', 'orders') . '$doc$)');
sql('SET ROLE shopkeeper', <<'SQL');
SELECT tenant_sync_table('shop', 'metric', 'metric', document => $$CASE kind WHEN 'null' THEN NULL WHEN 'array' THEN '[1]' WHEN 'json null' THEN 'null' WHEN 'zero' THEN to_jsonb(1 / (v - v)) WHEN 'big' THEN jsonb_build_object('x', repeat('x', 300000000 + v - v))
	WHEN 'huge' THEN jsonb_build_object('x', repeat('x', 2000000000 + v - v)) WHEN 'large' THEN jsonb_build_object('x', repeat('x', 110000000 + v - v)) WHEN 'slow' THEN jsonb_build_object('s', pg_sleep(60 + v - v)::text) WHEN 'write' THEN writes(id) ELSE to_jsonb(metric) END$$);
SELECT tenant_create('one', 'shop');
SELECT tenant_create('two', 'shop');
SQL
for my $t ('one', 'two')
{
	sql("SET search_path = tenant_$t", <<'SQL');
INSERT INTO author SELECT n, 'author ' || n FROM generate_series(1, 20) n;
INSERT INTO article SELECT n, n % 20 + 1, 'article ' || n, n % 7 <> 0, timestamptz '2026-01-02 03:04:05.678+05' + n * interval '25 hours', CASE WHEN n % 50 = 0 THEN 'NaN' ELSE n / 7.0 END FROM generate_series(1, 500) n;
INSERT INTO comment SELECT n, n % 500 + 1, 'comment ' || n FROM generate_series(1, 1500) n;
INSERT INTO tag SELECT n, 'tag ' || n FROM generate_series(1, 30) n;
INSERT INTO article_tag SELECT DISTINCT n % 500 + 1, n % 30 + 1 FROM generate_series(1, 1000) n;
INSERT INTO orders SELECT n, 'b:' || n % 3, 'new' FROM generate_series(1, 200) n;
INSERT INTO order_line SELECT o.b, o.a, n, 'sku ' || n FROM orders o, generate_series(1, 3) n;
INSERT INTO metric SELECT n, 'good', n FROM generate_series(1, 20) n;
INSERT INTO pair SELECT n, n % 2 FROM generate_series(1, 10) n;
SQL
}

# Everything is in the sinks, and every document is what SQL says; only those of tenant one's tables that are named, or all.
sub agrees
{
	my ($name, @types) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(sync_wait($node, 'postgres', 120), "$name: in the sinks") or diag(sql('SELECT * FROM tenancy.stat_sync; SELECT * FROM tenancy.resync; SELECT * FROM tenancy.dead_letter'));
	my ($rows, @bad) = (0);
	for my $t (@types ? 'one' : ('one', 'two'))
	{
		my %what = (article => [ 'article_doc', key => ['id'] ], author => ['author'], metric => ['metric'], pair => [ 'pair_doc', key => ['id'] ], orders => [ 'orders', document => order_document("tenant_$t.", 't') ]);
		for my $type (@types ? @types : sort keys %what)
		{
			my ($table, @option) = @{ $what{$type} };
			my $found = eval { compare_index($node, 'postgres', $t, $table, $search, $type, @option) };
			$rows += $found->{checked} if $found;
			push @bad, "$t.$type: " . ($found ? TenancyCompare::summary($found) : $@) if !$found || grep { @{ $found->{$_} } } qw(missing ghost stale);
		}
	}
	ok(!@bad, "$name: documents agree") or diag(@bad);
	return $rows;
}

is(agrees('first copy'), 2 * (429 + 20 + 200 + 20 + 5), 'first copy: every document was compared');
is(letters(), '', 'first copy: nothing was refused');
is(document('article_tenant_one', 7), undef, 'a row that the view does not show has no document');
is_deeply([ @{ document('article_tenant_one', 50) }{qw(amount author hints)} ], [ undef, 'author 11', 0 ], 'values are as in documents of rows');

# A change of each table, committed one by one.
my $where = 'SET search_path = tenant_one';
my $started = sql('SELECT pg_stat_get_tuples_inserted(c.oid) FROM pg_class c WHERE oid = $$tenancy.resync$$::regclass');
for my $change (
	[ 'row of the table', q{UPDATE article SET title = 'new' WHERE id = 1} ],
	[ 'hidden by the view', 'UPDATE article SET published = NOT published WHERE id IN (7, 8)' ],
	[ 'key of the table', 'UPDATE article SET id = 10001 WHERE id = 2' ],
	[ 'author by a column that is no key', q{UPDATE author SET name = 'renamed' WHERE id = 3} ],
	[ 'key of the author', 'UPDATE author SET id = 103 WHERE id = 3', 'UPDATE article SET author_id = 103 WHERE author_id = 3 AND id < 100' ],
	[ 'author deleted', 'DELETE FROM author WHERE id = 4' ],
	[ 'author inserted', q{INSERT INTO author VALUES (4, 'back')} ],
	[ 'comment updated', q{UPDATE comment SET body = 'edited' WHERE id IN (10, 1010)} ],
	[ 'comment moved to another article', 'UPDATE comment SET article_id = 20 WHERE id = 11' ],
	[ 'comment of nothing', 'UPDATE comment SET article_id = NULL WHERE id = 12', 'UPDATE comment SET article_id = 77777 WHERE id = 13' ],
	[ 'comment to another partition', 'UPDATE comment SET id = id + 5000, article_id = 30 WHERE id = 14' ],
	[ 'comment deleted', 'DELETE FROM comment WHERE id IN (15, 1015)' ],
	[ 'tag', q{UPDATE tag SET name = 'tagged' WHERE id = 5} ],
	[ 'link and tag in one transaction', 'BEGIN', 'DELETE FROM article_tag WHERE tag_id = 6 AND article_id < 200', q{UPDATE tag SET name = 'sixth' WHERE id = 6}, 'COMMIT' ],
	[ 'link moved', 'UPDATE article_tag SET article_id = 41 WHERE article_id = 40' ],
	[ 'rolled back', 'BEGIN', 'DELETE FROM comment', 'ROLLBACK', 'BEGIN', 'SAVEPOINT s', 'DELETE FROM tag', 'ROLLBACK TO s', q{UPDATE tag SET name = 'kept' WHERE id = 9}, 'COMMIT' ],
	[ 'lines of a composite key', q{UPDATE order_line SET sku = 'x' WHERE a = 5}, 'DELETE FROM order_line WHERE a = 6', q{INSERT INTO order_line VALUES ('b:1', 7, 9, 'nine')}, 'UPDATE order_line SET a = 9, b = ' . q{'b:0', n = n + 50} . ' WHERE a = 8' ],
	[ 'key of an order', q{UPDATE orders SET a = 1000, b = 'b\\:' WHERE a = 10}, q{UPDATE order_line SET a = 1000, b = 'b\\:' WHERE a = 10} ])
{
	my ($name, @statements) = @$change;
	sql($where, @statements);
	agrees($name, $name =~ /order|composite/ ? 'orders' : 'article');
}
is(sql('SELECT pg_stat_get_tuples_inserted(c.oid) FROM pg_class c WHERE oid = $$tenancy.resync$$::regclass'), $started, 'no whole table was looked at again for that');
sql($where, q{INSERT INTO hint SELECT n, n, 'x' FROM generate_series(1, 10) n});
agrees('hint inserted', 'article');
sql($where, 'UPDATE hint SET article_id = article_id + 100');
agrees('hint moved, which the WAL does not tell', 'article');
sql($where, 'DELETE FROM hint WHERE id = 1');
agrees('hint deleted, of which the WAL does not tell the article', 'article');
sql($where, 'CREATE TABLE comment_3 (LIKE comment)', q{INSERT INTO comment_3 SELECT 1000000 + n, n, 'attached ' || n FROM generate_series(21, 60) n}, 'ALTER TABLE comment ATTACH PARTITION comment_3 FOR VALUES FROM (1000000) TO (2000000)');
agrees('partition of a joined table attached', 'article');
like(join(' ', @{ document('article_tenant_one', 25)->{comments} }), qr/attached 25/, 'and its rows are in documents');
sql($where, 'ALTER TABLE comment DETACH PARTITION comment_3', 'DROP TABLE comment_2');
agrees('one detached, and one dropped', 'article');
sql($where, 'TRUNCATE comment');
agrees('joined table truncated', 'article');
sql($where, 'TRUNCATE order_line, orders', q{INSERT INTO orders VALUES (1, 'b', 'new')}, q{INSERT INTO order_line VALUES ('b', 1, 1, 'x')});
agrees('both truncated', 'orders');

# The cache.
redis_cmd($redis, 'SET', 'tenant:one:order:1:b', 'old');
redis_cmd($redis, 'SET', 'tenant:one:article:21', 'old');
redis_cmd($redis, 'SET', 'tenant:two:order:1:b', 'kept');
sql($where, q{UPDATE order_line SET sku = 'y'}, q{UPDATE tag SET name = 'first'});
ok(sync_wait($node, 'postgres', 60), 'cache: in the sinks');
is(redis_cmd($redis, 'GET', 'tenant:one:order:1:b'), undef, 'cache: a key of an order goes with a change of its line');
is(redis_cmd($redis, 'GET', 'tenant:one:article:21'), undef, 'cache: a key of an article goes with a change of its tag');
is(redis_cmd($redis, 'GET', 'tenant:two:order:1:b'), 'kept', 'cache: that of another tenant stays');

# Rows whose document cannot be made.
sql($where, q{UPDATE metric SET kind = (ARRAY['null', 'array', 'json null', 'zero', 'big', 'huge', 'write', 'large'])[id - 4], v = v + 1 WHERE id BETWEEN 5 AND 12}, 'UPDATE metric SET v = 1000 WHERE id IN (4, 13)', 'UPDATE pair SET copies = 2 WHERE id = 1',
	'UPDATE pair SET copies = 1 WHERE id = 2');
ok(sync_wait($node, 'postgres', 120), 'bad rows: the rest is in the sinks');
my $letters = letters();
for my $reason ('tenant_one.metric 6: the document is not a JSON object', 'tenant_one.metric 7: the document is not a JSON object', 'tenant_one.metric 8: division by zero', 'tenant_one.metric 9: .*too (long|large)',
	'tenant_one.metric 10: requested length too large', 'tenant_one.metric 11: cannot execute UPDATE in a read-only transaction', 'tenant_one.metric 12: the document has 11000000\d bytes, the limit is 104857600', 'tenant_one.pair 1: there is more than one document for this key')
{
	like($letters, qr/^$reason/m, "bad rows: $reason");
}
is(scalar(() = $letters =~ /^tenant_/mg), 8, 'bad rows: those and no others') or diag($letters);
is(document('metric_tenant_one', 5), undef, 'bad rows: NULL is no document');
is(document('metric_tenant_one', 4)->{v}, 1000, 'bad rows: one before them got in');
is(document('metric_tenant_one', 13)->{v}, 1000, 'bad rows: one after them got in');
is(document('metric_tenant_one', 8)->{v}, 8, 'bad rows: the old document stays');
is(document('pair_tenant_one', 2)->{copies}, 1, 'bad rows: the other pair got in');
$node->append_conf('postgresql.conf', "tenancy.document_timeout = '1s'\n");
$node->reload;
sql($where, q{UPDATE metric SET kind = 'slow' WHERE id = 20});
ok(wait_until(sub { letters() =~ /^tenant_one.metric 20: its document took longer than tenancy.document_timeout$/m }, 60), 'bad rows: one that takes too long');
$node->append_conf('postgresql.conf', "tenancy.document_timeout = '60s'\n");
$node->reload;
sql($where, q{UPDATE metric SET kind = 'good'}, 'UPDATE pair SET copies = 1');
agrees('bad rows mended', 'metric', 'pair');
is(letters(), '', 'bad rows mended: no letter is left');

# A view that is gone, and back; other tables go on.
my $definition = sql(q{SELECT pg_get_viewdef('tenant_one.article_doc')});
my $before = document('article_tenant_one', 21);
sql($where, 'DROP VIEW article_doc', q{UPDATE article SET title = 'unseen' WHERE id < 100}, q{UPDATE orders SET state = 'seen'});
ok(wait_until(sub { blocked() =~ /article/ }, 60), 'view gone: the table is blocked');
like(blocked(), qr/^article: .*relation "tenant_one.article_doc" does not exist$/, 'view gone: and says why');
ok(wait_until(sub { document('orders_tenant_one', '1:b')->{state} eq 'seen' }, 60), 'view gone: another table goes on');
is_deeply(document('article_tenant_one', 21), $before, 'view gone: no document has gone');
sql($where, 'SET ROLE shopkeeper', "CREATE VIEW article_doc AS $definition");
ok(wait_until(sub { blocked() eq '' }, 60), 'view back: noticed');
agrees('view back', 'article');

my $count = $search->count('article_tenant_one');

# A policy that would hide rows from the owner.
sql('SET ROLE shopkeeper', $where, 'ALTER TABLE comment ENABLE ROW LEVEL SECURITY', 'ALTER TABLE article ENABLE ROW LEVEL SECURITY', 'ALTER TABLE article FORCE ROW LEVEL SECURITY', 'CREATE POLICY none ON article USING (false)');
sql($where, q{UPDATE article SET title = 'policy' WHERE id < 100});
ok(wait_until(sub { blocked() =~ /article/ }, 60), 'policy: the table is blocked');
like(blocked(), qr/row-level security policy/, 'policy: and says why');
is($search->count('article_tenant_one'), $count, 'policy: no document has gone');
sql($where, 'ALTER TABLE article NO FORCE ROW LEVEL SECURITY');
ok(wait_until(sub { blocked() eq '' }, 60), 'policy not for the owner: noticed');
agrees('policy not for the owner', 'article');

# A table of a role whose privileges the blueprint's owner has not: its text would run with them.
sql($where, 'ALTER TABLE article OWNER TO CURRENT_USER', q{UPDATE article SET title = 'owned' WHERE id < 100});
ok(wait_until(sub { blocked() =~ /has not the privileges of role/ }, 60), 'table of a superuser: blocked');
is($search->count('article_tenant_one'), $count, 'table of a superuser: no document has gone');
sql($where, 'ALTER TABLE article OWNER TO shopkeeper');
ok(wait_until(sub { blocked() eq '' }, 60), 'table of its owner again: noticed');
agrees('table of its owner again', 'article');

# A joined table that somebody holds.
my $session = $node->background_psql('postgres');
$session->query_safe('BEGIN; LOCK TABLE tenant_one.tag IN ACCESS EXCLUSIVE MODE');
sql($where, q{UPDATE article SET title = 'locked' WHERE id < 100}, q{UPDATE orders SET state = 'not locked'});
ok(wait_until(sub { document('orders_tenant_one', '1:b')->{state} eq 'not locked' }, 60), 'lock: another table goes on');
is(blocked(), '', 'lock: nothing is blocked');
$session->query_safe('COMMIT');
$session->quit;
agrees('lock released', 'article');

# A joined table dropped and made again.
sql($where, 'DROP TABLE order_line', q{UPDATE orders SET state = 'alone'});
ok(wait_until(sub { blocked() =~ /orders/ }, 60), 'joined table gone: blocked');
sql($where, 'SET ROLE shopkeeper', 'CREATE TABLE order_line (b text, a int, n int, sku text, PRIMARY KEY (a, b, n))', q{INSERT INTO order_line VALUES ('b', 1, 1, 'again')});
ok(wait_until(sub { blocked() eq '' }, 60), 'joined table back: noticed');
agrees('joined table back', 'orders');
sql($where, q{UPDATE order_line SET sku = 'and again'});
agrees('change of the new one', 'orders');

# More parents than are marked one by one.
sql($where, q{INSERT INTO article SELECT n, 5, 'many', true, now(), 1 FROM generate_series(20001, 30100) n}, q{UPDATE author SET name = 'of many' WHERE id = 5});
agrees('many parents', 'article');
sub scans { return split /\|/, sql(q{SELECT seq_scan, idx_scan FROM pg_stat_user_tables WHERE relid = 'tenant_one.article'::regclass}) }
sql('ANALYZE tenant_one.article');
my ($seq, $idx) = scans();
sql($where, 'SET enable_seqscan = off', q{UPDATE article SET title = 'by index' WHERE id BETWEEN 20001 AND 20300});
ok(wait_until(sub { (scans())[1] >= $idx + 300 }, 60), 'plan: each row is found by the index');
is((scans())[0], $seq, 'plan: and the table is never scanned');

# Writers on every table, while the search worker is killed.
my $script = join '', map { my $n = $_; my $t = $n % 2 ? 'one' : 'two'; my $r = 'floor(random() * 500)::int + 1'; <<"SQL" } 1 .. 20;
SET search_path = tenant_$t;
BEGIN;
UPDATE article SET title = 'load ' || random(), published = random() < 0.9, author_id = floor(random() * 20)::int + 1 WHERE id = $r;
UPDATE author SET name = 'load ' || random() WHERE id = $r / 25 + 1;
INSERT INTO comment SELECT n, $r, 'load' FROM (SELECT floor(random() * 900000)::int + 2000 AS n) x ON CONFLICT (id) DO UPDATE SET article_id = EXCLUDED.article_id;
COMMIT;
DELETE FROM comment WHERE id IN (SELECT id FROM comment ORDER BY random() LIMIT 2);
UPDATE tag SET name = 'load ' || random() WHERE id = $r / 20 + 1;
INSERT INTO article_tag VALUES ($r, $r / 20 + 1) ON CONFLICT DO NOTHING;
UPDATE article_tag SET article_id = $r WHERE article_id = $r;
DELETE FROM article_tag WHERE article_id = $r;
INSERT INTO orders VALUES ($r, 'b', 'load') ON CONFLICT (a, b) DO UPDATE SET state = random()::text;
INSERT INTO order_line VALUES ('b', $r, $r, 'load') ON CONFLICT (a, b, n) DO UPDATE SET sku = random()::text;
UPDATE order_line SET a = $r WHERE a = $r;
DELETE FROM order_line WHERE a = $r;
SQL
sql("DELETE FROM tenant_one.article WHERE id > 20000");
ok(sync_wait($node, 'postgres', 120), 'verify: in the sinks');
is(sql('SELECT sum(missing), sum(stale), sum(ghost), count(*) FROM tenancy.verify()'), '0|0|0|10', 'verify: finds nothing');
$search->request('POST', '/article_tenant_one/_update/1?refresh=true', { doc => { author => 'nobody' } });
$search->request('DELETE', '/article_tenant_one/_doc/3?refresh=true');
$search->request('PUT', '/article_tenant_one/_doc/14?refresh=true', { id => 14 });
is(sql("SELECT missing, stale, ghost FROM tenancy.verify('one', 'article', true)"), '1|1|1', 'verify: finds, and repairs, what differs from the view');
agrees('verify', 'article');

# A joined table whose rows the caller may not all see: documents would show them.
sql(<<'SQL');
ALTER TABLE tenant_one.article DISABLE ROW LEVEL SECURITY;
ALTER TABLE tenant_one.comment DISABLE ROW LEVEL SECURITY;
CREATE ROLE reader IN ROLE tenancy_app;
GRANT USAGE ON SCHEMA tenant_one TO reader;
GRANT SELECT ON ALL TABLES IN SCHEMA tenant_one TO reader;
SQL
sub engine { return sql('BEGIN', "SELECT tenant_use('one')", 'SET LOCAL ROLE reader', q{SELECT concat('engine ', a ->> 'engine', ': ' || (a ->> 'fallback')) FROM tenant_search(NULL, 'article') a}, 'COMMIT') =~ /engine (.*)/ ? $1 : undef }
ok(wait_until(sub { engine() eq 'elasticsearch' }, 60), 'rights: who may read all tables is shown documents') or diag(engine());
sql(q{ALTER TABLE tenant_one.comment ENABLE ROW LEVEL SECURITY; CREATE POLICY few ON tenant_one.comment TO reader USING (id < 10)});
like(engine(), qr/^postgresql: row-level security/, 'rights: who may read some rows of a joined table is not');
sql(q{DROP POLICY few ON tenant_one.comment; ALTER TABLE tenant_one.comment DISABLE ROW LEVEL SECURITY});
my $load = start_load($node, 'postgres', script => $script, writers => 3);
for my $round (1 .. 3)
{
	sleep 2;
	ok(kill_worker($node, 'pg_tenancy search sink'), "load: worker is back, $round");
}
sleep 1;
ok(stop_load($load) > 0, 'load: writers went through');
agrees('load');
is(letters(), '', 'load: nothing was refused');
$node->stop;
done_testing();
