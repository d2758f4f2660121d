# tenant_migrate: kill -9 in the middle, several calls at once, tenants made meanwhile, locks that are not given.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep);
use TenancyTest;

my $tenants = 160;
my $calls = 0;
# A few locks only: a batch of every tenant's 20 partitions needs more than there are.
my $node = tenancy_node('migrate', preload => 0, wal_level => 'replica', conf => "max_locks_per_transaction = 10\n");
$node->start;

sub sql { return $node->safe_psql('postgres', $_[0]) }

# Starts psql with a statement and does not wait for it.
sub start_call
{
	my ($sql) = @_;
	my $out = $node->basedir . '/call_' . ++$calls;
	my $pid = fork // die "fork: $!";
	if ($pid == 0)
	{
		open(STDOUT, '>', $out) or POSIX::_exit(1);
		open(STDERR, '>&', \*STDOUT) or POSIX::_exit(1);
		open(STDIN, '<', '/dev/null') or POSIX::_exit(1);
		exec('psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-c', $sql) or POSIX::_exit(1);
	}
	return { pid => $pid, out => $out };
}

# Waits for it; its status and what it said.
sub end_call
{
	my ($call) = @_;
	waitpid($call->{pid}, 0);
	return ($?, slurp_file($call->{out}));
}

sub migrate_pids { return worker_pids($node, 'pg_tenancy migrate') }
sub done { return sql("SELECT count(*) FROM tenancy.tenants WHERE version = $_[0]") }

# Waits until some, and not all, tenants have a version.
sub wait_for_some
{
	my ($version, $some) = @_;
	return wait_until(sub { done($version) >= $some }, 60);
}

# Waits until the server answers again.
sub wait_for_server
{
	return wait_until(sub { eval { sql('SELECT 1'); 1 } }, 120);
}

# Tenants whose registry, schema_migrations and tables disagree about which steps they had, and how often.
sub torn
{
	return sql(<<'SQL');
CREATE TEMP TABLE torn (name text, version bigint, runs text, noted text, columns bigint);
DO $$
DECLARE t record;
BEGIN
	FOR t IN SELECT * FROM tenancy.tenants WHERE status <> 'dropped' LOOP
		EXECUTE format('INSERT INTO torn SELECT %L, %s, (SELECT string_agg(step::text, %3$L ORDER BY step) FROM %4$I.runs),
			(SELECT string_agg(version::text, %3$L ORDER BY version) FROM %4$I.schema_migrations),
			(SELECT count(*) FROM pg_attribute WHERE attrelid = %5$L::regclass AND attname ~ %6$L)',
			t.name, t.version, ',', t.schema_name, quote_ident(t.schema_name) || '.item', '^c[0-9]+$');
	END LOOP;
END
$$;
SELECT count(*) FROM torn WHERE runs <> noted OR columns <> version - 1
	OR noted <> (SELECT string_agg(n::text, ',') FROM generate_series(1, version) n);
SQL
}

my $partitions = join ';', map { "CREATE TABLE item_$_ PARTITION OF item FOR VALUES IN ($_)" } 1 .. 20;
sql(<<"SQL");
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('shop', 1, 'CREATE TABLE runs (step int); INSERT INTO runs VALUES (1); CREATE TABLE item (id int, m int) PARTITION BY LIST (m); $partitions');
SQL
sql("SELECT tenant_create('t$_', 'shop')") for 1 .. $tenants;
sub add_step
{
	my ($version, $sleep) = @_;
	sql("SELECT tenant_blueprint_add('shop', $version, 'ALTER TABLE item ADD COLUMN c$version int; INSERT INTO runs VALUES ($version); SELECT pg_sleep($sleep)',
		'ALTER TABLE item DROP COLUMN c$version; DELETE FROM runs WHERE step = $version')");
	return;
}

# kill -9 of a worker, which takes the server down, and of the postmaster.
add_step(2, 0.03);
for my $kind ('a worker', 'the postmaster')
{
	my $before = done(2);
	my $call = start_call("CALL tenant_migrate('shop')");
	ok(wait_for_some(2, $before + 20), "$kind: tenants are migrated");
	my ($pid) = migrate_pids();
	my $postmaster = slurp_file($node->data_dir . '/postmaster.pid') =~ s/\n.*//sr;
	if ($kind eq 'a worker') { kill 'KILL', $pid }
	else { $node->kill9 }
	my ($status, $said) = end_call($call);
	isnt($status, 0, "$kind: the call ends") or diag($said);
	if ($kind eq 'the postmaster')
	{
		# its children end when they notice; a server does not start while one of them has the shared memory
		ok(wait_until(sub { !kill(0, $postmaster) && !qx(pgrep -f '^postgres: migrate: ') }, 120), "$kind: all processes are gone");
		$node->start;
	}
	ok(wait_for_server(), "$kind: the server is back");
	my $done = done(2);
	ok($done >= $before + 20 && $done < $tenants, "$kind: $done of $tenants tenants are done");
	is(torn(), 0, "$kind: each has all of the step or nothing");
	is(sql(q{SELECT count(*) FROM tenancy.stat_progress_migrate}), 0, "$kind: no call is shown as running");
}
my ($status, $said) = end_call(start_call("CALL tenant_migrate('shop')"));
is($status, 0, 'a third call') or diag($said);
is(done(2), $tenants, 'the third call: none was missed');
is(torn(), 0, 'the third call: none got the step twice');
is(sql("SELECT string_agg(n || ' ' || c, ',') FROM (SELECT n, count(*) AS c FROM (SELECT count(*) AS n FROM tenancy.migration_history WHERE status = 'done' GROUP BY tenant_id) h GROUP BY n) g"),
	"1 $tenants", 'history: each tenant once');
