# A standby that the sinks never were ahead of goes on after its promotion where the primary was; any other one starts anew.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;
use TenancyLoad;

my ($version) = `$ENV{PG_CONFIG} --version` =~ /(\d+)/;
plan(skip_all => 'failover slots came with PostgreSQL 17') if $version < 17;
need_servers('elasticsearch7', 'redis');
my $search = TenancySearch->start('elasticsearch7');
my $redis = TenancyRedis->start;
my $primary = tenancy_node('north', search => $search, redis => $redis, conf => <<'CONF');
wal_log_hints = on
wal_keep_size = 128MB
hot_standby_feedback = on
sync_replication_slots = on
wal_retrieve_retry_interval = 100ms
CONF
$primary->start;
my $standby;

sub sql { return $primary->safe_psql('postgres', join(';', @_)) }
sub agrees { return all_agree($primary, 'postgres', $search, @_) }
sub epoch { return sql('SELECT epoch FROM tenancy.instance') }
sub sent { return sql(q{SELECT docs + deletes FROM tenancy.stat_sync WHERE sink = 'search'}) }

# Makes a stopped node follow the primary through a physical slot.
sub follow
{
	my ($node, $slot) = @_;
	my $connstr = $primary->connstr('postgres') =~ s/'/''/gr;
	$node->append_conf('postgresql.conf', "primary_conninfo = '$connstr application_name=$slot'\nprimary_slot_name = '$slot'\nsynchronized_standby_slots = ''");
	$node->set_standby_mode;
	$node->start;
	$primary->wait_for_catchup($slot);
	return;
}

# True once the standby has a copy of our slot that it can go on from.
sub has_slot
{
	return wait_until(sub { sql('SELECT pg_log_standby_snapshot()'); $standby->safe_psql('postgres', q{SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE 'tenancy\_%' AND synced AND NOT temporary AND invalidation_reason IS NULL}) == 1 }, 90);
}

# The primary dies at once; the standby is the primary from now on.
sub promote
{
	my $old = $primary;
	$primary->stop('immediate');
	$standby->start unless defined $standby->{_pid};
	$standby->promote;
	($primary, $standby) = ($standby, undef);
	return $old;
}

