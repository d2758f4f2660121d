# Not preloaded, or with wal_level = replica: everything but the sync works, and what is missing is said.

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
my $node = tenancy_node('unready', search => $search, redis => $redis, preload => 0, wal_level => 'replica');
$node->start;

# The SQLSTATE and the text of what a statement throws.
sub error_of
{
	my ($sql) = @_;
	my ($status, $out, $errors) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql");
	return $errors;
}

# What works without workers.
sub all_but_sync_works
{
	my ($name, $tenant) = @_;
	$node->safe_psql('postgres', "SELECT tenant_create('$tenant');
		INSERT INTO tenant_$tenant.case_studies (title, full_text) SELECT 'Migrating number ' || n, 'From mainframes' FROM generate_series(1, 50) n");
	my $found = $node->safe_psql('postgres', "BEGIN; SELECT tenant_use('$tenant'); SELECT tenant_search('mainframe', options => '{\"engine\": \"postgresql\"}'); COMMIT");
	like($found, qr/"total": 50\b/, "$name: search by PostgreSQL");
	$node->safe_psql('postgres', "BEGIN; SELECT tenant_use('$tenant'); SELECT tenant_cache_set('k', '1'); COMMIT");
	is(redis_cmd($redis, 'GET', "tenant:$tenant:k"), 1, "$name: cache");
	is($node->safe_psql('postgres', "BEGIN; SELECT tenant_use('$tenant'); SELECT tenant_current(); COMMIT") =~ s/\s//gr, $tenant, "$name: tenant_use");
	return;
}

# Neither preloaded nor logical.
$node->safe_psql('postgres', 'CREATE EXTENSION pg_tenancy');
all_but_sync_works('not preloaded', 'one');
my $errors = error_of('SELECT tenancy.sync_wait()');
like($errors, qr/TN007/, 'not preloaded: SQLSTATE');
like($errors, qr/shared_preload_libraries = 'pg_tenancy'/, 'not preloaded: the line to add');
is($node->safe_psql('postgres', q{SELECT DISTINCT state FROM tenancy.stat_sync}), 'not preloaded', 'not preloaded: the state says so');
like($node->safe_psql('postgres', q{SELECT DISTINCT last_error FROM tenancy.stat_sync}), qr/shared_preload_libraries = 'pg_tenancy'/, 'and what to do');
is(scalar worker_pids($node, 'pg_tenancy%'), 0, 'not preloaded: no worker');

# Preloaded, not logical.
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_tenancy'");
$node->restart;
all_but_sync_works('not logical', 'two');
$errors = error_of('SELECT tenancy.sync_wait()');
like($errors, qr/TN007/, 'not logical: SQLSTATE');
like($errors, qr/wal_level = logical/, 'not logical: the line to add');
ok($node->poll_query_until('postgres', q{SELECT state = 'wal_level too low' FROM tenancy.stat_sync WHERE sink = 'capture'}), 'not logical: the state says so');
like($node->safe_psql('postgres', q{SELECT last_error FROM tenancy.stat_sync WHERE sink = 'capture'}), qr/wal_level = logical/, 'and what to do');
$node->safe_psql('postgres', 'DROP EXTENSION pg_tenancy CASCADE; DROP SCHEMA tenant_one, tenant_two CASCADE; CREATE EXTENSION pg_tenancy');
all_but_sync_works('not logical, made again', 'one');
all_but_sync_works('not logical, made again', 'two');
is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_replication_slots'), 0, 'not logical: no slot');

# With both, what was there before gets into the index.
fill_cache($node, 'postgres', $redis, 'one');
$node->safe_psql('postgres', q{UPDATE tenant_one.case_studies SET title = 'changed while nobody looked' WHERE title LIKE '%1'});
$node->append_conf('postgresql.conf', 'wal_level = logical');
$node->restart;
ok($node->poll_query_until('postgres', q{SELECT state = 'running' FROM tenancy.stat_sync WHERE sink = 'search'}), 'ready: running');
is(all_agree($node, 'postgres', $search, 'ready'), 100, 'ready: rows from before');
is((stale_keys($node, 'postgres', $redis, 'one'))[0], 0, 'ready: no stale key from before');
$node->safe_psql('postgres', q{UPDATE tenant_two.case_studies SET title = 'new' WHERE title LIKE '%2'; DELETE FROM tenant_two.case_studies WHERE title LIKE '%3'});
all_agree($node, 'postgres', $search, 'and it follows');

# The slot is lost while rows change unseen: everything is looked at again.
$node->safe_psql('postgres', q{BEGIN; SELECT tenant_use('two'); SELECT bool_and(tenant_cache_set('case_study:' || id, to_jsonb(title))) FROM case_studies; COMMIT});
cmp_ok(scalar(my @before = $redis->keys('tenant:two:case_study:*')), '>', 10, 'slot lost: values are cached before');
$node->stop;
system('rm', '-rf', glob($node->data_dir . '/pg_replslot/*')) == 0 or die;
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->start;
$node->safe_psql('postgres', q{UPDATE tenant_two.case_studies SET title = 'unseen' WHERE title LIKE '%4'; DELETE FROM tenant_two.case_studies WHERE title LIKE '%5'});
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_tenancy'");
$node->restart;
ok($node->poll_query_until('postgres', q{SELECT state = 'running' FROM tenancy.stat_sync WHERE sink = 'search'}), 'slot lost: running');
all_agree($node, 'postgres', $search, 'slot lost');
is(scalar(my @after = $redis->keys('tenant:two:case_study:*')), 0, 'slot lost: no value from before is left');
done_testing();
