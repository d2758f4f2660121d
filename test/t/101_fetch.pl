# tenant_cache_fetch: one session makes a value, others wait for it; early refresh, negative entries, and what it refuses.
# And invalidation by pattern and by tag.

use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep time);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;

need_servers('redis');
my $redis = TenancyRedis->start;
my $node = tenancy_node('fetch', redis => $redis, conf => "tenancy.cache_guard_time = 30\ntenancy.cache_wait = '20s'\n");
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('box', 1, 'CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL); CREATE SEQUENCE runs');
SELECT tenant_sync_table('box', 'item', cache_keys => ARRAY['item:{id}'], cache_tags => ARRAY['items']);
SELECT tenant_create('one', 'box'), tenant_create('two', 'box');
INSERT INTO tenant_one.item SELECT g, g FROM generate_series(1, 100) g;
CREATE TABLE run (n int);
CREATE ROLE reader IN ROLE tenancy_app LOGIN;
SQL

my $use = "SELECT FROM tenant_use('one')";
sub one { my ($sql) = @_; return $node->safe_psql('postgres', "BEGIN; $use; $sql; COMMIT") =~ s/^\s+|\s+$//gr }
sub fails
{
	my ($sql, $like, $name) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', "BEGIN; $use; $sql; COMMIT", on_error_stop => 1);
	like($err, $like, $name);
	return;
}
sub value { return redis_cmd($redis, 'GET', "tenant:one:$_[0]") }
sub lease { return redis_cmd($redis, 'GET', "tenant:one:#lease:$_[0]") }
ok(sync_wait($node, 'postgres', 60), 'start');
ok(wait_until(sub { @{ redis_cmd($redis, 'KEYS', 'tenant:#mark:*') } == 1 }, 30), 'the mark is there');

my $item = q{'item:1', 'SELECT to_jsonb(n) FROM item WHERE id = 1'};
is(one("SELECT tenant_cache_fetch($item)"), 1, 'made by the query');
is(value('item:1'), 1, 'and stored');
is(lease('item:1'), undef, 'the lease is over');
redis_cmd($redis, 'SET', 'tenant:one:item:1', '"cached"', 'KEEPTTL');
is(one("SELECT tenant_cache_fetch($item)"), '"cached"', 'then taken from the cache');
$node->safe_psql('postgres', 'UPDATE tenant_one.item SET n = 2 WHERE id = 1');
ok(sync_wait($node, 'postgres', 60), 'a change');
is(one("SELECT tenant_cache_fetch($item)"), 2, 'made anew');
my %ttl = map { one("SELECT tenant_cache_fetch('t:$_', 'SELECT to_jsonb(1)', 1000)"); redis_cmd($redis, 'TTL', "tenant:one:t:$_") => 1 } 1 .. 20;
cmp_ok((sort { $a <=> $b } keys %ttl)[0], '>=', 890, 'time to live: at least 90 %');
cmp_ok((sort { $b <=> $a } keys %ttl)[0], '<=', 1100, 'time to live: 110 % at the most');
cmp_ok(scalar keys %ttl, '>', 1, 'time to live: not all the same');

# Nothing there.
is(one(q{SELECT tenant_cache_fetch('item:500', 'SELECT to_jsonb(n) FROM item WHERE id = 500', 3600) IS NULL}), 't', 'no row: null');
is(value('item:500'), 'null', 'and that is remembered');
cmp_ok(redis_cmd($redis, 'TTL', 'tenant:one:item:500'), '<=', 11, 'for a short time');
is(one(q{SELECT tenant_cache_fetch('item:500', 'SELECT 1 / 0', 3600) IS NULL}), 't', 'null from the cache');
$node->safe_psql('postgres', 'INSERT INTO tenant_one.item VALUES (500, 5)');
ok(sync_wait($node, 'postgres', 60), 'an insert');
is(one(q{SELECT tenant_cache_fetch('item:500', 'SELECT to_jsonb(n) FROM item WHERE id = 500')}), 5, 'the insert ends it');
is(one(q{SELECT tenant_cache_fetch('nothing', 'SELECT NULL::jsonb') IS NULL}), 't', 'null of the query');
is(one(q{SELECT tenant_cache_fetch('json', $$SELECT '{"b": 1, "a": [2]}'::json$$)}), '{"a": [2], "b": 1}', 'json is taken as jsonb');

is(one(q{SELECT tenant_cache_fetch('null', $$SELECT 'null'::jsonb$$) IS NULL}), 't', 'JSON null of the query, the first time');
is(one(q{SELECT tenant_cache_fetch('null', $$SELECT 'null'::jsonb$$) IS NULL}), 't', 'and from the cache');

# What another client has left there is made anew.
redis_cmd($redis, 'SET', 'tenant:one:odd', '{no json');
is(one(q{SELECT tenant_cache_fetch('odd', 'SELECT to_jsonb(1)')}), 1, 'no JSON: the query runs');
is(value('odd'), 1, 'no JSON: its value is stored');
redis_cmd($redis, 'DEL', 'tenant:one:odd');
redis_cmd($redis, 'HSET', 'tenant:one:odd', 'a', 'b');
is(one(q{SELECT tenant_cache_fetch('odd', 'SELECT to_jsonb(2)')}), 2, 'a hash: the query runs');
is(value('odd'), 2, 'a hash: its value is stored');
is(one(q{SELECT tenant_cache_fetch('odd2', 'SELECT to_jsonb(pg_current_xact_id()::text)') IS NOT NULL}), 't', 'a query that takes a transaction id');
is(lease('odd2'), undef, 'leaves no lease');

# Refused.
fails(q{SELECT tenant_cache_invalidate('a*b*c*d*e*f*g*h*i*')}, qr/pattern has 9 stars/, 'too many stars');
fails(q{SELECT tenant_cache_fetch('x', 'SELECT 1')}, qr/one column of type jsonb or json/, 'another type');
fails(q{SELECT tenant_cache_fetch('x', 'SELECT to_jsonb(1), 2')}, qr/one column of type jsonb or json/, 'two columns');
fails(q{SELECT tenant_cache_fetch('x', 'SELECT to_jsonb(n) FROM item')}, qr/more than one row/, 'many rows');
fails(q{SELECT tenant_cache_fetch('x', 'SELECT to_jsonb(1); SELECT to_jsonb(2)')}, qr/one statement that returns a value/, 'two statements');
fails(q{SELECT tenant_cache_fetch('x', 'DELETE FROM item')}, qr/one statement that returns a value/, 'no value');
fails(q{SELECT tenant_cache_fetch('x', 'DELETE FROM item RETURNING to_jsonb(n)')}, qr/not allowed/, 'a write');
fails(q{SELECT tenant_cache_fetch('x', NULL)}, qr/query/, 'no query');
fails(q{SELECT tenant_cache_fetch('x', 'SELECT to_jsonb(1 / 0)')}, qr/division by zero/, 'an error of the query');
is(lease('x'), undef, 'an error leaves no lease');
is(value('x'), undef, 'nor a value');
fails(q{SET LOCAL ROLE reader; SELECT tenant_cache_fetch('x', 'SELECT to_jsonb(n) FROM public.run')}, qr/permission denied/, 'the caller\'s rights');

# What the transaction wrote is seen, and not stored.
is(one(q{UPDATE item SET n = 99 WHERE id = 3; SELECT tenant_cache_fetch('own', 'SELECT to_jsonb(n) FROM item WHERE id = 3'); ROLLBACK; BEGIN}), 99, 'own writes are seen');
is(value('own'), undef, 'and not stored');
is(one(q{SELECT tenant_cache_fetch('seq', $$SELECT to_jsonb(nextval('runs'))$$)}), 1, 'a sequence');

# A change while the query runs.
my $slow = $node->background_psql('postgres');
$slow->query_until(qr/begun/, "\\echo begun\nBEGIN; $use; SELECT tenant_cache_fetch('item:4', 'SELECT to_jsonb(n) FROM item, pg_sleep(3) WHERE id = 4'); COMMIT;\n");
ok(wait_until(sub { defined lease('item:4') }, 30), 'the query runs');
$node->safe_psql('postgres', 'UPDATE tenant_one.item SET n = 44 WHERE id = 4');
ok(sync_wait($node, 'postgres', 60), 'a change meanwhile');
like($slow->query('SELECT 1'), qr/^4$/m, 'the old value is given');
is(value('item:4'), undef, 'and not stored');

# One makes it, others wait.
my @waiting = map { $node->background_psql('postgres') } 1 .. 6;
$_->query_until(qr/begun/, "\\echo begun\nBEGIN; $use; SELECT 'got ' || tenant_cache_fetch('busy', 'SELECT to_jsonb(nextval(''runs'')) FROM pg_sleep(2)')::text; COMMIT;\n") for @waiting;
is(join(' ', map { $_->query('SELECT 1') =~ /got (\d+)/ } @waiting), '2 2 2 2 2 2', 'six sessions, one run of the query');
$_->quit for @waiting;
redis_cmd($redis, 'SET', 'tenant:one:#lease:hung', 'x', 'PX', 30000);
is(one(q{SET LOCAL tenancy.cache_wait = 0; SELECT tenant_cache_fetch('hung', 'SELECT to_jsonb(1)')}), 1, 'somebody else does not get on: made without storing');
is(value('hung'), undef, 'not stored');
my ($rc, $o, $e) = $node->psql('postgres', "BEGIN; $use; SET LOCAL statement_timeout = '300ms'; SELECT tenant_cache_fetch('hung', 'SELECT to_jsonb(1)'); COMMIT");
like($e, qr/statement timeout/, 'the wait can be cancelled');

# Early refresh: by one session, others have the present value.
one(q{SELECT tenant_cache_fetch('early', 'SELECT to_jsonb(1)', 100)});
redis_cmd($redis, 'SET', 'tenant:one:#cost:early', 100000000);
is(one(q{SELECT tenant_cache_fetch('early', 'SELECT to_jsonb(2)')}), 2, 'made anew before its end');
redis_cmd($redis, 'SET', 'tenant:one:#cost:early', 100000000);
redis_cmd($redis, 'SET', 'tenant:one:#lease:early', 'x', 'PX', 30000);
is(one(q{SELECT tenant_cache_fetch('early', 'SELECT to_jsonb(3)')}), 2, 'others have the present one meanwhile');

# A snapshot that is old.
my $old = $node->background_psql('postgres');
$old->query_safe("BEGIN ISOLATION LEVEL REPEATABLE READ; $use");
$node->safe_psql('postgres', 'UPDATE tenant_one.item SET n = 66 WHERE id = 6');
ok(sync_wait($node, 'postgres', 60), 'a change');
is($old->query(q{SELECT tenant_cache_fetch('item:6', 'SELECT to_jsonb(n) FROM item WHERE id = 6')}), 6, 'an old snapshot has the old value');
$old->query_safe('COMMIT');
is(value('item:6'), undef, 'and does not store it');

# By pattern and by tag.
sub three { one("SELECT tenant_cache_set('$_', '1', tags => '{a}')") for 'p:1', 'p:2', 'q:1'; redis_cmd($redis, 'SET', 'tenant:two:p:1', '1'); return }
three();
is(one(q{SELECT tenant_cache_invalidate('p:*')}), 2, 'by pattern: two');
is(join(' ', map { value($_) // '-' } 'p:1', 'p:2', 'q:1'), '- - 1', 'by pattern: those that fit');
is(redis_cmd($redis, 'GET', 'tenant:two:p:1'), 1, 'by pattern: no other tenant\'s');
is(one(q{SELECT tenant_cache_invalidate('zz*')}), 0, 'by pattern: none');
three();
is(one(q{SELECT tenant_cache_invalidate_tag('a')}), 3, 'by tag: three');
is(join(' ', map { value($_) // '-' } 'p:1', 'p:2', 'q:1'), '- - -', 'by tag: all gone');
is(one(q{SELECT tenant_cache_set('p:1', '1', tags => '{a}')}), 't', 'and stored again');
redis_cmd($redis, 'EVAL', q{for i = 1, 100000 do redis.call('SET', 'tenant:one:m:' .. i, '1') redis.call('ZADD', 'tenant:one:#tag:many', 4000000000 * 1048576 + 1, 'tenant:one:m:' .. i) redis.call('ZADD', 'tenant:one:#tag:', 4000000000 * 1048576 + 1, 'tenant:one:m:' .. i) end}, 0);
is(one(q{SELECT tenant_cache_invalidate_tag('many')}), 100000, '100,000 keys of a tag');
is(scalar @{ redis_cmd($redis, 'KEYS', 'tenant:one:m:*') }, 0, 'are gone');
$_->quit for $slow, $old;

# Without Redis.
$redis->stop;
is(one(q{SELECT tenant_cache_fetch('down', 'SELECT to_jsonb(7)')}), 7, 'Redis is away: made by the query');
is(one(q{SELECT tenant_cache_invalidate('*') IS NULL AND tenant_cache_invalidate_tag('a') IS NULL}), 't', 'Redis is away: nothing is said to be dropped');
done_testing();
