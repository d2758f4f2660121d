# What is done to tables, by DDL, reaches the indices by itself: no row is lost and no document is left over.

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
my $node = tenancy_node('ddl', search => $search, redis => $redis);
$node->start;

sub sql { return $node->safe_psql('postgres', join(';', @_)) }
sub synced { return sync_wait($node, 'postgres', 120) }
sub letters { return sql('SELECT count(*) FROM tenancy.dead_letter') }
sub requested { return sql("SELECT count(*) FROM tenancy.resync WHERE sink = 'search'") }

# sync_wait, then the comparer; a field that a document lacks counts as NULL.
sub agrees
{
	my ($name, $table, $tenant) = @_;
	$tenant //= 'one';
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(synced(), "$name: in the sinks") or diag(sql('TABLE tenancy.stat_sync; TABLE tenancy.resync; SELECT index_name, state, last_error FROM tenancy.search_index WHERE state <> $$ready$$'));
	return index_agrees($node, 'postgres', $tenant, $table, $search, $table, "$name: the index agrees", absent_is_null => 1);
}

# Documents that were sent so far.
sub docs { return sql(q{SELECT docs FROM tenancy.stat_sync WHERE sink = 'search'}) }

# Mapping of a field.
sub field
{
	my ($alias, $name) = @_;
	my ($status, $reply) = $search->request('GET', "/$alias/_mapping");
	my ($index) = values %$reply;
	return $index->{mappings}{properties}{$name};
}

# Number of documents a query finds.
sub finds
{
	my ($alias, $query) = @_;
	$search->refresh($alias);
	my ($status, $reply) = $search->request('POST', "/$alias/_search", { query => $query, size => 0, track_total_hits => JSON::PP::true });
	return $status == 200 ? $reply->{hits}{total}{value} : $reply;
}

my @tables = qw(item fixed typed part);
sql(<<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('shop', 1, $$
CREATE TYPE mood AS ENUM ('calm');
CREATE TABLE item (id bigint PRIMARY KEY, n int);
CREATE TABLE fixed (id bigint PRIMARY KEY, n int);
CREATE TABLE typed (id bigint PRIMARY KEY, n int, dull text);
CREATE TABLE part (id bigint, month int, n int, PRIMARY KEY (id, month)) PARTITION BY LIST (month);
CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1);
$$);
SELECT tenant_sync_table('shop', t, t, mapping => m::jsonb) FROM (VALUES ('item', '{"mappings": {"dynamic": "strict", "properties": {"id": {"type": "long"}, "n": {"type": "long"}, "mine": {"type": "byte"}}}}'),
	('fixed', '{"mappings": {"dynamic": false}}'), ('typed', '{"mappings": {"properties": {"n": {"type": "integer"}}}}'), ('part', NULL)) v (t, m);
SELECT tenant_create(n, 'shop') FROM unnest(ARRAY['one']) n;
INSERT INTO tenant_one.item SELECT n, n FROM generate_series(1, 300) n;
INSERT INTO tenant_one.fixed SELECT n, n FROM generate_series(1, 300) n;
INSERT INTO tenant_one.typed SELECT n, n, 'x' FROM generate_series(1, 300) n;
INSERT INTO tenant_one.part SELECT n, 1, n FROM generate_series(1, 300) n;
SQL
agrees('start', $_) for @tables;

