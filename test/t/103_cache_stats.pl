# tenant_cache_stats: keys and bytes in Redis whatever becomes of them, and what was counted of the calls.

use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;

need_servers('redis');
my $redis = TenancyRedis->start;
my $node = tenancy_node('stats', redis => $redis, conf => "tenancy.cache_guard_time = 30\n");
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('box', 1, 'CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL)');
SELECT tenant_sync_table('box', 'item', cache_keys => ARRAY['item:{id}'], cache_tags => ARRAY['items']);
SELECT tenant_create('one', 'box'), tenant_create('two', 'box');
INSERT INTO tenant_one.item SELECT g, 0 FROM generate_series(1, 10) g;
CREATE ROLE app IN ROLE tenancy_app;
CREATE ROLE op IN ROLE tenancy_operator;
SQL
my $use = "SELECT FROM tenant_use('one')";
sub one { my ($sql) = @_; return $node->safe_psql('postgres', "BEGIN; $use; $sql; COMMIT") =~ s/^\s+|\s+$//gr }
sub stats { my ($columns) = @_; return one("SELECT concat_ws(' ', $columns) FROM tenant_cache_stats()") }
sub totals { return stats('total_keys, total_size_bytes') }
sub store { my ($key, $value, $more) = @_; return one("SELECT tenant_cache_set('$key', '$value'" . ($more // '') . ")") }
# Bytes that a value counts for: its name in Redis and its text, rounded up to 16.
sub bytes { my $sum = 0; while (my ($key, $value) = splice @_, 0, 2) { $sum += int((length("tenant:one:$key$value") + 15) / 16) * 16 } return $sum }
ok(sync_wait($node, 'postgres', 60), 'start');
ok(wait_until(sub { @{ redis_cmd($redis, 'KEYS', 'tenant:#mark:*') } == 1 }, 30), 'the mark is there');

is(totals(), '0 0', 'nothing');
my $long = '"' . 'x' x 1000 . '"';
is(store('a', 1), 't', 'a value');
is(store('b', $long, ", tags => '{x,y}'"), 't', 'another');
is(totals(), '2 ' . bytes(a => 1, b => $long), 'two keys');
is(store('a', $long), 't', 'one is stored again');
is(totals(), '2 ' . bytes(a => $long, b => $long), 'larger');
is(store('a', 2), 't', 'and again');
is(totals(), '2 ' . bytes(a => 2, b => $long), 'smaller');
is(one(q{SELECT tenant_cache_delete('b')}), 't', 'deleted');
is(totals(), '1 ' . bytes(a => 2), 'one is left');
store("item:$_", $long) for 1 .. 3;
is(totals(), '4 ' . bytes(a => 2, map { ("item:$_" => $long) } 1 .. 3), 'four');
$node->safe_psql('postgres', 'UPDATE tenant_one.item SET n = 1 WHERE id IN (1, 2)');
ok(sync_wait($node, 'postgres', 60), 'two rows change');
is(totals(), '2 ' . bytes(a => 2, 'item:3' => $long), 'two keys are unlinked');
store("t:$_", $_, ", tags => '{t}'") for 1 .. 5;
is(one(q{SELECT tenant_cache_invalidate_tag('t')}), 5, 'a tag of five');
is(totals(), '2 ' . bytes(a => 2, 'item:3' => $long), 'five less');
store("t:$_", $_) for 1 .. 5;
is(one(q{SELECT tenant_cache_invalidate('t:*')}), 5, 'a pattern of five');
is(totals(), '2 ' . bytes(a => 2, 'item:3' => $long), 'five less again');
is(stats('total_size_mb'), '0.00', 'in megabytes');
store('big', '"' . 'x' x 1048576 . '"');
is(stats('total_size_mb'), '1.00', 'one megabyte');
one(q{SELECT tenant_cache_delete('big')});

# What expires.
is(one(q{SELECT count(*) FROM generate_series(1, 100) g WHERE tenant_cache_set('e:' || g, '1', ttl => 1)}), 100, 'a hundred for a second');
is((split ' ', totals())[0], 102, 'a hundred more');
sleep 3;
is((split ' ', totals())[0], 2, 'a hundred have expired');
my $before = redis_cmd($redis, 'ZCARD', 'tenant:one:#tag:');
is(store('a', 2), 't', 'a fill');
my $purged = $before - redis_cmd($redis, 'ZCARD', 'tenant:one:#tag:');
cmp_ok($purged, '>', 1, 'takes expired keys out of the set');
cmp_ok($purged, '<=', 50, 'but only a few of them');
store('a', 2) for 1 .. 10;
is(totals(), '2 ' . bytes(a => 2, 'item:3' => $long), 'others take the rest, and their bytes');
is(redis_cmd($redis, 'ZCARD', 'tenant:one:#tag:'), 2, 'the set is as small as that');
$node->safe_psql('postgres', 'TRUNCATE tenant_one.item');
ok(sync_wait($node, 'postgres', 60), 'all is dropped');
is(totals(), '0 0', 'nothing is left');
is(redis_cmd($redis, 'GET', 'tenant:one:#size') // 0, 0, 'not even of the sum');

# What Redis loses.
store('a', $long);
redis_cmd($redis, 'DEL', 'tenant:one:#size');
store('b', 1);
is((split ' ', totals())[0], 2, 'the sum is lost: keys are still counted');
one(q{SELECT tenant_cache_invalidate('*')});
store('b', 1);
is(totals(), '1 ' . bytes(b => 1), 'and the sum is right again once there was nothing');

# Calls.
my @at = split ' ', stats('hits, misses, fills, rejected');
one(q{SELECT tenant_cache_get('b'), tenant_cache_get('b'), tenant_cache_get('none')});
one(q{SELECT tenant_cache_fetch('b', 'SELECT to_jsonb(1)'), tenant_cache_fetch('f', 'SELECT to_jsonb(1)')});
one(q{CREATE TABLE public.w (); SELECT tenant_cache_set('w', '1')});
my @now = split ' ', stats('hits, misses, fills, rejected');
is(join(' ', map { $now[$_] - $at[$_] } 0 .. 3), '3 2 1 1', 'hits, misses, fills and rejected');
is(stats('round(hit_rate::numeric, 9) = round(hits / (hits + misses)::numeric, 9)'), 't', 'hit_rate');
is($node->safe_psql('postgres', "SELECT hits, misses, fills, hit_rate IS NULL, counted_since < now() FROM tenant_cache_stats('two')"), '0|0|0|t|t', 'another tenant has its own');

# Who may ask.
is($node->safe_psql('postgres', "SET ROLE op; SELECT total_keys FROM tenant_cache_stats('one')"), 2, 'an operator: of any tenant');
my (undef, undef, $err) = $node->psql('postgres', "SET ROLE app; SELECT total_keys FROM tenant_cache_stats('one')");
like($err, qr/permission denied to read the cache of another tenant/, 'others: only of their own');
is(one('SET LOCAL ROLE app; SELECT total_keys FROM tenant_cache_stats()'), 2, 'which they have in use');

$redis->stop;
is(stats("coalesce(total_keys, -1), coalesce(total_size_bytes, -1), coalesce(total_size_mb, -1), hits > 0"), '-1 -1 -1 t', 'Redis is away');
one(q{SELECT tenant_cache_get('b')});
is(stats('misses') - $now[1], 1, 'a get is a miss');
done_testing();
