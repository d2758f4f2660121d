# Redis and the cache worker on one processor: replies come while requests are being sent, and no part of a batch is forgotten.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;

need_servers('redis');
plan(skip_all => 'there is no taskset') if system('taskset -p $$ >/dev/null 2>&1');
my $redis = TenancyRedis->start;
my $node = tenancy_node('onecpu', redis => $redis);
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('box', 1, 'CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL)');
SELECT tenant_sync_table('box', 'item', cache_keys => ARRAY['item:{id}'], cache_tags => ARRAY['item-{id}']);
SELECT tenant_create('one', 'box');
INSERT INTO tenant_one.item SELECT g, 0 FROM generate_series(1, 300) g;
SQL
ok(sync_wait($node, 'postgres', 60), 'start');
ok(wait_until(sub { @{ redis_cmd($redis, 'KEYS', 'tenant:#mark:*') } == 1 }, 30), 'the mark is there');
my ($worker) = worker_pids($node, 'pg_tenancy cache sink');
my ($cpu) = qx(taskset -pc $worker) =~ /: (\d+)/;
is(system("taskset -pc $cpu $_ >/dev/null"), 0, "process $_ gets one processor") for $worker, $redis->pid;

my $session = $node->background_psql('postgres');
for my $round (1 .. 15)
{
	$session->query(q{BEGIN; SELECT FROM tenant_use('one');
		SELECT count(tenant_cache_set('page:' || g, '0', tags => ARRAY['item-' || g])) FROM generate_series(1, 300) g; COMMIT});
	my $before = @{ redis_cmd($redis, 'KEYS', 'tenant:one:page:*') };
	redis_cmd($redis, 'SCRIPT', 'FLUSH') if $round % 3 == 0;
	$session->query('UPDATE tenant_one.item SET n = n + 1');
	ok(sync_wait($node, 'postgres', 60), "round $round: the change is in the sink");
	is("$before " . @{ redis_cmd($redis, 'KEYS', 'tenant:one:page:*') }, '300 0', 'all were stored, none is left');
}
$session->quit;
done_testing();
