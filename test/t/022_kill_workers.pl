# Every worker is killed while rows flow, in each way there is: in the end the indices agree and Redis has no stale key.

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
my $node = tenancy_node('kill', search => $search, redis => $redis);
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_create(n) FROM unnest(ARRAY['one', 'two', 'three']) n;
INSERT INTO tenant_one.case_studies (title, timeline_weeks) SELECT 'one ' || n, n FROM generate_series(1, 300) n;
INSERT INTO tenant_two.case_studies (title, timeline_weeks) SELECT 'two ' || n, n FROM generate_series(1, 300) n;
INSERT INTO tenant_three.technologies (name) SELECT 'three ' || n FROM generate_series(1, 100) n;
SQL
all_agree($node, 'postgres', $search, 'start');

my @workers = ('pg_tenancy capture', 'pg_tenancy search sink', 'pg_tenancy cache sink');

# The pid of the only process of a kind, once there is just one.
sub pid_of
{
	my ($type) = @_;
	my @pids;
	wait_until(sub { @pids = eval { worker_pids($node, $type) }; @pids == 1 }, 60);
	is(scalar @pids, 1, "$type: there is one");
	return $pids[0];
}

# True once the server answers and each worker is there exactly once, none of them being the pid.
sub is_whole
{
	my ($gone) = @_;
	return wait_until(sub {
		for my $type (@workers, 'pg_tenancy launcher')
		{
			my @pids = eval { worker_pids($node, $type) };
			return 0 unless @pids == 1 && $pids[0] ne $gone;
		}
		1;
	}, 120);
}

# Does something to the server while rows flow, and looks at the end.
sub mid_load
{
	my ($name, $gone, $action) = @_;
	fill_cache($node, 'postgres', $redis, $_) for qw(one two);
	my $load = start_load($node, 'postgres');
	ok(wait_until(sub { load_runs($load) >= 2 }, 60), "$name: rows flow");
	$action->();
	ok(is_whole($gone), "$name: every worker is there again");
	my $runs = load_runs($load);
	ok(wait_until(sub { load_runs($load) >= $runs + 2 }, 120), "$name: rows flow on");
	stop_load($load);
	my $rows = all_agree($node, 'postgres', $search, $name);
	cmp_ok($rows, '>', 500, "$name: rows were looked at");
	for my $tenant (qw(one two))
	{
		my ($stale, $keys) = stale_keys($node, 'postgres', $redis, $tenant);
		is($stale, 0, "$name: no stale key of $tenant");
		cmp_ok($keys, '>', 0, "$name: rows that did not change are still cached");
	}
	return;
}

# Some rows never change: only those with an even timeline_weeks do.
for my $type (@workers)
{
	my $pid = pid_of($type);
	mid_load("$type terminated", $pid, sub {
		is($node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)"), 't', "$type terminated");
	});
}
for my $type (@workers, 'pg_tenancy launcher')
{
	my $pid = pid_of($type);
	mid_load("$type killed", $pid, sub { is(kill('KILL', $pid), 1, "$type killed") });
}

my $launcher = pid_of('pg_tenancy launcher');
my @before = map { worker_pids($node, $_) } @workers;
mid_load('launcher terminated', $launcher, sub {
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($launcher)");
});

my $capture = pid_of('pg_tenancy capture');
mid_load('stopped at once', $capture, sub {
	$node->stop('immediate');
	$node->start;
});

# Sinks that were ended while capture waits for room in the ring.
$capture = pid_of('pg_tenancy search sink');
$node->safe_psql('postgres', q{INSERT INTO tenant_two.case_studies (title, timeline_weeks) SELECT 'bulk ' || n, 1 FROM generate_series(1, 20000) n});
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type LIKE 'pg_tenancy % sink'});
ok(is_whole($capture), 'both sinks ended: they are there again');
all_agree($node, 'postgres', $search, 'both sinks ended in a large transaction');
$capture = pid_of('pg_tenancy capture');
$node->safe_psql('postgres', q{UPDATE tenant_two.case_studies SET title = title || '.' WHERE timeline_weeks = 1});
$node->restart;
ok(is_whole($capture), 'restart: they are there again');
all_agree($node, 'postgres', $search, 'restart in a large transaction');
is($node->safe_psql('postgres', 'SELECT count(*) FROM tenancy.dead_letter'), 0, 'nothing was refused');
is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_replication_slots'), 1, 'one slot');
done_testing();
