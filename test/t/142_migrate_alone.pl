# Steps outside a transaction: long transactions of others, kill -9 in the middle, who they run as.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;

my $node = tenancy_node('alone', preload => 0, wal_level => 'replica');
$node->start;
my $calls = 0;

sub sql { return $node->safe_psql('postgres', $_[0]) }

# Starts psql with statements and does not wait for it.
sub start_call
{
	my @sql = @_;
	my $out = $node->basedir . '/call_' . ++$calls;
	my $pid = fork // die "fork: $!";
	if ($pid == 0)
	{
		open(STDOUT, '>', $out) or POSIX::_exit(1);
		open(STDERR, '>&', \*STDOUT) or POSIX::_exit(1);
		open(STDIN, '<', '/dev/null') or POSIX::_exit(1);
		exec('psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), map { ('-c', $_) } @sql) or POSIX::_exit(1);
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
# Indices of a name: all, and those that are valid.
sub indices { return sql("SELECT count(*) || ' ' || count(*) FILTER (WHERE indisvalid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relname = '$_[0]'") }

sql(<<'SQL');
CREATE EXTENSION pg_tenancy;
CREATE ROLE owner LOGIN;
CREATE ROLE hidden NOLOGIN;
GRANT tenancy_admin TO owner, hidden;
SET ROLE owner;
SELECT tenant_blueprint_add('shop', 1, 'CREATE TABLE item (id int, n int); INSERT INTO item VALUES (1, 1)');
SELECT count(tenant_create('t' || n, 'shop')) FROM generate_series(1, 6) n;
SELECT tenant_blueprint_add('shop', 2, 'CREATE INDEX CONCURRENTLY item_n ON item (abs(n))', 'DROP INDEX CONCURRENTLY IF EXISTS item_n', transactional => false);
SELECT tenant_blueprint_add('shop', 3, 'ALTER TABLE item ADD COLUMN m int', 'ALTER TABLE item DROP COLUMN m');
SQL

# A transaction that is older, and longer than lock_timeout: it is waited for, not given up.
my $holder = start_call('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM tenant_t1.item; SELECT pg_sleep(600)');
ok(wait_until(sub { sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") }, 60), 'an old transaction');
my $call = start_call('SET ROLE owner', "CALL tenant_migrate('shop', jobs => 1, lock_timeout => '10ms', retries => 0)");
ok(wait_until(sub { indices('item_n') eq '1 0' }, 60), 'an index is being made');
ok(wait_until(sub { sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_tenancy migrate' AND wait_event_type = 'Lock'") }, 60), 'and waits for the old transaction');
is(sql("SELECT string_agg(DISTINCT usename, ',') FROM pg_stat_activity WHERE backend_type = 'pg_tenancy migrate'"), 'owner', 'the session is the owner\'s');
sql('SELECT pg_sleep(0.5)');
is(sql("SELECT string_agg(state, ',') FROM tenancy.migration"), 'running', 'lock_timeout does not end it');

# kill -9 there.
my ($pid) = migrate_pids();
kill 'KILL', $pid;
my ($status) = end_call($call);
isnt($status, 0, 'kill -9: the call ends');
end_call($holder);
ok(wait_until(sub { eval { sql('SELECT 1'); 1 } }, 120), 'kill -9: the server is back');
is(indices('item_n'), '1 0', 'kill -9: an invalid index is left');
is(sql("SELECT string_agg(DISTINCT version::text, ',') FROM tenancy.tenants"), '1', 'kill -9: no tenant has the step');
($status, my $said) = end_call(start_call('SET ROLE owner', "CALL tenant_migrate('shop')"));
is($status, 0, 'again') or diag($said);
is(indices('item_n'), '6 6', 'again: every tenant has a valid index');
is(sql("SELECT string_agg(DISTINCT version::text, ',') FROM tenancy.tenants"), '3', 'again: and the step behind it');
is(sql("SELECT string_agg(version::text, ',' ORDER BY version) FROM tenant_t6.schema_migrations"), '1,2,3', 'again: noted in the tenant');

# A unique index that fails leaves nothing in the way of the next call.
sql("INSERT INTO tenant_t2.item VALUES (1, 2)");
sql(q{SET ROLE owner; SELECT tenant_blueprint_add('shop', 4, 'CREATE UNIQUE INDEX CONCURRENTLY item_id ON item (id)', 'DROP INDEX item_id', false)});
($status, $said) = end_call(start_call('SET ROLE owner', "CALL tenant_migrate('shop', max_failures => 1)"));
is($status, 0, 'a tenant fails') or diag($said);
like($said, qr/tenant "t2" was not migrated: could not create unique index/, 'a tenant fails: which, and why');
is(indices('item_id'), '6 5', 'a tenant fails: the others do not');
sql('DELETE FROM tenant_t2.item WHERE n = 2');
($status, $said) = end_call(start_call('SET ROLE owner', "CALL tenant_migrate('shop')"));
is($status, 0, 'and then no more') or diag($said);
is(indices('item_id'), '6 6', 'and then no more: all indices are there');

# Two calls share, and nobody renames or drops a tenant in the middle of a step.
sql(q{SET ROLE owner; SELECT tenant_blueprint_add('shop', 5, 'SELECT pg_sleep(0.3); CREATE TABLE once (id int); CREATE INDEX CONCURRENTLY once_id ON once (id)', 'DROP TABLE once', false)});
my @two = map { start_call('SET ROLE owner', "CALL tenant_migrate('shop')") } 1 .. 2;
ok(wait_until(sub { sql('SELECT count(*) FROM tenancy.tenants WHERE version = 5') }, 60), 'two calls: running');
sql("SELECT tenant_rename('t6', 'six'), tenant_drop('t5')");
for (@two) { my ($rc, $text) = end_call($_); is($rc, 0, 'two calls: one is done') or diag($text) }
is(sql("SELECT string_agg(name || ' ' || version, ',' ORDER BY name) FROM tenancy.tenants WHERE status <> 'dropped'"), 'six 5,t1 5,t2 5,t3 5,t4 5', 'two calls: every tenant has the step');
is(sql("SELECT count(*) FROM tenancy.migration_history WHERE version < 5 AND status = 'failed' AND error ~ 'once'"), 0, 'two calls: none had it twice');

# An owner who cannot log in, a superuser as the caller, and what an owner tries.
sql(<<'SQL');
SET ROLE hidden;
SELECT tenant_blueprint_add('dark', 1, 'CREATE TABLE item (id int)');
SELECT tenant_create('dark', 'dark');
SELECT tenant_blueprint_add('dark', 2, 'CREATE INDEX CONCURRENTLY item_dark ON item (id)', transactional => false);
SQL
($status, $said) = end_call(start_call("CALL tenant_migrate('dark')"));
if (sql('SHOW server_version_num') >= 170000) { is(indices('item_dark'), '1 1', 'an owner who cannot log in') }
else { like($said, qr/role "hidden" is not permitted to log in/, 'an owner who cannot log in') }
sql('ALTER ROLE hidden LOGIN');
sql(q{SELECT tenant_blueprint_add('dark', 3, 'CREATE TABLE seen AS SELECT current_user::text AS c, session_user::text AS s; SET lock_timeout = 5', transactional => false)});
sql("CALL tenant_migrate('dark')");
is(sql('SELECT * FROM tenant_dark.seen'), 'hidden|hidden', 'steps of a superuser\'s call are the owner\'s');
my $version = 3;
for my $try ('SET SESSION AUTHORIZATION postgres', 'SET ROLE postgres', 'UPDATE tenancy.tenant SET version = 1', 'COPY item TO STDOUT', 'COMMIT')
{
	sql("SELECT tenant_blueprint_add('dark', @{[ ++$version ]}, '$try', 'SELECT 1', false)") if $version == 3;
	sql("UPDATE tenancy.blueprint_step SET sql = '$try' WHERE blueprint = 'dark' AND version = 4");
	($status, $said) = end_call(start_call("CALL tenant_migrate('dark')"));
	isnt($status, 0, "$try: refused");
	is(sql("SELECT version FROM tenancy.tenants WHERE name = 'dark'"), 3, "$try: the tenant is as it was");
}

$node->stop;
done_testing();
