# The mapping of an index follows a migration, in tenants that were there and in those made meanwhile.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;

need_servers('elasticsearch7');
my $search = TenancySearch->start('elasticsearch7');
my $node = tenancy_node('migrate_mapping', search => $search);
$node->start;

sub sql { return $node->safe_psql('postgres', $_[0]) }

# Mapping of a field.
sub field
{
	my ($alias, $name) = @_;
	my ($status, $reply) = $search->request('GET', "/$alias/_mapping");
	return unless $status == 200;
	my ($index) = values %$reply;
	return $index->{mappings}{properties}{$name}{type};
}

sql(<<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('shop', 1, 'CREATE TABLE item (id bigint PRIMARY KEY, title text)');
SELECT tenant_sync_table('shop', 'item', 'item');
SELECT tenant_sync_table('shop', 'tag', 'tag');
SELECT count(tenant_create('t' || n, 'shop')) FROM generate_series(1, 6) n;
DO $$ BEGIN FOR n IN 1 .. 6 LOOP EXECUTE format('INSERT INTO tenant_t%s.item SELECT n, %L FROM generate_series(1, 50) n', n, 'title'); END LOOP; END $$;
SQL
ok(sync_wait($node, 'postgres', 120), 'before: in the sink');
is(field("item_tenant_t$_", 'price'), undef, "before: t$_ has no such field") for 1, 6;

# A column of a synced table, and a synced table that was not there.
sql(q{SELECT tenant_blueprint_add('shop', 2, 'ALTER TABLE item ADD COLUMN price numeric, ADD COLUMN sold timestamptz; CREATE TABLE tag (id bigint PRIMARY KEY, word text)',
	'DROP TABLE tag; ALTER TABLE item DROP COLUMN price, DROP COLUMN sold')});
sql(q{CALL tenant_migrate('shop')});
sql(q{SELECT tenant_create('fresh', 'shop')});
for my $tenant ((map { "t$_" } 1 .. 6), 'fresh')
{
	sql("INSERT INTO tenant_$tenant.item VALUES (1000, 'new', 12.5, '2026-01-02 03:04:05+00'); INSERT INTO tenant_$tenant.tag VALUES (1, 'word')");
}
ok(sync_wait($node, 'postgres', 120), 'after: in the sink');
for my $tenant ((map { "t$_" } 1 .. 6), 'fresh')
{
	is(field("item_tenant_$tenant", 'price'), 'double', "$tenant: the new column is mapped");
	is(field("item_tenant_$tenant", 'sold'), 'date', "$tenant: and the other");
	index_agrees($node, 'postgres', $tenant, 'item', $search, 'item', "$tenant: item", absent_is_null => 1);
	ok(wait_until(sub { my $found = eval { compare_index($node, 'postgres', $tenant, 'tag', $search, 'tag', absent_is_null => 1) }; $found && !@{ $found->{missing} } }, 60), "$tenant: the new table is there");
	index_agrees($node, 'postgres', $tenant, 'tag', $search, 'tag', "$tenant: tag", absent_is_null => 1);
}
is(sql('SELECT count(*) FROM tenancy.dead_letter'), 0, 'nothing was refused');

# And back.
sql(q{CALL tenant_migrate('shop', 1)});
ok(sync_wait($node, 'postgres', 120), 'back: in the sink');
for my $tenant ('t1', 't6', 'fresh')
{
	index_agrees($node, 'postgres', $tenant, 'item', $search, 'item', "back: $tenant", absent_is_null => 1);
}
is(sql('SELECT count(*) FROM tenancy.dead_letter'), 0, 'back: nothing was refused');
$node->stop;
done_testing();
