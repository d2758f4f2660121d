# Tables that come, go, move and lose their keys, and workers that die meanwhile: indices follow by themselves.

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
my $node = tenancy_node('moves', search => $search, redis => $redis);
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

# Mapping of a field.
sub field
{
	my ($alias, $name) = @_;
	my ($status, $reply) = $search->request('GET', "/$alias/_mapping");
	my ($index) = values %$reply;
	return $index->{mappings}{properties}{$name};
}

my @tables = qw(item part away key cached);
sql(<<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('shop', 1, $$
CREATE TABLE item (id bigint PRIMARY KEY, n int);
CREATE TABLE part (id bigint, month int, n int, PRIMARY KEY (id, month)) PARTITION BY LIST (month);
CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1);
CREATE TABLE part_2 PARTITION OF part FOR VALUES IN (2);
CREATE TABLE away (id bigint PRIMARY KEY, n int);
CREATE TABLE key (id bigint PRIMARY KEY, n int);
CREATE TABLE cached (id bigint PRIMARY KEY, n int);
$$);
SELECT tenant_sync_table('shop', t, t) FROM unnest(ARRAY['item', 'part', 'away', 'key']) t;
SELECT tenant_sync_table('shop', 'cached', 'cached', cache_keys => ARRAY['cached:{id}'], cache_tags => ARRAY['cached']);
SELECT tenant_create(n, 'shop') FROM unnest(ARRAY['one', 'two']) n;
INSERT INTO tenant_one.item SELECT n, n FROM generate_series(1, 300) n;
INSERT INTO tenant_one.part SELECT n, 1 + n % 2, n FROM generate_series(1, 300) n;
INSERT INTO tenant_one.away SELECT n, n FROM generate_series(1, 300) n;
INSERT INTO tenant_one.key SELECT n, n FROM generate_series(1, 300) n;
INSERT INTO tenant_one.cached SELECT n, n FROM generate_series(1, 10) n;
SQL
agrees('start', $_) for @tables;

