# What users of other tools complain about, and no other test here shows: docs/peers.md says which test shows the rest.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;
use TenancyLoad;
use TenancyProxy;

need_servers('elasticsearch7', 'redis');
my $search = TenancySearch->start('elasticsearch7');
my $redis = TenancyRedis->start;
my $proxy = TenancyProxy->start(target => $search->port, http => 1);
my $node = tenancy_node('peers', redis => $redis, conf => "tenancy.search_url = '" . $proxy->url . "'\ntenancy.retry_max = 1s\nautovacuum = off\n");
$node->start;

sub sql { return $node->safe_psql('postgres', join(';', @_)) }
sub agrees { return all_agree($node, 'postgres', $search, @_) }
sub slot { return sql('SELECT slot_name FROM pg_replication_slots') }
sub lines_like { my ($pattern) = @_; return scalar(() = slurp_file($node->logfile) =~ /$pattern/g) }

# Waits until the slot has let go of all WAL before a position.
sub lets_go
{
	my ($lsn, $name) = @_;
	ok($node->poll_query_until('postgres', "SELECT confirmed_flush_lsn >= '$lsn' FROM pg_replication_slots"), $name);
	return;
}

sql(<<'SQL');
CREATE EXTENSION pg_tenancy;
CREATE TABLE unrelated (id int, t text);
SELECT tenant_blueprint_add('shop', 1, $$
CREATE TABLE item (id bigint PRIMARY KEY, n int, small bigint, label text, body text);
ALTER TABLE item ALTER body SET STORAGE EXTERNAL;
$$);
SELECT tenant_sync_table('shop', 'item', 'item', cache_keys => ARRAY['item:{id}'],
	mapping => '{"settings": {"index": {"gc_deletes": "1h"}}, "mappings": {"dynamic": false, "properties": {"small": {"type": "byte"}}}}');
SELECT tenant_create(n, 'shop') FROM unnest(ARRAY['one', 'two']) n;
INSERT INTO tenant_one.item SELECT n, n, 1, 'label', repeat(md5(n::text), 100) FROM generate_series(1, 100) n;
INSERT INTO tenant_two.item SELECT n, n, 1 FROM generate_series(1, 100) n;
SQL
agrees('start');

# 23: tables that nobody syncs are busy; the slot lets go of their WAL, and nothing was set up for that.
sql(q{INSERT INTO unrelated SELECT n, repeat('x', 500) FROM generate_series(1, 20000) n});
lets_go(sql('SELECT pg_current_wal_lsn()'), 'busy unrelated tables: the slot follows');
sql('CHECKPOINT', 'SELECT pg_log_standby_snapshot()') if $node->pg_version >= 16;
sql('DELETE FROM unrelated', 'CHECKPOINT');
my $lsn = sql('SELECT pg_current_wal_lsn()');
lets_go($lsn, 'and then nothing happens: the slot follows');
is(sql('SELECT active FROM pg_replication_slots'), 't', 'quiet: the slot is shown as active');

# 1, 2: refused documents, and requests that fail, hold no WAL for good.
sql('INSERT INTO tenant_one.item (id, small) SELECT n, 1000 FROM generate_series(1001, 1020) n');
ok(sync_wait($node, 'postgres', 60), 'refused documents: the rest is in');
lets_go(sql('SELECT pg_current_wal_lsn()'), 'refused documents: the slot follows');
is(sql(q{SELECT count(*), count(DISTINCT key), bool_and(relation = 'tenant_one.item'::regclass), bool_and(reason ~ 'small') FROM tenancy.dead_letter}), '20|20|t|t', 'each has a letter that says table, key and field');
sql('DELETE FROM tenant_one.item WHERE small = 1000');
$proxy->fault('status', code => 500, body => '{"error":"broken"}', match => qr/_bulk/, share => 0.7);
$proxy->fault('drop_reply', match => qr/_bulk/, share => 0.5, seed => 2);
sql('UPDATE tenant_one.item SET n = n + 1', 'DELETE FROM tenant_two.item WHERE id > 90');
ok(wait_until(sub { $proxy->count('status') >= 2 && $proxy->count('drop_reply') >= 1 }, 60), 'requests fail');
$proxy->clear;
agrees('requests failed');
is(sql('SELECT count(*) FROM tenancy.dead_letter'), 0, 'a request that failed makes no letter');
lets_go(sql('SELECT pg_current_wal_lsn()'), 'requests failed: the slot follows');

# 18, 22: somebody drops the slot while everything runs; what changes before there is another one is not lost.
my $slot = slot();
ok(wait_until(sub {
	eval { sql("SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE active_pid IS NOT NULL", "SELECT pg_drop_replication_slot('$slot')",
		q{UPDATE tenant_one.item SET label = 'unseen' WHERE id <= 50}, 'DELETE FROM tenant_one.item WHERE id BETWEEN 60 AND 70', q{TRUNCATE tenant_two.item}); 1 };
}, 60), 'slot dropped, and rows change unseen');
agrees('slot dropped');
is(sql('SELECT count(*), bool_and(active) FROM pg_replication_slots'), '1|t', 'slot dropped: there is one again');
is($search->document('item_tenant_one', 1)->{label}, 'unseen', 'slot dropped: what nobody saw is there');
is($search->document('item_tenant_one', 60), undef, 'slot dropped: and what went is gone');

