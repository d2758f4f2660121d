# Redis is away or hangs: reads are misses that do not wait, writers never wait or fail, and a million keys that
# go at once keep nobody waiting.

use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;

need_servers('redis');
my $redis = TenancyRedis->start;
my $node = tenancy_node('away', redis => $redis, conf => "tenancy.redis_timeout = 1500\ntenancy.cache_guard_time = 30\n");
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('box', 1, 'CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL)');
SELECT tenant_sync_table('box', 'item', cache_keys => ARRAY['item:{id}'], cache_tags => ARRAY['items']);
SELECT tenant_create('one', 'box');
INSERT INTO tenant_one.item SELECT g, 0 FROM generate_series(1, 10) g;
SQL
sub one { my ($sql) = @_; return $node->safe_psql('postgres', "BEGIN; SELECT FROM tenant_use('one'); $sql; COMMIT") =~ s/^\s+|\s+$//gr }
ok(sync_wait($node, 'postgres', 60), 'start');
ok(wait_until(sub { @{ redis_cmd($redis, 'KEYS', 'tenant:#mark:*') } == 1 }, 30), 'the mark is there');
is(one(q{SELECT tenant_cache_set('item:1', '0')}), 't', 'a value');

# A thousand reads while Redis hangs: a time-out each would take 25 minutes, and the statement has ten seconds; most ask nobody.
for my $way ('hangs', 'gone')
{
	$way eq 'hangs' ? $redis->halt : $redis->stop;
	is(one(q{SELECT tenant_cache_get('item:1') IS NULL}), 't', "$way: the first read is a miss");
	is(one(q{SET LOCAL statement_timeout = '10s'; SELECT count(*) FROM generate_series(1, 1000) g WHERE tenant_cache_get('item:' || g) IS NULL}),
		1000, "$way: reads are misses");
	is(one(q{SET LOCAL statement_timeout = '10s'; SELECT count(*) FROM generate_series(1, 1000) g WHERE tenant_cache_fetch('item:' || g, 'SELECT to_jsonb(1)') = '1'}),
		1000, "$way: values are made by their queries");
	is(one(q{SET LOCAL statement_timeout = '10s'; SELECT count(*) FROM generate_series(1, 1000) g WHERE NOT tenant_cache_set('item:' || g, '1')}),
		1000, "$way: nothing is stored");
	is($node->safe_psql('postgres', "SET statement_timeout = '10s'; DO \$\$ BEGIN FOR i IN 1 .. 200 LOOP UPDATE tenant_one.item SET n = n + 1; COMMIT; END LOOP; END \$\$; SELECT min(n) FROM tenant_one.item"),
		$way eq 'hangs' ? 200 : 400, "$way: writers go on");
	$way eq 'hangs' ? $redis->cont : $redis->start;
	ok(sync_wait($node, 'postgres', 120), "$way: all changes are in the sink later");
	is(redis_cmd($redis, 'GET', 'tenant:one:item:1'), undef, "$way: the value is unlinked");
	ok(wait_until(sub { one(q{SELECT tenant_cache_set('item:1', (SELECT to_jsonb(n) FROM item WHERE id = 1))}) eq 't' }, 60), "$way: values are stored again");
}

# No script runs for long: Redis itself says how long the longest took, as it logs what takes more than a limit.
redis_cmd($redis, 'EVAL', q{for i = 1, 200000 do local k = 'tenant:one:m:' .. i redis.call('SET', k, '1') for _, s in ipairs(KEYS) do redis.call('ZADD', s, 4000000000 * 1048576 + 1, k) end end}, 2, 'tenant:one:#tag:', 'tenant:one:#tag:many');
for my $way (q{SELECT tenant_cache_invalidate('m:1*')}, q{SELECT tenant_cache_invalidate_tag('many')})
{
	redis_cmd($redis, 'CONFIG', 'RESETSTAT');
	my $gone = one($way);
	cmp_ok($gone, '>', 80000, "$way: many keys");
	my ($calls) = redis_cmd($redis, 'INFO', 'commandstats') =~ /cmdstat_evalsha:calls=(\d+)/;
	cmp_ok($calls, '>', $gone / 300, "$way: in many steps");
}
is(scalar @{ redis_cmd($redis, 'KEYS', 'tenant:one:m:*') }, 0, 'all are gone');
redis_cmd($redis, 'EVAL', q{for i = 1, 200000 do redis.call('ZADD', KEYS[1], (1000 + i) * 1048576 + 1, 'tenant:one:e:' .. i) end}, 1, 'tenant:one:#tag:');
is(one(q{SELECT tenant_cache_set('after', '1')}), 't', 'a fill beside 200,000 keys that have expired');
cmp_ok(redis_cmd($redis, 'ZCARD', 'tenant:one:#tag:'), '>', 199000, 'takes only a few of them away');
$node->stop;
done_testing();
