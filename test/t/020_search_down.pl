# The search server is away, dies, hangs, loses its data: writers and Redis go on, and in the end the indices agree.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;
use TenancyLoad;

need_servers('elasticsearch7', 'redis');
my $search = TenancySearch->create('elasticsearch7', product => 'elasticsearch7');
my $redis = TenancyRedis->start;
my $node = tenancy_node('down', search => $search, redis => $redis, conf => <<CONF);
tenancy.retry_max = 2s
tenancy.search_timeout = 3s
CONF
$node->start;

sub agrees { return all_agree($node, 'postgres', $search, @_) }

sub state { return state_of($node, 'postgres', 'search') }

# Waits for the search sink's state.
sub becomes
{
	my ($state, $name) = @_;
	ok(wait_until(sub { state() eq $state }, 120), $name) or diag(state());
	return;
}

# True once the cache sink has all that is committed now, whatever the search sink does.
sub redis_keeps_up
{
	my ($name) = @_;
	my $lsn = $node->safe_psql('postgres', "SELECT pg_logical_emit_message(true, 'test', ''); SELECT pg_current_wal_flush_lsn()");
	$lsn =~ s/.*\n//s;
	ok($node->poll_query_until('postgres', "SELECT acked_lsn >= '$lsn' FROM tenancy.stat_sync WHERE sink = 'cache'"), $name);
	return;
}

# Rows of which some are changed and their keys must have left Redis.
sub redis_is_right
{
	my ($name) = @_;
	fill_cache($node, 'postgres', $redis, 'one');
	$node->safe_psql('postgres', q{UPDATE tenant_one.case_studies SET title = title || '.' WHERE id IN
		(SELECT id FROM tenant_one.case_studies ORDER BY id LIMIT 20)});
	redis_keeps_up("$name: Redis keeps up");
	is((stale_keys($node, 'postgres', $redis, 'one'))[0], 0, "$name: no stale key");
	return;
}

# Not there at the start.
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_create(n) FROM unnest(ARRAY['one', 'two']) n;
INSERT INTO tenant_one.case_studies (title, timeline_weeks) SELECT 'one ' || n, n FROM generate_series(1, 500) n;
INSERT INTO tenant_two.case_studies (title, timeline_weeks) SELECT 'two ' || n, n FROM generate_series(1, 500) n;
INSERT INTO tenant_one.technologies (name) SELECT 'one ' || n FROM generate_series(1, 100) n;
SQL
becomes('unreachable', 'not there at start: the state says so');
isnt($node->safe_psql('postgres', "SELECT last_error FROM tenancy.stat_sync WHERE sink = 'search'"), '', 'and why');
redis_is_right('not there at start');
is($node->safe_psql('postgres', "SELECT tenancy.sync_wait('100 ms')"), 'f', 'sync_wait knows that it is not there');
$node->safe_psql('postgres', "SELECT tenant_create('three'); INSERT INTO tenant_three.case_studies (title) VALUES ('three')");
$search->start;
becomes('running', 'comes up: running');
is(agrees('comes up'), 1101, 'comes up: every row');

# Killed while rows flow.
my $load = start_load($node, 'postgres');
ok(wait_until(sub { load_runs($load) >= 2 }, 60), 'rows flow');
$search->kill9;
my $runs = load_runs($load);
ok(wait_until(sub { load_runs($load) >= $runs + 4 }, 60), 'killed: rows flow on');
becomes('unreachable', 'killed: the state says so');
redis_keeps_up('killed: Redis keeps up');
$search->start;
$runs = load_runs($load);
ok(wait_until(sub { load_runs($load) >= $runs + 2 }, 60), 'back: rows flow on');
stop_load($load);
agrees('killed and back');

# Halted while rows flow: connections are open and nothing answers.
$load = start_load($node, 'postgres');
ok(wait_until(sub { load_runs($load) >= 2 }, 60), 'rows flow');
$search->halt;
becomes('unreachable', 'halted: the state says so');
$runs = load_runs($load);
ok(wait_until(sub { load_runs($load) >= $runs + 2 }, 60), 'halted: rows flow on');
redis_keeps_up('halted: Redis keeps up');
$search->cont;
stop_load($load);
agrees('halted and going on');

# Comes back with nothing.
my $identity = $node->safe_psql('postgres', "SELECT identity FROM tenancy.sink WHERE name = 'search'");
$search->stop;
$node->safe_psql('postgres', "INSERT INTO tenant_one.case_studies (title) VALUES ('while away')");
system('rm', '-rf', $search->dir . '/data') == 0 or die;
$search->start;
ok($node->poll_query_until('postgres', "SELECT identity <> '$identity' FROM tenancy.sink WHERE name = 'search'"), 'another cluster: noticed');
agrees('another cluster');

# An index is deleted behind its back, and noticed with the next row.
my ($index) = keys %{ ($search->request('GET', '/_alias/case_studies_tenant_two'))[1] };
is(($search->raw('DELETE', "/$index"))[0], 200, 'index deleted');
$node->safe_psql('postgres', "INSERT INTO tenant_two.case_studies (title) VALUES ('next')");
agrees('index deleted');
cmp_ok($search->count('case_studies_tenant_two'), '>', 100, 'index deleted: made and filled again');

# The same with a DELETE as the next row, which makes an index of its own accord.
($index) = keys %{ ($search->request('GET', '/_alias/technologies_tenant_one'))[1] };
is(($search->raw('DELETE', "/$index"))[0], 200, 'index deleted');
$node->safe_psql('postgres', "DELETE FROM tenant_one.technologies WHERE name = 'one 1'");
agrees('index deleted, then a row');
redis_is_right('the end');
done_testing();
