# What one row, one table or one lock does wrong stays with it; everything else goes on.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;
use TenancyLoad;

need_servers('elasticsearch7', 'redis');
my $search = TenancySearch->start('elasticsearch7');
my $redis = TenancyRedis->start;
my $node = tenancy_node('errors', search => $search, redis => $redis);
$node->start;

sub sql { return $node->safe_psql('postgres', join(';', @_)) }
sub synced { return sync_wait($node, 'postgres', 60) }
sub agrees { return all_agree($node, 'postgres', $search, @_) }

# The letters, one a line.
sub letters { return sql(q{SELECT sink, relation, key, status FROM tenancy.dead_letter ORDER BY relation::text, key}) }

sql(<<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('shop', 1, $$
CREATE TABLE item (id bigint PRIMARY KEY, small bigint, j jsonb);
CREATE TABLE log (id bigint, line text);
CREATE TABLE gone (id bigint PRIMARY KEY, line text);
$$);
SELECT tenant_sync_table('shop', 'item', 'item', mapping => '{"mappings": {"dynamic": false, "properties": {"small": {"type": "byte"}, "j": {"type": "object"}}}}', cache_keys => ARRAY['item:{id}']);
SELECT tenant_sync_table('shop', 'log', 'log', mapping => '{"mappings": {"dynamic": false}}', cache_tags => '{log}');
SELECT tenant_sync_table('shop', 'gone', 'gone', mapping => '{"mappings": {"dynamic": false}}', cache_keys => ARRAY['gone:{id}']);
SELECT tenant_create(n, 'shop') FROM unnest(ARRAY['one', 'two']) n;
SQL
ok(synced(), 'start');

# A value that the mapping does not take.
sql('INSERT INTO tenant_one.item SELECT n, CASE n WHEN 50 THEN 1000 WHEN 60 THEN -129 ELSE n END FROM generate_series(1, 100) n');
ok(synced(), 'refused: sync_wait does not wait for dead letters');
is(letters(), "search|tenant_one.item|{50}|400\nsearch|tenant_one.item|{60}|400", 'refused: table, key and status');
like(sql('SELECT reason FROM tenancy.dead_letter WHERE key = \'{50}\''), qr/small|byte|range/i, 'refused: reason');
is(sql('SELECT t.name FROM tenancy.dead_letter d JOIN tenancy.tenant t ON t.id = d.tenant_id GROUP BY 1'), 'one', 'refused: tenant');
is($search->count('item_tenant_one'), 98, 'refused: the others are there');
is(sql("SELECT dead FROM tenancy.stat_sync WHERE sink = 'search'"), 2, 'refused: counted');
my $found = compare_index($node, 'postgres', 'one', 'item', $search, 'item');
is_deeply([ @$found{qw(missing ghost stale)} ], [ [ 50, 60 ], [], [] ], 'refused: just those two are missing');

sql('UPDATE tenant_one.item SET small = 5 WHERE id = 50');
ok(synced(), 'mended');
is(letters(), 'search|tenant_one.item|{60}|400', 'mended: its letter is gone');
is($search->document('item_tenant_one', 50)->{small}, 5, 'mended: its document is there');
sql('UPDATE tenant_one.item SET small = 6 WHERE id = 50');
ok(synced(), 'again');
is($search->document('item_tenant_one', 50)->{small}, 6, 'and follows');

# Retried as it is: the letter stays and counts.
is(sql('SELECT tenancy.dead_letter_retry()'), 1, 'retry names one letter');
ok(synced(), 'retried');
is(sql('SELECT attempts FROM tenancy.dead_letter'), 2, 'retried: refused again');

# Mended on the server: another index, whose mapping takes it.
my ($index) = keys %{ ($search->request('GET', '/_alias/item_tenant_one'))[1] };
sql(<<'SQL');
SELECT tenant_sync_table('shop', 'item', 'item', mapping => '{"mappings": {"dynamic": false, "properties": {"small": {"type": "long"}}}}', cache_keys => ARRAY['item:{id}']);
SQL
is(($search->raw('DELETE', "/$index"))[0], 200, 'index with the old mapping deleted');
is(sql('SELECT tenancy.dead_letter_retry(id) FROM tenancy.dead_letter'), 1, 'one letter is sent again');
ok(wait_until(sub { letters() eq '' }, 60), 'the letter is gone') or diag(letters());
ok(synced(), 'everything is sent again');
index_agrees($node, 'postgres', 'one', 'item', $search, 'item', 'after the retry the index agrees');

# The row of a letter is deleted.
sql(q{INSERT INTO tenant_two.item VALUES (1, 1000), (2, 2)});
ok(synced(), 'two: refused or not');
sql('DELETE FROM tenant_two.item WHERE id = 1');
ok(synced(), 'two: deleted');
is(sql("SELECT count(*) FROM tenancy.dead_letter WHERE key = '{1}'"), 0, 'the letter of a deleted row goes');
index_agrees($node, 'postgres', 'two', 'item', $search, 'item', 'and the index agrees');

# A table without a key does not stop the others.
sql(q{INSERT INTO tenant_one.log SELECT n, 'line' FROM generate_series(1, 10) n});
sql(q{INSERT INTO tenant_one.item VALUES (1001, 1)});
ok(synced(), 'no key: the rest goes on');
is($search->document('item_tenant_one', 1001)->{small}, 1, 'no key: other rows are there');
sql(q{UPDATE tenant_one.log SET line = 'x'; DELETE FROM tenant_one.log WHERE id < 5; TRUNCATE tenant_two.log});
ok(synced(), 'no key: UPDATE, DELETE and TRUNCATE stop nothing either');
sql('ALTER TABLE tenant_one.log ADD PRIMARY KEY (id); UPDATE tenant_one.log SET line = line');
sql('ALTER TABLE tenant_two.log ADD PRIMARY KEY (id)');
agrees('key added');

# A lock on one tenant's table: who waits for it gets it in the moment the writer commits.
my $writer = $node->background_psql('postgres');
my $locker = $node->background_psql('postgres');
$writer->query_safe('BEGIN; INSERT INTO tenant_one.item VALUES (2000, 7)');
$locker->query_until(qr/waiting/, "\\echo waiting\nBEGIN; LOCK TABLE tenant_one.item IN ACCESS EXCLUSIVE MODE;\n\\echo locked\n");
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND NOT granted}), 'somebody waits for the lock');
$writer->query_safe('COMMIT');
$locker->query_until(qr/locked/, '');
is(sql("SELECT tenancy.sync_wait('500 ms')"), 'f', 'locked: sync_wait knows that a row is waiting');
sql(q{INSERT INTO tenant_two.item SELECT n, 1 FROM generate_series(3000, 3100) n});
ok(wait_until(sub { ($search->count('item_tenant_two') // 0) == 102 }, 60), 'locked: another tenant\'s rows arrive');
sql(q{UPDATE tenant_two.item SET small = 2 WHERE id = 3000}, q{INSERT INTO tenant_one.gone SELECT n, 'x' FROM generate_series(1, 500) n});
ok(wait_until(sub { $search->document('item_tenant_two', 3000)->{small} == 2 }, 60), 'locked: and their changes');
ok(wait_until(sub { ($search->count('gone_tenant_one') // 0) == 500 }, 60), 'locked: and those of the tenant\'s other tables');
is($search->document('item_tenant_one', 2000), undef, 'locked: the row is still waiting');
$locker->query_safe('COMMIT');
$_->quit for $writer, $locker;
agrees('unlocked');

# An index that is being built, and VACUUM FULL: short locks, same thing.
sql('VACUUM FULL tenant_one.item');
sql('CLUSTER tenant_two.item USING item_pkey');
sql('UPDATE tenant_one.item SET small = 3 WHERE id < 10');
agrees('rewritten');

# A table that is dropped with keys on their way.
$search->halt;
sql(q{UPDATE tenant_one.gone SET line = 'y'});
sql(q{INSERT INTO tenant_one.item VALUES (4000, 1)});
sql(q{BEGIN; INSERT INTO tenant_one.gone VALUES (2000); DROP TABLE tenant_one.gone; COMMIT});
$search->cont;
ok(synced(), 'dropped: the rest goes on');
is($search->document('item_tenant_one', 4000)->{small}, 1, 'dropped: other rows are there');
$search->halt;
sql(q{INSERT INTO tenant_two.item SELECT n, 1 FROM generate_series(5000, 6000) n});
sql(q{SELECT tenant_drop('two', purge => true)});
$search->cont;
ok(synced(), 'tenant dropped with keys on their way');
ok(wait_until(sub { !defined $search->count('item_tenant_two') }, 60), 'its index goes');
sql(q{CREATE TABLE tenant_one.gone (id bigint PRIMARY KEY, line text); INSERT INTO tenant_one.gone VALUES (1, 'back')});
ok(synced(), 'made again under the same name');
is($search->document('gone_tenant_one', 1)->{line}, 'back', 'made again: synced');
index_agrees($node, 'postgres', 'one', 'item', $search, 'item', 'made again: the others agree');
is(sql('SELECT sink, relation, key, status, reason FROM tenancy.dead_letter'), '', 'no letter is left');
unlike(slurp_file($node->logfile), qr/PANIC|was terminated by signal|exited with exit code [2-9]/, 'no worker died');
done_testing();
