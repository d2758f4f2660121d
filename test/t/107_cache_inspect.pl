# The inspector: keys that were unlinked are read again and compared with the row; a stale value that somebody put there is found.

use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;

need_servers('redis');
my $redis = TenancyRedis->start;
my $node = tenancy_node('inspect', redis => $redis);
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('box', 1, 'CREATE TABLE item (id int PRIMARY KEY, n int, t text)');
SELECT tenant_sync_table('box', 'item', cache_keys => ARRAY['item:{id}']);
SELECT tenant_create('one', 'box');
SQL
ok(sync_wait($node, 'postgres', 60), 'start');
sub seen
{
	my ($columns, $window) = @_;
	return $node->safe_psql('postgres', "SELECT concat_ws(' ', $columns) FROM tenancy.stat_cache WHERE window_seconds = $window");
}
is($node->safe_psql('postgres', 'SELECT count(*), sum(checked), count(nines) FROM tenancy.stat_cache'), '3|0|0', 'three windows, nothing seen');

# Changes a row, then stores a value for it as a client would; returns what the inspector makes of it one second later.
my $number = 0;
sub verdict
{
	my ($value, $sql) = @_;
	$number++;
	my @before = split ' ', seen('checked - absent - stale, absent, stale, not_judged', 1);
	$node->safe_psql('postgres', ($sql // "INSERT INTO tenant_one.item VALUES (%d, %d, 'x')") =~ s/%d/$number/gr);
	ok(sync_wait($node, 'postgres', 60), 'a change');
	redis_cmd($redis, 'SET', "tenant:one:item:$number", $value =~ s/%d/$number/gr) if defined $value;
	my @now;
	wait_until(sub { @now = split ' ', seen('checked - absent - stale, absent, stale, not_judged', 1); "@now" ne "@before" }, 60);
	my @names = qw(right absent stale unknown);
	return join ' ', map { $now[$_] > $before[$_] ? $names[$_] : () } 0 .. 3;
}
is(verdict(undef), 'absent', 'no value');
is(verdict('{"id": %d, "n": %d, "t": "x"}'), 'right', 'the row');
is(verdict('{"n": %d, "more": [1]}'), 'right', 'a part of it, and more');
is(verdict('{"id": %d, "n": %d, "t": "old"}'), 'stale', 'an old row');
is(verdict('"x"'), 'unknown', 'no object');
is(verdict('{"more": 1}'), 'unknown', 'no column');
is(verdict('nonsense'), 'unknown', 'no JSON');
is(verdict('null'), 'stale', 'nothing where there is a row');
is(verdict('{"id": %d}', "INSERT INTO tenant_one.item VALUES (%d, 1, ''); DELETE FROM tenant_one.item WHERE id = %d"), 'stale', 'a row that is gone');
is(verdict('null', "INSERT INTO tenant_one.item VALUES (%d, 1, ''); DELETE FROM tenant_one.item WHERE id = %d"), 'right', 'nothing where there is none');
like(slurp_file($node->logfile), qr/Redis key "tenant:one:item:4" has a stale value/, 'it is in the log');
is(seen('nines', 1), $node->safe_psql('postgres', 'SELECT log(checked::float8 / stale) FROM tenancy.stat_cache WHERE window_seconds = 1'), 'the nines');
ok(wait_until(sub { my ($n) = split ' ', seen('checked', 10); $n >= 7 }, 60), 'ten seconds later again');
is(seen('stale > 0', 10), 't', 'what is stale still is');

# A value that is overtaken by a change is no stale one: fills and changes all the time.
my $stale = seen('stale', 1);
$node->safe_psql('postgres', "INSERT INTO tenant_one.item VALUES (1000, 0, '')");
for my $i (1 .. 400)
{
	$node->safe_psql('postgres', 'UPDATE tenant_one.item SET n = n + 1 WHERE id = 1000') if $i % 4 == 0;
	$node->safe_psql('postgres', "BEGIN; SELECT FROM tenant_use('one'); SELECT tenant_cache_fetch('item:1000', 'SELECT to_jsonb(i) FROM item i WHERE id = 1000'); COMMIT");
}
is(seen('stale', 1), $stale, 'guarded fills among changes: none is stale');
cmp_ok(seen('nines', 1), '>', 0, 'nines');

# A row whose table is gone when it is looked at.
my $start = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');
sleep 1;
$node->safe_psql('postgres', "SELECT tenant_create('two', 'box'); INSERT INTO tenant_two.item VALUES (1, 1, '')");
ok(sync_wait($node, 'postgres', 60), 'a change');
$node->safe_psql('postgres', "SELECT tenant_drop('two', purge => true)");
$node->safe_psql('postgres', "INSERT INTO tenant_one.item VALUES (2000, 1, '')");
ok(sync_wait($node, 'postgres', 60), 'the tenant is gone');
my $checked = seen('checked', 1);
ok(wait_until(sub { $node->safe_psql('postgres', 'UPDATE tenant_one.item SET n = n + 1 WHERE id = 1000'); seen('checked', 1) > $checked + 4 }, 60), 'the inspector goes on');
is($node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()'), $start, 'and nothing has crashed');
unlike(slurp_file($node->logfile), qr/terminated by signal/, 'no process has');
$node->stop;
done_testing();
