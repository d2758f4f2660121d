# A database that is copied within its server: the copy never touches the indices of the original.

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
my $node = tenancy_node('copies', search => $search, redis => $redis);
$node->start;

sub one { my ($database, $query) = @_; return $node->safe_psql($database, $query) }

# Names of the physical indices on the server, without the server's own.
sub indices
{
	my (undef, $reply) = $search->request('GET', '/_alias');
	return sort grep { !/^\./ } keys %$reply;
}

# True once the copy's sinks have got everything that was written there until now.
sub has_received
{
	my ($database) = @_;
	my $lsn = one($database, 'SELECT pg_current_wal_flush_lsn()');
	return wait_until(sub { one($database, "SELECT count(*) FROM tenancy.stat_sync WHERE sink <> 'capture' AND received_lsn >= '$lsn'") == 2 }, 60);
}

one('postgres', 'CREATE DATABASE e');
one('e', <<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_create(n) FROM unnest(ARRAY['a', 'b']) n;
INSERT INTO tenant_a.case_studies (title, timeline_weeks) SELECT 'a ' || n, n FROM generate_series(1, 500) n;
INSERT INTO tenant_b.technologies (name) SELECT 'b ' || n FROM generate_series(1, 100) n;
SQL
all_agree($node, 'e', $search, 'original');
my $id = one('e', 'SELECT id FROM tenancy.instance');
my @of_original = indices();
is(scalar(grep { !/\Q$id\E/ } @of_original), 0, 'every index has the id of the original');

# What must hold for a copy, whoever made it.
sub check_copy
{
	my ($copy, @others) = @_;
	ok(wait_until(sub { one($copy, "SELECT id <> '$id' FROM tenancy.instance") eq 't' }, 60), "$copy: another instance");
	ok(wait_until(sub { one($copy, "SELECT count(*) FROM tenancy.search_index WHERE index_name LIKE '%' || (SELECT id FROM tenancy.instance) || '%'") == 4 }, 60), "$copy: indices of its own are wanted");
	isnt(one($copy, 'SELECT id FROM tenancy.instance'), one($_, 'SELECT id FROM tenancy.instance'), "$copy: not the id of $_") for @others;
	is(one($copy, 'SELECT count(*) FROM tenant_a.case_studies'), 500, "$copy: the rows came along");
	one($copy, q{UPDATE tenant_a.case_studies SET title = 'of the copy'; DELETE FROM tenant_a.case_studies WHERE timeline_weeks > 100; TRUNCATE tenant_b.technologies; INSERT INTO tenant_b.technologies (name) VALUES ('of the copy')});
	one($copy, 'SELECT tenancy.resync()');
	ok(has_received($copy), "$copy: its sinks know of that");
	ok(wait_until(sub { one($copy, q{SELECT count(*) FROM tenancy.search_index WHERE state = 'pending' AND last_error LIKE 'alias "%" belongs to index "%"'}) == 4 }, 60), "$copy: the conflict of aliases is shown")
	  or diag(one($copy, 'TABLE tenancy.search_index'));
	like(one($copy, q{SELECT last_error FROM tenancy.search_index WHERE alias = 'case_studies_tenant_a'}), qr/\Q$id\E/, "$copy: it names the index of the original");
	is_deeply([ indices() ], \@of_original, "$copy: no index was made or removed");
	is($search->count('case_studies_tenant_a'), 500, "$copy: the original's documents are there");
	is(one($copy, 'SELECT tenant_drop(\'b\', purge => true)'), 't', "$copy: a tenant is dropped");
	ok(wait_until(sub { one($copy, 'SELECT count(*) FROM tenancy.search_index') == 2 }, 60), "$copy: its index rows go");
	is_deeply([ indices() ], \@of_original, "$copy: the original's stay");
	return;
}

sub check_original
{
	my ($name) = @_;
	all_agree($node, 'e', $search, "$name, before the original changes");
	is(one('e', 'SELECT id FROM tenancy.instance'), $id, "$name: the original is who it was");
	one('e', "UPDATE tenant_a.case_studies SET title = '$name ' || timeline_weeks WHERE timeline_weeks % 3 = 0; DELETE FROM tenant_b.technologies WHERE name = (SELECT min(name) FROM tenant_b.technologies)");
	all_agree($node, 'e', $search, "$name, after");
	is(one('e', "SELECT count(*) FROM tenancy.search_index WHERE state <> 'ready'"), 0, "$name: the original's indices are ready");
	return;
}

# From another database.
one('postgres', 'CREATE DATABASE f TEMPLATE e');
check_copy('f', 'e');
check_original('copied');

# From the original itself, whose workers must not be in the way.
one('e', 'CREATE DATABASE g TEMPLATE e');
check_copy('g', 'e', 'f');
check_original('copied from within');

# A copy of the copy, and one that is renamed.
one('postgres', 'ALTER DATABASE g RENAME TO h');
one('postgres', 'DROP DATABASE f');
check_original('copy dropped');
isnt(one('h', 'SELECT id FROM tenancy.instance'), $id, 'renamed: still not the original');

# A prefix of its own: the copy gets indices of its own.
my $before = one('h', 'SELECT id FROM tenancy.instance');
one('postgres', q{ALTER DATABASE h SET tenancy.search_index_prefix = 'h-'});
one('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'h' AND backend_type LIKE 'pg_tenancy%'});
is(one('h', 'SHOW tenancy.search_index_prefix'), 'h-', 'prefix: sessions have it');
is(one('e', 'SHOW tenancy.search_index_prefix'), '', 'prefix: the original has none');
one('h', <<'SQL');
BEGIN;
DELETE FROM tenancy.search_index;
SELECT tenant_sync_table(blueprint, table_name, index_type, key_columns, mapping, cache_keys, cache_tags) FROM tenancy.sync_table;
COMMIT;
SQL
all_agree($node, 'h', $search, 'prefix');
is($search->count('h-case_studies_tenant_a'), one('h', 'SELECT count(*) FROM tenant_a.case_studies'), 'prefix: the alias has it');
is(one('h', 'SELECT count(*) FROM tenancy.search_index WHERE index_name NOT LIKE \'h-%\' OR alias NOT LIKE \'h-%\''), 0, 'prefix: every index has it');
one('h', q{SELECT tenant_create('c'); INSERT INTO tenant_c.case_studies (title) SELECT 'c ' || n FROM generate_series(1, 50) n; DELETE FROM tenant_a.case_studies});
all_agree($node, 'h', $search, 'prefix, later');
is($search->count('h-case_studies_tenant_c'), 50, 'prefix: a tenant made later has it too');
check_original('prefix of a copy');
is(one('e', 'SELECT count(*) FROM tenancy.dead_letter'), 0, 'nothing was refused');
unlike(slurp_file($node->logfile), qr/PANIC|was terminated by signal|exited with exit code [2-9]/, 'no worker died');
done_testing();
