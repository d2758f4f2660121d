# A value that is stored in a later transaction than the one it was read in, or that is made of cached ones, is not older
# than it seems.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;

need_servers('redis');
my $redis = TenancyRedis->start;
my $node = tenancy_node('later', redis => $redis, conf => "tenancy.cache_guard_time = 60\n");
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('box', 1, 'CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL)');
SELECT tenant_sync_table('box', 'item', cache_keys => ARRAY['item:{id}', 'part:{id}']);
SELECT tenant_create('one', 'box');
INSERT INTO tenant_one.item SELECT g, 0 FROM generate_series(1, 20) g;
SQL
ok(sync_wait($node, 'postgres', 60), 'start');
ok(wait_until(sub { @{ redis_cmd($redis, 'KEYS', 'tenant:#mark:*') } == 1 }, 30), 'the mark is there');

my $mine = $node->background_psql('postgres', on_error_stop => 0);
my $other = $node->background_psql('postgres', on_error_stop => 0);

# In a transaction of its own that uses the tenant.
sub as
{
	my ($session, $sql) = @_;
	return $session->query("BEGIN; SELECT FROM tenant_use('one'); $sql; COMMIT;") =~ s/\s//gr;
}
sub value { return redis_cmd($redis, 'GET', "tenant:one:$_[0]") }
sub change { $node->safe_psql('postgres', "UPDATE tenant_one.item SET n = n + 1 WHERE id = $_[0]"); ok(sync_wait($node, 'postgres', 60), "item $_[0] changes"); return }

is(as($other, q{SELECT tenant_cache_get('item:1')}), '', 'another session has the lease');
is(as($mine, q{SELECT tenant_cache_get('item:1')}), '', 'this one misses the key too');
change(1);
is(as($mine, q{SELECT tenant_cache_set('item:1', '0')}), 'f', 'stored in a later transaction: refused');
is(as($mine, q{SELECT tenant_cache_set('item:1', '0')}), 'f', 'and at the second try');
is(value('item:1'), undef, 'nothing is there');
is(as($mine, q{SELECT tenant_cache_get('item:1'); SELECT tenant_cache_set('item:1', (SELECT to_jsonb(n) FROM item WHERE id = 1))}), 't', 'read anew: stored');
is(value('item:1'), 1, 'the new one');

is(as($mine, q{SELECT tenant_cache_get('item:2')}), '', 'with the lease');
change(2);
is(as($mine, q{SELECT tenant_cache_set('item:2', '0')}), 'f', "try $_: refused") for 1 .. 3;

is(as($mine, q{UPDATE item SET n = 0 WHERE id = 19; SELECT tenant_cache_get('item:3')}), '', 'missed in a transaction that has written');
change(3);
is(as($mine, q{SELECT tenant_cache_set('item:3', '0')}), 'f', 'refused');

is(as($mine, q{SELECT tenant_cache_get('item:4')}), '', 'missed');
is(as($mine, q{SELECT tenant_cache_set('item:4', '0')}), 't', 'nothing changes: stored in a later transaction');

# More misses than are kept.
is(as($mine, q{SELECT tenant_cache_get('item:5')}), '', 'missed');
as($mine, q{SELECT count(tenant_cache_get('nothing:' || g)) FROM generate_series(1, 2000) g});
change(5);
is(as($mine, q{SELECT tenant_cache_set('item:5', '0')}), 'f', 'a miss that is not kept: refused');
is(as($mine, q{SELECT tenant_cache_get('item:5'); SELECT tenant_cache_set('item:5', '1')}), 't', 'missed anew: stored');

# Made of what is cached.
is(as($mine, q{SELECT tenant_cache_fetch('part:6', 'SELECT to_jsonb(n) FROM item WHERE id = 6')}), 0, 'a part is stored');
my $page = q{SELECT tenant_cache_fetch('page', 'SELECT to_jsonb(tenant_cache_get(''part:6'')::text)')};
is(as($mine, $page), '"0"', 'a page of it');
is(value('page'), undef, 'is not stored');
is(as($mine, q{SELECT tenant_cache_fetch('page', 'SELECT tenant_cache_fetch(''part:6'', ''SELECT to_jsonb(7)'')')}), 0, 'made of a fetched one');
is(value('page'), undef, 'is not stored');
is(redis_cmd($redis, 'EXISTS', 'tenant:one:#lease:page'), 0, 'and others may try at once');
is(as($mine, q{SELECT tenant_cache_fetch('page', 'SELECT tenant_cache_fetch(''part:7'', ''SELECT to_jsonb(n) FROM item WHERE id = 7'')')}), 0, 'made of one that was made with it');
is(value('page'), 0, 'is stored');
is(as($mine, q{SELECT tenant_cache_get('sum'); SELECT tenant_cache_get('part:6'); SELECT tenant_cache_set('sum', '0')}), '0f', 'get, get, set: refused');
$_->quit for $mine, $other;
done_testing();
