# tenancy.verify() in bounded memory, on OpenSearch, and the samples that are compared by themselves.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(time sleep);
use TenancyTest;

need_servers('opensearch2');
my $rows = 100_000;
my $search = TenancySearch->start('opensearch2');
my $node = tenancy_node('scale', search => $search);
$node->start;

sub sql { return $node->safe_psql('postgres', join(';', @_)) }
sub synced { return sync_wait($node, 'postgres', 400) }
sub verify { return sql('SELECT * FROM tenancy.verify(' . ($_[0] // '') . ')') }

# Peak memory of a process that is not shared, kB; 0 if it is gone.
sub private_memory
{
	my ($pid) = @_;
	open(my $file, '<', "/proc/$pid/status") or return 0;
	my %is = map { /^(Rss\w+):\s+(\d+)/ ? ($1 => $2) : () } <$file>;
	return ($is{RssAnon} // 0);
}

sql(<<SQL);
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('log', 1, \$\$CREATE TABLE line (id bigint PRIMARY KEY, text text, n int)\$\$);
SELECT tenant_sync_table('log', 'line', 'line', mapping => '{"mappings": {"dynamic": false}}');
SELECT tenant_create('big', 'log'), tenant_create('small', 'log');
INSERT INTO tenant_big.line SELECT n, 'text ' || n || repeat(' word', 40), n FROM generate_series(1, $rows) n;
INSERT INTO tenant_small.line SELECT n, 'text ' || n, n FROM generate_series(1, 20) n;
SQL
ok(synced(), 'rows are in the index');

# Runs a verify and watches its worker; (result, peak kB, seconds).
sub watched
{
	my ($args) = @_;
	my $peak = 0;
	my $start = time;
	my $session = IPC::Run::start([ $node->installed_command('psql'), '-X', '-At', '-h', $node->host, '-p', $node->port, '-d', 'postgres', '-c', "SELECT * FROM tenancy.verify($args)" ],
		'<', \undef, '>', \my $out, '2>', \my $errors);
	while ($session->pumpable)
	{
		$session->pump_nb;
		for (worker_pids($node, 'pg_tenancy verify'))
		{
			my $now = private_memory($_);
			$peak = $now if $now > $peak;
		}
		sleep 0.05;
	}
	$session->finish;
	chomp $out;
	return ($out, $peak, time - $start, $errors);
}

my ($out, $peak, $seconds) = watched(q{'big'});
is($out, "big|line|0|0|0|$rows", 'every row is compared');
diag(sprintf '%d rows in %.1f s, %d kB of private memory', $rows, $seconds, $peak);
cmp_ok($peak, '<', 64 * 1024, 'in little memory');

# Every tenth document wrong, and as many without a row.
my ($status, $reply) = $search->request('POST', '/line_tenant_big/_delete_by_query?refresh=true', { query => { term => { _id => '4711' } } });
is($reply->{deleted}, 1, 'one document deleted');
my $version = (sort { $b <=> $a } map { ($search->raw('GET', "/line_tenant_big/_doc/$_"))[1] =~ /"_version":(\d+)/ } map { $_ * 250 } 1 .. $rows / 250)[0];
for my $from (map { $_ * 5000 } 0 .. 1)
{
	my $body = join '', map { my $id = $from + $_; map { qq({"index":{"_id":"$_","version":$version,"version_type":"external_gte"}}\n{"id":$id,"text":"wrong","n":$id}\n) } $id * 10, $id + 1_000_000 } 1 .. 5000;
	($status, $reply) = $search->request('POST', '/line_tenant_big/_bulk', $body);
	is($status, 200, 'documents planted');
}

($out, $peak, $seconds) = watched(q{'big', repair => true});
is($out, "big|line|1|10000|10000|$rows", 'all of it is found');
diag(sprintf '20001 differences found and marked in %.1f s, %d kB of private memory', $seconds, $peak);
cmp_ok($peak, '<', 64 * 1024, 'in little memory');
ok(synced(), 'repaired');
is(verify(q{'big'}), "big|line|0|0|0|$rows", 'nothing is left');

# Samples.
sub shown { return sql(q{SELECT verified, missing, stale, ghosts FROM tenancy.stat_sync WHERE sink = 'search' AND verified_at > '} . $_[0] . q{'}) }
is(sql('SELECT count(*) FROM tenancy.stat_sync WHERE verified_at IS NULL'), 3, 'no sample yet');
my $from = sql('SELECT now()');
$node->append_conf('postgresql.conf', "tenancy.verify_interval = '1s'\ntenancy.verify_sample = 500\n");
$node->reload;
ok(wait_until(sub { shown($from) =~ /^\d+\|0\|0\|0$/ }, 30), 'a sample is taken and nothing is wrong') or diag(shown($from));
my ($checked) = split /\|/, shown($from);
cmp_ok($checked, '>=', 20, "and has rows: $checked");
cmp_ok($checked, '<=', 1000, 'not too many');
is(sql(q{SELECT count(verified_at) FROM tenancy.stat_sync WHERE sink <> 'search'}), 0, 'no sample of others');
my $log = -s $node->logfile;
my ($of_small) = ($search->raw('GET', '/line_tenant_small/_doc/1'))[1] =~ /"_version":(\d+)/;
$search->raw('DELETE', "/line_tenant_small/_doc/$_?version=$of_small&version_type=external_gte") for 1 .. 10;
$search->raw('PUT', "/line_tenant_small/_doc/$_?version=$of_small&version_type=external_gte", '{}') for 11 .. 15, 100 .. 101;
$search->refresh('line_tenant_small');
$from = sql('SELECT now()');
ok(wait_until(sub { shown($from) =~ /\|10\|5\|2$/ }, 60), 'a sample shows what is wrong') or diag(shown($from));
like(slurp_file($node->logfile, $log), qr/WARNING:  the search index of relation "line" of tenant "small" differs from it\n.*In a sample, 10 rows were missing, 5 stale, and 2 documents had no row/, 'and the log says so');
sql(q{SELECT * FROM tenancy.verify('small', repair => true)});
ok(synced(), 'mended');
$from = sql('SELECT now()');
ok(wait_until(sub { shown($from) =~ /\|0\|0\|0$/ }, 60), 'and the next sample shows it');

# A new index that is never what the table says: somebody takes a document out of it each time.
sub spoil
{
	my $new = sql(q{SELECT to_index FROM tenancy.stat_progress_reindex WHERE phase IN ('filling', 'verifying')}) or return;
	my ($version) = ($search->raw('GET', "/$new/_doc/1"))[1] =~ /"_version":(\d+)/ or return;
	$search->raw('DELETE', "/$new/_doc/1?version=$version&version_type=external_gte&refresh=true");
	return;
}
my $attempts = q{SELECT coalesce(max(attempts), 0) FROM tenancy.stat_progress_reindex WHERE phase = 'verifying'};
# filled slowly, so that there is time for that
sql('ALTER SYSTEM SET tenancy.resync_rate = 5', 'SELECT pg_reload_conf()');
sql(q{SELECT tenancy.reindex('small', 'line')});
ok(wait_until(sub { spoil(); sql($attempts) > 0 }, 60), 'a new index is not what the table says');
$from = sql('SELECT now()');
ok(wait_until(sub { spoil(); shown($from) ne '' || sql($attempts) == 0 }, 60), 'meanwhile');
isnt(shown($from), '', 'samples are taken all the same') or diag(sql('TABLE tenancy.stat_progress_reindex'));
sql('ALTER SYSTEM RESET tenancy.resync_rate', 'SELECT pg_reload_conf()');
ok(wait_until(sub { sql(q{SELECT count(*) FROM tenancy.stat_progress_reindex WHERE phase <> 'grace'}) == 0 }, 60), 'and it serves when nobody spoils it');

# Commands that need the database without connections, while samples are taken.
sql('CREATE DATABASE other');
$node->safe_psql('other', <<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_create('one');
INSERT INTO tenant_one.case_studies (title, timeline_weeks) SELECT 'title', n FROM generate_series(1, 300) n;
SQL
ok(sync_wait($node, 'other', 60), 'another database');
ok(wait_until(sub { $node->safe_psql('other', q{SELECT verified > 0 FROM tenancy.stat_sync WHERE sink = 'search'}) eq 't' }, 60), 'samples there too');
$search->halt;
sleep 2;
sql('DROP DATABASE other');
$search->cont;
is(sql(q{SELECT count(*) FROM pg_database WHERE datname = 'other'}), 0, 'DROP DATABASE has its way');
$node->append_conf('postgresql.conf', "tenancy.verify_interval = 0\n");
$node->reload;
ok(wait_until(sub { !worker_pids($node, 'pg_tenancy verify') }, 30), 'samples end');
sleep 2;
$from = sql('SELECT now()');
sleep 3;
is(shown($from), '', 'and none is taken');

unlike(slurp_file($node->logfile), qr/PANIC|TRAP|was terminated by signal/, 'nothing crashed');
$node->stop;
done_testing();
