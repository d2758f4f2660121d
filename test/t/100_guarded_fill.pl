# No fill brings an old value back: floors, leases and the mark, one by one, then the race itself with old snapshots, a
# standby that is behind, and a killed worker.

use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;

need_servers('redis');
my $redis = TenancyRedis->start;
my $node = tenancy_node('guard', redis => $redis, conf => "tenancy.cache_guard_time = 30\nsynchronous_commit = off\nautovacuum = off\n");
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('box', 1, 'CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL)');
SELECT tenant_sync_table('box', 'item', cache_keys => ARRAY['item:{id}'], cache_tags => ARRAY['items', 'item-{id}']);
SELECT tenant_create('one', 'box'), tenant_create('two', 'box');
INSERT INTO tenant_one.item SELECT g, 0 FROM generate_series(1, 1000) g;
INSERT INTO tenant_two.item SELECT g, 0 FROM generate_series(1, 1000) g;
SQL

# A session that is kept open.
sub session { return $node->background_psql('postgres', on_error_stop => 0) }

# Runs statements in it; their output without line ends.
sub ask
{
	my ($session, $sql) = @_;
	return $session->query("$sql;") =~ s/\s//gr;
}

# A change is in Redis.
sub change
{
	my ($sql, $name) = @_;
	$node->safe_psql('postgres', $sql);
	ok(sync_wait($node, 'postgres', 60), $name // 'a change is in the sink');
	return;
}

# In a transaction of its own: get, read, set.
sub fill
{
	my ($key, $id, $tags) = @_;
	$tags //= '{}';
	return $node->safe_psql('postgres', "BEGIN; SELECT FROM tenant_use('one'); SELECT FROM tenant_cache_get('$key');"
		. " SELECT tenant_cache_set('$key', (SELECT to_jsonb(n) FROM item WHERE id = $id), tags => '$tags'); COMMIT") =~ s/\s//gr;
}

sub value { return redis_cmd($redis, 'GET', "tenant:one:$_[0]") }
sub marked { return wait_until(sub { @{ redis_cmd($redis, 'KEYS', 'tenant:#mark:*') } == 1 }, 30) }

ok(sync_wait($node, 'postgres', 60), 'start');
ok(marked(), 'the worker leaves its mark');
is_deeply(redis_cmd($redis, 'KEYS', 'tenant:#mark:*'), [ 'tenant:#mark:' . $node->safe_psql('postgres', q{SELECT system_identifier || ':' || oid FROM pg_control_system(), pg_database WHERE datname = 'postgres'}) ],
	'which no other cluster has');
is(fill('item:1', 1), 't', 'a fill is stored');
change('UPDATE tenant_one.item SET n = 1 WHERE id = 1');
is(value('item:1'), undef, 'and unlinked by a change');
is(fill('item:1', 1), 't', 'stored again, though there is a floor');
is(value('item:1'), 1, 'with what is new');

# --- one step of the race at a time
my $reader = session();
my $use = "SELECT FROM tenant_use('one')";
ask($reader, "BEGIN; $use; SELECT tenant_cache_get('item:2'); SELECT n AS old FROM item WHERE id = 2 \\gset\nSELECT 1");
change('UPDATE tenant_one.item SET n = 1 WHERE id = 2');
is(ask($reader, "SELECT tenant_cache_set('item:2', to_jsonb(:old))"), 'f', 'read before the change: refused');
is(ask($reader, "SELECT tenant_cache_set('item:2', to_jsonb(:old))"), 'f', 'without the lease too');
is(value('item:2'), undef, 'nothing is there');
is(ask($reader, "SELECT tenant_cache_set('item:3', '0')"), 't', 'another key of it is stored');
ask($reader, 'COMMIT');
is(fill('item:2', 2), 't', 'a newer one is stored');

ask($reader, "BEGIN ISOLATION LEVEL REPEATABLE READ; $use");
change('UPDATE tenant_one.item SET n = 2 WHERE id = 2');
is(ask($reader, "SELECT tenant_cache_get('item:2')"), '', 'an old snapshot with a new lease');
is(ask($reader, "SELECT tenant_cache_set('item:2', (SELECT to_jsonb(n) FROM item WHERE id = 2))"), 'f', 'is refused');
ask($reader, 'COMMIT');

# The lower transaction id commits last.
my $early = session();
my $late = session();
ask($early, 'BEGIN; SELECT pg_current_xact_id()');
ask($late, 'BEGIN; UPDATE tenant_one.item SET n = 10 WHERE id = 4; COMMIT');
ask($reader, "BEGIN; $use; SELECT tenant_cache_get('item:4'); SELECT n AS old FROM item WHERE id = 4 \\gset\nSELECT 1");
ask($early, 'UPDATE tenant_one.item SET n = 20 WHERE id = 4; COMMIT');
ok(sync_wait($node, 'postgres', 60), 'two changes are in the sink, the older transaction last');
redis_cmd($redis, 'DEL', 'tenant:one:#lease:item:4');
ask($reader, "SELECT tenant_cache_get('item:4')");
is(ask($reader, "SELECT tenant_cache_set('item:4', to_jsonb(:old))"), 'f', 'between them: refused');
ask($reader, 'COMMIT');
is(fill('item:4', 4), 't', 'after both: stored');

# A transaction that goes on for long does not keep others from filling.
redis_cmd($redis, 'DEL', 'tenant:one:#floor:item:5'); # the first copy may have left one of all transactions before it
ask($early, 'BEGIN; UPDATE tenant_two.item SET n = 5 WHERE id = 5');
change('UPDATE tenant_one.item SET n = 1 WHERE id = 5');
is(fill('item:5', 5), 't', 'stored while an older transaction is running');
sleep 6;
is(fill('item:6', 6), 't', 'also when the mark has moved on');
ask($early, 'COMMIT');

# Tags and the whole tenant.
ask($reader, "BEGIN; $use; SELECT tenant_cache_get('list'); SELECT sum(n) AS old FROM item \\gset\nSELECT 1");
change('INSERT INTO tenant_one.item VALUES (2000, 1)');
is(ask($reader, q{SELECT tenant_cache_set('list', to_jsonb(:old), tags => '{items}')}), 'f', 'a tag that changed: refused');
is(ask($reader, q{SELECT tenant_cache_set('list', to_jsonb(:old), tags => '{others}')}), 't', 'other tags: stored');
ask($reader, 'COMMIT');
is(fill('list', 1, '{items}'), 't', 'the tag later: stored');
ask($reader, "BEGIN; $use");
change('TRUNCATE tenant_one.item; INSERT INTO tenant_one.item SELECT g, 0 FROM generate_series(1, 1000) g');
is(ask($reader, q{SELECT tenant_cache_set('anything', '1')}), 'f', 'the tenant\'s cache was dropped: refused');
ask($reader, 'COMMIT');
is(fill('anything', 1), 't', 'later: stored');
ask($reader, "BEGIN; $use");
change('UPDATE tenant_one.item SET n = n + 1');
is(ask($reader, q{SELECT tenant_cache_set('item:700', '0')}), 'f', 'of many rows at once: refused');
cmp_ok(scalar @{ redis_cmd($redis, 'KEYS', 'tenant:one:#floor:item:*') }, '<', 900, 'without a floor for each row');
ask($reader, 'COMMIT');

# A transaction that has written sees what may never be.
is($node->safe_psql('postgres', "BEGIN; $use; UPDATE item SET n = 99 WHERE id = 7; SELECT tenant_cache_set('item:7', '99'); ROLLBACK") =~ s/\s//gr, 'f', 'after a write: refused');

# The lease, where the floors are gone; it does not last for ever.
$node->safe_psql('postgres', "BEGIN; $use; SELECT tenant_cache_delete('item:8'); COMMIT");
ask($reader, "BEGIN; $use; SELECT tenant_cache_get('item:8'); SELECT n AS old FROM item WHERE id = 8 \\gset\nSELECT 1");
change('UPDATE tenant_one.item SET n = 77 WHERE id = 8');
redis_cmd($redis, 'DEL', @{ redis_cmd($redis, 'KEYS', 'tenant:one:#floor:*') });
is(ask($reader, "SELECT tenant_cache_set('item:8', to_jsonb(:old))"), 'f', 'Redis has evicted the floors: the lease is gone too');
ask($reader, 'COMMIT');
ask($reader, "BEGIN; $use; SELECT tenant_cache_get('item:9')");
is(redis_cmd($redis, 'PTTL', 'tenant:one:#lease:item:9') > 0, 1, 'a lease ends by itself');
$node->safe_psql('postgres', "BEGIN; $use; SELECT tenant_cache_delete('item:9'); COMMIT");
is(ask($reader, q{SELECT tenant_cache_set('item:9', '0')}), 'f', 'tenant_cache_delete takes the lease away');
ask($reader, 'COMMIT');

# Who has missed a key while another session had the lease is kept from storing by a delete too.
ask($early, "BEGIN; $use; SELECT tenant_cache_get('free'); COMMIT");
ask($reader, "BEGIN; $use; SELECT tenant_cache_get('free')");
$node->safe_psql('postgres', 'UPDATE tenant_two.item SET n = n + 1 WHERE id = 1');
$node->safe_psql('postgres', "BEGIN; $use; SELECT tenant_cache_delete('free'); COMMIT");
is(ask($reader, q{SELECT tenant_cache_set('free', '0')}), 'f', 'tenant_cache_delete leaves a floor');
ask($reader, 'COMMIT');

# --- Redis forgets
redis_cmd($redis, 'SCRIPT', 'FLUSH');
is(fill('item:10', 10), 't', 'scripts flushed: stored');
redis_cmd($redis, 'SCRIPT', 'FLUSH');
change('UPDATE tenant_one.item SET n = 1 WHERE id = 10');
is(value('item:10'), undef, 'scripts flushed: unlinked');
for my $way ('FLUSHALL', 'restart')
{
	ask($reader, "BEGIN ISOLATION LEVEL REPEATABLE READ; $use; SELECT n AS old FROM item WHERE id = 11 \\gset\nSELECT 1");
	change('UPDATE tenant_one.item SET n = n + 1 WHERE id = 11');
	if ($way eq 'FLUSHALL') { redis_cmd($redis, 'FLUSHALL') }
	else { $redis->kill9; $redis->start }
	is(ask($reader, "SELECT tenant_cache_set('item:11', to_jsonb(:old))"), 'f', "$way: nothing is stored without the mark") if $way eq 'FLUSHALL';
	ok(marked(), "$way: the mark comes back");
	is(ask($reader, "SELECT tenant_cache_set('item:11', to_jsonb(:old))"), 'f', "$way: an old snapshot is refused");
	ask($reader, 'COMMIT');
	ok(wait_until(sub { fill('item:11', 11) eq 't' }, 30), "$way: a new one is stored");
	is(value('item:11'), $node->safe_psql('postgres', 'SELECT n FROM tenant_one.item WHERE id = 11'), "$way: the right one");
}
$_->quit for $reader, $early, $late;

# --- the race
$node->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('behind');
$standby->init_from_backup($node, 'copy', has_streaming => 1);
$standby->append_conf('postgresql.conf', "recovery_min_apply_delay = '30ms'\nhot_standby_feedback = on\n");
$standby->start;
$node->wait_for_catchup($standby);

my $dir = PostgreSQL::Test::Utils::tempdir();
my $keys = 12;
sub script
{
	my ($name, $text) = @_;
	open(my $file, '>', "$dir/$name") or die $!;
	print $file $text;
	close $file;
	return "$dir/$name";
}
my %script = (
	reader => script('reader', <<"SQL"),
\\set id random(1, $keys)
BEGIN; SELECT FROM tenant_use('one');
SELECT coalesce((tenant_cache_get('item:' || :id))::text, 'none') = 'none' AS miss \\gset
\\if :miss
SELECT n FROM item WHERE id = :id \\gset
\\set pause random(0, 3000)
\\sleep :pause us
SELECT tenant_cache_set('item:' || :id, to_jsonb(:n)) AS stored \\gset
\\if :stored
\\else
SELECT 1;
\\endif
\\endif
COMMIT;
SQL
	writer => script('writer', <<"SQL"),
\\set id random(1, $keys)
UPDATE tenant_one.item SET n = n + 1 WHERE id = :id;
UPDATE tenant_one.item SET n = n + 1 WHERE id = :id;
UPDATE tenant_one.item SET n = n + 1 WHERE id = :id;
\\set pause random(1, 20)
\\sleep :pause ms
SQL
);

# Keeps clients of a server busy for some seconds, over crashes.
sub busy
{
	my ($server, $what, $clients, $seconds) = @_;
	my $pid = fork // die $!;
	return $pid if $pid;
	my $end = time + $seconds;
	my $port = $server->port;
	my $host = $server->host;
	open STDOUT, '>', '/dev/null';
	open STDERR, '>', "$dir/$what.$port.err";
	while ((my $left = $end - time) > 0)
	{
		system('pgbench', '-n', '-h', $host, '-p', $port, '-c', $clients, '-T', $left, '-f', $script{$what}, 'postgres');
		sleep 0.2;
	}
	POSIX::_exit(0);
}

# Values that are in Redis at rest, and those of them that are not the rows'.
sub wrong
{
	my %row = map { split /\|/ } split /\n/, $node->safe_psql('postgres', "SELECT id, n FROM tenant_one.item WHERE id <= $keys");
	my @there = grep { defined value("item:$_") } 1 .. $keys;
	return (scalar @there, scalar grep { value("item:$_") ne $row{$_} } @there);
}

for my $case ('readers on both', 'the cache worker is killed')
{
	my @pids = (busy($node, 'writer', 2, 9), busy($node, 'reader', 3, 10), busy($standby, 'reader', 2, 10));
	sleep 4;
	if ($case ne 'readers on both')
	{
		my ($worker) = worker_pids($node, 'pg_tenancy cache sink');
		kill 'KILL', $worker;
	}
	waitpid $_, 0 for @pids;
	ok(wait_until(sub { eval { sync_wait($node, 'postgres', 30) } }, 120), "$case: all changes are in the sink");
	my ($there, $wrong) = wrong();
	cmp_ok($there, ">", 0, "$case: values are cached") or diag(join "", map { slurp_file($_) } glob("$dir/*.err"));
	is($wrong, 0, "$case: none of them is wrong");
}
$standby->stop;
done_testing();
