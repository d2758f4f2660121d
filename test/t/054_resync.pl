# A resync: what it shows, how fast it may be, that it goes on where it was, and that none waits for another's table.

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
my $node = tenancy_node('resync', search => $search, redis => $redis);
$node->start;

sub sql { return $node->safe_psql('postgres', join(';', @_)) }
sub agrees { return all_agree($node, 'postgres', $search, @_) }

# A column of the progress view for a table's resync, '' if there is none.
sub progress
{
	my ($column, $table, $sink) = @_;
	$sink //= 'search';
	return sql("SELECT $column FROM tenancy.stat_progress_resync WHERE table_name = '$table' AND sink = '$sink' AND tenant = 'one'");
}

# Sets tenancy.resync_rate and waits until the workers know.
sub rate
{
	my ($rows) = @_;
	sql("ALTER SYSTEM SET tenancy.resync_rate = $rows");
	$node->reload;
	return ok($node->poll_query_until('postgres', "SELECT current_setting('tenancy.resync_rate') = '$rows'"), "rate $rows");
}

sql(<<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('shop', 1, $$
CREATE TABLE item (id bigint PRIMARY KEY, n int);
CREATE TABLE other (id bigint PRIMARY KEY, n int);
CREATE TABLE whole (id bigint PRIMARY KEY, n int);
CREATE TABLE piece (id bigint PRIMARY KEY, whole_id bigint);
CREATE TABLE part (id bigint PRIMARY KEY, n int) PARTITION BY RANGE (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (1) TO (501);
CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (501) TO (2000);
$$);
SELECT tenant_sync_table('shop', t, t, mapping => '{"mappings": {"dynamic": false}}', cache_keys => ARRAY[t || ':{id}']) FROM unnest(ARRAY['item', 'other', 'part']) t;
SELECT tenant_create('one', 'shop');
INSERT INTO tenant_one.item SELECT n, n FROM generate_series(1, 12000) n;
INSERT INTO tenant_one.other SELECT n, n FROM generate_series(1, 1000) n;
INSERT INTO tenant_one.part SELECT n, n FROM generate_series(1, 1000) n;
ANALYZE tenant_one.item, tenant_one.other, tenant_one.part;
SQL
agrees('start');
is(sql('SELECT count(*) FROM tenancy.stat_progress_resync'), 0, 'nothing is under way');

# Throttled: rows go on, writers are not held up, and neither are their changes.
rate(200);
sql(q{SELECT tenancy.resync('one', 'item')});
ok(wait_until(sub { progress('rows_done', 'item') > 0 && progress('rows_done', 'item', 'cache') > 0 }, 60), 'throttled: rows are done');
my ($done, $seconds) = split /\|/, progress('rows_done, extract(epoch FROM clock_timestamp() - started_at)', 'item');
cmp_ok($done, '<=', 200 * ($seconds + 1), 'throttled: not more than the rate allows');
is(progress('rows_total', 'item'), 12000, 'progress: estimate');
is(progress('phase', 'item'), 'rows', 'progress: phase');
like(progress('percent', 'item'), qr/^\d+\.\d$/, 'progress: percent');
is(progress('started_at >= requested_at', 'item'), 't', 'progress: times');
is(progress('last_error', 'item'), '', 'progress: no error');
sql('UPDATE tenant_one.item SET n = -n WHERE id > 11990', 'INSERT INTO tenant_one.item VALUES (20000, 5)', q{SET lock_timeout = '10s'; BEGIN; LOCK TABLE tenant_one.item IN ACCESS EXCLUSIVE MODE; COMMIT});
ok(wait_until(sub { ($search->document('item_tenant_one', 20000) // {})->{n} == 5 && $search->document('item_tenant_one', 12000)->{n} == -12000 }, 60), 'throttled: changes arrive meanwhile');
isnt(progress('phase', 'item'), '', 'throttled: and it is still under way');

# kill -9 in the middle: it goes on where it was.
ok(wait_until(sub { progress('rows_done', 'item') >= 100 }, 60), 'killed: in the middle');
for my $round (1 .. 2)
{
	my ($before, $requested, $started) = split /\|/, progress('rows_done, requested_at, started_at', 'item');
	ok(kill_worker($node, 'pg_tenancy search sink'), "killed, $round: the worker is back");
	cmp_ok(progress('rows_done', 'item'), '>=', $before, "killed, $round: what was done is not done again");
	is(progress('requested_at, started_at', 'item'), "$requested|$started", "killed, $round: it is the same resync");
	ok(wait_until(sub { progress('rows_done', 'item') > $before }, 60), "killed, $round: it goes on");
}
rate(0);
agrees('no limit any more');
is(progress('phase', 'item'), '', 'done: it is gone from the view');

# A partitioned table, and one that was never analyzed.
rate(50);
sql(q{CREATE TABLE tenant_one.fresh (id bigint PRIMARY KEY)}, q{SELECT tenancy.resync('one', 'part')});
is(progress('rows_total', 'part'), 1000, 'progress: estimate over partitions');
rate(0);
agrees('partitioned');

# Asked for again and again while it is under way, by joined rows whose former parent the WAL does not tell: it comes to its end
# all the same, and is done once more after.
sql(q{SELECT tenant_sync_table('shop', 'whole', 'whole', mapping => '{"mappings": {"dynamic": false}}', document => 'to_jsonb(whole)', depends_on => '{"piece": {"whole_id": "id"}}')},
	'INSERT INTO tenant_one.whole SELECT n, n FROM generate_series(1, 6000) n', 'INSERT INTO tenant_one.piece VALUES (1, 1)');
agrees('joined');
rate(1000);
sql(q{SELECT tenancy.resync('one', 'whole')});
my $turns = 0;
ok(wait_until(sub { sql('UPDATE tenant_one.piece SET whole_id = ' . ++$turns); progress('phase', 'whole') ne 'rows' }, 90), 'asked for again: all rows are done');
cmp_ok($turns, '>', 10, 'asked for again: often');
rate(0);
agrees('asked for again');

# One that waits for an old transaction does not hold up what is behind it.
my $old = $node->background_psql('postgres');
$old->query_safe('BEGIN; SELECT pg_current_xact_id()');
sql(q{SELECT tenancy.resync('one', 'item')});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 2 FROM tenancy.stat_progress_resync WHERE table_name = 'item' AND started_at IS NULL}), 'old transaction: the resync waits');
sql('TRUNCATE tenant_one.other');
ok(wait_until(sub { ($search->count('other_tenant_one') // -1) == 0 }, 60), 'old transaction: documents of another table go');
is(progress('started_at IS NULL', 'item'), 't', 'old transaction: it waits on');
$old->query_safe('COMMIT');
$old->quit;
agrees('old transaction over');

# Nor does one whose table is locked.
sql('INSERT INTO tenant_one.other SELECT n, n FROM generate_series(1, 1000) n');
agrees('before the lock');
my $locker = $node->background_psql('postgres');
$locker->query_safe('BEGIN; LOCK TABLE tenant_one.item IN ACCESS EXCLUSIVE MODE');
sql(q{SELECT tenancy.resync('one', 'item')});
sql(q{SELECT tenancy.resync('one', 'other')});
sql(q{SELECT tenancy.resync('one', 'part')});
# the holder of a lock that is logged has a transaction id: those wait for it too, then go past the lock
ok(wait_until(sub { sql(q{SELECT count(*) FROM tenancy.stat_progress_resync WHERE sink = 'search'}) >= 1 }, 60), 'locked: asked for');
$locker->query_safe('SAVEPOINT a');
sql('UPDATE tenant_one.part SET n = n + 1');
ok(wait_until(sub { ($search->document('part_tenant_one', 5) // {})->{n} == 6 }, 60), 'locked: changes of other tables arrive');
$locker->query_safe('COMMIT');
$locker->quit;
agrees('unlocked');

# Settings and who may see.
isnt($node->psql('postgres', q{SET tenancy.resync_rate = 5}), 0, 'the rate is not for sessions');
sql('CREATE ROLE op IN ROLE tenancy_operator', 'CREATE ROLE app IN ROLE tenancy_app');
is($node->safe_psql('postgres', 'SET ROLE op; SELECT count(*) FROM tenancy.stat_progress_resync'), 0, 'an operator may look');
isnt($node->psql('postgres', 'SET ROLE app; SELECT count(*) FROM tenancy.stat_progress_resync'), 0, 'an application may not');
is(sql('SELECT count(*) FROM tenancy.dead_letter'), 0, 'nothing was refused');
unlike(slurp_file($node->logfile), qr/PANIC|exited with exit code [2-9]/, 'no worker died by itself');
done_testing();
