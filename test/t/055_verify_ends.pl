# tenancy.verify() counts nothing that is only in motion, and ends well whatever happens.

use strict;
use warnings;
use Test::More;
use IO::Socket::INET;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;
use TenancyLoad;

need_servers('elasticsearch7');
my $search = TenancySearch->start('elasticsearch7');
my $node = tenancy_node('verify', search => $search, conf => "log_min_messages = warning\ntenancy.search_timeout = '60s'\n");
$node->start;

sub sql { return $node->safe_psql('postgres', join(';', @_)) }
sub synced { return sync_wait($node, 'postgres', 300) }
sub verify { my ($args) = @_; return $node->safe_psql('postgres', 'SELECT * FROM tenancy.verify(' . ($args // '') . ')') }
sub workers { return worker_pids($node, 'pg_tenancy verify') }

# (status, stdout, stderr) of a statement that may fail.
sub try_sql { my ($sql) = @_; return $node->psql('postgres', $sql) }

sql(<<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('shop', 1, $$
CREATE TABLE item (id bigint PRIMARY KEY, title text);
CREATE TABLE pair (a text, b int, n int, PRIMARY KEY (a, b));
$$);
SELECT tenant_sync_table('shop', t, t, mapping => '{"mappings": {"dynamic": false}}') FROM unnest(ARRAY['item', 'pair']) t;
SELECT tenant_create('one', 'shop'), tenant_create('two', 'shop');
INSERT INTO tenant_one.item SELECT n, 'title ' || n FROM generate_series(1, 300) n;
INSERT INTO tenant_two.item SELECT n, 'title ' || n FROM generate_series(1, 10) n;
SQL

# In motion is not wrong.
sql(q{SELECT tenant_create('busy')}, q{INSERT INTO tenant_busy.case_studies (title, timeline_weeks) SELECT 'title', n FROM generate_series(1, 400) n},
	q{INSERT INTO tenant_busy.technologies (name) SELECT 'name ' || n FROM generate_series(1, 50) n});
ok(synced(), 'a tenant of its own for that');
my $load = start_load($node, 'postgres', tenants => ['busy'], writers => 1);
ok(wait_until(sub { load_runs($load) >= 2 }, 60), 'rows change all the time');
my ($rounds, $found, %wrong) = (0, 0);
my $until = time + 20;
until ($rounds >= 20 || ($rounds >= 3 && time > $until))
{
	$rounds++;
	for (split /\n/, verify(q{'busy'}))
	{
		/^busy\|\w+\|0\|0\|0\|\d+$/ ? $found++ : $wrong{$_}++;
	}
}
is($found, 2 * $rounds, 'two tables each time');
is_deeply(\%wrong, {}, "nothing is found wrong in $rounds rounds");
stop_load($load);
ok(synced(), 'rows are calm');

# A table that cannot be compared.
my ($status, $out, $errors);
{
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	$session->query_safe('BEGIN; LOCK TABLE tenant_two.item');
	($status, $out, $errors) = try_sql(q{SELECT * FROM tenancy.verify('two')});
	is($out, "two|item||||\ntwo|pair|0|0|0|0", 'locked: no counts, and the others go on');
	like($errors, qr/WARNING:  relation "item" of tenant "two" was not verified: the table is locked/, 'locked: the warning says why');
	$session->query_safe('ROLLBACK');
	$session->quit;
}
my $index = sql(q{SELECT index_name FROM tenancy.search_index WHERE alias = 'item_tenant_two'});
$search->raw('DELETE', "/$index");
($status, $out, $errors) = try_sql(q{SELECT * FROM tenancy.verify('two', 'item', true)});
is($out, 'two|item||||', 'index gone: no counts');
like($errors, qr/was not verified: (the index is not there|its index is not ready)/, 'index gone: the warning says why');
ok(wait_until(sub { verify(q{'two', 'item'}) eq 'two|item|0|0|0|10' }, 120), 'index gone: the repair brings it back');

sql(q{UPDATE tenancy.search_index SET filled = false WHERE alias = 'pair_tenant_two'});
($status, $out, $errors) = try_sql(q{SELECT * FROM tenancy.verify('two', 'pair')});
is($out, 'two|pair||||', 'not filled: no counts');
like($errors, qr/its index has not had every row yet/, 'not filled: the warning says why');
sql(q{UPDATE tenancy.search_index SET filled = true WHERE alias = 'pair_tenant_two'});

# Ends well: cancel, time-out, termination of either side.
sub halted
{
	my ($name, $code) = @_;
	$search->halt;
	my $session = IPC::Run::start([ $node->installed_command('psql'), '-X', '-h', $node->host, '-p', $node->port, '-d', 'postgres', '-c', q{SELECT * FROM tenancy.verify()} ],
		'<', \undef, '>', \my $stdout, '2>', \my $stderr);
	ok(wait_until(sub { workers() }, 30), "$name: a worker runs");
	is(sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_tenancy verify' AND (xact_start IS NOT NULL OR backend_xmin IS NOT NULL)}), 0, "$name: no transaction while it waits");
	$code->();
	$session->finish;
	ok(wait_until(sub { !workers() }, 30), "$name: the worker is gone");
	$search->cont if $search->pid;
	return $stderr;
}

my $of_caller = q{FROM pg_stat_activity WHERE query LIKE 'SELECT * FROM tenancy.verify%' AND backend_type = 'client backend'};
like(halted('cancel', sub { sql("SELECT pg_cancel_backend(pid) $of_caller") }), qr/canceling statement due to user request/, 'cancel: said so');
like(halted('session terminated', sub { sql("SELECT pg_terminate_backend(pid) $of_caller") }), qr/terminating connection|connection to server was lost/, 'session terminated: said so');
like(halted('worker terminated', sub { sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'pg_tenancy verify'}) }), qr/terminating background worker/, 'worker terminated: said so');
$search->halt;
like((try_sql(q{SET statement_timeout = '1s'; SELECT * FROM tenancy.verify()}))[2], qr/canceling statement due to statement timeout/, 'statement_timeout');
ok(wait_until(sub { !workers() }, 30), 'statement_timeout: the worker is gone');
$search->cont;

like(halted('server killed', sub { $search->kill9 }), qr/ERROR:  the search server is unreachable: /, 'server killed: a clear error');
ok(wait_until(sub { !IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $search->port) }, 30), 'server killed: its port is free');
$search->start;
ok(synced(), 'server back');

# Tenant dropped, extension dropped, half-way.
sub meanwhile
{
	my ($name, $database, @then) = @_;
	$search->halt;
	my $session = IPC::Run::start([ $node->installed_command('psql'), '-X', '-At', '-h', $node->host, '-p', $node->port, '-d', $database, '-c', q{SELECT * FROM tenancy.verify()} ],
		'<', \undef, '>', \my $stdout, '2>', \my $stderr);
	ok(wait_until(sub { workers() }, 30), "$name: a worker runs");
	$node->safe_psql($database, $_) for @then;
	$search->cont;
	$session->finish;
	ok(wait_until(sub { !workers() }, 30), "$name: the worker is gone");
	return ($stdout, $stderr);
}
($out, $errors) = meanwhile('tenant dropped', 'postgres', q{SELECT tenant_drop('two')});
unlike($errors, qr/ERROR/, 'tenant dropped: no error');
like($out, qr/^one\|item\|0\|0\|0\|300$/m, 'tenant dropped: the others are compared');
($out, $errors) = meanwhile('extension dropped', 'postgres', 'DROP EXTENSION pg_tenancy CASCADE');
like($errors, qr/schema "tenancy" does not exist|relation "tenancy|terminating background worker/, 'extension dropped: a clear error');

unlike(slurp_file($node->logfile), qr/PANIC|TRAP|was terminated by signal/, 'nothing crashed');
$node->stop;
done_testing();
