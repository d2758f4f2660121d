# A Redis that comes back with old data, that evicts keys, or whose users lost commits: what is old goes.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;

need_servers('redis');
my $redis = TenancyRedis->start;
my $node = tenancy_node('server', redis => $redis);
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('box', 1, 'CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL)');
SELECT tenant_sync_table('box', 'item', cache_keys => ARRAY['item:{id}']);
SELECT tenant_create('one', 'box'), tenant_create('gone', 'box');
INSERT INTO tenant_one.item SELECT g, 0 FROM generate_series(1, 20) g;
SQL

sub as { return $node->safe_psql('postgres', "BEGIN; SELECT FROM tenant_use('$_[0]'); $_[1]; COMMIT") =~ s/\s//gr }
sub value { return redis_cmd($redis, 'GET', "tenant:$_[0]") }
sub marks { return scalar @{ redis_cmd($redis, 'KEYS', 'tenant:#mark:*') } }
sub sink_error { return $node->safe_psql('postgres', q{SELECT coalesce(last_error, '') FROM tenancy.stat_sync WHERE sink = 'cache'}) }
sub vanishes { my ($name) = @_; return wait_until(sub { !defined value($name) }, 60) }
ok(sync_wait($node, 'postgres', 60), 'start');
ok(wait_until(sub { marks() == 1 }, 30), 'the mark is there');
my ($mark) = @{ redis_cmd($redis, 'KEYS', 'tenant:#mark:*') };
cmp_ok(redis_cmd($redis, 'PTTL', $mark), '<=', 3000, 'for some seconds');

# Older data.
is(as('one', q{SELECT tenant_cache_set('item:1', '0')}), 't', 'a value is stored');
is(as('one', q{SELECT tenant_cache_set('free', '0')}), 't', 'one of no row');
is(as('gone', q{SELECT tenant_cache_set('secret', '0')}), 't', 'one of a tenant that will be dropped');
redis_cmd($redis, 'SET', 'tenant:one:item:2', 'plain');
redis_cmd($redis, 'SAVE');
$node->safe_psql('postgres', q{UPDATE tenant_one.item SET n = 1; SELECT tenant_drop('gone')});
ok(sync_wait($node, 'postgres', 60), 'changes are in the sink');
is(value('one:item:1'), undef, 'unlinked');
$redis->kill9;
$redis->start;
ok(vanishes($_), "Redis loads what it had saved: $_ goes") for 'one:item:1', 'one:item:2', 'one:free', 'gone:secret';
ok(wait_until(sub { as('one', q{SELECT tenant_cache_set('item:1', '1')}) eq 't' }, 60), 'then values are stored again');

# One that has nothing.
redis_cmd($redis, 'FLUSHALL');
redis_cmd($redis, 'SAVE');
$redis->kill9;
$redis->start;
ok(wait_until(sub { marks() == 1 }, 60), 'empty: the mark comes back');
ok(wait_until(sub { as('one', q{SELECT tenant_cache_set('item:1', '1')}) eq 't' }, 60), 'and values are stored');

# Eviction.
redis_cmd($redis, 'CONFIG', 'SET', 'maxmemory', '1gb');
ok(marks() == 1, 'a limit without eviction');
redis_cmd($redis, 'CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru');
ok(wait_until(sub { marks() == 0 }, 60), 'eviction: there is no mark');
is(as('one', q{SELECT tenant_cache_set('item:3', '1')}), 'f', 'nothing is stored');
ok(wait_until(sub { sink_error() =~ /maxmemory-policy of Redis is allkeys-lru/ }, 30), 'the view says why');
redis_cmd($redis, 'CONFIG', 'SET', 'maxmemory-policy', 'noeviction');
ok(wait_until(sub { as('one', q{SELECT tenant_cache_set('item:3', '1')}) eq 't' }, 60), 'no eviction: stored');

# A crash may have taken commits that were seen; a clean stop has not.
sub values_stored { return as('one', q{SELECT bool_and(tenant_cache_set(k, '1')) FROM unnest('{free,more}'::text[]) k}) eq 't' }
ok(wait_until(\&values_stored, 60), 'values are there');
$node->restart;
ok(sync_wait($node, 'postgres', 60), 'restart');
is(value('one:free'), 1, 'they still are after a clean stop');
$node->stop('immediate');
$node->start;
ok(vanishes('one:free'), 'not after a crash');
done_testing();
