# A dump of a synced database, restored into another cluster with its own search server, syncs there.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;
use TenancyLoad;

need_servers('elasticsearch7', 'redis');
my $from = TenancySearch->start('elasticsearch7');
my $node = tenancy_node('dumped', search => $from, conf => "tenancy.reindex_grace = '1s'\n");
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE DATABASE app;
\c app
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('zoo', 1, 'CREATE TABLE animal (kind text, n int, legs int, PRIMARY KEY (kind, n))');
SELECT tenant_blueprint_add('zoo', 2, 'ALTER TABLE animal ADD COLUMN name text');
SELECT tenant_sync_table('zoo', 'animal', 'animal', mapping => '{"mappings": {"dynamic": false}}', cache_tags => '{animals}');
SELECT tenant_create('one'), tenant_create('zoo', 'zoo'), tenant_create('gone'), tenant_create('kept-aside');
INSERT INTO tenant_one.case_studies (title, timeline_weeks) SELECT 'one ' || n, n FROM generate_series(1, 1500) n;
INSERT INTO tenant_zoo.animal SELECT 'cat', n, 4, 'x' FROM generate_series(1, 300) n;
INSERT INTO technology_taxonomy (name, category) VALUES ('PostgreSQL', 'database');
SELECT tenant_drop('gone', purge => true), tenant_drop('kept-aside');
SELECT tenancy.place('one', 'technologies', 'shared');
SQL
is(all_agree($node, 'app', $from, 'before'), 1800, 'before: every row');
my $placed = q{SELECT string_agg(concat_ws(' ', tenant, index_type, placement), ', ' ORDER BY tenant, index_type) FROM tenancy.placement_advice()};
my $move = 'SELECT count(*) FROM tenancy.stat_progress_reindex';
ok(wait_until(sub { $node->safe_psql('app', $move) == 0 }, 120), 'before: one index is shared');
my $expected_places = $node->safe_psql('app', $placed);
like($expected_places, qr/one case_studies dedicated, one technologies shared.*zoo animal dedicated/, 'before: and the others are not');
$node->command_ok([ 'pg_dump', '-Fc', '-f', $node->backup_dir . '.dump', $node->connstr('app') ], 'pg_dump');
my $registry = <<'SQL';
SELECT name, schema_name, blueprint, version, status FROM tenancy.tenant ORDER BY id;
SELECT blueprint, version, md5(sql) FROM tenancy.blueprint_step ORDER BY 1, 2;
SELECT * FROM tenancy.sync_table ORDER BY 1, 2;
SELECT id FROM tenancy.instance;
SELECT count(*) FROM technology_taxonomy;
SQL
my $expected = $node->safe_psql('app', $registry);
my $dump = $node->backup_dir . '.dump';
$node->stop;
$from->stop;

my $search = TenancySearch->start('elasticsearch7');
my $redis = TenancyRedis->start;
# What was made before is where it was, whatever those that come are to be.
my $other = tenancy_node('restored', search => $search, redis => $redis, conf => "tenancy.default_placement = 'shared'\ntenancy.reindex_grace = '1s'\n");
$other->start;

# Restores into a new database, then looks whether everything is there.
sub restored
{
	my ($database, @options) = @_;
	$other->safe_psql('postgres', "CREATE DATABASE $database");
	$other->command_ok([ 'pg_restore', @options, '-d', $other->connstr($database), $dump ], "pg_restore @options");
	is($other->safe_psql($database, $registry), $expected, "@options: the registry is the same");
	ok(wait_until(sub { state_of($other, $database, 'search') eq 'running' }, 60), "@options: running");
	ok(wait_until(sub { ($search->count('animal_tenant_zoo') // 0) == 300 && ($search->count('case_studies_tenant_one') // 0) == 1500 }, 120),
		"@options: everything gets indexed");
	is(all_agree($other, $database, $search, "@options: restored"), 1800, "@options: every row");
	ok(wait_until(sub { $other->safe_psql($database, $move) == 0 }, 120), "@options: nothing is moved");
	is($other->safe_psql($database, $placed), $expected_places, "@options: every index is placed as before");
	$other->safe_psql($database, "UPDATE tenant_one.case_studies SET title = 'new' WHERE timeline_weeks < 100; DELETE FROM tenant_zoo.animal WHERE n > 200; SELECT tenant_create('more')");
	all_agree($other, $database, $search, "@options: and it follows");
	return;
}
restored('app', '--exit-on-error');
$other->safe_psql('postgres', 'DROP DATABASE app');
is(($search->raw('DELETE', '/*'))[0], 200, 'indices of the dropped database removed');
restored('again', '--exit-on-error', '--single-transaction');
is($other->safe_psql('again', 'SELECT epoch > 1 FROM tenancy.instance'), 't', 'another cluster is another epoch');
done_testing();
