# Redis is away, dies, hangs: writers and the search sink go on, and afterwards Redis has no stale key.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;
use TenancyLoad;

need_servers('elasticsearch7', 'redis');
my $search = TenancySearch->start('elasticsearch7');
my $redis = TenancyRedis->create('redis');
my $node = tenancy_node('redisdown', search => $search, redis => $redis, conf => "tenancy.retry_max = 2s\n");
$node->start;

sub becomes
{
	my ($state, $name) = @_;
	ok(wait_until(sub { state_of($node, 'postgres', 'cache') eq $state }, 120), $name)
	  or diag(state_of($node, 'postgres', 'cache'));
	return;
}

# The search sink has all that is committed now, whatever Redis does.
sub search_keeps_up
{
	my ($name) = @_;
	my $lsn = $node->safe_psql('postgres', "SELECT pg_logical_emit_message(true, 'test', ''); SELECT pg_current_wal_flush_lsn()");
	$lsn =~ s/.*\n//s;
	ok($node->poll_query_until('postgres', "SELECT acked_lsn >= '$lsn' FROM tenancy.stat_sync WHERE sink = 'search'"), "$name: search keeps up");
	return;
}

# No stale key of any tenant, once all is in.
sub is_right
{
	my ($name) = @_;
	all_agree($node, 'postgres', $search, $name);
	is((stale_keys($node, 'postgres', $redis, $_))[0], 0, "$name: no stale key of $_") for qw(one two);
	return;
}

# Not there at the start.
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_create(n) FROM unnest(ARRAY['one', 'two']) n;
INSERT INTO tenant_one.case_studies (title, timeline_weeks) SELECT 'one ' || n, n FROM generate_series(1, 300) n;
INSERT INTO tenant_two.case_studies (title, timeline_weeks) SELECT 'two ' || n, n FROM generate_series(1, 300) n;
SQL
becomes('unreachable', 'not there at start: the state says so');
search_keeps_up('not there at start');
ok(wait_until(sub { ($search->count('case_studies_tenant_one') // 0) == 300 }, 60), 'not there at start: rows are in the index');
is($node->safe_psql('postgres', "BEGIN; SELECT tenant_use('one'); SELECT tenant_cache_set('k', '1'); COMMIT") =~ s/\s//gr, 'f', 'not there at start: tenant_cache_set says so');
is($node->safe_psql('postgres', "SELECT tenancy.sync_wait('100 ms')"), 'f', 'sync_wait knows that it is not there');
$redis->start;
becomes('running', 'comes up: running');
fill_cache($node, 'postgres', $redis, $_) for qw(one two);
$node->safe_psql('postgres', q{UPDATE tenant_one.case_studies SET title = 'x' WHERE timeline_weeks < 10});
is_right('comes up');

# Killed while rows flow; what readers fill after it came back is unlinked by what was committed meanwhile.
my $load = start_load($node, 'postgres');
ok(wait_until(sub { load_runs($load) >= 2 }, 60), 'rows flow');
$redis->kill9;
my $runs = load_runs($load);
ok(wait_until(sub { load_runs($load) >= $runs + 2 }, 60), 'killed: rows flow on');
becomes('unreachable', 'killed: the state says so');
search_keeps_up('killed');
$redis->start;
becomes('running', 'killed: running again');
$runs = load_runs($load);
ok(wait_until(sub { load_runs($load) >= $runs + 2 }, 60), 'back: rows flow on');
stop_load($load);
is_right('killed and back');

# Halted while rows flow: it has values, is not asked, and answers later.
is(fill_cache($node, 'postgres', $redis, 'one') > 100, 1, 'filled');
$load = start_load($node, 'postgres');
ok(wait_until(sub { load_runs($load) >= 2 }, 60), 'rows flow');
$redis->halt;
becomes('unreachable', 'halted: the state says so');
$runs = load_runs($load);
ok(wait_until(sub { load_runs($load) >= $runs + 2 }, 60), 'halted: rows flow on');
search_keeps_up('halted');
stop_load($load);
$redis->cont;
is_right('halted and going on');
my ($stale, $keys) = stale_keys($node, 'postgres', $redis, 'one');
cmp_ok($keys, '>', 0, 'halted and going on: rows that did not change are still cached');

# Both are away, PostgreSQL is stopped at once, one comes back after the other.
fill_cache($node, 'postgres', $redis, $_) for qw(one two);
$load = start_load($node, 'postgres');
ok(wait_until(sub { load_runs($load) >= 2 }, 60), 'rows flow');
$redis->halt;
$search->kill9;
$runs = load_runs($load);
ok(wait_until(sub { load_runs($load) >= $runs + 2 }, 60), 'both away: rows flow on');
$node->stop('immediate');
$node->start;
stop_load($load);
$redis->cont;
becomes('running', 'both away: Redis is back');
$node->safe_psql('postgres', q{UPDATE tenant_two.case_studies SET title = 'alone' WHERE timeline_weeks = 7});
my $lsn = $node->safe_psql('postgres', 'SELECT pg_current_wal_flush_lsn()');
ok($node->poll_query_until('postgres', "SELECT acked_lsn >= '$lsn' FROM tenancy.stat_sync WHERE sink = 'cache'"), 'both away: Redis does not wait for search');
is((stale_keys($node, 'postgres', $redis, 'two'))[0], 0, 'both away: no stale key while search is still away');
$search->start;
is_right('both are back');
done_testing();