sql(<<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_create(n) FROM unnest(ARRAY['one', 'two']) n;
INSERT INTO tenant_one.case_studies (title, timeline_weeks) SELECT 'one ' || n, n FROM generate_series(1, 500) n;
INSERT INTO tenant_two.case_studies (title, timeline_weeks) SELECT 'two ' || n, n FROM generate_series(1, 300) n;
SELECT pg_create_physical_replication_slot('south', true);
SQL
agrees('start');
is(sql(q{SELECT failover FROM pg_replication_slots WHERE slot_name LIKE 'tenancy%'}), 't', 'start: a failover slot');
$primary->append_conf('postgresql.conf', 'tenancy.failover_slot = off');
$primary->reload;
ok(wait_until(sub { sql(q{SELECT failover FROM pg_replication_slots WHERE slot_name LIKE 'tenancy%'}) eq 'f' }, 60), 'no failover slot where it is not wanted');
$primary->append_conf('postgresql.conf', 'tenancy.failover_slot = on');
$primary->reload;
ok(wait_until(sub { sql(q{SELECT failover FROM pg_replication_slots WHERE slot_name LIKE 'tenancy%'}) eq 't' }, 60), 'and again');

$primary->backup('south');
$standby = PostgreSQL::Test::Cluster->new('south');
$standby->init_from_backup($primary, 'south');
follow($standby, 'south');
is(sql('SELECT standby_slots FROM tenancy.instance'), '', 'no standby is waited for yet');
$primary->append_conf('postgresql.conf', "synchronized_standby_slots = 'south'");
$primary->reload;
ok(wait_until(sub { sql('SELECT standby_slots FROM tenancy.instance') eq 'south' }, 60), 'a standby is waited for: noted');
sql(q{UPDATE tenant_one.case_studies SET title = 'with a standby' WHERE timeline_weeks <= 50});
agrees('with a standby');
ok(has_slot(), 'the standby has a copy of the slot');

# No sink gets what the standby has not.
$standby->stop;
sql(q{INSERT INTO tenant_one.case_studies (title) SELECT 'early ' || n FROM generate_series(1, 40) n});
ok(wait_until(sub { sql(q{SELECT last_error FROM tenancy.stat_sync WHERE sink = 'capture'}) =~ /waiting for the standbys/ }, 60), 'standby away: the status says what is waited for');
is($search->count('case_studies_tenant_one'), 500, 'standby away: the index has nothing that it has not');
my $capture = (worker_pids($primary, 'pg_tenancy capture'))[0];
my $ticks = sub { (split ' ', slurp_file("/proc/$capture/stat"))[13] + (split ' ', slurp_file("/proc/$capture/stat"))[14] };
my $used = $ticks->();
sleep 2;
cmp_ok($ticks->() - $used, '<', 100, 'standby away: no busy loop');
$standby->start;
agrees('standby back');
is($search->count('case_studies_tenant_one'), 540, 'standby back: and it is in');

# Commits that nobody but the primary had; writers are at work all the time.
my $load = start_load($primary, 'postgres', tenants => ['two']);
ok(wait_until(sub { load_runs($load) >= 2 }, 60), 'promotion: rows flow');
ok(has_slot(), 'promotion: the standby has the slot');
$standby->stop;
sql(<<'SQL');
INSERT INTO tenant_one.case_studies (title) SELECT 'lost ' || n FROM generate_series(1, 100) n;
DELETE FROM tenant_one.case_studies WHERE timeline_weeks > 400;
UPDATE tenant_one.case_studies SET title = 'lost', id = gen_random_uuid() WHERE timeline_weeks BETWEEN 300 AND 350;
SQL
sleep 1;
my $old = promote();
stop_load($load);
$load = start_load($primary, 'postgres', tenants => ['two']);
ok(wait_until(sub { load_runs($load) >= 2 }, 60), 'promotion: rows flow on the new primary');
stop_load($load);
agrees('promotion');
like(slurp_file($primary->logfile), qr/came along with the promotion: going on/, 'promotion: capture goes on');
is(epoch(), 1, 'promotion: the same epoch');
cmp_ok(sql('SELECT timeline FROM tenancy.instance'), '==', 2, 'promotion: another timeline');
is($search->count('case_studies_tenant_one'), 540, 'promotion: no document of lost rows was ever there');
is(sql('SELECT standby_slots FROM tenancy.instance'), '', 'promotion: the new primary waits for nobody');
cmp_ok(sent(), '<', 700, 'promotion: not everything was sent again') or diag(sent());

# The old primary follows, with keys in the backlog, and is promoted in its turn.
command_ok([ 'pg_rewind', '--target-pgdata', $old->data_dir, '--source-server', $primary->connstr('postgres'), '--no-sync' ], 'rewound');
$old->append_conf('postgresql.conf', 'port = ' . $old->port);
$old->append_conf('postgresql.conf', "unix_socket_directories = '" . $old->host . "'") if $PostgreSQL::Test::Utils::use_unix_sockets;
sql(q{SELECT pg_create_physical_replication_slot('north', true)});
$standby = $old;
follow($standby, 'north');
$standby->safe_psql('postgres', q{SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT synced});
is($standby->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'pg_tenancy%'}), 0, 'old primary back: no worker runs there');
$primary->append_conf('postgresql.conf', "synchronized_standby_slots = 'north'");
$primary->reload;
ok(wait_until(sub { sql('SELECT standby_slots FROM tenancy.instance') eq 'north' }, 60), 'old primary back: it is waited for');
agrees('old primary back');
ok(has_slot(), 'old primary back: it has the slot');
$search->stop;
# in several commits: only WAL after the first of them is kept for its keys
sql(q{INSERT INTO tenant_one.case_studies (title, full_text) SELECT 'spilled ' || n, (SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 400) WHERE n > 0) FROM generate_series(1, 400) n}) for 1 .. 5;
ok(wait_until(sub { sql(q{SELECT count(*) FROM tenancy.backlog}) > 0 }, 90), 'search server down: keys in the backlog');
my $lsn = sql('SELECT pg_current_wal_lsn()');
ok(wait_until(sub { sql("SELECT confirmed_flush_lsn >= '$lsn'::pg_lsn - 1000000 FROM pg_replication_slots WHERE slot_name LIKE 'tenancy%'") eq 't' }, 60), 'search server down: the WAL is let go');
$lsn = sql(q{SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name LIKE 'tenancy%'});
ok(wait_until(sub { $standby->safe_psql('postgres', "SELECT confirmed_flush_lsn >= '$lsn' FROM pg_replication_slots WHERE slot_name LIKE 'tenancy%'") eq 't' }, 90), 'search server down: the standby\'s slot too');
promote();
$search->start;
is(agrees('promoted with a backlog'), 2540 + sql('SELECT count(*) FROM tenant_two.case_studies') + sql('SELECT count(*) FROM tenant_two.technologies'), 'promoted with a backlog: every row');
is(epoch(), 1, 'promoted with a backlog: the same epoch');

# A standby that is not waited for: the sinks may have what it has not.
sql(q{SELECT pg_create_physical_replication_slot('west', true)});
$primary->backup('west');
$standby = PostgreSQL::Test::Cluster->new('west');
$standby->init_from_backup($primary, 'west');
follow($standby, 'west');
ok(has_slot(), 'not waited for: it has the slot');
$standby->stop;
sql(q{DELETE FROM tenant_one.case_studies WHERE title LIKE 'spilled%'; INSERT INTO tenant_one.case_studies (title) SELECT 'ahead ' || n FROM generate_series(1, 100) n});
agrees('not waited for: the sinks are ahead');
sql(q{TRUNCATE tenant_two.case_studies});
ok(sync_wait($primary, 'postgres', 60), 'not waited for: rows are removed');
promote();
agrees('not waited for');
cmp_ok(epoch(), '>', 1, 'not waited for: the epoch rose');
is(sql(q{SELECT count(*) FROM tenancy.dead_letter}), 0, 'nothing was refused');
$primary->stop;
done_testing();
