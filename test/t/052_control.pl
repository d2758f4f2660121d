# Sinks and tenants that an operator pauses: nothing is sent, no WAL is kept, nobody reads old values, and in the end all agree.

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
my $node = tenancy_node('control', search => $search, redis => $redis, conf => "tenancy.retry_max = 2s\n");
$node->start;

sub sql { return $node->safe_psql('postgres', join(';', @_)) }
sub agrees { return all_agree($node, 'postgres', $search, @_) }
sub state { return state_of($node, 'postgres', $_[0]) }
sub paused { return sql('SELECT sink, tenant, state FROM tenancy.sync_paused ORDER BY 1, 2') }
sub count_of { return $search->count("case_studies_tenant_$_[0]") }
sub cached { return sql("SELECT coalesce(tenant_cache_get('$_[1]', '$_[0]')::text, 'miss')") }
sub store { return sql("BEGIN; SELECT FROM tenant_use('$_[0]'); SELECT tenant_cache_set('$_[1]', '$_[2]'); COMMIT") =~ s/\s//gr }

# The slot goes past everything committed now, and is read.
sub wal_is_let_go
{
	my ($name) = @_;
	my $lsn = sql('SELECT pg_current_wal_insert_lsn()');
	my $slot = "SELECT confirmed_flush_lsn >= '$lsn' AND active FROM pg_replication_slots";
	ok($node->poll_query_until('postgres', $slot), "$name: the WAL is let go, the slot is held");
	return;
}

sql(<<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_create(n) FROM unnest(ARRAY['one', 'two']) n;
INSERT INTO tenant_one.case_studies (title, timeline_weeks) SELECT 'one ' || n, n FROM generate_series(1, 100) n;
INSERT INTO tenant_two.case_studies (title, timeline_weeks) SELECT 'two ' || n, n FROM generate_series(1, 100) n;
SQL
is(agrees('start'), 200, 'start: every row');
is(paused(), '', 'start: nothing is paused');

# The whole search sink.
is(sql("SELECT tenancy.pause('search')"), 't', 'search paused');
ok(wait_until(sub { state('search') eq 'paused' }, 60), 'search paused: the state says so');
is(sql("SELECT tenancy.pause('search')"), 'f', 'search paused: once');
is(paused(), 'search||paused', 'search paused: the view says so');
sql(q{INSERT INTO tenant_one.case_studies (title) SELECT 'more ' || n FROM generate_series(1, 50) n},
	q{DELETE FROM tenant_two.case_studies WHERE timeline_weeks <= 10}, q{SELECT tenancy.resync('two')});
wal_is_let_go('search paused');
ok(sync_wait($node, 'postgres', 60), 'search paused: sync_wait does not wait for it');
is(count_of('one'), 100, 'search paused: no row goes in');
is(count_of('two'), 100, 'search paused: no row goes out');
cmp_ok(sql(q{SELECT count(*) FROM tenancy.backlog WHERE sink = 'search'}), '>=', 60, 'search paused: the keys are kept');
$node->restart('immediate');
ok(wait_until(sub { state('search') eq 'paused' }, 60), 'search paused: so it is after a crash');
sql(q{UPDATE tenant_one.case_studies SET title = title || '.'});
wal_is_let_go('search paused, after a crash');
is(count_of('one'), 100, 'search paused: no row goes in after a crash');
unlike($node->safe_psql('postgres', 'SELECT 1') . qx{pg_dump -d "@{[ $node->connstr('postgres') ]}"}, qr/sync_pause/, 'search paused: a dump does not have it');
is(sql("SELECT tenancy.resume('search')"), 't', 'search resumed');
ok(wait_until(sub { state('search') eq 'running' }, 60), 'search resumed: the state says so');
is(agrees('search resumed'), 240, 'search resumed: every row');
ok(wait_until(sub { paused() eq '' }, 60), 'search resumed: the view says so');
is(sql("SELECT tenancy.resume('search')"), 'f', 'search resumed: once');

# What is rolled back.
sql("BEGIN; SELECT tenancy.pause('search'); ROLLBACK");
sql(q{UPDATE tenant_one.case_studies SET title = title || '.'});
agrees('pause rolled back');

# One tenant of the search sink, with more rows than a chunk.
is(sql("SELECT tenancy.pause('search', 'one')"), 't', 'tenant paused');
is(paused(), 'search|one|paused', 'tenant paused: the view says so');
sql(q{SELECT pg_sleep(1)});
sql(q{INSERT INTO tenant_one.case_studies (title) SELECT 'many ' || n FROM generate_series(1, 7000) n}, q{UPDATE tenant_two.case_studies SET title = title || '!'});
sql(q{SELECT tenancy.resync('one')}, q{SELECT tenancy.resync('two')});
ok(sync_wait($node, 'postgres', 60), 'tenant paused: sync_wait does not wait for it');
index_agrees($node, 'postgres', 'two', 'case_studies', $search, 'case_studies', 'tenant paused: the other one goes on');
is(count_of('one'), 150, 'tenant paused: no row goes in');
wal_is_let_go('tenant paused');
is(sql(q{SELECT count(*) FROM tenancy.resync WHERE sink = 'search'}), 2, 'tenant paused: its resyncs wait');
is(state('search'), 'running', 'tenant paused: the sink runs');
ok(kill_worker($node, 'pg_tenancy search sink'), 'tenant paused: another search worker');
ok(wait_until(sub { state('search') eq 'running' }, 60), 'tenant paused: search worker killed');
sql(q{UPDATE tenant_two.case_studies SET title = title || '?'}, q{DELETE FROM tenant_one.case_studies WHERE title = 'many 1'});
ok(sync_wait($node, 'postgres', 60), 'tenant paused, after a crash: sync_wait does not wait for it');
index_agrees($node, 'postgres', 'two', 'case_studies', $search, 'case_studies', 'tenant paused, after a crash: the other one goes on');
is(count_of('one'), 150, 'tenant paused, after a crash: no row goes in');
is(sql("SELECT tenancy.resume('search', 'one')"), 't', 'tenant resumed');
is(agrees('tenant resumed'), 150 + 6999 + 90, 'tenant resumed: every row');
is(sql('SELECT count(*) FROM tenancy.backlog'), 0, 'tenant resumed: the backlog is empty');

# One tenant of the cache, then the whole cache: nobody reads a value from before.
for my $case ([ "'cache', 'one'", 'cache of a tenant' ], [ "'cache'", 'cache' ])
{
	my ($what, $name) = @$case;
	my $id = sql('SELECT id FROM tenant_one.case_studies ORDER BY id LIMIT 1');
	my $key = "case_study:$id";
	ok(wait_until(sub { store('one', $key, '"old"') eq 't' && store('two', 'k', '"two"') eq 't' }, 30), "$name: values are stored");
	is(cached('one', $key), '"old"', "$name: a value is read");
	is(sql("SELECT tenancy.pause($what)"), 't', "$name: paused");
	ok(wait_until(sub { cached('one', $key) eq 'miss' }, 30), "$name: no value is read");
	sql("UPDATE tenant_one.case_studies SET title = 'new' WHERE id = '$id'");
	ok(sync_wait($node, 'postgres', 60), "$name: sync_wait does not wait");
	wal_is_let_go($name);
	is(redis_cmd($redis, 'GET', "tenant:one:$key"), '"old"', "$name: Redis has the old value");
	is(cached('one', $key), 'miss', "$name: the old value is not read");
	is(cached('two', 'k'), $what =~ /one/ ? '"two"' : 'miss', "$name: a value of the other tenant");
	$node->restart('immediate');
	is(cached('one', $key), 'miss', "$name: nor after a crash") for 1 .. 3;
	sql("SELECT tenancy.resume($what)");
	my @seen;
	ok(wait_until(sub { push @seen, cached('one', $key); paused() eq '' }, 60), "$name: resumed");
	is(scalar(grep { $_ ne 'miss' } @seen), 0, "$name: the old value is not read while the rest is sent");
	is(redis_cmd($redis, 'GET', "tenant:one:$key"), undef, "$name: the old value is gone");
	ok(wait_until(sub { store('one', $key, '"new"') eq 't' }, 30), "$name: values are stored again");
	is(cached('one', $key), '"new"', "$name: and read");
}

# A tenant that is dropped while it is paused, and its name.
sql("SELECT tenancy.pause(s, 'two') FROM unnest(ARRAY['search', 'cache']) s", q{UPDATE tenant_two.case_studies SET title = title || '-'});
ok(sync_wait($node, 'postgres', 60), 'dropped: sync_wait does not wait');
sql("SELECT tenant_drop('two', purge => true)");
is(paused(), '', 'dropped: it is not paused any more');
sql("SELECT tenant_create('two'); INSERT INTO tenant_two.case_studies (title) VALUES ('again')");
is(agrees('dropped and made again'), 150 + 6999 + 1, 'dropped and made again: every row');
ok(wait_until(sub { store('two', 'k', '1') eq 't' && cached('two', 'k') eq '1' }, 30), 'dropped and made again: the cache is used');

# The name of a tenant that was dropped a moment ago: its alias still stands for the old index, which takes no row of the new one.
for my $round (1 .. 5)
{
	sql("SELECT tenant_drop('two', purge => true)", "SELECT tenant_create('two')", "INSERT INTO tenant_two.case_studies (title) VALUES ('again $round')");
	agrees("made again at once, $round");
}
is(sql('SELECT count(*) FROM tenancy.backlog'), 0, 'the end: the backlog is empty');
done_testing();
