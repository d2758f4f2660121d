# tenancy.place() and tenancy.reindex() on both products: to a shared index and back while rows change and a client asks
# the alias, with workers killed on the way.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use POSIX ();
use Time::HiRes qw(sleep);
use TenancyTest;
use TenancyLoad;

need_servers('elasticsearch7', 'opensearch2');

for my $product ('elasticsearch7', 'opensearch2')
{
	my $search = TenancySearch->start($product);
	my $node = tenancy_node($product, search => $search, conf => "tenancy.reindex_grace = '1s'\ntenancy.retry_max = '1s'\nlog_min_messages = warning\n");
	$node->start;
	my $sql = sub { return $node->safe_psql('postgres', join(';', @_)) };
	my $moving = sub { my ($where) = @_; return eval { $sql->("SELECT count(*) FROM tenancy.stat_progress_reindex WHERE $where") } // 'down' };
	my $state = sub { return $sql->('SELECT index_name, role, shared, state, filled, last_error FROM tenancy.search_index ORDER BY 1; TABLE tenancy.index_move; TABLE tenancy.resync; TABLE tenancy.stat_sync') };
	my $place_of = sub { my ($status, $reply) = $search->request('GET', "/_alias/item_tenant_$_[0]"); return join(' ', sort keys %$reply) };

	$sql->(<<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('shop', 1, $$CREATE TABLE item (id bigint PRIMARY KEY, still boolean, n int)$$);
SELECT tenant_sync_table('shop', 'item', 'item', mapping => '{"settings": {"refresh_interval": "200ms"}, "mappings": {"dynamic": false, "properties": {"still": {"type": "boolean"}}}}');
SELECT tenant_create(n, 'shop') FROM unnest(ARRAY['one', 'two']) n;
INSERT INTO tenant_one.item SELECT n, n <= 500, n FROM generate_series(1, 1000) n;
INSERT INTO tenant_two.item SELECT n, n <= 200, n FROM generate_series(1, 400) n;
SQL
	ok(sync_wait($node, 'postgres', 120), "$product: start") or diag($state->());
	$search->request('POST', '/_all/_refresh');

	# The client asks the alias, as the platform does: it has to give all of one tenant, and nothing of the other.
	my $misses = "$PostgreSQL::Test::Utils::tmp_check/misses_$product";
	my $client = fork // die $!;
	if (!$client)
	{
		my $good = 0;
		while (!-e "$misses.stop" && getppid() != 1)
		{
			my ($status, $reply) = eval { $search->request('POST', '/item_tenant_one/_count', { query => { term => { still => JSON::PP::true } } }) };
			next unless $status && $status =~ /^(?:200|404)$/;
			if ($status == 200 && $reply->{count} == 500) { $good++ }
			else { open(my $file, '>>', $misses); print $file "$status ", $reply->{count} // '', "\n"; close $file }
			sleep 0.005;
		}
		open(my $file, '>', "$misses.good"); print $file $good; close $file;
		POSIX::_exit(0);
	}
	my $load = start_load($node, 'postgres', writers => 1, script => <<'SQL');
SET lock_timeout = '5s';
UPDATE tenant_one.item SET n = n + 1 WHERE id = 501 + (random() * 499)::int;
DELETE FROM tenant_one.item WHERE id = 501 + (random() * 499)::int;
INSERT INTO tenant_one.item SELECT 501 + (random() * 499)::int, false, 0 ON CONFLICT DO NOTHING;
UPDATE tenant_two.item SET n = n + 1 WHERE id = 1 + (random() * 399)::int;
SELECT pg_sleep(0.01);
SQL
	my @phases = $product eq 'elasticsearch7' ? qw(creating filling switching) : qw(none);
	for my $phase (@phases)
	{
		for my $placement ('shared', 'dedicated')
		{
			my $name = "$product: to $placement, killed while $phase";
			$sql->("SELECT tenancy.place(n, 'item', '$placement') FROM unnest(ARRAY['one', 'two']) n");
			wait_until(sub { $moving->("phase IN ('$phase', 'grace') AND tenant = 'one'") eq '1' }, 60);
			kill_worker($node, 'pg_tenancy search sink') if $phase ne 'none';
			ok(wait_until(sub { $moving->('true') eq '0' }, 120), "$name: over") or diag($state->());
			($placement eq 'shared' ? \&like : \&unlike)->($place_of->('one'), qr/shared/, "$name: there");
		}
	}
	$sql->("SELECT tenancy.place(n, 'item', 'shared') FROM unnest(ARRAY['one', 'two']) n");
	ok(wait_until(sub { $moving->('true') eq '0' }, 120), "$product: both share") or diag($state->());
	$sql->('SELECT tenancy.reindex()');
	ok(wait_until(sub { $moving->('true') eq '0' }, 120), "$product: made anew there") or diag($state->());
	stop_load($load);
	open(my $stop, '>', "$misses.stop"); close $stop;
	waitpid $client, 0;
	cmp_ok(slurp_file("$misses.good"), '>', 20, "$product: the client asked all the time");
	ok(!-e $misses, "$product: and missed nothing") or diag(slurp_file($misses));
	ok(sync_wait($node, 'postgres', 120), "$product: in the sinks") or diag($state->());
	is($sql->('SELECT sum(missing + stale + ghost) FROM tenancy.verify()'), 0, "$product: all agree");
	is($sql->("BEGIN; SELECT tenant_use('two'); SELECT tenant_search(NULL, 'item', options => '{\"engine\": \"server\"}') -> 'total' = to_jsonb((SELECT count(*) FROM tenant_two.item)); COMMIT") =~ /^t$/m ? 1 : 0, 1, "$product: tenant_search finds the tenant's documents");
	ok(wait_until(sub { my ($status, $text) = $search->raw('GET', '/_cat/indices/*,-.*?h=index&s=index'); join(' ', split ' ', $text) eq $sql->(q{SELECT string_agg(index_name, ' ' ORDER BY index_name COLLATE "C") FROM tenancy.search_index WHERE shared IS NULL}) }, 60),
		"$product: the server has the indices that are registered and no other") or diag($state->());
	$node->stop;
	$search->stop;
}
done_testing();
