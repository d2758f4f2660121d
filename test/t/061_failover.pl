# Promotions and lost slots: whatever becomes of the WAL, in the end the indices agree with the tables there are.

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
my $primary = tenancy_node('alpha', search => $search, redis => $redis, conf => <<'CONF');
wal_log_hints = on
wal_keep_size = 64MB
min_wal_size = 32MB
wal_retrieve_retry_interval = 100ms
tenancy.failover_slot = off
CONF
$primary->start;
my $standby;

sub sql { return $primary->safe_psql('postgres', join(';', @_)) }
sub agrees { return all_agree($primary, 'postgres', $search, @_) }
sub epoch { return sql('SELECT epoch FROM tenancy.instance') }
sub error_of { return sql("SELECT last_error FROM tenancy.stat_sync WHERE sink = '$_[0]'") }

# Ends capture and drops its slot, as soon as it lets go.
sub drop_slot
{
	my ($slot) = @_;
	return wait_until(sub {
		return ($primary->psql('postgres', "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active; SELECT pg_drop_replication_slot('$slot')"))[0] == 0;
	}, 60);
}

sub slot { return sql(q{SELECT slot_name FROM pg_replication_slots WHERE slot_name LIKE 'tenancy\_%'}) }

# A standby of the primary, from a new base backup.
sub add_standby
{
	my ($name) = @_;
	$primary->backup($name);
	$standby = PostgreSQL::Test::Cluster->new($name);
	$standby->init_from_backup($primary, $name, has_streaming => 1);
	$standby->start;
	$primary->wait_for_catchup($standby);
	return;
}

# The standby is the primary from now on; the old one is returned.
sub promote
{
	my $old = $primary;
	$standby->promote;
	($primary, $standby) = ($standby, undef);
	return $old;
}

sql(<<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_create(n) FROM unnest(ARRAY['one', 'two', 'three', 'four']) n;
INSERT INTO tenant_one.case_studies (title, timeline_weeks) SELECT 'one ' || n, n FROM generate_series(1, 600) n;
INSERT INTO tenant_two.case_studies (title, timeline_weeks) SELECT 'two ' || n, n FROM generate_series(1, 300) n;
INSERT INTO tenant_two.technologies (name) SELECT 'two ' || n FROM generate_series(1, 50) n;
INSERT INTO tenant_three.technologies (name) SELECT 'three ' || n FROM generate_series(1, 100) n;
INSERT INTO tenant_four.technologies (name) SELECT 'four ' || n FROM generate_series(1, 20) n;
SQL
agrees('start');
is(epoch(), 1, 'start: first epoch');

# An asynchronous standby is promoted that lacks what the primary committed last.
add_standby('beta');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'pg_tenancy%'}), 0, 'standby: no worker runs');
is($standby->safe_psql('postgres', q{SELECT string_agg(DISTINCT state, ',') FROM tenancy.stat_sync}), 'starting', 'standby: the status can be read');
fill_cache($primary, 'postgres', $redis, 'one');
my $load = start_load($primary, 'postgres', tenants => ['two']);
ok(wait_until(sub { load_runs($load) >= 2 }, 60), 'promotion: rows flow');
$primary->wait_for_catchup($standby);
$standby->stop;
sql(<<'SQL');
INSERT INTO tenant_one.case_studies (title, timeline_weeks) SELECT 'lost ' || n, n FROM generate_series(1, 100) n;
UPDATE tenant_one.case_studies SET title = 'lost too' WHERE timeline_weeks BETWEEN 200 AND 250;
DELETE FROM tenant_one.case_studies WHERE timeline_weeks BETWEEN 300 AND 350;
UPDATE tenant_one.case_studies SET id = gen_random_uuid() WHERE timeline_weeks BETWEEN 400 AND 450;
TRUNCATE tenant_three.technologies;
SELECT tenant_create('lost');
INSERT INTO tenant_lost.case_studies (title) VALUES ('of a tenant that never was');
SELECT tenant_drop('four', purge => true);
SQL
ok(sync_wait($primary, 'postgres', 60), 'promotion: the sinks have what the standby has not');
ok(wait_until(sub { !defined $search->count('technologies_tenant_four') }, 60), 'promotion: a tenant less');
is($search->count('case_studies_tenant_lost'), 1, 'promotion: a tenant more');
$primary->stop('immediate');
stop_load($load);
$standby->start;
my $old = promote();
$load = start_load($primary, 'postgres', tenants => [ 'two', 'three' ]);
ok(wait_until(sub { load_runs($load) >= 2 }, 60), 'promotion: rows flow on the new primary');
stop_load($load);
agrees('promotion');
is(epoch(), 2, 'promotion: the epoch rose');
like(error_of('capture'), qr/every row is sent again/, 'promotion: the status says that everything is sent again');
is($search->count('case_studies_tenant_one'), 600, 'promotion: documents of lost rows are gone');
is($search->count('technologies_tenant_four'), 20, 'promotion: the tenant that was dropped is there');
is((stale_keys($primary, 'postgres', $redis, 'one'))[0], 0, 'promotion: no stale key');
sql(q{SELECT tenant_create('later'); INSERT INTO tenant_later.case_studies (title) SELECT 'later ' || n FROM generate_series(1, 10) n});
agrees('promotion: a tenant made later');
is($search->count('case_studies_tenant_later'), 10, 'promotion: it has none of the lost tenant\'s documents');