# ADD COLUMN: no row is sent again, and the mapping is there before the first document with it.
my $docs = docs();
my $since = time;
sql('ALTER TABLE tenant_one.item ADD COLUMN a text, ADD COLUMN b bigint, ADD COLUMN c timestamptz, ADD COLUMN d numeric, ADD COLUMN e jsonb, ADD COLUMN f uuid, ADD COLUMN g boolean, ADD COLUMN h tenant_one.mood,
	ADD COLUMN i date[], ADD COLUMN j tsvector, ADD COLUMN k int4range, ADD COLUMN l float8, ADD COLUMN m timestamp, ADD COLUMN o date, ADD COLUMN p bytea, ADD COLUMN "q r""s" text, ADD COLUMN mine smallint, ADD COLUMN u char(3)');
sql(q{INSERT INTO tenant_one.item VALUES (1001, 1, 'some text', 9007199254740993, '2026-01-02 03:04:05+00', 1.5, '{"x": 1}', gen_random_uuid(), true, 'calm', '{2026-01-01}', 'x', '[1,2)', 1, '2026-01-02 03:04:05.678', '2026-01-02', '\x00', 'q', 5, 'abc')});
sql(q{INSERT INTO tenant_one.item VALUES (1002, 1, repeat('long ', 20000), 1, 'infinity', 'NaN', '5', NULL, NULL, NULL, '{infinity,20000-01-01}', NULL, 'empty', 'NaN', '-infinity', 'infinity', decode(repeat('00', 50000), 'hex'), repeat('x', 50000), 5, NULL)});
sql(q{INSERT INTO tenant_one.item VALUES (1003, 1, '', -1, '20000-01-01 00:00+00', ('1e' || 500)::numeric, '[1, "x", {"y": null}]', NULL, NULL, NULL, '{}', NULL, NULL, 'Infinity', '0044-03-15 12:00 BC', '294276-01-01', NULL, NULL, 5, NULL)});
sql(q{INSERT INTO tenant_one.item (id, e, d, c) SELECT 1100 + n, v::jsonb, n - 5, timestamptz '9999-12-31 23:59:59+00' + n * interval '1 hour' FROM unnest(ARRAY['1', '"x"', '[]', '{"a": 1}', '{"a": "x"}', '{"a": {"b": 1}}', 'null', 'true']) WITH ORDINALITY u (v, n)});
sql(q{INSERT INTO tenant_one.item (id, e) SELECT 1200, jsonb_object_agg('key' || n, n) FROM generate_series(1, 10000) n});
agrees('ADD COLUMN', 'item');
is(letters(), 0, 'ADD COLUMN: nothing was refused') or diag(sql('SELECT key, reason FROM tenancy.dead_letter'));
SKIP:
{
	skip('a table whose keys wait for 10 s is sent as a whole', 1) if time - $since > 8;
	cmp_ok(docs() - $docs, '<', 100, 'ADD COLUMN: old rows were not sent again');
}
is(field('item_tenant_one', 'a')->{type}, 'text', 'ADD COLUMN: text');
is(field('item_tenant_one', 'b')->{type}, 'long', 'ADD COLUMN: bigint');
is(field('item_tenant_one', 'c')->{type}, 'date', 'ADD COLUMN: timestamptz');
is(field('item_tenant_one', 'd')->{type}, 'double', 'ADD COLUMN: numeric');
is(field('item_tenant_one', $_)->{type}, 'keyword', "ADD COLUMN: keyword $_") for qw(f h u);
is(field('item_tenant_one', 'k')->{type}, 'integer_range', 'ADD COLUMN: int4range');
is(field('item_tenant_one', 'e')->{type}, 'flattened', 'ADD COLUMN: jsonb');
is(field('item_tenant_one', 'p')->{type}, 'object', 'ADD COLUMN: bytea, which a strict mapping must know');
is(field('item_tenant_one', 'i')->{type}, 'date', 'ADD COLUMN: date[]');
is(field('item_tenant_one', 'q r"s')->{type}, 'text', 'ADD COLUMN: a name with everything');
is(field('item_tenant_one', 'mine')->{type}, 'byte', 'ADD COLUMN: the user\'s mapping stays');
is(field('item_tenant_one', 'j'), undef, 'ADD COLUMN: no tsvector');
is(finds('item_tenant_one', { match => { a => 'some' } }), 1, 'ADD COLUMN: text is found');
is(finds('item_tenant_one', { range => { c => { gt => '2026-01-01', lt => '2026-01-03' } } }), 1, 'ADD COLUMN: timestamp is found');
is(finds('item_tenant_one', { range => { c => { gte => '20000-01-01', format => 'date_optional_time' } } }), 1, 'ADD COLUMN: year 20000 is found');
is(finds('item_tenant_one', { range => { d => { lt => 0 } } }), 4, 'ADD COLUMN: numbers are found');

# A mapping that wants no fields gets none.
sql('ALTER TABLE tenant_one.fixed ADD COLUMN a text', 'UPDATE tenant_one.fixed SET a = n WHERE id < 10');
agrees('dynamic false', 'fixed');
is(field('fixed_tenant_one', 'a'), undef, 'dynamic false: nothing was put');

# Other changes of columns send every row again.
for my $change ('ADD COLUMN b int DEFAULT 7', 'ADD COLUMN c double precision DEFAULT random()', 'ADD COLUMN g bigint GENERATED ALWAYS AS (id * 2) STORED', 'RENAME COLUMN b TO bb', 'DROP COLUMN bb',
	'ADD COLUMN s bigserial', 'ALTER COLUMN n TYPE bigint', 'ALTER COLUMN n TYPE bigint USING -n', 'ALTER COLUMN a TYPE varchar(5)', 'ADD COLUMN y date DEFAULT now()')
{
	sql("ALTER TABLE tenant_one.fixed $change");
	agrees($change, 'fixed');
}
sql('BEGIN', 'ALTER TABLE tenant_one.fixed ADD COLUMN v float8 DEFAULT random()', 'ALTER TABLE tenant_one.fixed ALTER COLUMN v DROP DEFAULT', 'COMMIT');
agrees('a default that is taken back', 'fixed');
$docs = docs();
sql('VACUUM FULL tenant_one.fixed');
ok(synced(), 'a new file: in'); # seen together with a change of a column it could be a type that changed
sql('ALTER TABLE tenant_one.fixed ALTER COLUMN v SET STATISTICS 5, ALTER COLUMN n SET NOT NULL', 'CREATE INDEX ON tenant_one.fixed (n)', 'ANALYZE tenant_one.fixed', 'GRANT SELECT ON tenant_one.fixed TO tenancy_app',
	'CREATE INDEX ON tenant_one.item (n)', 'CLUSTER tenant_one.item USING item_pkey');
agrees('what changes no document', 'item');
is(docs() - $docs, 0, 'what changes no document sends none');

# A type that the mapping refuses: dead letters, and only those; back again they go.
sql(q{ALTER TABLE tenant_one.typed ALTER COLUMN n TYPE text USING CASE WHEN n <= 20 THEN 'word ' || n ELSE n::text END});
ok(synced(), 'refused type: in');
is(letters(), 20, 'refused type: a letter for each row');
sql(q{UPDATE tenant_one.typed SET n = 'still a word' WHERE id = 1; UPDATE tenant_one.typed SET n = 'word' WHERE id = 300; INSERT INTO tenant_one.typed VALUES (1000, '7', 'y'); DELETE FROM tenant_one.typed WHERE id = 2});
ok(synced(), 'refused type: goes on');
is(letters(), 20, 'refused type: one more, one less');
is($search->document('typed_tenant_one', 1000)->{n}, '7', 'refused type: what is taken gets in');
sql(q{ALTER TABLE tenant_one.typed ALTER COLUMN n TYPE int USING CASE WHEN n ~ '^\d+$' THEN n::int ELSE 0 END});
agrees('type taken back', 'typed');
is(letters(), 0, 'type taken back: no letter is left');

# A put that the server refuses.
sql('ALTER TABLE tenant_one.typed DROP COLUMN dull', 'UPDATE tenant_one.typed SET n = n WHERE id = 3');
ok(synced(), 'refused put: the column is seen to be gone');
sql('ALTER TABLE tenant_one.typed ADD COLUMN dull int, ADD COLUMN fine text');
sql(q{UPDATE tenant_one.typed SET dull = 5, fine = 'x' WHERE id < 50});
ok(synced(), 'refused put: goes on');
ok(wait_until(sub { (field('typed_tenant_one', 'dull') // {})->{type} eq 'integer' }, 120), 'refused put: the index is made anew for it')
  or diag(sql(q{SELECT i, (SELECT jsonb_agg(r) FROM tenancy.resync r) FROM tenancy.search_index i WHERE alias = 'typed_tenant_one'}));
is(field('typed_tenant_one', 'fine')->{type}, 'text', 'refused put: the other field is put');
agrees('refused put', 'typed');

# Partitions.
$docs = docs();
sql('CREATE TABLE tenant_one.part_2 PARTITION OF tenant_one.part FOR VALUES IN (2)');
ok(synced(), 'empty partition: in');
sql('INSERT INTO tenant_one.part SELECT n, 2, n FROM generate_series(1, 50) n', 'CREATE TABLE tenant_one.part_3 PARTITION OF tenant_one.part FOR VALUES IN (3)', 'INSERT INTO tenant_one.part VALUES (1, 3, 1)',
	'CREATE TABLE tenant_one.part_4 (LIKE tenant_one.part INCLUDING ALL)', 'ALTER TABLE tenant_one.part ATTACH PARTITION tenant_one.part_4 FOR VALUES IN (4)');
agrees('empty partition', 'part');
is(docs() - $docs, 51, 'empty partition: nothing is sent again');
sql('CREATE TABLE tenant_one.part_5 (LIKE tenant_one.part INCLUDING ALL)', 'INSERT INTO tenant_one.part_5 SELECT n, 5, n FROM generate_series(1, 70) n', 'ALTER TABLE tenant_one.part ATTACH PARTITION tenant_one.part_5 FOR VALUES IN (5)');
is(agrees('ATTACH', 'part')->{documents}, 421, 'ATTACH: its rows are there');
sql('BEGIN', 'CREATE TABLE tenant_one.part_6 (LIKE tenant_one.part)', 'INSERT INTO tenant_one.part_6 SELECT n, 6, n FROM generate_series(1, 10) n', 'ALTER TABLE tenant_one.part ATTACH PARTITION tenant_one.part_6 FOR VALUES IN (6)', 'COMMIT');
is(agrees('ATTACH in one transaction', 'part')->{documents}, 431, 'ATTACH in one transaction: its rows are there');
sql('ALTER TABLE tenant_one.part DETACH PARTITION tenant_one.part_5');
is(agrees('DETACH', 'part')->{documents}, 361, 'DETACH: its documents are gone');
sql('UPDATE tenant_one.part_5 SET n = -n', 'DELETE FROM tenant_one.part_5 WHERE id < 5', 'ALTER TABLE tenant_one.part ATTACH PARTITION tenant_one.part_5 FOR VALUES IN (5)');
agrees('ATTACH again', 'part');
sql('BEGIN', 'ALTER TABLE tenant_one.part DETACH PARTITION tenant_one.part_5', 'UPDATE tenant_one.part_5 SET n = 77', 'ALTER TABLE tenant_one.part ATTACH PARTITION tenant_one.part_5 FOR VALUES IN (5)', 'COMMIT');
agrees('DETACH and ATTACH', 'part');
sql('ALTER TABLE tenant_one.part DETACH PARTITION tenant_one.part_6 CONCURRENTLY');
agrees('DETACH CONCURRENTLY', 'part');
sql('DROP TABLE tenant_one.part_5');
agrees('DROP of a partition', 'part');
sql('CREATE TABLE tenant_one.sub (id bigint, month int, n int, PRIMARY KEY (id, month)) PARTITION BY LIST (month)', 'CREATE TABLE tenant_one.sub_7 PARTITION OF tenant_one.sub FOR VALUES IN (7)', 'INSERT INTO tenant_one.sub VALUES (1, 7, 7)',
	'ALTER TABLE tenant_one.part ATTACH PARTITION tenant_one.sub FOR VALUES IN (7)');
agrees('ATTACH of a tree', 'part');
sql('TRUNCATE tenant_one.part_1, tenant_one.fixed');
agrees('TRUNCATE of a partition', 'part');
agrees('TRUNCATE of a partition', 'fixed');

is(letters(), 0, 'nothing was refused');
unlike(slurp_file($node->logfile), qr/PANIC|was terminated by signal|exited with exit code [2-9]/, 'no worker died by itself');
done_testing();
