# Monthly placement: one index for each partition behind the same alias. Moved to and from while rows change and a client
# asks, followed through new, detached and attached partitions, with lifecycle by the age of each partition.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use POSIX ();
use Time::HiRes qw(sleep);
use TenancyTest;
use TenancyLoad;

my $product = $ENV{TENANCY_MONTHLY_PRODUCT} || 'elasticsearch7';
need_servers($product);
my $search = TenancySearch->start($product);
my $node = tenancy_node('monthly', search => $search, conf => "tenancy.reindex_grace = '1s'\ntenancy.retry_max = '1s'\ntenancy.lifecycle_interval = '1s'\nlog_min_messages = warning\ntimezone = 'Asia/Tokyo'\n");
$node->start;

sub sql { return $node->safe_psql('postgres', join(";\n", @_)) }
sub day { my ($n, $format) = @_; return POSIX::strftime($format // '%Y-%m-%d', gmtime(time + $n * 86400)) }
sub part { my ($name, $from) = @_; return "CREATE TABLE $name PARTITION OF event FOR VALUES FROM ('" . day($from) . " 00:00+00') TO ('" . day($from + 30) . " 00:00+00')" }
sub state_text { return sql('SELECT index_name, role, monthly, month_of, bounds, state, filled, lifecycle, last_error FROM tenancy.search_index ORDER BY 1; TABLE tenancy.index_move; TABLE tenancy.resync; TABLE tenancy.stat_sync') }

# Documents of each index that the alias stands for, months by their day before now: '-510:3 ...'.
my %name_of = map { day($_, '%Y%m%d') => $_ } -1000 .. 100;
sub months
{
	my ($tenant) = @_;
	my ($status, $reply) = $search->request('GET', "/_alias/event_tenant_$tenant");
	return "status $status" if $status != 200;
	my %count;
	for my $index (keys %$reply)
	{
		my ($month) = $index =~ /-(\w+)(?:-\d+)?$/;
		$count{ $month ? $name_of{$month} // $month : 'whole' } = $search->count($index) // 'none';
	}
	my $order = sub { return $_[0] =~ /^-?\d+$/ ? $_[0] : 10000 };
	return join(' ', map { "$_:$count{$_}" } sort { $order->($a) <=> $order->($b) || $a cmp $b } keys %count);
}

# True if the alias gets to stand for those.
sub has_months
{
	my ($tenant, $wanted, $title) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	wait_until(sub { (eval { months($tenant) } // '') eq $wanted }, 60);
	return is(months($tenant), $wanted, $title) || diag(state_text());
}

# The server has the indices that are registered and no other.
sub no_others
{
	my ($title) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $all = sub { my ($status, $text) = $search->raw('GET', '/_cat/indices/*,-.*?h=index&s=index'); return join(' ', split ' ', $text) };
	my $registered = sub { return sql(q{SELECT string_agg(index_name, ' ' ORDER BY index_name COLLATE "C") FROM tenancy.search_index}) };
	wait_until(sub { $all->() eq $registered->() }, 60);
	return is($all->(), $registered->(), $title);
}

sub agree
{
	my ($title) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(sync_wait($node, 'postgres', 120), "$title: in the sink") or diag(state_text());
	return is(sql('SELECT sum(missing + stale + ghost) FROM tenancy.verify()'), 0, "$title: all agree");
}

sub over { my ($title) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return ok(wait_until(sub { (eval { sql('SELECT count(*) FROM tenancy.index_move') } // '') eq '0' }, 120), "$title: it is over") || diag(state_text()) }
sub refused { my ($query, $pattern, $title) = @_; my ($rc, $out, $errors) = $node->psql('postgres', "\\set VERBOSITY verbose\n$query"); return like($errors, $pattern, $title) }
sub setting { my ($index, $name) = @_; my ($status, $reply) = $search->request('GET', "/$index/_settings?flat_settings=true"); return $status == 200 ? (values %$reply)[0]{settings}{"index.$name"} // '' : "status $status" }
sub becomes { my ($index, $name, $value, $title) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; wait_until(sub { setting($index, $name) eq $value }, 60); return is(setting($index, $name), $value, $title) || diag(state_text()) }
sub index_of { my ($tenant, $from) = @_; return sql("SELECT m.index_name FROM tenancy.search_index m JOIN tenancy.search_index g ON g.index_name = m.month_of JOIN tenancy.tenant t ON t.id = g.tenant_id WHERE t.name = '$tenant' AND g.role = 'serving' AND m.state <> 'dropping' AND m.index_name LIKE '%-" . day($from, '%Y%m%d') . "%'") }
sub found { my ($tenant) = @_; return (sql("BEGIN; SELECT tenant_use('$tenant'); SELECT tenant_search(NULL, 'event', options => '{\"engine\": \"server\"}') ->> 'total'; COMMIT") =~ /^(\d+)$/m)[0] }

my $tables = join(";\n", 'CREATE TABLE event (id bigint, at timestamptz NOT NULL, v text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at)',
	part('old', -530), part('cold', -230), part('warm', -80), part('hot', -10), 'CREATE TABLE plain (id int PRIMARY KEY, at date)');
sql('CREATE EXTENSION pg_tenancy', "SELECT tenant_blueprint_add('log', 1, \$\$$tables\$\$)",
	q{SELECT tenant_sync_table('log', t, t) FROM unnest('{event,plain}'::text[]) t}, q{SELECT tenancy.index_template('log', 'event', '{"refresh_interval": "200ms"}')},
	q{SELECT tenant_create('one', 'log')}, map { "INSERT INTO tenant_one.event SELECT n, '" . day($_) . " 00:30+00', 'still' FROM generate_series(1, 100) n" } -520, -220, -70, 0);
agree('start');

# To monthly and back while rows change, with the worker killed on the way.
my $misses = "$PostgreSQL::Test::Utils::tmp_check/misses";
my $client = fork // die $!;
if (!$client)
{
	my $good = 0;
	while (!-e "$misses.stop" && getppid() != 1)
	{
		my ($status, $reply) = eval { $search->request('POST', '/event_tenant_one/_count', { query => { match => { v => 'still' } } }) };
		next unless $status && $status =~ /^(?:200|404)$/;
		if ($status == 200 && $reply->{count} == 400) { $good++ }
		else { open(my $file, '>>', $misses); print $file "$status ", $reply->{count} // '', "\n"; close $file }
		sleep 0.01;
	}
	open(my $file, '>', "$misses.good"); print $file $good; close $file;
	POSIX::_exit(0);
}
my ($warm_day, $hot_day) = (day(-60), day(1));
my $load = start_load($node, 'postgres', writers => 1, script => <<"SQL");
SET lock_timeout = '5s';
INSERT INTO tenant_one.event SELECT 1000 + (random() * 100)::int, '$warm_day', 'new' ON CONFLICT DO NOTHING;
UPDATE tenant_one.event SET at = CASE WHEN at < '$hot_day' THEN '$hot_day' ELSE '$warm_day' END::timestamptz WHERE id = 1000 + (random() * 100)::int
   AND NOT EXISTS (SELECT FROM tenant_one.event e WHERE e.id = event.id AND e.at <> event.at);
DELETE FROM tenant_one.event WHERE id = 1000 + (random() * 100)::int;
SELECT pg_sleep(0.02);
SQL
for my $phase (qw(filling switching))
{
	for my $placement (qw(monthly dedicated))
	{
		is(sql("SELECT tenancy.place('one', 'event', '$placement')"), 't', "to $placement, killed while $phase");
		wait_until(sub { (eval { sql("SELECT phase IN ('$phase', 'grace') FROM tenancy.index_move") } // '') eq 't' }, 60);
		kill_worker($node, 'pg_tenancy search sink');
		over("to $placement");
		like(months('one'), $placement eq 'monthly' ? qr/^-530:100 -230:100 -80:\d+ -10:\d+ whole:0$/ : qr/^whole:\d+$/, "$placement: where documents are") or diag(state_text());
	}
}
sql(q{SELECT tenancy.place('one', 'event', 'monthly')});
over('to monthly');
sql(q{SELECT tenancy.reindex('one', 'event')});
over('made anew');
stop_load($load);
open(my $stop, '>', "$misses.stop"); close $stop;
waitpid $client, 0;
cmp_ok(slurp_file("$misses.good"), '>', 20, 'the client asked all the time');
ok(!-e $misses, 'and missed nothing') or diag(slurp_file($misses));
sql(q{DELETE FROM tenant_one.event WHERE id >= 1000});
agree('moved');
has_months('one', '-530:100 -230:100 -80:100 -10:100 whole:0', 'one index for each partition');
is(found('one'), 400, 'tenant_search finds the documents of all');
is(sql(q{SELECT tenancy.place('one', 'event', 'monthly')}), 'f', 'it is there');
no_others('moves have left nothing behind');

# Rows that move, partitions that come and go.
sql("UPDATE tenant_one.event SET at = '" . day(-220) . " 12:00+00' WHERE id <= 10 AND at < '" . day(-400) . "'");
has_months('one', '-530:90 -230:110 -80:100 -10:100 whole:0', 'documents move with their rows');
sql('BEGIN', 'SET LOCAL search_path = tenant_one', part('next', 20), "INSERT INTO event VALUES (1, '" . day(21) . "', 'first')", 'COMMIT');
has_months('one', '-530:90 -230:110 -80:100 -10:100 20:1 whole:0', 'a new partition has an index');
is((values %{ ($search->request('GET', '/' . index_of('one', 20) . '/_mapping'))[1] })[0]{mappings}{dynamic}, 'false', 'that was made before its first document');
sql('ALTER TABLE tenant_one.event ADD COLUMN extra int', "INSERT INTO tenant_one.event VALUES (2, '" . day(21) . "', 'second', 7)");
ok(sync_wait($node, 'postgres', 60), 'a new column');
ok(wait_until(sub { my ($status, $reply) = $search->request('GET', '/event_tenant_one/_mapping'); 6 == grep { $_->{mappings}{properties}{extra} } values %$reply }, 60), 'is a field of all months');
sql('ALTER TABLE tenant_one.event DETACH PARTITION tenant_one.cold', "UPDATE tenant_one.cold SET v = 'changed' WHERE id = 1", 'DELETE FROM tenant_one.cold WHERE id > 90', 'DROP TABLE tenant_one.next');
has_months('one', '-530:90 -80:100 -10:100 whole:0', 'detached and dropped partitions have none');
sql("ALTER TABLE tenant_one.event ATTACH PARTITION tenant_one.cold FOR VALUES FROM ('" . day(-240) . "') TO ('" . day(-150) . "')");
ok(sync_wait($node, 'postgres', 60), 'attached');
agree('attached');
is(found('one'), sql('SELECT count(*) FROM tenant_one.event'), 'all are found');
sql('CREATE TABLE tenant_one.rest PARTITION OF tenant_one.event DEFAULT', "INSERT INTO tenant_one.event VALUES (1, 'infinity', 'never'), (1, '" . day(-900) . "', 'long ago')");
ok(wait_until(sub { months('one') =~ /default:2/ }, 60), 'the default partition has one too') or diag(months('one'), state_text());
sql('DELETE FROM tenant_one.event WHERE at < now() - interval \'800 days\'', "UPDATE tenant_one.event SET v = 'other' WHERE at = 'infinity'");
agree('the rest');
my $lost = index_of('one', -80);
$search->request('DELETE', "/$lost");
sql("UPDATE tenant_one.event SET v = 'again' WHERE id = 7");
ok(wait_until(sub { ($search->count($lost) // 0) == 100 }, 60), 'a month that was lost is made again and filled') or diag(state_text());
agree('made again');
sql(q{SELECT tenant_rename('one', 'uno')});
ok(wait_until(sub { (eval { months('uno') } // '') =~ /^-530:90 .*whole:0$/ && months('one') eq 'status 404' }, 60), 'a renamed tenant') or diag(months('uno'), ' ', months('one'), state_text());
agree('renamed');

# What cannot be.
refused(q{SELECT tenancy.place('uno', 'plain', 'monthly')}, qr/TN010.*There is no table that is partitioned/s, 'refused: no partitions');
refused(q{SELECT tenancy.lifecycle_attach('log', 'plain', 'case_studies_ilm')}, qr/TN020.*Rollover would duplicate/s, 'refused: the shipped policy where it would duplicate');

# Lifecycle.
sql(q{SELECT tenancy.lifecycle_attach('log', 'event', 'case_studies_ilm')});
my %index = map { $_ => index_of('uno', $_) } -530, -80, -10;
becomes($index{-80}, 'blocks.write', 'true', 'warm: readonly');
is(setting($index{-80}, 'priority'), 50, 'warm: priority');
becomes($index{-530}, 'priority', 0, 'cold: priority');
is(setting($index{-530}, 'number_of_replicas'), 0, 'cold: replicas');
becomes($index{-10}, 'priority', 100, 'hot: priority');
is(setting($index{-10}, 'blocks.write'), '', 'hot: not readonly');
is(sql(qq{SELECT phase, applied, carried_out_by FROM tenancy.lifecycle_index WHERE index_name = '$index{-530}'}), 'delete|cold|worker', 'of age, but there as long as its partition is');
is(sql(q{SELECT age IS NULL, phase FROM tenancy.lifecycle_index WHERE index_name LIKE '%-default'}), 't|hot', 'the rest does not age');
sql("UPDATE tenant_uno.event SET v = 'late' WHERE id = 5 AND at BETWEEN '" . day(-80) . "' AND '" . day(-50) . "'");
ok(wait_until(sub { my ($status, $reply) = $search->request('POST', "/$index{-80}/_count", { query => { match => { v => 'late' } } }); $reply->{count} }, 60), 'a late change of a readonly month comes in') or diag(state_text());
is(sql(qq{SELECT lifted_at IS NOT NULL FROM tenancy.lifecycle_index WHERE index_name = '$index{-80}'}), 't', 'as its block is lifted');
is(setting($index{-530}, 'blocks.write'), 'true', 'that of no other month');
ok(wait_until(sub { sql(qq{SELECT lifted_at IS NULL FROM tenancy.lifecycle_index WHERE index_name = '$index{-80}'}) eq 't' }, 60), 'for a while');
becomes($index{-80}, 'blocks.write', 'true', 'and restored');
refused(q{SELECT tenancy.place('uno', 'event', 'dedicated')}, qr/TN020.*Rollover would duplicate/s, 'refused: a placement that the policy cannot have');
sql(q{SELECT tenant_create('two', 'log')}, "INSERT INTO tenant_two.event VALUES (1, now(), 'x')");
has_months('two', '-530:0 -230:0 -80:0 -10:1 whole:0', 'a new tenant is placed as the policy needs it');
sql('DROP TABLE tenant_uno.old');
ok(wait_until(sub { ($search->request('GET', "/$index{-530}"))[0] == 404 }, 60), 'the index goes with its partition');
agree('by age');
is(sql('SELECT count(*) FROM tenancy.dead_letter'), 0, 'nothing was refused');

# A table that is partitioned so no more; tenants that go.
sql(q{SELECT tenancy.lifecycle_detach('log', 'event')}, 'ALTER TABLE tenant_two.event RENAME TO event_before', 'CREATE TABLE tenant_two.event (id bigint, at timestamptz, v text, PRIMARY KEY (id, at))', "INSERT INTO tenant_two.event SELECT n, now(), 'y' FROM generate_series(1, 3) n");
has_months('two', 'whole:3', 'a table without partitions gets one index');
over('no more months');
is(sql(q{SELECT placement FROM tenancy.placement_advice() WHERE tenant = 'two' AND index_type = 'event'}), 'dedicated', 'and is placed so');
has_months('two', 'whole:3', 'with all documents');
sql(q{SELECT tenant_drop(n, purge => true) FROM unnest('{uno,two}'::text[]) n});
ok(wait_until(sub { sql('SELECT count(*) FROM tenancy.search_index') eq '0' }, 60), 'dropped tenants') or diag(state_text());
no_others('leave no index');
$node->stop;
$search->stop;
done_testing();