# The old primary comes back as a standby, rewound; then it is promoted in its turn.
my $logged = -s $old->logfile;
$primary->safe_psql('postgres', 'CHECKPOINT');
command_ok([ 'pg_rewind', '--target-pgdata', $old->data_dir, '--source-server', $primary->connstr('postgres'), '--no-sync' ], 'rewound');
$old->append_conf('postgresql.conf', 'port = ' . $old->port);
$old->append_conf('postgresql.conf', "unix_socket_directories = '" . $old->host . "'") if $PostgreSQL::Test::Utils::use_unix_sockets;
$old->enable_streaming($primary);
$old->start;
$standby = $old;
$primary->wait_for_catchup($standby);
my $sent = sql(q{SELECT sum(docs + deletes) FROM tenancy.stat_sync});
sql(q{UPDATE tenant_one.case_studies SET title = 'after' WHERE timeline_weeks < 50});
$primary->wait_for_catchup($standby);
agrees('old primary back as a standby');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'pg_tenancy%'}), 0, 'old primary back: no worker runs there');
unlike(slurp_file($standby->logfile, $logged), qr/starting logical decoding/, 'old primary back: nothing was decoded there');
sql(q{UPDATE tenant_one.case_studies SET title = 'until the end' WHERE timeline_weeks < 100});
$primary->wait_for_catchup($standby);
$primary->stop('immediate');
promote();
sql(q{DELETE FROM tenant_one.case_studies WHERE timeline_weeks < 20});
agrees('second promotion');
is(epoch(), 3, 'second promotion: the epoch rose again');
my ($slots) = sql(q{SELECT count(*) FROM pg_replication_slots});
is($slots, 1, 'second promotion: one slot');

# Somebody drops the slot, while capture runs and while it does not.
for my $how ('running', 'stopped')
{
	my $before = epoch();
	my $slot = slot();
	if ($how eq 'stopped')
	{
		$primary->append_conf('postgresql.conf', "shared_preload_libraries = ''");
		$primary->restart;
	}
	ok(drop_slot($slot), "slot dropped, $how: it is gone");
	sql(q{UPDATE tenant_two.case_studies SET title = 'no slot' WHERE timeline_weeks % 3 = 0; DELETE FROM tenant_two.case_studies WHERE timeline_weeks % 7 = 0});
	if ($how eq 'stopped')
	{
		$primary->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_tenancy'");
		$primary->restart;
	}
	agrees("slot dropped, $how");
	cmp_ok(epoch(), '>', $before, "slot dropped, $how: the epoch rose, it could be a restore");
	is(sql('SELECT count(*) FROM pg_replication_slots'), 1, "slot dropped, $how: one slot");
}

# The slot's WAL is removed: while capture runs a transaction that stays open holds the slot back.
$primary->append_conf('postgresql.conf', "max_slot_wal_keep_size = 1MB\nwal_keep_size = 0\nmax_wal_size = 32MB\nlog_checkpoints = off");
$primary->reload;
my ($stdin, $stdout, $timer) = ('', '', IPC::Run::timer(180));
my $held = IPC::Run::start([ 'psql', '-XAtq', '-d', $primary->connstr('postgres') ], '<', \$stdin, '>', \$stdout, '2>&1', $timer);
$stdin .= "BEGIN; UPDATE tenant_one.technologies SET name = name; CREATE TEMP TABLE t (a int); INSERT INTO tenant_one.technologies (name) VALUES ('held'); SELECT 'open';\n";
$held->pump until $stdout =~ /open/;
my $before = epoch();
my $offset = -s $primary->logfile;
for (1 .. 4)
{
	sql(q{CREATE TABLE IF NOT EXISTS ballast (t text)}, q{INSERT INTO ballast SELECT repeat('x', 1000) FROM generate_series(1, 1000)}, 'SELECT pg_switch_wal()', 'CHECKPOINT');
}
ok(wait_until(sub { sql('CHECKPOINT'); slurp_file($primary->logfile, $offset) =~ /the replication slot was lost/ }, 60), 'slot lost: noticed') or diag(sql('TABLE pg_replication_slots'));
like(error_of('capture'), qr/the replication slot was lost/, 'slot lost: the status says so');
sql(q{UPDATE tenant_one.case_studies SET title = 'lost slot' WHERE timeline_weeks % 5 = 0});
$stdin .= "COMMIT;\n\\q\n";
$held->finish;
$primary->append_conf('postgresql.conf', 'max_slot_wal_keep_size = -1');
$primary->reload;
agrees('slot lost');
is(epoch(), $before, 'slot lost: the same epoch, it is the same WAL');

$primary->stop;
done_testing();
