# Benchmark statistics are fresh by themselves: whatever happens to rows, tenants and workers, in the end they say what the rows say.

use strict;
use warnings;
use File::Basename qw(dirname);
use JSON::PP ();
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;

my $node = tenancy_node('benchmark', conf => "tenancy.benchmarks = on\ntenancy.retry_max = 1s\n");
$node->start;

sub sql { return $node->safe_psql('postgres', join(';', @_)) }

# What is wrong with the cells of a tenant, and how many cells there are, once everything has come in.
sub cells
{
	my ($tenant) = @_;
	return 'not in time' unless sync_wait($node, 'postgres', 90);
	return sql("BEGIN; SELECT * FROM cells('$tenant'); COMMIT");
}

# Rows of case studies number FROM to TO.
sub rows_sql
{
	my ($tenant, $from, $to) = @_;
	return qq{INSERT INTO tenant_$tenant.case_studies (title, industry, company_size, technologies, timeline_weeks, budget_usd)
		SELECT n, 'i' || n % 3, 's' || n % 2, jsonb_build_array('t' || n % 4, 't' || n % 5), n % 90, n FROM generate_series($from, $to) n};
}

sql(<<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_create('one');
CREATE FUNCTION cells(tenant text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    PERFORM tenant_use(tenant);
    EXECUTE format($q$
        SELECT count(*) || ' cells, wrong: ' || count(*) FILTER (WHERE e.n IS DISTINCT FROM s.count OR e.m IS DISTINCT FROM s.median_timeline OR e.b IS DISTINCT FROM s.median_budget OR e.a IS DISTINCT FROM s.avg_budget OR e.p IS DISTINCT FROM s.p90_timeline)
        FROM (SELECT t, industry, company_size, count(*) AS n, percentile_cont(0.5) WITHIN GROUP (ORDER BY timeline_weeks) AS m, percentile_cont(0.5) WITHIN GROUP (ORDER BY budget_usd) AS b,
              avg(budget_usd)::float8 AS a, percentile_cont(0.9) WITHIN GROUP (ORDER BY timeline_weeks) AS p
              FROM tenant_%s.case_studies, LATERAL (SELECT DISTINCT t FROM jsonb_array_elements_text(technologies) t) x GROUP BY 1, 2, 3) e
        FULL JOIN benchmark_statistics s ON s.technology = e.t AND s.customer_industry = e.industry AND s.company_size = e.company_size$q$, tenant) INTO answer;
    RETURN answer;
END $$;
SQL

is(cells('one'), '0 cells, wrong: 0', 'no row');
sql(rows_sql('one', 1, 300));
like(cells('one'), qr/^\d\d cells, wrong: 0$/, 'rows come');
sql(q{UPDATE tenant_one.case_studies SET timeline_weeks = timeline_weeks + 1, technologies = '["t0", "new"]' WHERE timeline_weeks < 10},
	q{UPDATE tenant_one.case_studies SET industry = 'moved' WHERE timeline_weeks BETWEEN 20 AND 25}, q{DELETE FROM tenant_one.case_studies WHERE timeline_weeks > 70});
like(cells('one'), qr/, wrong: 0$/, 'rows change their cells, and go');
is(sql(q{BEGIN; SELECT FROM tenant_use('one'); SELECT tenant_benchmark('new') ->> 'count' = (SELECT count(*)::text FROM tenant_one.case_studies WHERE technologies ? 'new'); COMMIT}) =~ s/\s//gr,
	't', 'tenant_benchmark says so');
is(sql(q{SELECT string_agg(sink || ' ' || state, ',' ORDER BY sink) FROM tenancy.stat_sync WHERE sink = 'statistics'}), 'statistics running', 'the status view has the sink');

# The dashboard's queries, by a role that may do nothing else.
my $dashboard = JSON::PP::decode_json(slurp_file(dirname(__FILE__) . '/../../docs/deploy/grafana-benchmark.json'));
sql('CREATE ROLE grafana', 'GRANT USAGE ON SCHEMA tenancy TO grafana', 'GRANT EXECUTE ON FUNCTION tenancy.benchmark_histogram, tenancy.benchmark_tenants TO grafana');
my ($names) = grep { $_->{name} eq 'tenant' } @{ $dashboard->{templating}{list} };
is(sql('SET ROLE grafana', $names->{query}), 'one', 'dashboard: tenants');
my ($query) = map { $_->{rawSql} } map { @{ $_->{targets} } } @{ $dashboard->{panels} };
my %value = (tenant => 'one', measure => 'budget_usd', technology => 'new');
$query =~ s/\$\{(\w+):sqlstring\}/'$value{$1}'/g;
is(sql('SET ROLE grafana', qq{SELECT count(*) || ' ' || sum(projects) FROM ($query) q}), '20 ' . sql(q{SELECT count(*) FROM tenant_one.case_studies WHERE technologies ? 'new'}), 'dashboard: its bars');
isnt($node->psql('postgres', 'SET ROLE grafana; SELECT * FROM tenancy.benchmark_cell'), 0, 'dashboard: no more than that');

# A worker that dies, a server that crashes, rows that are written meanwhile.
ok(kill_worker($node, 'pg_tenancy statistics sink', 'pg_tenancy capture'), 'the worker is killed');
sql(rows_sql('one', 301, 400));
like(cells('one'), qr/, wrong: 0$/, 'after a crash');
sql(rows_sql('one', 401, 450), q{UPDATE tenant_one.case_studies SET budget_usd = budget_usd * 2 WHERE budget_usd < 50});
$node->restart('immediate');
like(cells('one'), qr/, wrong: 0$/, 'after another one');

# Switched off: nothing is held back for it; on again: all rows are looked at, and those that are gone.
$node->append_conf('postgresql.conf', "tenancy.benchmarks = off\n");
$node->reload;
ok(wait_until(sub { sql(q{SELECT NOT enabled FROM tenancy.sink WHERE name = 'statistics'}) eq 't' }, 60), 'off');
sql(rows_sql('one', 451, 500), q{DELETE FROM tenant_one.case_studies WHERE timeline_weeks BETWEEN 30 AND 40});
my $lsn = sql('SELECT pg_current_wal_insert_lsn()');
ok($node->poll_query_until('postgres', "SELECT confirmed_flush_lsn >= '$lsn' FROM pg_replication_slots"), 'off: the WAL is let go');
unlike(cells('one'), qr/, wrong: 0$/, 'off: they are what they were');
$node->append_conf('postgresql.conf', "tenancy.benchmarks = on\n");
$node->reload;
ok(wait_until(sub { sql(q{SELECT enabled FROM tenancy.sink WHERE name = 'statistics'}) eq 't' }, 60), 'on');
like(cells('one'), qr/, wrong: 0$/, 'on: fresh again');

# TRUNCATE, a rename, another tenant, tenants that go.
sql(q{SELECT tenant_rename('one', 'two')}, rows_sql('two', 501, 520));
like(cells('two'), qr/, wrong: 0$/, 'renamed');
sql(q{SELECT tenant_create('three')}, rows_sql('three', 1, 50));
like(cells('three'), qr/^\d+ cells, wrong: 0$/, 'another tenant');
sql('TRUNCATE tenant_two.case_studies', rows_sql('two', 1, 5));
like(cells('two'), qr/^\d+ cells, wrong: 0$/, 'truncated');
is(sql(q{SELECT count(*) FROM tenancy.benchmark_row b JOIN tenancy.tenant t ON t.id = b.tenant_id WHERE t.name = 'two'}), 5, 'truncated: nothing else counts');

# Paused, and a table that is locked: the others go on.
is(sql(q{SELECT tenancy.pause('statistics', 'three')}), 't', 'paused');
sql(rows_sql('three', 51, 60), rows_sql('two', 6, 9));
ok(wait_until(sub { sql(q{SELECT count(*) FROM tenancy.benchmark_row}) == 59 }, 60), 'paused: the other tenant goes on');
is(sql(q{SELECT tenancy.resume('statistics', 'three')}), 't', 'resumed');
like(cells('three'), qr/^\d+ cells, wrong: 0$/, 'resumed');
my $holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN; LOCK tenant_three.case_studies IN ACCESS EXCLUSIVE MODE');
sql(q{SELECT tenancy.resync('three')}, rows_sql('two', 10, 12));
ok(wait_until(sub { sql(q{SELECT count(*) FROM tenancy.benchmark_row}) == 72 }, 60), 'a locked table: the others go on');
$holder->query_safe('COMMIT');
$holder->quit;

# A column that is gone: says so, and it is right once it is there again.
sql(q{ALTER TABLE tenant_two.case_studies RENAME COLUMN roi_percent TO gain}, rows_sql('two', 13, 14));
ok(wait_until(sub { sql(q{SELECT last_error FROM tenancy.resync WHERE sink = 'statistics' AND phase = 'blocked'}) eq 'column "roi_percent" is not there' }, 60), 'a column is gone: blocked');
sql(q{ALTER TABLE tenant_two.case_studies RENAME COLUMN gain TO roi_percent});
like(cells('two'), qr/^\d+ cells, wrong: 0$/, 'it is back: right');
is(sql(q{SELECT tenant_drop('two', purge => true)}), 't', 'dropped');
ok(sync_wait($node, 'postgres', 60), 'dropped: in the sinks');
is(sql(q{SELECT count(DISTINCT tenant_id) FROM tenancy.benchmark_cell}), 1, 'dropped: nothing of it');
$node->stop;
done_testing();
