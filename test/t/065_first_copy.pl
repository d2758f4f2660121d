# The first copy of a table into a new index: nothing is looked for that cannot be there, unless something was missed meanwhile.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;
use TenancyLoad;
use TenancyProxy;

need_servers('elasticsearch7');
my $search = TenancySearch->start('elasticsearch7');
my $proxy = TenancyProxy->start(target => $search->port, http => 1);
my $node = tenancy_node('copy', conf => "tenancy.search_url = '" . $proxy->url . "'\n");
$node->start;

sub sql { return $node->safe_psql('postgres', join(';', @_)) }
sub agrees { return all_agree($node, 'postgres', $search, @_) }
sub fresh { return sql("SELECT fresh FROM tenancy.resync WHERE table_name = '$_[0]' AND sink = 'search'") }

# Requests that list the documents of a table's index.
sub listings { return $proxy->count(qr{^POST /$_[0]_tenant_one/_search\?scroll}) }

# Sets tenancy.resync_rate and waits until the workers know.
sub rate
{
	my ($rows) = @_;
	sql("ALTER SYSTEM SET tenancy.resync_rate = $rows");
	$node->reload;
	return ok($node->poll_query_until('postgres', "SELECT current_setting('tenancy.resync_rate') = '$rows'"), "rate $rows");
}

# Has a table copied slowly and waits until it is in the middle.
sub begin_copy
{
	my ($table) = @_;
	rate(500);
	sql("SELECT tenant_sync_table('shop', '$table', '$table', mapping => '{\"mappings\": {\"dynamic\": false}}')");
	ok(wait_until(sub { ($search->count("${table}_tenant_one") // 0) >= 500 }, 60), "$table: in the middle");
	return is(fresh($table), 't', "$table: its index is new");
}

my @tables = qw(plain lost cut again);
sql('CREATE EXTENSION pg_tenancy', q{SELECT tenant_blueprint_add('shop', 1, $$} . join(';', map { "CREATE TABLE $_ (id bigint PRIMARY KEY, n int)" } @tables) . q{$$)},
	q{SELECT tenant_create('one', 'shop')}, map { "INSERT INTO tenant_one.$_ SELECT n, n FROM generate_series(1, 6000) n" } @tables);

# Nothing happens but changes that are seen: the documents are not listed.
begin_copy('plain');
sql('DELETE FROM tenant_one.plain WHERE id % 100 = 0', 'UPDATE tenant_one.plain SET n = -n WHERE id % 100 = 1');
rate(0);
agrees('plain copy');
is($search->count('plain_tenant_one'), 5940, 'plain copy: rows that went meanwhile are gone');
is(listings('plain'), 0, 'plain copy: no document was looked for');
sql(q{SELECT tenancy.resync('one', 'plain')});
agrees('resync');
cmp_ok(listings('plain'), '>', 0, 'resync: documents are looked for');

# Asked for again in the middle.
begin_copy('again');
sql(q{SELECT tenancy.resync('one', 'again')});
is(fresh('again'), 'f', 'asked for again: documents will be looked for');
rate(0);
agrees('asked for again');
cmp_ok(listings('again'), '>', 0, 'asked for again: documents were looked for');

# Emptied in the middle.
begin_copy('cut');
sql('TRUNCATE tenant_one.cut', 'INSERT INTO tenant_one.cut VALUES (1, 1)');
rate(0);
agrees('emptied');
is($search->count('cut_tenant_one'), 1, 'emptied: documents without a row are gone');

# The slot is lost in the middle, and with it the news of rows that go.
begin_copy('lost');
my $slot = sql('SELECT slot_name FROM pg_replication_slots');
ok(wait_until(sub {
	eval { sql("SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE active_pid IS NOT NULL", "SELECT pg_drop_replication_slot('$slot')",
		'DELETE FROM tenant_one.lost WHERE id <= 400') };
	return !$@;
}, 60), 'slot lost: rows go that nobody saw');
rate(0);
agrees('slot lost');
is($search->count('lost_tenant_one'), 5600, 'slot lost: their documents go too');
is(sql('SELECT count(*) FROM tenancy.dead_letter'), 0, 'no dead letter');
done_testing();
