# Answers of tenant_search and get_technology_by_id that Redis keeps: which layer served them, what ends them, and that none is
# older than the table where the index is.

use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;

need_servers('elasticsearch7', 'redis');
my $redis = TenancyRedis->start;
my $search = TenancySearch->start('elasticsearch7');
my $node = tenancy_node('kept', redis => $redis, search => $search, conf => "tenancy.cache_wait = '10s'\n");
$node->start;
# The index shows nothing by itself: only what is refreshed is found.
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('box', 1, $$
  CREATE TABLE item (id int PRIMARY KEY, title text, words tsvector GENERATED ALWAYS AS (to_tsvector('english', title)) STORED);
  CREATE TABLE other (id int PRIMARY KEY, title text);
  CREATE TABLE plain (id int PRIMARY KEY, title text);
  GRANT SELECT ON item, other, plain TO tenancy_app;
  DO $do$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %I TO tenancy_app', current_schema()); END $do$ $$);
SELECT tenant_sync_table('box', t, index_type => t || 's', cache_tags => CASE t WHEN 'plain' THEN '{}' ELSE ARRAY[t || '-{id}', t || 's'] END,
  mapping => '{"settings": {"index": {"refresh_interval": "-1"}},
    "mappings": {"dynamic": false, "_meta": {"search_fields": ["title"]}, "properties": {"id": {"type": "integer"}, "title": {"type": "text"}}}}')
  FROM unnest('{item,other,plain}'::text[]) t;
SELECT tenant_create('one', 'box'), tenant_create('lib');
INSERT INTO tenant_one.item SELECT g, 'red ' || g FROM generate_series(1, 5) g;
INSERT INTO tenant_one.other SELECT g, 'red ' || g FROM generate_series(1, 3) g;
INSERT INTO tenant_one.plain SELECT g, 'red ' || g FROM generate_series(1, 3) g;
CREATE ROLE app IN ROLE tenancy_app;
CREATE ROLE poor;
GRANT EXECUTE ON FUNCTION tenant_use, tenant_search, tenant_get_technology_by_id TO poor;
SQL

sub one { my ($sql, $name) = @_; return $node->safe_psql('postgres', 'BEGIN; SELECT FROM tenant_use(' . ($name ? "'$name'" : "'one'") . "); $sql; COMMIT") =~ s/^\s+|\s+$//gr }
# "layer total" of a search.
sub find
{
	my ($more, $before) = @_;
	$more = $more ? ", $more" : '';
	return one(($before ? "$before; " : '') . "SELECT concat_ws(' ', coalesce(a ->> 'layer', '-'), a ->> 'total') FROM (SELECT tenant_search('red', 'items'$more) a) s");
}
# Searches until Redis has the answer; every answer that it has must be the expected one.
sub kept
{
	my ($total, $more, $name) = @_;
	my @bad;
	my $found = wait_until(sub { my $answer = find($more); push @bad, $answer if $answer =~ /^redis (\d+)/ && $1 != $total; $answer eq "redis $total" }, 60);
	ok($found, "$name: kept");
	is("@bad", '', "$name: never an older one");
	return;
}
sub answers { return grep { !/#/ } @{ redis_cmd($redis, 'KEYS', 'tenant:one:search:*') } }

ok(sync_wait($node, 'postgres', 120), 'start');
kept(5, '', 'the first search');
my ($key) = answers();
like($key, qr/^tenant:one:search:[0-9a-f]{32}$/, 'its name');
like(one(q{SELECT tenant_search('red', 'items') ->> 'engine'}), qr/^elasticsearch$/, 'the answer says who made it');
is(one(q{SELECT count(*) FROM jsonb_array_elements(tenant_search('red', 'items') -> 'results') r WHERE r ->> '_id' IS NOT NULL}), 5, 'all of it');
is(find('page_size => 2') =~ s/ .*//r, 'server', 'another page is another search');
is(find(q{options => '{"cache": false}'}), '- 5', 'an option: neither kept nor looked for');
is(find('', 'SET LOCAL tenancy.read_cache_ttl = 0'), '- 5', 'a setting: likewise');
is(one(q{SELECT coalesce(tenant_search('red', 'plains') ->> 'layer', 'none')}), 'none', 'a table without a tag for all its rows');
kept(5, q{options => '{"cache": 7, "total": 100}'}, 'for seven seconds');
my ($short) = grep { $_ ne $key && redis_cmd($redis, 'TTL', $_) <= 8 } answers();
ok(defined $short, 'it ends soon');
is(find(q{options => '{"total": 100}'}), 'redis 5', 'the time to keep is no part of the search');
for my $bad ('0', '-1', '"x"', '86401', '1.5')
{
	my (undef, undef, $err) = $node->psql('postgres', "BEGIN; SELECT FROM tenant_use('one'); SELECT tenant_search('red', 'items', options => '{\"cache\": $bad}')");
	like($err, qr/invalid value for search option "cache"/, "refused: $bad");
}

# What ends it.
$node->safe_psql('postgres', "UPDATE tenant_one.other SET title = 'red other'; UPDATE tenant_one.plain SET title = 'red plain'");
ok(sync_wait($node, 'postgres', 60), 'other tables change');
is(find(), 'redis 5', 'the answer stays');
$node->safe_psql('postgres', "INSERT INTO tenant_one.item VALUES (6, 'red 6')");
ok(sync_wait($node, 'postgres', 60), 'its table changes');
is(scalar(answers()), 0, 'all of its answers are gone');
kept(6, '', 'after a change');
my ($worker) = worker_pids($node, 'pg_tenancy search sink');
kill 'STOP', $worker;
$node->safe_psql('postgres', "INSERT INTO tenant_one.item VALUES (7, 'red 7')");
ok(wait_until(sub { !answers() }, 60), 'a change is in the cache sink and not in the index');
is(join(' ', grep { /^redis/ } map { sleep 0.3; find() } 1 .. 12), '', 'what the index lacks is not kept');
is(scalar(answers()), 0, 'not even for others');
kill 'CONT', $worker;
kept(7, '', 'when the index has it');
$node->safe_psql('postgres', "SELECT tenancy.pause('search', 'one'); INSERT INTO tenant_one.item VALUES (8, 'red 8')");
ok(wait_until(sub { !answers() }, 60), 'the tenant is paused, and the table changes');
is(join(' ', grep { /^redis/ } map { sleep 0.5; find() } 1 .. 12), '', 'paused: not kept');
$node->safe_psql('postgres', "SELECT tenancy.resume('search', 'one')");
kept(8, '', 'resumed');

# PostgreSQL's answers.
kept(8, q{options => '{"engine": "postgresql"}'}, 'of PostgreSQL');
$node->safe_psql('postgres', "DELETE FROM tenant_one.item WHERE id = 8");
ok(sync_wait($node, 'postgres', 60), 'a row goes');
like(find(q{options => '{"engine": "postgresql"}'}), qr/^postgresql 7$/, 'of PostgreSQL: made anew');
is(find(q{options => '{"engine": "postgresql"}'}), 'redis 7', 'of PostgreSQL: kept at once');
is(find(q{options => '{"engine": "postgresql"}'}, "SET LOCAL default_text_search_config = 'simple'") =~ s/ .*//r, 'postgresql', 'other settings, another search');
is(find(q{options => '{"engine": "postgresql"}'}, "INSERT INTO item VALUES (9, 'red 9')"), '- 8', 'a transaction that has written sees its own rows');
is($node->safe_psql('postgres', q{DELETE FROM tenant_one.item WHERE id = 9; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM tenant_use('one');
	SELECT coalesce(tenant_search('red', 'items', options => '{"engine": "postgresql"}') ->> 'layer', '-'); COMMIT}) =~ s/\s//gr, '-', 'one with a snapshot of its own too');
ok(sync_wait($node, 'postgres', 60), 'another change');

# Who may see it.
kept(7, '', 'for roles');
is(find('', 'SET LOCAL ROLE app'), 'redis 7', 'a role that may read the table');
my (undef, undef, $err) = $node->psql('postgres', "BEGIN; SELECT FROM tenant_use('one'); SET LOCAL ROLE poor; SELECT tenant_search('red', 'items')");
like($err, qr/permission denied for (?:table item|schema tenant_one)/, 'one that may not');
$node->safe_psql('postgres', 'ALTER TABLE tenant_one.item ENABLE ROW LEVEL SECURITY; CREATE POLICY even ON tenant_one.item USING (id % 2 = 0)');
is(find('', 'SET LOCAL ROLE app'), '- 3', 'row-level security: its rows only');
is(find(), '- 7', 'row-level security: not kept for its owner either');
$node->safe_psql('postgres', 'ALTER TABLE tenant_one.item DISABLE ROW LEVEL SECURITY; REVOKE SELECT ON tenant_one.item FROM tenancy_app');
is(find(), '- 7', 'a table that the cache\'s readers may not read: not kept');
$node->safe_psql('postgres', 'GRANT SELECT ON tenant_one.item TO tenancy_app');

# Technologies.
my $id = $node->safe_psql('postgres', "INSERT INTO tenant_lib.technologies (name) VALUES ('Kafka') RETURNING id") =~ s/\n.*//sr;
ok(sync_wait($node, 'postgres', 60), 'a technology');
my $get = "SELECT get_technology_by_id('$id') ->> 'name'";
is(one($get, 'lib'), 'Kafka', 'technology: the row');
like(redis_cmd($redis, 'GET', "tenant:lib:technology:$id") // '', qr/"name": "Kafka"/, 'technology: kept');
redis_cmd($redis, 'SET', "tenant:lib:technology:$id", '{"name": "from Redis"}', 'KEEPTTL');
is(one($get, 'lib'), 'from Redis', 'technology: from Redis');
is(one("SET LOCAL tenancy.read_cache_ttl = 0; $get", 'lib'), 'Kafka', 'technology: a setting');
is($node->safe_psql('postgres', "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM tenant_use('lib'); $get; COMMIT") =~ s/\s//gr, 'Kafka', 'technology: a snapshot of its own');
(undef, undef, $err) = $node->psql('postgres', "BEGIN; SELECT FROM tenant_use('lib'); SET LOCAL ROLE poor; SELECT tenant_get_technology_by_id('$id')");
like($err, qr/permission denied/, 'technology: a role that may not read the table');
$node->safe_psql('postgres', "UPDATE tenant_lib.technologies SET name = 'Pulsar'");
ok(sync_wait($node, 'postgres', 60), 'technology: a change');
is(one($get, 'lib'), 'Pulsar', 'technology: the new row');
my $none = '00000000-0000-0000-0000-000000000001';
is(one("SELECT get_technology_by_id('$none') IS NULL", 'lib'), 't', 'technology: none');
$node->safe_psql('postgres', "INSERT INTO tenant_lib.technologies (id, name) VALUES ('$none', 'New')");
ok(sync_wait($node, 'postgres', 60), 'technology: inserted');
is(one("SELECT get_technology_by_id('$none') ->> 'name'", 'lib'), 'New', 'technology: and found');

# A layer is away.
$search->stop;
like(find('page => 2'), qr/^postgresql 7$/, 'the search server is away: PostgreSQL');
is(find('page => 2'), 'redis 7', 'kept');
is((grep { redis_cmd($redis, 'TTL', $_) <= 11 } answers()) > 0 ? 1 : 0, 1, 'but not for long');
$redis->stop;
like(find('page => 3'), qr/^postgresql 7$/, 'Redis is away too');
is(one($get, 'lib'), 'Pulsar', 'technology: Redis is away');
done_testing();
