# Redis and Valkey with a user that may do what docs/operations.md says and nothing else: values, floors, tags, the mark, statistics.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;

my @products = ('redis', 'valkey');
need_servers(@products);
my $root = __FILE__ =~ s{[^/]*$}{../..}r;
my ($acl) = slurp_file("$root/docs/operations.md") =~ /^(ACL SETUSER tenancy .*?)^```/ms or die 'no user in the docs';

my $redis;
sub value { return redis_cmd($redis, 'GET', "tenant:one:$_[0]") }
sub marked { return wait_until(sub { @{ redis_cmd($redis, 'KEYS', 'tenant:#mark:*') } == 1 }, 60) }

# Makes the user.
sub grant { my ($text) = @_; return redis_cmd($redis, split ' ', $text =~ s/>PASSWORD/>secret/r) }

for my $product (@products)
{
	$redis = TenancyRedis->start(product => $product);
	my $info = redis_cmd($redis, 'INFO', 'server');
	is($info =~ /^valkey_version:/m ? 'valkey' : 'redis', $product, "$product is what it says");
	grant($acl);
	my $node = tenancy_node($product, conf => "tenancy.redis_url = '" . $redis->url . "'\ntenancy.redis_auth_file = '" . $redis->secret_file('tenancy:secret') . "'\n");
	$node->start;
	$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('box', 1, 'CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL)');
SELECT tenant_sync_table('box', 'item', cache_keys => ARRAY['item:{id}'], cache_tags => ARRAY['items']);
SELECT tenant_create('one', 'box');
INSERT INTO tenant_one.item SELECT g, 0 FROM generate_series(1, 20) g;
SQL
	my $as = sub { return $node->safe_psql('postgres', "BEGIN; SELECT FROM tenant_use('one'); $_[0]; COMMIT") =~ s/\s//gr };
	my $change = sub { $node->safe_psql('postgres', $_[0]); ok(sync_wait($node, 'postgres', 60), "$product: $_[1]"); return };
	ok(sync_wait($node, 'postgres', 60), "$product: start");
	ok(marked(), "$product: the mark is there");

	is($as->(q{SELECT tenant_cache_fetch('item:1', 'SELECT to_jsonb(n) FROM item WHERE id = 1')}), 0, "$product: fetched");
	is($as->(q{SELECT tenant_cache_get('item:2'); SELECT tenant_cache_set('item:2', '0')}), 't', "$product: set");
	is($as->(q{SELECT tenant_cache_set('list', '20', 100, '{items}')}), 't', "$product: set with a tag");
	is($as->(q{SELECT tenant_cache_get('item:1'), tenant_cache_get('list')}), '0|20', "$product: found");
	is($as->(q{SELECT total_keys, hits > 0 FROM tenant_cache_stats()}), '3|t', "$product: counted");
	my $old = $node->background_psql('postgres', on_error_stop => 0);
	$old->query(q{BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM tenant_use('one'); SELECT count(*) FROM item;});
	$change->('UPDATE tenant_one.item SET n = 1 WHERE id < 3', 'a change is in the sink');
	is(value($_), undef, "$product: $_ is gone") for qw(item:1 item:2 list);
	is($old->query(qq{SELECT tenant_cache_set('$_', '0', tags => '{items}');}), 'f', "$product: $_: an old value is refused") for qw(item:1 page);
	$old->query('COMMIT;');
	$old->quit;
	is($as->(q{SELECT tenant_cache_set('item:1', '1'), tenant_cache_set('item:2', '1', tags => '{mine}')}), 't|t', "$product: new ones are stored");
	is($as->(q{SELECT tenant_cache_delete('item:1'), tenant_cache_invalidate_tag('mine'), tenant_cache_invalidate('x*')}), 't|1|0', "$product: dropped by hand");
	redis_cmd($redis, 'FLUSHALL');
	redis_cmd($redis, 'SCRIPT', 'FLUSH');
	ok(marked(), "$product: emptied: the mark comes back");
	is($as->(q{SELECT tenant_cache_set('item:3', '0'), tenant_cache_set('free', '0')}), 't|t', "$product: and values");
	$change->(q{UPDATE tenant_one.item SET n = 2; SELECT tenant_drop('one')}, 'the tenant is dropped');
	is(value($_), undef, "$product: $_ is gone") for qw(item:3 free);
	is_deeply(redis_cmd($redis, 'ACL', 'LOG'), [], "$product: nothing was denied");

	# Without INFO nobody knows whether it is the same server, or evicts: the view says so.
	grant('ACL SETUSER tenancy -info');
	redis_cmd($redis, 'CLIENT', 'KILL', 'USER', 'tenancy');
	ok(wait_until(sub { $node->safe_psql('postgres', q{SELECT last_error FROM tenancy.stat_sync WHERE sink = 'cache'}) =~ /NOPERM|no permissions/i }, 60), "$product: a right is missing: the view says which");
	grant('ACL SETUSER tenancy +info');
	ok(sync_wait($node, 'postgres', 90), "$product: it is there again");
	$node->stop;
	$redis->stop;
}
done_testing();
