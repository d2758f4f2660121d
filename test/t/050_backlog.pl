# The search server is away while much is written: the WAL kept and the worker's memory are bounded, and nothing is forgotten.

use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep time);
use List::Util qw(max sum);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;
use TenancyLoad;

need_servers('elasticsearch7');
my $search = TenancySearch->start('elasticsearch7');
my $node = tenancy_node('backlog', search => $search, conf => <<CONF);
tenancy.dirty_mem = 4MB
tenancy.retry_max = 2s
autovacuum_naptime = 5s
CONF
$node->start;

use constant MB => 1024 * 1024;

sub sql { return $node->safe_psql('postgres', join(';', @_)) }
sub backlog { return sql('SELECT count(*) FROM tenancy.backlog') }
sub search_pid { return (worker_pids($node, 'pg_tenancy search sink'))[0] }

# Bytes of memory of its own.
sub own_memory
{
	my ($pid) = @_;
	open(my $status, '<', "/proc/$pid/status") or return 0;
	my ($kb) = map { /^RssAnon:\s+(\d+)/ ? $1 : () } <$status>;
	return 1024 * ($kb // 0);
}

# One batch of writes: 100 rows of 8 kB that no compression makes smaller, and 200 small new ones, in 5 transactions.
sql(<<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('shop', 1, $$
CREATE TABLE large (id int PRIMARY KEY, n int, filler text);
ALTER TABLE large ALTER filler SET STORAGE EXTERNAL;
CREATE TABLE small (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int);
$$);
SELECT tenant_sync_table('shop', t, t, mapping => '{"mappings": {"dynamic": false}}') FROM unnest(ARRAY['large', 'small']) t;
SELECT tenant_create(n, 'shop') FROM unnest(ARRAY['a', 'b']) n;
CREATE TABLE filler AS SELECT i, string_agg(md5(i || ' ' || k), '') AS text FROM generate_series(0, 49) i, generate_series(1, 256) k GROUP BY i;
INSERT INTO tenant_a.large SELECT n, 0, 'x' FROM generate_series(1, 2000) n;
CREATE PROCEDURE write(i int) LANGUAGE plpgsql AS $$
BEGIN
	FOR part IN 0 .. 4 LOOP
		UPDATE tenant_a.large l SET n = write.i, filler = f.text FROM filler f
		 WHERE f.i = (l.id + write.i) % 50 AND l.id BETWEEN (write.i * 100 + part * 20) % 2000 + 1 AND (write.i * 100 + part * 20) % 2000 + 20;
		INSERT INTO tenant_b.small (n) SELECT write.i FROM generate_series(1, 40);
		COMMIT;
	END LOOP;
END
$$;
SQL
all_agree($node, 'postgres', $search, 'start');

my $pid = search_pid();
my $before = own_memory($pid);
$search->stop;
sql('CALL write(0)');
ok(wait_until(sub { state_of($node, 'postgres', 'search') eq 'unreachable' }, 60), 'the server is away');
my $start = sql('SELECT pg_current_wal_lsn()');
my ($i, $written, $memory, @samples) = (0, 0, 0);
while ($written < 240 * MB)
{
	sql(map { $i++; "CALL write($i)" } 1 .. 20);
	(my $lag, my $kept, $written) = split /\|/, sql(<<"SQL");
SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn), pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn),
       pg_wal_lsn_diff(pg_current_wal_lsn(), '$start') FROM pg_replication_slots
SQL
	push @samples, $lag;
	$memory = max($memory, own_memory($pid));
}
diag(sprintf 'written %d MB; WAL not confirmed, MB: %s; memory %d MB, before %d MB', $written / MB, join(' ', map { int($_ / MB) } @samples), $memory / MB, $before / MB);
cmp_ok(max(@samples), '<', 64 * MB, 'the WAL kept stays below 64 MB');
my $third = int(@samples / 3);
cmp_ok(sum(@samples[ -$third .. -1 ]) / $third, '<', max(@samples[ 0 .. 2 * $third ]) + 8 * MB, 'and does not grow');
cmp_ok($memory - $before, '<', 32 * MB, 'the memory of the worker is bounded');
is(search_pid(), $pid, 'the worker is the one from before');
ok($node->poll_query_until('postgres', q{SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) < 64 * 1024 * 1024 FROM pg_replication_slots}), 'the slot itself keeps less than 64 MB');
cmp_ok(backlog(), '>', 5000, 'the keys are in the backlog');

# Comes back, with a worker that dies amid the backlog, and once more while nothing is confirmed.
my $left = backlog();
$search->start;
ok(wait_until(sub { backlog() < $left }, 120), 'back: the backlog gets shorter');
ok(kill_worker($node, 'pg_tenancy search sink'), 'killed amid the backlog: another worker');
sql('CALL write(100000)', 'DELETE FROM tenant_b.small WHERE id % 10 = 0', 'DELETE FROM tenant_a.large WHERE id % 10 = 0');
$left = backlog();
if ($left > 0)
{
	wait_until(sub { backlog() < $left }, 60);
	ok(kill_worker($node, 'pg_tenancy search sink'), 'killed once more: another worker');
}
all_agree($node, 'postgres', $search, 'the end', 300);
is(backlog(), 0, 'the end: the backlog is empty');
done_testing();
