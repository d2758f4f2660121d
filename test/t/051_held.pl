# Indices of which the server takes nothing: the others go on, no WAL is kept, and afterwards they agree too.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;
use TenancyLoad;

need_servers('elasticsearch7');
my $search = TenancySearch->start('elasticsearch7');
my $node = tenancy_node('held', search => $search, conf => "tenancy.retry_max = 2s\n");
$node->start;

sub sql { return $node->safe_psql('postgres', join(';', @_)) }
sub agrees { return all_agree($node, 'postgres', $search, @_) }
sub held { return sql("SELECT held FROM tenancy.stat_sync WHERE sink = 'search'") }
sub resyncs { return sql("SELECT string_agg(DISTINCT t.name, ',') FROM tenancy.resync r JOIN tenancy.tenant t ON t.id = r.tenant_id WHERE sink = 'search'") }

# Changes a setting of a's index.
sub set_index
{
	my ($setting, $value) = @_;
	my ($status, $text) = $search->raw('PUT', '/item_tenant_a/_settings', { "index.$setting" => $value });
	is($status, 200, "$setting = " . ($value // 'null')) or diag($text);
	return;
}

# A change of b gets in; $count rows are added.
my $added = 0;
sub b_goes_on
{
	my ($name) = @_;
	$added++;
	sql("INSERT INTO tenant_b.item VALUES (100000 + $added, 1)", 'UPDATE tenant_b.item SET n = n + 1 WHERE id <= 10');
	ok(wait_until(sub { $search->document('item_tenant_b', 100000 + $added) }, 60), "$name: b's changes get in");
	return;
}

# The slot goes past everything committed now.
sub wal_is_let_go
{
	my ($name) = @_;
	my $lsn = sql('SELECT pg_current_wal_insert_lsn()');
	ok($node->poll_query_until('postgres', "SELECT confirmed_flush_lsn >= '$lsn' FROM pg_replication_slots"), "$name: the WAL is let go");
	return;
}

sql(<<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('shop', 1, 'CREATE TABLE item (id bigint PRIMARY KEY, n bigint)');
SELECT tenant_sync_table('shop', 'item', 'item', mapping => '{"mappings": {"dynamic": false}}');
SELECT tenant_create(n, 'shop') FROM unnest(ARRAY['a', 'b', 'c']) n;
INSERT INTO tenant_a.item SELECT n, 0 FROM generate_series(1, 12000) n;
INSERT INTO tenant_b.item SELECT n, 0 FROM generate_series(1, 6000) n;
INSERT INTO tenant_c.item SELECT n, 0 FROM generate_series(1, 100) n;
SQL
agrees('start');

# Each way to take nothing: what is set, what is set back, status that the server answers with.
for my $case ([ 'blocks.write', \1, 'write block' ], [ 'blocks.read_only_allow_delete', \1, 'disk full' ])
{
	my ($setting, $value, $name) = @$case;
	set_index($setting, $$value ? 'true' : 'false');
	sql('UPDATE tenant_a.item SET n = n + 1 WHERE id <= 3000', 'DELETE FROM tenant_a.item WHERE id BETWEEN 3001 AND 3010');
	b_goes_on($name);
	ok(wait_until(sub { held() == 1 }, 60), "$name: the table is held");
	is(state_of($node, 'postgres', 'search'), 'running', "$name: the sink runs");
	like(sql("SELECT last_error FROM tenancy.stat_sync WHERE sink = 'search'"), qr/cluster_block_exception/, "$name: the reason is shown");
	sql("SELECT tenancy.resync(n) FROM unnest(ARRAY['a', 'b', 'c']) n");
	ok(wait_until(sub { resyncs() eq 'a' }, 120), "$name: the others are resynced") or diag(resyncs());
	wal_is_let_go($name);
	b_goes_on("$name, later");
	if ($setting eq 'blocks.write')
	{
		ok(kill_worker($node, 'pg_tenancy search sink'), "$name: killed");
		ok(wait_until(sub { held() == 1 }, 60), "$name: held again after a crash");
		sql('UPDATE tenant_a.item SET n = n + 1 WHERE id BETWEEN 2000 AND 4000');
		b_goes_on("$name, after a crash");
		wal_is_let_go("$name, after a crash");
	}
	ok(!sync_wait($node, 'postgres', 1), "$name: sync_wait knows that it is not there");
	set_index($setting, undef);
	agrees("$name, lifted");
	is(held(), 0, "$name, lifted: nothing is held");
	is(sql('SELECT count(*) FROM tenancy.dead_letter'), 0, "$name: nothing was given up");
}

# Closed, then open without a shard to write to.
is(($search->raw('POST', '/item_tenant_a/_close'))[0], 200, 'closed');
sql('UPDATE tenant_a.item SET n = n + 1 WHERE id <= 500');
b_goes_on('closed');
ok(wait_until(sub { held() == 1 }, 60), 'closed: the table is held');
set_index('routing.allocation.enable', 'none');
is(($search->raw('POST', '/item_tenant_a/_open?wait_for_active_shards=0'))[0], 200, 'open, without a shard');
b_goes_on("without a shard, $_") for 1 .. 5;
wal_is_let_go('without a shard');
set_index('routing.allocation.enable', undef);
agrees('with its shard');
is(sql('SELECT count(*) FROM tenancy.backlog'), 0, 'the end: the backlog is empty');
is(sql('SELECT count(*) FROM tenancy.dead_letter'), 0, 'the end: nothing was given up');
done_testing();
