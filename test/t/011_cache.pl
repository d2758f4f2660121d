# A row's change unlinks what was cached of it, by key and by tag, and nothing of another tenant.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;

need_servers('redis');
my $redis = TenancyRedis->start(password => 'a "password');
my $node = tenancy_node('cache', redis => $redis);
$node->start;

# A statement inside a transaction that uses a tenant.
sub as
{
	my ($tenant, $sql) = @_;
	my $out = $node->safe_psql('postgres', "BEGIN; SELECT tenant_use('$tenant'); $sql; COMMIT");
	$out =~ s/^\n//;
	return $out;
}

sub set
{
	my ($tenant, $key, @tags) = @_;
	my $tags = join ',', map { "'$_'" } @tags;
	is(as($tenant, "SELECT tenant_cache_set('$key', '\"$tenant\"', ttl => 3600, tags => ARRAY[$tags]::text[])"), 't', "$tenant: $key is set");
	return;
}

# Waits for the sink, then looks what is there (but the tags' sets).
sub left
{
	my ($tenant, $expected, $name) = @_;
	ok(sync_wait($node, 'postgres', 60), "$name: in the sink");
	is(join(' ', map { s/^tenant:$tenant://r } grep { !/:#/ } $redis->keys("tenant:$tenant:*")), $expected, $name);
	return;
}

my ($x, $y) = map { "00000000-0000-0000-0000-00000000000$_" } 1, 2;
$node->safe_psql('postgres', <<SQL);
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('zoo', 1, 'CREATE TABLE animal (kind text, n int, legs int, PRIMARY KEY (kind, n))');
SELECT tenant_sync_table('zoo', 'animal', cache_keys => ARRAY['animal:{kind}:{n}', 'kind:{kind}'], cache_tags => ARRAY['animals', 'kind-{kind}'], key_columns => ARRAY['kind', 'n']);
SELECT tenant_create('one'), tenant_create('two'), tenant_create('zoo', 'zoo');
INSERT INTO tenant_one.technologies (id, name) VALUES ('$x', 'x'), ('$y', 'y');
INSERT INTO tenant_two.technologies (id, name) VALUES ('$x', 'x'), ('$y', 'y');
SQL
ok(sync_wait($node, 'postgres', 60), 'start');

# Everything that a tenant caches in this test.
sub fill
{
	my ($tenant) = @_;
	set($tenant, "technology:$_") for $x, $y;
	set($tenant, 'list', 'technologies');
	set($tenant, 'found', 'search', 'mine');
	set($tenant, 'mine', 'mine');
	return;
}
my $all = "found list mine technology:$x technology:$y";
fill($_) for qw(one two);
left('one', $all, 'nothing changed: all is there');

# By key template and by tag.
as('one', "UPDATE technologies SET name = 'z' WHERE id = '$x'");
left('one', "mine technology:$y", 'UPDATE: its key and its tags');
left('two', $all, 'UPDATE: the other tenant keeps all');
fill('one');
as('one', "INSERT INTO technologies (name) VALUES ('new')");
left('one', "mine technology:$x technology:$y", 'INSERT: its tags');
fill('one');
as('one', "DELETE FROM technologies WHERE id = '$y'");
left('one', "mine technology:$x", 'DELETE: its key and its tags');
fill('one');
as('one', "UPDATE technologies SET id = '$y' WHERE id = '$x'");
left('one', 'mine', 'UPDATE of the key: the old one and the new one');
fill('one');
$node->safe_psql('postgres', "BEGIN; SELECT tenant_use('one'); DELETE FROM technologies; ROLLBACK");
as('one', "INSERT INTO users (email, name) VALUES ('a\@b', 'a')");
left('one', $all, 'a rollback and a table that is not synced change nothing');

# What another client stored in its own way.
redis_cmd($redis, 'SET', "tenant:$_:technology:$y", 'plain') for qw(one two);
redis_cmd($redis, 'DEL', "tenant:two:technology:$x");
redis_cmd($redis, 'HSET', "tenant:two:technology:$x", 'a', 'b');
as('one', "UPDATE technologies SET name = 'again'");
left('one', "mine technology:$x", 'plain SET: unlinked too');
is(redis_cmd($redis, 'GET', "tenant:two:technology:$y"), 'plain', 'plain SET: not the other tenant\'s');
as('two', "UPDATE technologies SET name = 'hash' WHERE id = '$x'");
left('two', "mine technology:$y", 'and a hash');

# TRUNCATE.
fill($_) for qw(one two);
as('one', 'TRUNCATE technologies');
left('one', '', 'TRUNCATE: nothing of the tenant is left');
left('two', $all, 'TRUNCATE: the other tenant keeps all');

# Templates of two columns.
set('zoo', $_) for 'animal:cat:1', 'animal:cat:2', 'kind:cat', 'kind:dog', 'animal:a:b:1';
set('zoo', 'cats', 'kind-cat');
set('zoo', 'dogs', 'kind-dog');
set('zoo', 'all', 'animals');
as('zoo', "INSERT INTO animal VALUES ('cat', 1, 4)");
left('zoo', 'animal:a:b:1 animal:cat:2 dogs kind:dog', 'templates of two columns');
as('zoo', "INSERT INTO animal VALUES ('a:b', 1, 4)");
left('zoo', 'animal:cat:2 dogs kind:dog', 'a value with a colon');
as('zoo', q{UPDATE animal SET kind = 'dog' WHERE kind = 'cat'});
left('zoo', 'animal:cat:2', 'the key moves from one tag to another');

# A key with fewer parts than the table has key columns: nobody knows which row it is.
set('zoo', 'more');
$node->safe_psql('postgres', q{SELECT pg_logical_emit_message(true, 'pg_tenancy', '\x4b'::bytea || }
	. q{(SELECT decode(string_agg(lpad(to_hex((oid::bigint >> shift) & 255), 2, '0'), '' ORDER BY shift), 'hex') FROM generate_series(0, 24, 8) shift)}
	. q{ || '\x63617400'::bytea) FROM (SELECT 'tenant_zoo.animal'::regclass::oid) x});
left('zoo', '', 'a key that does not fit: the tenant\'s values go');

# Dropped, and made again under the same name.
set('two', 'secret');
set('two', "technology:$x");
$node->safe_psql('postgres', "SELECT tenant_drop('two')");
left('two', '', 'tenant_drop: nothing is left');
$node->safe_psql('postgres', "SELECT tenant_create('two')");
is(as('two', "SELECT coalesce(tenant_cache_get('secret')::text, 'none')"), 'none', 'made again: nothing of the former one');
set('two', 'secret');
$node->safe_psql('postgres', "BEGIN; SELECT tenant_drop('two', purge => true); SELECT tenant_create('two'); COMMIT");
left('two', '', 'dropped and made in one transaction: nothing is left');
set('two', 'secret');
my $long = $node->background_psql('postgres', on_error_stop => 0);
$long->query(q{BEGIN; SELECT tenant_drop('two', purge => true); SELECT tenant_create('two');});
as('one', q{INSERT INTO technologies (name) VALUES ('later')});
ok(sync_wait($node, 'postgres', 60), 'a long one: the sink is past what it has written');
kill 'STOP', my ($sink) = worker_pids($node, 'pg_tenancy cache sink');
$long->query('COMMIT;');
is(as('two', q{SELECT coalesce(tenant_cache_get('secret')::text, 'none')}), 'none', 'its commit is not in the sink yet: nothing of the former one');
kill 'CONT', $sink;
left('two', '', 'and then nothing is left');
$long->quit;
set('two', 'kept');
$node->safe_psql('postgres', "BEGIN; SELECT tenant_drop('two'); ROLLBACK");
as('zoo', "DELETE FROM animal");
left('two', 'kept', 'tenant_drop rolled back: all is there');
left('one', '', 'and nothing came back');
done_testing();
