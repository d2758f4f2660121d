# Many tenants on one search node share indices.  TENANCY_MANY: how many (200); with 2000 there are more than a node
# has room for in indices of their own.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(time);
use TenancyTest;

need_servers('elasticsearch7');
my $many = $ENV{TENANCY_MANY} || 200;
my $search = TenancySearch->start('elasticsearch7');
my $node = tenancy_node('many', search => $search, conf => "tenancy.shared_parts = @{[ $many / 2 ]}\ntenancy.default_placement = 'shared'\nmax_locks_per_transaction = 256\nlog_min_messages = warning\n");
$node->start;
sub sql { return $node->safe_psql('postgres', join(';', @_)) }
sub found { return sql('BEGIN', "SELECT tenant_use('$_[0]')", q{SELECT 'found ' || (tenant_search('word', 'item', options => '{"engine": "server"}') ->> 'total')}, 'COMMIT') =~ /found (\d+)/ ? $1 : undef }

sql(<<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('small', 1, 'CREATE TABLE item (id int PRIMARY KEY, word text)');
SELECT tenant_sync_table('small', 'item', 'item', mapping => '{"mappings": {"dynamic": false, "properties": {"word": {"type": "text"}}}}');
SQL
# Of tenants that get their aliases together one finds its alias taken, another an index of that name: the others have theirs.
$search->request('PUT', '/foreign', { aliases => { item_tenant_t5 => {} } });
$search->request('PUT', '/item_tenant_t6', { mappings => { properties => { a => { type => 'keyword' } } } });
my $start = time;
for my $part (0 .. $many / 100 - 1)
{
	sql("SELECT count(tenant_create('t' || n, 'small')) FROM generate_series($part * 100 + 1, $part * 100 + 100) n",
		"DO \$\$ BEGIN FOR n IN $part * 100 + 1 .. $part * 100 + 100 LOOP EXECUTE format('INSERT INTO %I.item SELECT g, ''word '' || %s FROM generate_series(1, %s) g', 'tenant_t' || n, n, 1 + n % 5); END LOOP; END \$\$");
}
note(sprintf 'made in %.0f s', time - $start);
$start = time;
ok(wait_until(sub { sql(q{SELECT string_agg(alias, ' ' ORDER BY alias) FROM tenancy.search_index WHERE state <> 'ready'}) eq 'item_tenant_t5 item_tenant_t6' }, $many), 'all but two tenants have their aliases')
  or diag(sql(q{SELECT state, count(*), max(last_error) FROM tenancy.search_index GROUP BY 1}));
note(sprintf 'in %.0f s', time - $start);
like(sql(q{SELECT string_agg(last_error, ' ' ORDER BY alias) FROM tenancy.search_index WHERE state <> 'ready'}), qr/alias "item_tenant_t5" belongs to another index.*same name|item_tenant_t5.*invalid_alias_name|item_tenant_t5.*exists/, 'and it is told why they have not');
$search->raw('DELETE', '/foreign,item_tenant_t6');
ok(wait_until(sub { sql(q{SELECT count(*) FROM tenancy.search_index WHERE state <> 'ready' OR role = 'serving' AND NOT filled}) == 0 }, $many), 'every tenant has its part')
  or diag(sql(q{SELECT state, count(*), max(last_error) FROM tenancy.search_index GROUP BY 1}));
note(sprintf 'provisioned in %.0f s', time - $start);
ok(sync_wait($node, 'postgres', 300), 'every row is in');
is(sql(q{SELECT count(*), count(DISTINCT shared) FROM tenancy.search_index WHERE role = 'serving'}), "$many|2", 'they share two indices');
my ($status, $reply) = $search->request('GET', '/_cluster/health');
cmp_ok($reply->{active_primary_shards}, '<', 10, 'of a few shards');
$search->request('POST', '/_all/_refresh');
($status, $reply) = $search->request('POST', '/item.*/_count');
is($reply->{count}, sql("SELECT sum(1 + n % 5) FROM generate_series(1, $many) n"), 'with every document once');
is(found("t$_"), 1 + $_ % 5, "t$_ finds its own") for 1, 77, $many / 2, $many / 2 + 1, $many;
sql(q{SELECT tenant_drop('t77', purge => true)}, q{SELECT tenant_rename('t78', 'renamed')});
ok(wait_until(sub { sql(q{SELECT count(*) FROM tenancy.search_index WHERE state <> 'ready'}) == 0 }, 60), 'one is dropped, one renamed');
is(found('renamed'), 1 + 78 % 5, 'the renamed one finds its own');
done_testing();
