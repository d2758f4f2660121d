# Benchmark statistics where somebody holds locks, keys are written in other ways, tables change without a word in the WAL,
# a definition is wrong, or there is no room for their worker: right in the end, and nobody else waits for them.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;

my $node = tenancy_node('benchmark_faults', conf => "tenancy.benchmarks = on\n");
$node->start;

sub sql { return $node->safe_psql('postgres', join(';', @_)) }

# Rows of a tenant that are counted, and the sum of their budgets.
sub counted
{
	my ($tenant) = @_;
	return sql("SELECT coalesce(sum(c.n), 0) || ' ' || coalesce(sketch_sum(percentile_sketch_merge(c.budget)), 0)
		FROM tenancy.benchmark_cell c JOIN tenancy.tenant t ON t.id = c.tenant_id WHERE c.technology = '' AND t.name = '$tenant'");
}

# Waits until just these rows are counted.
sub becomes
{
	my ($tenant, $wanted, $name) = @_;
	ok(wait_until(sub { counted($tenant) eq $wanted }, 60), $name) or diag(counted($tenant) . " instead of $wanted");
	return;
}

# Everything has come in: just these rows are counted.
sub settles
{
	my ($tenant, $wanted, $name) = @_;
	ok(sync_wait($node, 'postgres', 60), "$name: in time");
	is(counted($tenant), $wanted, $name);
	return;
}

sql(<<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_create('one'), tenant_create('two');
SELECT tenant_blueprint_add('parts', 1, $$
    CREATE TABLE work (id numeric, at date NOT NULL, kind text, cost int, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
    CREATE TABLE work_1 PARTITION OF work FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
    CREATE TABLE work_2 PARTITION OF work FOR VALUES FROM ('2024-02-01') TO ('2024-03-01')$$);
SELECT tenant_sync_table('parts', 'work', 'work');
SELECT tenant_benchmark_table('parts', 'work', 'kind', 'kind', 'kind', 'cost', 'cost', 'cost', 'at');
SELECT tenant_create('three', 'parts');
CREATE ROLE nobody LOGIN;
SQL

# Locks: of a refresh that does not end, of a rename, and those that anybody can take.
my ($refresh, $rename, $anybody) = map { $node->background_psql('postgres') } 1 .. 3;
sub add { my ($tenant, $n) = @_; return sql("INSERT INTO tenant_$tenant.case_studies (title, budget_usd) VALUES ('$n', $n)") }
add('one', 1);
add('two', 1);
settles('two', '1 1', 'rows');
$refresh->query_safe(q{BEGIN; SELECT tenancy.benchmark_refresh('one')});
add('one', 10);
add('two', 10);
becomes('two', '2 11', 'a refresh is open: the other tenant goes on');
my $lsn = sql('SELECT pg_current_wal_insert_lsn()');
add('two', 100);
becomes('two', '3 111', 'a refresh is open: time and again');
ok(wait_until(sub { sql("SELECT bool_and(acked_lsn >= '$lsn') FROM tenancy.stat_sync WHERE sink IN ('search', 'cache')") eq 't' }, 60), 'a refresh is open: nor do other sinks wait');
is(counted('one'), '1 1', 'a refresh is open: its tenant waits');
$refresh->query_safe('COMMIT');
settles('one', '2 11', 'it has ended');
$rename->query_safe(q{BEGIN; SELECT tenant_rename('one', 'uno')});
add('one', 100);
add('two', 1000);
becomes('two', '4 1111', 'a rename is open: the other tenant goes on');
$rename->query_safe('COMMIT');
settles('uno', '3 111', 'it has ended');
$anybody->query_safe(q{SET ROLE nobody; SELECT pg_advisory_lock(hashtextextended('tenancy.benchmark', n)) FROM generate_series(1, 9) n});
add('uno', 1000);
becomes('uno', '4 1111', 'nobody without a right can hold them up');
$_->quit for $refresh, $rename, $anybody;

# One row has one key, however somebody writes it.
sql(q{SELECT tenancy.mark_dirty('tenant_uno.case_studies', ARRAY[upper(id::text)]) FROM tenant_uno.case_studies});
my ($relid, $id) = split /\|/, sql(q{SELECT 'tenant_uno.case_studies'::regclass::oid, id FROM tenant_uno.case_studies LIMIT 1});
for my $key ("$id\0x\0", "$id\0", "{$id}\0", "rubbish\0", "\0")
{
	my $message = 'K' . pack('L', $relid) . $key;
	sql('SET ROLE nobody', sprintf(q{SELECT pg_logical_emit_message(true, 'pg_tenancy', '\x%s'::bytea)}, unpack('H*', $message)));
}
settles('uno', '4 1111', 'keys that somebody else wrote');
is(sql(q{SELECT count(*) FROM tenancy.dead_letter}), 0, 'of which none is a dead letter');
sql(q{INSERT INTO tenant_three.work VALUES (1.0, '2024-01-05', 'a', 1), (2, '2024-02-05', 'a', 10)});
settles('three', '2 11', 'in partitions');
sql(q{UPDATE tenant_three.work SET id = 1.000 WHERE id = 1});
settles('three', '2 11', 'the same number in other digits');
sql(q{DELETE FROM tenant_three.work WHERE id = 1});
settles('three', '1 10', 'is one row');

# What the WAL does not tell row by row.
sql(q{INSERT INTO tenant_three.work VALUES (3, '2024-01-06', 'a', 100)});
settles('three', '2 110', 'a row more');
sql(q{ALTER TABLE tenant_three.work DETACH PARTITION tenant_three.work_2});
becomes('three', '1 100', 'a partition is detached');
sql(q{ALTER TABLE tenant_three.work ATTACH PARTITION tenant_three.work_2 FOR VALUES FROM ('2024-02-01') TO ('2024-03-01')});
becomes('three', '2 110', 'attached');
sql(q{ALTER TABLE tenant_three.work ALTER cost TYPE numeric USING cost * 2});
becomes('three', '2 220', 'a rewrite');
sql(q{DROP TABLE tenant_three.work_1});
becomes('three', '1 20', 'a partition is dropped');
sql(q{CREATE TABLE tenant_three.spare (LIKE tenant_three.work)}, q{INSERT INTO tenant_three.spare VALUES (5, '2024-01-05', 'a', 1000)},
	q{ALTER TABLE tenant_three.work ATTACH PARTITION tenant_three.spare FOR VALUES FROM ('2024-01-01') TO ('2024-02-01')});
becomes('three', '2 1020', 'a filled one is attached');
sql('DROP TABLE tenant_three.work');
becomes('three', '0 0', 'the table is dropped');
sql(q{CREATE TABLE tenant_three.work (id numeric PRIMARY KEY, at timestamp, kind text, cost real)}, q{INSERT INTO tenant_three.work VALUES (1, now(), 'a', 7)});
becomes('three', '1 7', 'another one of its name');

# A row that cannot be counted is a dead letter, and counts no more as what it was; the others go on.
sql(q{ALTER TABLE tenant_three.work ALTER kind TYPE json USING '["a"]'}, q{INSERT INTO tenant_three.work VALUES (2, now(), '["b"]', 70)});
becomes('three', '2 77', 'two rows');
sql(q{UPDATE tenant_three.work SET kind = '"\u0000"' WHERE id = 1}, q{UPDATE tenant_three.work SET cost = 71 WHERE id = 2});
settles('three', '1 71', 'one cannot be counted');
is(sql(q{SELECT string_agg(sink || key::text, ',') FROM tenancy.dead_letter}), 'statistics{1}', 'it is a dead letter');
sql(q{UPDATE tenant_three.work SET kind = '[]' WHERE id = 1});
settles('three', '2 78', 'it can be counted again');
is(sql(q{SELECT count(*) FROM tenancy.dead_letter}), 0, 'no dead letter is left');
sql(q{ALTER TABLE tenant_three.work ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY}, q{UPDATE tenant_three.work SET cost = 8 WHERE id = 1});
settles('three', '2 79', 'rows under row security');

# A cache template that is wrong is the cache's trouble.
sql(q{SELECT tenant_sync_table('parts', 'work', 'work', cache_keys => ARRAY['w:{at}'])}, q{UPDATE tenant_three.work SET cost = 9 WHERE id = 1});
settles('three', '2 80', 'a wrong template of the cache');
is(sql(q{SELECT count(*) FROM tenancy.resync WHERE sink = 'statistics'}), 0, 'does not block the statistics');
sql(q{ALTER TABLE tenant_three.work RENAME cost TO price}, q{INSERT INTO tenant_three.work VALUES (3, now(), '[]', 800)});
ok(wait_until(sub { sql(q{SELECT last_error FROM tenancy.resync WHERE sink = 'statistics' AND phase = 'blocked'}) eq 'column "cost" is not there' }, 60), 'a column is gone: says so');
sql(q{SELECT tenant_benchmark_table('parts', 'work', 'kind', 'kind', 'kind', 'price', 'price', 'price', 'at')});
becomes('three', '3 880', 'it is named');

# Off: no worker is needed, and nobody waits for it.
$node->append_conf('postgresql.conf', "tenancy.benchmarks = off\nmax_worker_processes = 5\n");
$node->restart;
add('two', 1);
$lsn = sql('SELECT pg_current_wal_insert_lsn()');
ok($node->poll_query_until('postgres', "SELECT confirmed_flush_lsn >= '$lsn' FROM pg_replication_slots"), 'no room for the worker, which is off: the WAL is let go');
ok(sync_wait($node, 'postgres', 60), 'nor does anybody wait');
is(sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_tenancy statistics sink'}), 0, 'there is none');
$node->append_conf('postgresql.conf', "tenancy.benchmarks = on\nmax_worker_processes = 24\n");
$node->restart;
settles('two', '5 1112', 'on again');
$node->stop;
done_testing();
