# The extension and whole databases come, go, are copied and renamed under the workers; settings change by reload.

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
my $node = tenancy_node('drop', search => $search, redis => $redis, conf => "tenancy.max_databases = 3\n");
$node->start;

# A database with the extension and a tenant with rows.
sub make_database
{
	my ($database, @tenants) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, 'CREATE EXTENSION pg_tenancy');
	add_tenants($database, @tenants);
	return;
}

sub add_tenants
{
	my ($database, @tenants) = @_;
	$node->safe_psql($database, "SELECT tenant_create('$_');
		INSERT INTO tenant_$_.case_studies (title, timeline_weeks) SELECT '$_ ' || n, n FROM generate_series(1, 100) n") for @tenants;
	return;
}

sub agrees { return all_agree($node, shift, $search, @_) }

# Workers in databases that are always there; the launcher has none.
sub workers { return $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'pg_tenancy%' AND backend_type NOT IN ('pg_tenancy launcher', 'pg_tenancy cache inspector')") }
sub slots { return $node->safe_psql('postgres', 'SELECT count(*) FROM pg_replication_slots') }

# The number of databases that are synced.
sub becomes
{
	my ($number, $name) = @_;
	ok(wait_until(sub { slots() == $number && workers() == 3 * $number }, 60), "$name: $number slots and their workers")
	  or diag(slots() . ' slots, ' . workers() . ' workers');
	return;
}

# Several databases at the same time.
make_database('first', 'a1', 'a2');
make_database('second', 'b1');
agrees('first', 'two databases, first');
agrees('second', 'two databases, second');
becomes(2, 'two databases');

# DROP EXTENSION while rows flow.
my $load = start_load($node, 'first');
ok(wait_until(sub { load_runs($load) >= 2 }, 60), 'rows flow');
$node->safe_psql('first', 'SET client_min_messages = warning; DROP EXTENSION pg_tenancy CASCADE');
becomes(1, 'extension dropped');
stop_load($load);
$node->safe_psql('second', "UPDATE tenant_b1.case_studies SET title = 'x' WHERE timeline_weeks < 5");
agrees('second', 'extension dropped, the other database');
$node->safe_psql('first', 'CREATE EXTENSION pg_tenancy');
add_tenants('first', 'a3');
becomes(2, 'extension made again');
agrees('first', 'extension made again');

# A tenant whose alias still belongs to an index of the former instance.
my ($old) = keys %{ ($search->request('GET', '/_alias/case_studies_tenant_a1'))[1] };
$node->safe_psql('first', 'DROP SCHEMA tenant_a1, tenant_a2 CASCADE');
add_tenants('first', 'a1');
ok($node->poll_query_until('first', "SELECT last_error LIKE '%$old%' FROM tenancy.search_index WHERE alias = 'case_studies_tenant_a1'"), 'alias taken: the error names the index');
is($search->count($old), $search->count('case_studies_tenant_a1'), 'alias taken: not touched');
for my $alias (qw(case_studies_tenant_a1 technologies_tenant_a1))
{
	my ($index) = keys %{ ($search->request('GET', "/_alias/$alias"))[1] };
	is(($search->raw('DELETE', "/$index"))[0], 200, 'old index deleted');
}
agrees('first', 'alias free again');

# DROP EXTENSION in a transaction that is rolled back.
$node->safe_psql('first', 'BEGIN; SET LOCAL client_min_messages = warning; DROP EXTENSION pg_tenancy CASCADE; ROLLBACK');
$node->safe_psql('first', "UPDATE tenant_a1.case_studies SET title = 'y' WHERE timeline_weeks < 5");
agrees('first', 'DROP EXTENSION rolled back');

# A database that cannot be dropped: its workers come back.
my $session = $node->background_psql('first');
$session->query_safe('SELECT 1');
my ($status, $out, $errors) = $node->psql('postgres', 'DROP DATABASE first');
like($errors, qr/being accessed by other users/, 'DROP DATABASE fails while a session is there');
like($errors, qr/There is 1 other session/, 'and the workers are not in the way');
becomes(2, 'failed DROP DATABASE');
$session->quit;
$node->safe_psql('first', "UPDATE tenant_a1.case_studies SET title = 'z' WHERE timeline_weeks < 5");
agrees('first', 'failed DROP DATABASE');

# Copied, and renamed.
$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE first');
becomes(3, 'copied');
$node->safe_psql('copy', "UPDATE tenant_a1.case_studies SET title = 'of the copy'; DELETE FROM tenant_a3.case_studies");
ok(wait_until(sub { state_of($node, 'copy', 'search') eq 'running' }, 60), 'copied: the copy has its workers');
sync_wait($node, 'copy', 15);
$node->safe_psql('first', "UPDATE tenant_a1.case_studies SET title = 'copied' WHERE timeline_weeks < 5");
agrees('first', 'copied: the copy leaves the indices of the original alone');
$node->safe_psql('postgres', 'ALTER DATABASE second RENAME TO renamed');
$node->safe_psql('renamed', "UPDATE tenant_b1.case_studies SET title = 'renamed' WHERE timeline_weeks < 9");
agrees('renamed', 'renamed');

# One too many.
my $log = -s $node->logfile;
make_database('fourth', 'd1');
ok(wait_until(sub { slurp_file($node->logfile, $log) =~ /is not synced: no place for it/ }, 60), 'one database too many: said in the log');
like(slurp_file($node->logfile, $log), qr/tenancy\.max_databases/, 'and which setting');
is($node->safe_psql('fourth', 'SELECT count(*) FROM tenant_d1.case_studies'), 100, 'the rest works');

# Dropped, also under load; then there is room for the one that waits.
$node->safe_psql('postgres', 'DROP DATABASE copy');
becomes(2, 'DROP DATABASE') if $node->safe_psql('postgres', "SELECT count(*) FROM pg_database WHERE datname = 'fourth'") == 0;
ok(wait_until(sub { eval { state_of($node, 'fourth', 'search') eq 'running' } }, 60), 'the database that waited has its workers');
agrees('fourth', 'the database that waited');
$load = start_load($node, 'first');
ok(wait_until(sub { load_runs($load) >= 2 }, 60), 'rows flow');
$node->safe_psql('postgres', 'DROP DATABASE first WITH (FORCE)');
stop_load($load);
becomes(2, 'DROP DATABASE WITH (FORCE)');
$node->safe_psql('renamed', "UPDATE tenant_b1.case_studies SET title = 'still' WHERE timeline_weeks < 9");
agrees('renamed', 'the others go on');

# Sinks switched off and on by reload.
sub reload_with
{
	my ($line) = @_;
	$node->append_conf('postgresql.conf', $line);
	$node->reload;
	return;
}
reload_with("tenancy.search_url = ''");
ok(wait_until(sub { state_of($node, 'renamed', 'search') eq 'disabled' }, 60), 'no search_url: disabled');
$node->safe_psql('renamed', "UPDATE tenant_b1.case_studies SET title = 'unseen' WHERE timeline_weeks < 50; DELETE FROM tenant_b1.case_studies WHERE timeline_weeks > 90;
	INSERT INTO tenant_b1.case_studies (title) VALUES ('unseen')");
ok(sync_wait($node, 'renamed', 60), 'no search_url: not waited for');
is($search->count('case_studies_tenant_b1'), 100, 'no search_url: nothing was sent');
add_tenants('renamed', 'b2');
reload_with($search->settings);
ok(wait_until(sub { state_of($node, 'renamed', 'search') eq 'running' }, 60), 'search_url again: running');
agrees('renamed', 'search_url again');

# The same while the server is not there: what passes must be found when both are back.
$search->kill9;
$node->safe_psql('renamed', "UPDATE tenant_b1.case_studies SET title = 'away' WHERE timeline_weeks = 51");
ok(wait_until(sub { state_of($node, 'renamed', 'search') eq 'unreachable' }, 60), 'server away: unreachable');
reload_with("tenancy.search_url = ''");
ok(wait_until(sub { state_of($node, 'renamed', 'search') eq 'disabled' }, 60), 'server away, no search_url: disabled');
$node->safe_psql('renamed', "UPDATE tenant_b1.case_studies SET title = 'unseen too' WHERE timeline_weeks > 60");
ok(sync_wait($node, 'renamed', 60), 'server away, no search_url: not waited for');
$search->start;
reload_with($search->settings);
ok(wait_until(sub { state_of($node, 'renamed', 'search') eq 'running' }, 60), 'server and search_url again: running');
agrees('renamed', 'server and search_url again');

fill_cache($node, 'renamed', $redis, 'b1');
reload_with("tenancy.redis_url = ''");
ok(wait_until(sub { state_of($node, 'renamed', 'cache') eq 'disabled' }, 60), 'no redis_url: disabled');
$node->safe_psql('renamed', "UPDATE tenant_b1.case_studies SET title = 'not unlinked' WHERE timeline_weeks < 50");
ok(sync_wait($node, 'renamed', 60), 'no redis_url: not waited for');
cmp_ok((stale_keys($node, 'renamed', $redis, 'b1'))[0], '>', 0, 'no redis_url: nothing is unlinked');
reload_with($redis->settings);
ok(wait_until(sub { state_of($node, 'renamed', 'cache') eq 'running' }, 60), 'redis_url again: running');
agrees('renamed', 'redis_url again');
is((stale_keys($node, 'renamed', $redis, 'b1'))[0], 0, 'redis_url again: no stale key');

# URLs that are refused.
$log = -s $node->logfile;
reload_with("tenancy.search_url = 'http://user:verysecret\@127.0.0.1:9'\ntenancy.redis_url = 'nonsense'");
ok(wait_until(sub { slurp_file($node->logfile, $log) =~ /invalid value for parameter "tenancy\.redis_url"/ }, 60), 'nonsense is refused');
like(slurp_file($node->logfile, $log), qr/must not contain a user or a password/, 'a URL with a password is refused');
is($node->safe_psql('renamed', 'SHOW tenancy.search_url'), $search->url, 'the old one stays');
my ($ret, $shown, $told) = $node->psql('renamed', "ALTER SYSTEM SET tenancy.search_url = 'http://user:othersecret\@127.0.0.1:9'");
like($told, qr/must not contain a user or a password/, 'refused by ALTER SYSTEM too');
unlike($node->safe_psql('renamed', "SELECT setting FROM pg_settings WHERE name LIKE 'tenancy%'"), qr/secret/, 'and never shown');
reload_with($search->settings . $redis->settings);
$node->safe_psql('renamed', "UPDATE tenant_b1.case_studies SET title = 'the end' WHERE timeline_weeks < 5");
agrees('renamed', 'the end');
unlike(slurp_file($node->logfile), qr/PANIC|was terminated by signal/, 'nothing crashed');
done_testing();