is(sql("SELECT string_agg(state, ',' ORDER BY id) FROM tenancy.migration"), 'interrupted,interrupted,done', 'and the calls');
is(sql("SELECT count(*) FROM tenancy.migration_history WHERE status <> 'done' OR waits > 0"), 0, 'no batch ran out of locks');

# Calls share the work, tenants are made meanwhile, a person sees how far it is.
add_step(3, 0.05);
my @calls = map { start_call("CALL tenant_migrate('shop', jobs => 2)") } 1 .. 2;
ok(wait_for_some(3, 10), 'two calls: running');
my $progress = sql('SELECT count(*), bool_and(done < total AND total > 0 AND failed = 0) FROM tenancy.stat_progress_migrate');
is($progress, '2|t', 'two calls: progress is shown');
sql("SELECT tenant_create('new$_', 'shop')") for 1 .. 10;
my @said = map { my ($rc, $text) = end_call($_); is($rc, 0, 'two calls: one is done') or diag($text); $text } @calls;
like(join('', @said), qr/NOTICE: +\d+ of $tenants tenants have version 3, 0 failed/, 'two calls: notices');
is(done(3), $tenants + 10, 'two calls: none was missed');
is(torn(), 0, 'two calls: none got the step twice');
is(sql("SELECT count(*) FROM tenancy.migration_history WHERE version = 3 AND status = 'done'"), $tenants, 'two calls: each tenant once');
is(sql('SELECT count(DISTINCT migration_id) FROM tenancy.migration_history WHERE version = 3'), 2, 'two calls: both worked');

# What ends the caller ends its workers, and what ends a worker ends the caller.
add_step(4, 0.05);
for my $end ('pg_cancel_backend', 'pg_terminate_backend')
{
	my $call = start_call("CALL tenant_migrate('shop')");
	ok(wait_until(sub { migrate_pids() }, 60), "$end: running");
	sql("SELECT $end(pid) FROM tenancy.stat_progress_migrate");
	my ($rc) = end_call($call);
	isnt($rc, 0, "$end: the call ended");
	ok(wait_until(sub { !migrate_pids() }, 60), "$end: its workers too");
	is(torn(), 0, "$end: nothing is torn");
}
my $call = start_call("CALL tenant_migrate('shop', canaries => 0)");
ok(wait_until(sub { migrate_pids() == 2 }, 60), 'a worker is ended: running');
sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'pg_tenancy migrate' LIMIT 1");
($status, $said) = end_call($call);
isnt($status, 0, 'a worker is ended: the call too');
like($said, qr/ERROR: .*(terminating background worker|migrate worker ended)/, 'a worker is ended: and says so');

# A tenant that gives no lock: the others are done meanwhile, it is done later.
my $holder = start_call("BEGIN; LOCK TABLE tenant_new10.item IN ACCESS SHARE MODE; SELECT pg_sleep(600)");
ok(wait_until(sub { sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND wait_event = 'PgSleep'") }, 60), 'a lock is held');
$call = start_call("CALL tenant_migrate('shop', lock_timeout => '100ms', retries => 1000)");
ok(wait_for_some(4, $tenants + 9), 'the others are done');
ok(wait_until(sub { sql("SELECT waiting = 1 FROM tenancy.stat_progress_migrate") eq 't' }, 60), 'it waits');
is(sql("SELECT version FROM tenancy.tenants WHERE name = 'new10'"), 3, 'and is as it was');
sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND backend_type = 'client backend'");
end_call($holder);
($status, $said) = end_call($call);
is($status, 0, 'the call ends') or diag($said);
is(done(4), $tenants + 10, 'all are done');
is(sql("SELECT status || ' ' || (waits > 0) FROM tenancy.migration_history WHERE tenant = 'new10' AND version = 4"), 'done true', 'history tells of it');
is(torn(), 0, 'nothing is torn');

# Down again, all of them.
($status, $said) = end_call(start_call("CALL tenant_migrate('shop', 2)"));
is($status, 0, 'down') or diag($said);
is(done(2), $tenants + 10, 'down: all');
is(torn(), 0, 'down: nothing is torn');

$node->stop;
done_testing();
