# Transactions of an administrator that hold locks the workers need: these neither die nor keep other tables from going on.

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
my $node = tenancy_node('locks', search => $search, redis => $redis, conf => "tenancy.dirty_mem = 1MB\ntenancy.retry_max = 2s\n");
$node->start;

sub sql { return $node->safe_psql('postgres', join(';', @_)) }
sub agrees { return all_agree($node, 'postgres', $search, @_) }
sub letters { return sql("SELECT count(*) FROM tenancy.dead_letter WHERE sink = 'search'") }
sub title { return ($search->document("case_studies_tenant_$_[0]", $_[1]) // {})->{title} // '' }

# A transaction that stays open after these statements.
sub open_session
{
	my $session = $node->background_psql('postgres');
	$session->query_safe(join ';', 'BEGIN', @_);
	return $session;
}

sub end { $_[0]->query_safe('ROLLBACK'); $_[0]->quit; return }

# A change of a tenant gets in.
my $n = 0;
sub goes_on
{
	my ($tenant, $name) = @_;
	my $title = 'change ' . ++$n;
	my $id = sql("UPDATE tenant_$tenant.case_studies SET title = '$title' WHERE id = (SELECT min(id::text)::uuid FROM tenant_$tenant.case_studies WHERE industry IS NULL) RETURNING id");
	ok(wait_until(sub { title($tenant, $id) eq $title }, 240), "$name: a change of $tenant gets in");
	return;
}

sql(<<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_create(n) FROM unnest(ARRAY['one', 'two']) n;
ALTER TABLE tenant_one.case_studies ADD COLUMN outcome text;
INSERT INTO tenant_one.case_studies (title, industry) SELECT 'one ' || n, CASE WHEN n > 10 THEN 'x' END FROM generate_series(1, 50) n;
INSERT INTO tenant_two.case_studies (title, industry) SELECT 'two ' || n, CASE WHEN n > 10 THEN 'x' END FROM generate_series(1, 50) n;
SQL
agrees('start');

# Workers that start while tenancy.resync is locked, before any of its rows was looked at.
my $early = open_session('LOCK TABLE tenancy.resync IN ACCESS EXCLUSIVE MODE');
sql(q{SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE backend_type LIKE 'pg_tenancy % sink'});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 2 FROM tenancy.stat_sync WHERE sink <> 'capture' AND state = 'running' AND last_error LIKE '%lock timeout%'}),
	'tenancy.resync is locked at the start: the workers say so');
goes_on('one', 'tenancy.resync is locked at the start');
end($early);
agrees('no lock any more');
unlike(slurp_file($node->logfile), qr/terminated by signal/, 'tenancy.resync is locked at the start: no worker died');
my @workers = worker_pids($node, 'pg_tenancy %');

# Dead letters: one that is there, one that is to be written.  A keyword longer than Lucene's limit is refused
my ($status, $text) = $search->raw('PUT', '/case_studies_tenant_one/_mapping', { properties => { outcome => { type => 'keyword' } } });
is($status, 200, 'a field that refuses long values') or diag($text);
sql(q{UPDATE tenant_one.case_studies SET outcome = repeat('x', 40000) WHERE title = 'one 12'});
ok(wait_until(sub { letters() == 1 }, 60), 'a row is refused');
my $session = open_session('DELETE FROM tenancy.dead_letter');
sql(q{UPDATE tenant_one.case_studies SET outcome = repeat('x', 40001) WHERE title = 'one 12'}, q{UPDATE tenant_one.case_studies SET outcome = repeat('x', 40000) WHERE title = 'one 13'});
goes_on('two', "DELETE FROM dead_letter is open, $_") for 1 .. 3;
goes_on('one', 'DELETE FROM dead_letter is open');
end($session);
ok(wait_until(sub { letters() == 2 }, 60), 'DELETE FROM dead_letter was open: the letters are written');
$session = open_session('LOCK TABLE tenancy.dead_letter IN ACCESS EXCLUSIVE MODE');
sql(q{UPDATE tenant_one.case_studies SET outcome = NULL WHERE title IN ('one 12', 'one 13')});
goes_on('two', "dead_letter is locked, $_") for 1 .. 3;
end($session);
ok(wait_until(sub { letters() == 0 }, 60), 'dead_letter was locked: the letters are removed');
agrees('dead letters');

# The backlog: keys that should go there, and come from there.
$session = open_session('LOCK TABLE tenancy.backlog IN SHARE MODE');
sql(q{INSERT INTO tenant_one.case_studies (title, industry) SELECT 'many ' || n, 'y' FROM generate_series(1, 12000) n});
goes_on($_, 'backlog is locked') for qw(two one);
is(sql('SELECT count(*) FROM tenancy.backlog'), 0, 'backlog is locked: nothing is there');
ok(sync_wait($node, 'postgres', 120), 'backlog is locked: everything gets in');
sql(q{SELECT tenancy.pause('search')});
ok(wait_until(sub { state_of($node, 'postgres', 'search') eq 'paused' }, 60), 'paused');
sql(q{UPDATE tenant_one.case_studies SET industry = 'z' WHERE industry = 'y'});
end($session);
ok(wait_until(sub { sql('SELECT count(*) FROM tenancy.backlog') > 5000 }, 60), 'backlog was locked: keys are there');
$session = open_session('LOCK TABLE tenancy.backlog IN SHARE MODE');
sql(q{SELECT tenancy.resume('search')});
goes_on($_, 'backlog is locked while it is read') for qw(two one);
end($session);
agrees('backlog');

# What the worker writes about a sink, and about indices.
sub enabled { return sql(q{SELECT enabled FROM tenancy.sink WHERE name = 'search'}) }
$session = open_session('SELECT FROM tenancy.sink FOR UPDATE');
sql(q{ALTER SYSTEM SET tenancy.search_url = ''});
$node->reload;
ok(wait_until(sub { state_of($node, 'postgres', 'search') eq 'disabled' }, 60), 'sink is locked: the URL is gone');
sql(q{INSERT INTO tenant_one.case_studies (title) VALUES ('while the URL is gone')}, q{SELECT pg_sleep(2)});
is(enabled(), 't', 'sink is locked: nothing is written');
end($session);
ok(wait_until(sub { enabled() eq 'f' }, 60), 'sink was locked: it is written that it is off');
$session = open_session('SELECT FROM tenancy.sink FOR UPDATE');
sql(q{ALTER SYSTEM RESET tenancy.search_url});
$node->reload;
sql(q{INSERT INTO tenant_one.case_studies (title) VALUES ('with the URL')}, q{SELECT pg_sleep(2)});
is(enabled(), 'f', 'sink is locked: nothing is written when the URL is back');
end($session);
agrees('sink was locked');
$session = open_session('LOCK TABLE tenancy.search_index IN SHARE MODE');
goes_on($_, 'search_index is locked') for qw(one two);
end($session);
agrees('search_index was locked');

is_deeply([ worker_pids($node, 'pg_tenancy %') ], \@workers, 'the workers are the ones from the start');
is(sql('SELECT count(*) FROM tenancy.backlog'), 0, 'the end: the backlog is empty');
done_testing();