# 21: a second reader cannot have the slot, and takes nothing from the first.
$slot = slot();
for my $query ("SELECT count(*) FROM pg_logical_slot_get_changes('$slot', NULL, NULL)", "SELECT pg_replication_slot_advance('$slot', pg_current_wal_lsn())", "SELECT pg_drop_replication_slot('$slot')")
{
	my (undef, $out, $error) = $node->psql('postgres', $query);
	like($error, qr/is active for PID|not allowed|not in/, "second reader: $query") or diag($out);
}
is(sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_tenancy capture'}), 1, 'one capture');
sql('SELECT tenancy.attach()');
sql('UPDATE tenant_one.item SET n = -1 WHERE id = 1');
agrees('a second attach');
is(sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_tenancy capture'}), 1, 'still one capture');
is(sql('SELECT count(*) FROM pg_replication_slots'), 1, 'one slot for all indices');

# 15, 20: transactions that end in another order than they began; and requests whose outcome nobody knows.
my $first = $node->background_psql('postgres');
my $second = $node->background_psql('postgres');
for my $round (1 .. 3)
{
	$first->query_safe("BEGIN; UPDATE tenant_one.item SET n = 100 * $round WHERE id = 1; UPDATE tenant_one.item SET n = 100 * $round WHERE id = 2");
	$second->query_safe("BEGIN; UPDATE tenant_one.item SET n = 200 * $round WHERE id = 3; INSERT INTO tenant_two.item VALUES (1000 + $round, $round)");
	$second->query_safe('COMMIT');
	$proxy->fault('drop_reply', match => qr/_bulk/, times => 1);
	sql("UPDATE tenant_one.item SET n = 300 * $round WHERE id = 3");
	$first->query_safe("DELETE FROM tenant_two.item WHERE id = 1000 + $round; COMMIT");
	agrees("T1 after T2, $round");
}
$_->quit for $first, $second;
is($search->document('item_tenant_one', 1)->{n}, 300, 'T1 after T2: the last value');
is($search->document('item_tenant_one', 3)->{n}, 900, 'T1 after T2: the last value of the other');

# 24: a DELETE on its way does not remove a row that came back meanwhile.
for my $round (1 .. 3)
{
	$proxy->fault('delay', when => 'before', ms => 300, match => qr/_bulk/, times => 1);
	$proxy->fault('drop_reply', match => qr/_bulk/, times => 1) if $round % 2;
	sql('DELETE FROM tenant_one.item WHERE id = 5');
	sql("INSERT INTO tenant_one.item (id, n) VALUES (5, $round)");
	ok(sync_wait($node, 'postgres', 60), "deleted and back, $round: in");
	is(($search->document('item_tenant_one', 5) // {})->{n}, $round, "deleted and back, $round");
}

# 24: versions of another life of this database are no reason to refuse what it says now.
my $epoch = sql('SELECT epoch FROM tenancy.instance');
sql('UPDATE tenancy.instance SET timeline = timeline + 1');
$node->restart;
sql('UPDATE tenant_one.item SET n = 77 WHERE id = 1');
ok(wait_until(sub { eval { sql('SELECT epoch FROM tenancy.instance') > $epoch } }, 60), 'another timeline: the epoch rises');
agrees('another timeline');
is($search->document('item_tenant_one', 1)->{n}, 77, 'another timeline: the server takes it');

# 10, 12: values that the WAL does not have, and that are replaced while it is being read.
for my $round (1 .. 3)
{
	sql('BEGIN', "UPDATE tenant_one.item SET label = 'toast $round'", 'COMMIT', "UPDATE tenant_one.item SET body = repeat(md5('$round' || id), 100) WHERE id % 2 = 0",
		'DELETE FROM tenant_one.item WHERE id % 10 = ' . $round, 'VACUUM tenant_one.item');
}
agrees('large values that are not in the WAL');
is(length $search->document('item_tenant_one', 11)->{body} // '', 3200, 'large values are in the index') if sql('SELECT count(*) FROM tenant_one.item WHERE id = 11');
sql('VACUUM FULL tenant_one.item');

# Processes that are always there: the cache's inspector comes and goes.
sub all_workers { return split /\n/, sql(q{SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'pg_tenancy%' AND backend_type <> 'pg_tenancy cache inspector' ORDER BY pid}) }

# 11, 19: one transaction of 100,000 rows and one row of 10 MB; the workers stay small.
my %before = map { split /\|/ } split /\n/, sql(q{SELECT backend_type, pid FROM pg_stat_activity WHERE backend_type LIKE 'pg_tenancy%' AND backend_type <> 'pg_tenancy cache inspector'});
sql(q{BEGIN; INSERT INTO tenant_two.item (id, n, small) SELECT n, n, 1 FROM generate_series(100001, 200000) n; DELETE FROM tenant_two.item WHERE id > 101000; COMMIT},
	q{INSERT INTO tenant_one.item (id, n, body) VALUES (9000, 1, repeat('0123456789', 1000000))});
ok(sync_wait($node, 'postgres', 120), 'large transaction, large row: in');
my ($status, $text) = $search->raw('GET', '/item_tenant_one/_source/9000?_source_includes=body');
ok($text eq '{"body":"' . '0123456789' x 1_000_000 . '"}', 'the large row is there') or diag(substr $text, 0, 100);
sql('UPDATE tenant_one.item SET body = NULL WHERE id = 9000');
my %after = map { split /\|/ } split /\n/, sql(q{SELECT backend_type, pid FROM pg_stat_activity WHERE backend_type LIKE 'pg_tenancy%' AND backend_type <> 'pg_tenancy cache inspector'});
is_deeply(\%after, \%before, 'large transaction: the same workers');
my ($memory) = slurp_file("/proc/$after{'pg_tenancy capture'}/status") =~ /^VmHWM:\s*(\d+)/m;
cmp_ok($memory, '<', 200_000, 'large transaction: capture keeps below 200 MB');

# 6: what does not change a document does not make everything be sent again.
my $docs = sql(q{SELECT docs FROM tenancy.stat_sync WHERE sink = 'search'});
sql('CREATE INDEX item_n ON tenant_two.item (n)', 'ALTER TABLE tenant_two.item SET (fillfactor = 90)', 'ALTER TABLE tenant_two.item ALTER n SET STATISTICS 500', 'ANALYZE tenant_two.item');
agrees('nothing that matters to a column'); # seen together with a new file it could be a type that changed
sql('VACUUM FULL tenant_two.item', 'CREATE TABLE tenant_two.other (id int PRIMARY KEY)', 'UPDATE tenant_one.item SET n = 5 WHERE id = 2');
agrees('nothing that matters');
cmp_ok(sql(q{SELECT docs FROM tenancy.stat_sync WHERE sink = 'search'}) - $docs, '<', 20, 'nothing that matters: nothing is sent again');

# 14: the search server is away; writers do not notice, and the workers are there after a crash, with a backlog.
$proxy->fault('refuse', connections => 'reset');
sql('SET statement_timeout = 20000', q{UPDATE tenant_two.item SET label = 'while away'}, 'INSERT INTO tenant_one.item (id, n) SELECT n, 1 FROM generate_series(20001, 25000) n');
$node->stop('immediate');
$node->start;
sql(q{UPDATE tenant_two.item SET n = n + 1});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 4 FROM pg_stat_activity WHERE backend_type LIKE 'pg_tenancy%' AND backend_type <> 'pg_tenancy cache inspector'}), 'after a crash: every worker is there');
my ($capture) = worker_pids($node, 'pg_tenancy capture');
kill 'KILL', $capture;
ok(wait_until(sub { my @pids = eval { all_workers() }; @pids == 4 && !grep { $_ eq $capture } @pids }, 60), 'after a killed worker: every one is there');
my @pids = all_workers();
$proxy->clear;
agrees('backlog after a crash');
is_deeply([ all_workers() ], \@pids, 'backlog after a crash: the same workers, no crash loop');
lets_go(sql('SELECT pg_current_wal_lsn()'), 'backlog after a crash: the slot follows');

# An index whose tenant goes while the server has not come to making it, for a worker that has died: until it is made the server
# says 404, and has the task.
sub indices { return join ' ', sort grep { !/^\./ } split /\n/, ($search->raw('GET', '/_cat/indices?h=index'))[1] }
sql(q{SELECT tenant_create('short', 'shop')});
agrees('a tenant that is soon gone');
my $index = sql(q{SELECT index_name FROM tenancy.search_index WHERE alias = 'item_tenant_short'});
$proxy->fault('status', code => 404, body => '{"error":{"type":"index_not_found_exception"},"status":404}', match => qr{^DELETE /item\.}, times => 1);
$proxy->fault('status', code => 200, body => qq({"tasks":[{"source":"create-index [$index], cause [api]"}]}), match => qr{pending_tasks}, times => 1);
sql(q{SELECT tenant_drop('short', purge => true)});
ok(wait_until(sub { sql(q{SELECT count(*) FROM tenancy.search_index WHERE state = 'dropping'}) == 0 }, 60), 'its row has gone');
is(indices(), sql(q{SELECT string_agg(index_name, ' ' ORDER BY index_name COLLATE "C") FROM tenancy.search_index}), 'and so has the index');
sql(q{SELECT tenant_create('short', 'shop')}, 'INSERT INTO tenant_short.item (id, n) VALUES (1, 1)');
agrees('a tenant of the same name');

is(sql('SELECT count(*) FROM tenancy.dead_letter'), 0, 'no letter is left');
unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal (?!9)|TRAP/, 'no worker crashed');
done_testing();