# Out of the tenant's schema, back in, and into another tenant.
sql('CREATE SCHEMA attic', 'ALTER TABLE tenant_one.away SET SCHEMA attic');
ok(synced(), 'SET SCHEMA: in');
ok(wait_until(sub { ($search->count('away_tenant_one') // -1) == 0 }, 60), 'SET SCHEMA: its documents are gone, its index is there');
sql('UPDATE attic.away SET n = -n', 'DELETE FROM attic.away WHERE id < 10', 'ALTER TABLE attic.away ADD COLUMN more timestamptz', 'ALTER TABLE attic.away SET SCHEMA tenant_one', q{INSERT INTO tenant_one.away VALUES (2000, 1, now())});
is(agrees('SET SCHEMA back', 'away')->{documents}, 292, 'SET SCHEMA back: everything is there');
is(field('away_tenant_one', 'more')->{type}, 'date', 'SET SCHEMA back: with the new field');
sql('BEGIN', 'ALTER TABLE tenant_one.away SET SCHEMA attic', 'UPDATE attic.away SET n = 5', 'ALTER TABLE attic.away SET SCHEMA tenant_one', 'COMMIT');
agrees('SET SCHEMA out and back', 'away');
sql('BEGIN', 'DROP TABLE tenant_two.away', 'ALTER TABLE tenant_one.away SET SCHEMA tenant_two', 'COMMIT');
is(agrees('SET SCHEMA to another tenant', 'away', 'two')->{documents}, 292, 'SET SCHEMA to another tenant: there');
ok(wait_until(sub { ($search->count('away_tenant_one') // -1) == 0 }, 60), 'SET SCHEMA to another tenant: and here no more');
sql('CREATE TABLE tenant_one.away (id bigint PRIMARY KEY, other text)', q{INSERT INTO tenant_one.away VALUES (1, 'x')});
agrees('CREATE TABLE', 'away');
sql('ALTER TABLE tenant_one.away RENAME TO gone', 'INSERT INTO tenant_one.gone VALUES (2)');
ok(synced(), 'RENAME: in');
ok(wait_until(sub { ($search->count('away_tenant_one') // -1) == 0 }, 60), 'RENAME: its documents are gone');
sql('ALTER TABLE tenant_one.gone RENAME TO away');
is(agrees('RENAME back', 'away')->{documents}, 2, 'RENAME back: its rows are there');
sql('BEGIN', 'CREATE TABLE tenant_one.new_away (id bigint PRIMARY KEY, other text)', 'INSERT INTO tenant_one.new_away SELECT n FROM generate_series(2, 30) n', 'ALTER TABLE tenant_one.away RENAME TO old_away', 'ALTER TABLE tenant_one.new_away RENAME TO away', 'COMMIT');
is(agrees('swapped', 'away')->{documents}, 29, 'swapped: the new rows, and no other');
sql('DROP TABLE tenant_one.away');
ok(synced(), 'DROP TABLE: in');
ok(wait_until(sub { ($search->count('away_tenant_one') // -1) == 0 }, 60), 'DROP TABLE: its documents are gone');
sql('ALTER TABLE tenant_one.old_away RENAME TO away');
agrees('another one takes its place', 'away');

# No key, another key, another replica identity.
sub blocked { return sql("SELECT string_agg(table_name || ' ' || sink, ',' ORDER BY 1) FROM tenancy.stat_progress_resync WHERE phase = 'blocked' AND last_error <> ''") }
sql('ALTER TABLE tenant_one.key DROP CONSTRAINT key_pkey');
ok(wait_until(sub { blocked() eq 'key search' }, 60), 'no primary key: said, without a write') or diag(sql('TABLE tenancy.resync'));
sql('UPDATE tenant_one.key SET n = 5 WHERE id < 20', 'DELETE FROM tenant_one.key WHERE id > 290', 'UPDATE tenant_one.item SET n = 3');
ok(wait_until(sub { ($search->document('item_tenant_one', 1) // {})->{n} == 3 }, 60), 'no primary key: others go on');
is(blocked(), 'key search', 'no primary key: still said');
sql('ALTER TABLE tenant_one.key ADD PRIMARY KEY (id, n)');
ok(wait_until(sub { requested() == 0 }, 60), 'another key: by itself');
agrees('another key', 'key');
for my $identity ('NOTHING', 'FULL', 'USING INDEX key_n', 'DEFAULT')
{
	sql('DROP INDEX IF EXISTS tenant_one.key_n', 'ALTER TABLE tenant_one.key DROP COLUMN IF EXISTS u', 'ALTER TABLE tenant_one.key ADD COLUMN u bigserial', 'CREATE UNIQUE INDEX key_n ON tenant_one.key (u)', "ALTER TABLE tenant_one.key REPLICA IDENTITY $identity");
	sql('UPDATE tenant_one.key SET n = n + 1 WHERE id < 50', 'DELETE FROM tenant_one.key WHERE id = (SELECT max(id) FROM tenant_one.key)', 'UPDATE tenant_one.key SET id = id + 1000 WHERE id % 10 = 5', 'INSERT INTO tenant_one.key (id, n) SELECT max(id) + 1, 1 FROM tenant_one.key');
	agrees("REPLICA IDENTITY $identity", 'key');
}
sql(q{BEGIN; SELECT tenant_use('one'); SELECT tenant_cache_set('cached:1', '1'); COMMIT});
ok(defined redis_cmd($redis, 'GET', 'tenant:one:cached:1'), 'template: something is cached');
sql('ALTER TABLE tenant_one.cached RENAME COLUMN id TO id2');
sql('UPDATE tenant_one.cached SET n = 6 WHERE id2 = 1');
ok(synced(), 'template: in');
ok(wait_until(sub { blocked() eq 'cached cache' }, 60), 'template: blocked') or diag(sql('TABLE tenancy.resync'));
is(letters(), 0, 'template: no dead letter');
is(redis_cmd($redis, 'GET', 'tenant:one:cached:1'), undef, 'template: what is cached goes all the same');
agrees('template', 'cached');
sql('ALTER TABLE tenant_one.cached RENAME COLUMN id2 TO id');
ok(wait_until(sub { blocked() eq '' }, 60), 'template: fits again');
redis_cmd($redis, 'SET', "tenant:one:$_", 'old') for 'cached:1', 'other';
ok(synced(), 'template: fits again, in');
redis_cmd($redis, 'SET', "tenant:one:$_", 'old') for 'cached:1', 'other';
sql('UPDATE tenant_one.cached SET n = 7 WHERE id = 1');
ok(synced(), 'template: a change');
is(join(',', grep { !/:#/ } $redis->keys('tenant:one:*')), 'tenant:one:other', 'template: one key is unlinked');

# kill -9 right after the DDL, and DDL while no worker runs.
for my $round (1 .. 3)
{
	sql("ALTER TABLE tenant_one.item ADD COLUMN k$round int DEFAULT $round");
	ok(kill_worker($node, 'pg_tenancy search sink'), "killed, $round: the worker is back");
	agrees("killed, $round", 'item');
}
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
sql('ALTER TABLE tenant_one.item DROP COLUMN k1', 'ALTER TABLE tenant_one.item ADD COLUMN k4 timestamptz', 'UPDATE tenant_one.item SET k4 = now() WHERE id = 1', 'ALTER TABLE tenant_one.part DETACH PARTITION tenant_one.part_2', 'DROP TABLE tenant_one.away');
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_tenancy'");
$node->restart;
agrees('while no worker ran', $_) for qw(item part);
is(field('item_tenant_one', 'k4')->{type}, 'date', 'while no worker ran: the field is put');
ok(wait_until(sub { ($search->count('away_tenant_one') // -1) == 0 }, 60), 'while no worker ran: the dropped table\'s documents are gone');

# The index is made again with its fields.
my ($index) = keys %{ ($search->request('GET', '/_alias/item_tenant_one'))[1] };
$search->raw('DELETE', "/$index");
sql('UPDATE tenant_one.item SET n = 9 WHERE id = 1');
agrees('index made again', 'item');
is(field('item_tenant_one', 'k4')->{format}, 'strict_date_optional_time||date_optional_time', 'index made again: with the field');

# The schema of a tenant is dropped by hand.
sql('SET client_min_messages = warning', 'DROP SCHEMA tenant_two CASCADE');
ok(wait_until(sub { synced() && ($search->count('away_tenant_two') // -1) == 0 }, 60), 'DROP SCHEMA: the documents are gone');
agrees('DROP SCHEMA: others', 'item');
is(letters(), 0, 'nothing was refused');
unlike(slurp_file($node->logfile), qr/PANIC|exited with exit code [2-9]/, 'no worker died by itself');
done_testing();
