# tenancy.cache_warm: rules that users change, searches that are asked often, who may do what, and that nothing old is stored.

use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep time);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;

need_servers('redis');
my $redis = TenancyRedis->start;
my $node = tenancy_node('warm', redis => $redis, conf => "tenancy.cache_guard_time = 30\ntenancy.hot_searches = 64\n");
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_create('a'), tenant_create('b'), tenant_create('c');
SELECT tenant_blueprint_add('box', 1, 'CREATE TABLE item (id int PRIMARY KEY, n int); GRANT SELECT ON item TO tenancy_app');
SELECT tenant_create('d', 'box');
INSERT INTO tenant_a.technologies (name, query_count) SELECT 'tech ' || g, g FROM generate_series(1, 150) g;
INSERT INTO tenant_b.technologies (name) VALUES ('only');
INSERT INTO tenant_a.case_studies (title) SELECT 'story ' || g FROM generate_series(1, 20) g;
CREATE ROLE op LOGIN IN ROLE tenancy_operator;
CREATE ROLE adm LOGIN IN ROLE tenancy_admin;
CREATE ROLE app LOGIN IN ROLE tenancy_app;
SQL
sub tenant { my ($name, $sql) = @_; return $node->safe_psql('postgres', "BEGIN; SELECT FROM tenant_use('$name'); $sql; COMMIT") =~ s/^\s+|\s+$//gr }
sub there { my ($tenant, $what) = @_; return grep { !/#/ } @{ redis_cmd($redis, 'KEYS', "tenant:$tenant:$what*") } }
sub warm { my ($args, $role) = @_; my ($rc, $out, $err) = $node->psql('postgres', ($role ? "SET ROLE $role; " : '') . "CALL tenancy.cache_warm($args)"); return $err }
ok(sync_wait($node, 'postgres', 120), 'start');
ok(wait_until(sub { @{ redis_cmd($redis, 'KEYS', 'tenant:#mark:*') } == 1 }, 30), 'the mark is there');

is($node->safe_psql('postgres', 'SELECT name, kind, top, ttl, enabled FROM tenancy.cache_warm_rule ORDER BY name'),
	"top searches|searches|50|1800|t\ntop technologies|values|100|3600|t", 'the rules that come with it');
is(warm(q{'a'}, 'op'), '', 'an operator warms a tenant');
is(scalar(there('a', 'technology:')), 100, 'its hundred most asked for technologies');
is(scalar(there('b', '')), 0, 'and nobody else\'s');
my ($most) = split /\n/, $node->safe_psql('postgres', 'SELECT id FROM tenant_a.technologies ORDER BY query_count DESC');
like(redis_cmd($redis, 'GET', "tenant:a:technology:$most"), qr/"name": "tech 150"/, 'the value');
my $ttl = redis_cmd($redis, 'TTL', "tenant:a:technology:$most");
cmp_ok($ttl, '>', 3200, 'for about an hour');
cmp_ok($ttl, '<=', 3960, 'and no more');
is(tenant('a', "SELECT get_technology_by_id('$most') ->> 'name'"), 'tech 150', 'it is found');
$node->safe_psql('postgres', "UPDATE tenant_a.technologies SET name = 'changed' WHERE id = '$most'");
ok(sync_wait($node, 'postgres', 60), 'a row changes');
is(redis_cmd($redis, 'GET', "tenant:a:technology:$most"), undef, 'its value goes');
is(warm(''), '', 'all tenants');
like(redis_cmd($redis, 'GET', "tenant:a:technology:$most"), qr/"name": "changed"/, 'the new value');
is(scalar(there('b', 'technology:')), 1, 'of the others too');
is(scalar(there('d', '')), 0, 'another blueprint has no such rule');

# Searches.
my $pg = q{options => '{"engine": "postgresql"}'};
tenant('a', "SELECT tenant_search('story', page_size => 3, $pg)") for 1 .. 3;
tenant('a', "SELECT tenant_search('rare', $pg)");
tenant('b', "SELECT tenant_search('story', $pg)");
is($node->safe_psql('postgres', "SELECT query, index_type, page_size, options, searches FROM tenancy.hot_searches('a')"),
	qq{story|case_studies|3|{"engine": "postgresql"}|3\nrare|case_studies|20|{"engine": "postgresql"}|1}, 'what is asked for');
redis_cmd($redis, 'DEL', there('a', 'search:'));
is(warm(q{'a'}, 'op'), '', 'warmed');
is(scalar(there('a', 'search:')), 2, 'both answers are there');
is(tenant('a', "SELECT tenant_search('story', page_size => 3, $pg) ->> 'layer'"), 'redis', 'and found by a user');
cmp_ok((sort { $a <=> $b } map { redis_cmd($redis, 'TTL', $_) } there('a', 'search:'))[0], '>', 1500, 'for half an hour');
my $set = redis_cmd($redis, 'INFO', 'commandstats') =~ /cmdstat_set:calls=(\d+)/ ? $1 : 0;
is($node->safe_psql('postgres', "UPDATE tenancy.cache_warm_rule SET enabled = false WHERE name = 'top technologies'; SELECT tenancy.cache_warm_tenant('a')"), 0, 'what is there for long is not made again');
is($node->safe_psql('postgres', "SELECT searches FROM tenancy.hot_searches('a') LIMIT 1"), 4, 'warming is not asking');
tenant('a', "SELECT tenant_search('story ' || g, $pg) FROM generate_series(1, 2000) g");
cmp_ok($node->safe_psql('postgres', "SELECT count(*) FROM tenancy.hot_searches('a')"), '<=', 64, 'the record is bounded');
tenant('a', "SELECT tenant_search('often', $pg) FROM generate_series(1, 300) g");
is($node->safe_psql('postgres', "SELECT query FROM tenancy.hot_searches('a') LIMIT 1"), 'often', 'and what is asked often is in it');

# Rules of users.
$node->safe_psql('postgres', <<'SQL');
UPDATE tenancy.cache_warm_rule SET enabled = false;
INSERT INTO tenancy.cache_warm_rule (name, kind, query, top, ttl, tags)
VALUES ('count', 'values', $$SELECT 'count', pg_catalog.to_jsonb(pg_catalog.count(*)) FROM case_studies HAVING $1 > 0$$, 1, 60, '{case_studies}');
INSERT INTO tenant_d.item SELECT 1, 2;
SQL
my $err = warm('');
like($err, qr/WARNING:  could not warm the cache of tenant "d": relation "case_studies" does not exist/, 'what fails for one tenant is a warning');
is(tenant('a', "SELECT tenant_cache_get('count')"), 20, 'and the others go on');
$node->safe_psql('postgres', "INSERT INTO tenant_a.case_studies (title) VALUES ('more')");
ok(sync_wait($node, 'postgres', 60), 'a row more');
is(tenant('a', "SELECT tenant_cache_get('count') IS NULL"), 't', 'the value goes by its tag');
like(warm(q{'nix'}), qr/tenant "nix" does not exist/, 'no such tenant');
like(warm('NULL, 0'), qr/rate must be at least 1/, 'no such rate');
like(warm('', 'app'), qr/permission denied/, 'not for everybody');
for my $bad ([ 'SELECT 1', qr/must return columns of type text and jsonb/ ], [ 'DELETE FROM case_studies', qr/must be one statement that returns rows/ ],
	[ q{DELETE FROM case_studies RETURNING title, '1'::jsonb}, qr/not allowed|read-only/ ], [ q{SELECT '#x', '1'::jsonb}, qr/must not begin with/ ])
{
	$node->safe_psql('postgres', "UPDATE tenancy.cache_warm_rule SET query = \$q\$$bad->[0]\$q\$ WHERE name = 'count'");
	like(warm(q{'a'}), $bad->[1], "refused: $bad->[0]");
}
is($node->safe_psql('postgres', 'SELECT count(*) FROM tenant_a.case_studies'), 21, 'nothing was deleted');

# Whose text runs with whose rights: an administrator's not as the schema's owner, a superuser.
$node->safe_psql('postgres', <<'SQL');
SET ROLE adm;
UPDATE tenancy.cache_warm_rule SET query = $$SELECT 'who', pg_catalog.to_jsonb(current_user)$$, owner = 'postgres' WHERE name = 'count';
SQL
is($node->safe_psql('postgres', "SELECT owner FROM tenancy.cache_warm_rule WHERE name = 'count'"), 'adm', 'a rule belongs to who wrote it');
is(warm(q{'a'}), '', 'it is left out');
is(tenant('a', "SELECT tenant_cache_get('who') IS NULL"), 't', 'nothing ran');
$node->safe_psql('postgres', "UPDATE tenancy.cache_warm_rule SET enabled = (name = 'top technologies'); REVOKE SELECT ON tenant_b.technologies FROM tenancy_app");
redis_cmd($redis, 'DEL', there('b', ''));
is(warm(q{'b'}), '', 'a table that readers of the cache may not read');
is(scalar(there('b', 'technology:')), 0, 'is not put there');

# The rate.
$node->safe_psql('postgres', 'INSERT INTO tenant_c.technologies (name) SELECT g::text FROM generate_series(1, 40) g');
my $start = time;
is(warm(q{'c', 10}), '', 'ten a second');
cmp_ok(time - $start, '>', 3.5, 'takes its time');
$redis->stop;
is(warm(q{'c'}), '', 'Redis is away: nothing happens');
done_testing();
