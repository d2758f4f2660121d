# While one tenant loads more than the memory holds and the sink is slow, each change of another one gets in before the load.

use strict;
use warnings;
use POSIX ();
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;
use TenancyLoad;

need_servers('elasticsearch7');
my $search = TenancySearch->start('elasticsearch7');
# one small request at a time makes any server a slow one
my $node = tenancy_node('fairness', search => $search, conf => <<CONF);
tenancy.dirty_mem = 1MB
tenancy.bulk_actions = 8
CONF
$node->append_conf('postgresql.conf', "tenancy.search_lanes = 1\n");
$node->start;
my $rows = 20000;

sub sql { return $node->safe_psql('postgres', join(';', @_)) }
sub dirty { return sql("SELECT dirty FROM tenancy.stat_sync WHERE sink = 'search'") }
sub backlog { return sql('SELECT count(*) FROM tenancy.backlog') }

sql(<<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('shop', 1, $$
CREATE TABLE item (id bigint PRIMARY KEY, n bigint);
CREATE TABLE item2 (id bigint PRIMARY KEY, n bigint);
CREATE TABLE item3 (id bigint PRIMARY KEY, n bigint);
$$);
SELECT tenant_sync_table('shop', t, t, mapping => '{"mappings": {"dynamic": false}}') FROM unnest(ARRAY['item', 'item2', 'item3']) t;
SELECT tenant_create(n, 'shop') FROM unnest(ARRAY['a', 'b']) n;
INSERT INTO tenant_b.item SELECT n, 0 FROM generate_series(1, 10) n;
SQL
all_agree($node, 'postgres', $search, 'start');

# While a's keys wait, changes of b are seen in its index; none of them goes to the backlog.
sub b_goes_first
{
	my ($name, $loads) = @_;
	for my $change (1 .. 5)
	{
		my $n = sql("UPDATE tenant_b.item SET n = n + 1 WHERE id = $change RETURNING n");
		my $document;
		ok(wait_until(sub { $document = $search->document('item_tenant_b', $change); $document && $document->{n} == $n }, 60),
			"$name: change $change of b is in the index");
		cmp_ok(dirty(), '>', 500, "$name: change $change of b is before a's load");
		ok($loads->(), "$name: a loads while change $change gets in");
	}
	is(sql(q{SELECT count(*) FROM tenancy.backlog WHERE relid = 'tenant_b.item'::regclass}), 0, "$name: no key of b goes to the backlog");
	return;
}

# In one transaction.
sql("INSERT INTO tenant_a.item SELECT n, 1 FROM generate_series(1, $rows) n");
ok(wait_until(sub { backlog() > 0 }, 60), 'one transaction: keys go to the backlog');
b_goes_first('one transaction', sub { backlog() > 0 });

# It drains when the sink is fast.
sub set_actions
{
	$node->append_conf('postgresql.conf', "tenancy.bulk_actions = $_[0]");
	$node->reload;
	return;
}
set_actions(1000);
all_agree($node, 'postgres', $search, 'one transaction', 300);
is(backlog(), 0, 'one transaction: the backlog is empty');

# In small ones to two tables, on and on: memory is full all the time.  More than what can be decoded is not written: then b's
# changes would wait in the WAL.
set_actions(8);
my $load = fork // die;
if ($load == 0)
{
	exec('psql', '-XqAt', '-d', $node->connstr('postgres') . ' application_name=load', '-c', "DO \$\$ BEGIN FOR i IN 1 .. 100000 LOOP
		EXECUTE format('INSERT INTO tenant_a.item%s SELECT n, 2 FROM generate_series(%s * 100, %s * 100 + 99) n', 2 + i % 2, i, i); COMMIT; PERFORM pg_sleep(0.004); END LOOP; END \$\$")
	  or POSIX::_exit(1);
}
sub loads { return sql(q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'load'}) == 1 }
ok(wait_until(sub { sql('SELECT count(*) FROM tenant_a.item2') > 10000 }, 60), 'small transactions: a loads');
b_goes_first('small transactions', \&loads);
sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'load'});
waitpid $load, 0;
cmp_ok(backlog(), '>', 0, 'small transactions: there is a backlog');


# Keys of a tenant that is gone go.
sql(q{SELECT tenant_drop('a', purge => true)});
set_actions(1000);
all_agree($node, 'postgres', $search, 'the end', 300);
is(backlog(), 0, 'the end: the backlog is empty');
done_testing();
