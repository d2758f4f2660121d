# The short version of 010_sync on the other search servers, those that are here.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;
use TenancyLoad;

need_servers('opensearch2');

each_product(sub {
	my ($product, $search) = @_;
	my $node = tenancy_node($product, search => $search);
	$node->start;
	my $sql = sub { $node->safe_psql('postgres', join(';', @_)) };
	my $agrees = sub { all_agree($node, 'postgres', $search, "$product: $_[0]") };
	$sql->(<<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('zoo', 1, $$
CREATE TABLE animal (kind text, name text, legs smallint, weight float8, PRIMARY KEY (kind, name));
$$);
SELECT tenant_sync_table('zoo', 'animal', 'animal', mapping => '{"mappings": {"dynamic": false, "properties": {"legs": {"type": "byte"}}}}');
SELECT tenant_create('one'), tenant_create('zoo', 'zoo');
INSERT INTO tenant_one.case_studies (title, technologies, timeline_weeks, budget_usd, roi_percent, full_text)
	SELECT 'title ' || n, '["pg"]', n, n * 1.01, 1, E'text "\\\n\t' || n FROM generate_series(1, 1500) n;
INSERT INTO tenant_one.technologies (name, pricing_tiers) VALUES ('a', '[{"name": "free", "price_usd": 1.5}, {"name": "odd", "price_usd": "on request"}]');
INSERT INTO tenant_zoo.animal VALUES ('cat:', 'a\', 4, 'NaN'), ('cat', ':a', 4, 1), ('', '', NULL, NULL);
SQL
	is($agrees->('rows come'), 1504, "$product: every row");
	$sql->('UPDATE tenant_one.case_studies SET timeline_weeks = timeline_weeks + 1 WHERE timeline_weeks < 100',
		'DELETE FROM tenant_one.case_studies WHERE timeline_weeks > 1400',
		'UPDATE tenant_one.case_studies SET id = gen_random_uuid() WHERE timeline_weeks = 500',
		'BEGIN; DELETE FROM tenant_one.case_studies; ROLLBACK',
		q{UPDATE tenant_zoo.animal SET name = name || '!' WHERE kind <> ''});
	$agrees->('rows change and go');
	$sql->(q{INSERT INTO tenant_zoo.animal VALUES ('millipede', 'm', 1000), ('spider', 's', 8)});
	ok(sync_wait($node, 'postgres', 60), "$product: a document is refused");
	is($sql->('SELECT key, status FROM tenancy.dead_letter'), '{millipede,m}|400', "$product: dead letter");
	$sql->(q{UPDATE tenant_zoo.animal SET legs = 100 WHERE legs = 1000});
	$agrees->('mended');
	my $found = $sql->("BEGIN; SELECT tenant_use('one'); SELECT tenant_search('title', options => '{\"engine\": \"server\"}') -> 'total'; COMMIT");
	is($found =~ s/\s//gr, $sql->('SELECT count(*) FROM tenant_one.case_studies'), "$product: tenant_search finds them");

	my $load = start_load($node, 'postgres', tenants => ['one']);
	ok(wait_until(sub { load_runs($load) >= 2 }, 60), "$product: rows flow");
	$search->kill9;
	my $runs = load_runs($load);
	ok(wait_until(sub { load_runs($load) >= $runs + 2 }, 60), "$product: killed, rows flow on");
	$search->start;
	stop_load($load);
	$agrees->('killed and back');
	$sql->('TRUNCATE tenant_one.case_studies', q{INSERT INTO tenant_one.case_studies (title) VALUES ('after')});
	$agrees->('TRUNCATE');
	is($search->count('case_studies_tenant_one'), 1, "$product: one document is left");
	my ($index) = keys %{ ($search->request('GET', '/_alias/case_studies_tenant_one'))[1] };
	is(($search->raw('DELETE', "/$index"))[0], 200, "$product: index deleted");
	$sql->(q{INSERT INTO tenant_one.case_studies (title) VALUES ('next')});
	$agrees->('index deleted');
	is($search->count('case_studies_tenant_one'), 2, "$product: made and filled again");
	$sql->("SELECT tenant_drop('zoo', purge => true)");
	ok(wait_until(sub { !defined $search->count('animal_tenant_zoo') }, 60), "$product: the index of a dropped tenant goes");
	$node->stop;
}, 'opensearch2', 'opensearch' . 3, 'elasticsearch' . 9);
done_testing();
