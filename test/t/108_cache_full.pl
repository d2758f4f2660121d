# A Redis that is full takes no values, but a change still unlinks what is old.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;

need_servers('redis');
my $redis = TenancyRedis->start;
my $node = tenancy_node('full', redis => $redis);
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('box', 1, 'CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL)');
SELECT tenant_sync_table('box', 'item', cache_keys => ARRAY['item:{id}'], cache_tags => ARRAY['items']);
SELECT tenant_create('one', 'box');
INSERT INTO tenant_one.item SELECT g, 0 FROM generate_series(1, 1000) g;
SQL
ok(sync_wait($node, 'postgres', 60), 'start');
ok(wait_until(sub { @{ redis_cmd($redis, 'KEYS', 'tenant:#mark:*') } == 1 }, 30), 'the mark is there');

# A statement that uses the tenant.
sub as { return $node->safe_psql('postgres', "BEGIN; SELECT FROM tenant_use('one'); $_[0]; COMMIT") =~ s/\s//gr }
sub value { return redis_cmd($redis, 'GET', "tenant:one:$_[0]") }
sub change { $node->safe_psql('postgres', $_[0]); ok(sync_wait($node, 'postgres', 60), "full: $_[1]"); return }

is(as(qq{SELECT tenant_cache_set('$_', '0', tags => '{list}')}), 't', "$_ is stored") for qw(item:1 item:2 other);
is(as(q{SELECT tenant_cache_set('list', '0', tags => '{items}')}), 't', 'list is stored');
redis_cmd($redis, 'CONFIG', 'SET', 'maxmemory', '1');
is(as(q{SELECT tenant_cache_set('item:3', '0')}), 'f', 'full: nothing is stored');
change('UPDATE tenant_one.item SET n = 1 WHERE id = 1', 'a change is in the sink');
is(value('item:1'), undef, 'full: the key is unlinked');
is(value('list'), undef, 'full: and what has the tag');
change('UPDATE tenant_one.item SET n = 2', 'a change of many rows is in the sink');
is(value('item:2'), undef, 'full: the key is unlinked, with one floor for all');
like(as(q{SELECT tenant_cache_invalidate_tag('list')}), qr/^[1-9]/, 'full: a tag is dropped by hand');
is(value('other'), undef, 'full: and gone');
redis_cmd($redis, 'CONFIG', 'SET', 'maxmemory', '0');
ok(wait_until(sub { as(q{SELECT tenant_cache_set('item:1', '1')}) eq 't' }, 60), 'room again: stored');
done_testing();
