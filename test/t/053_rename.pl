# A tenant is renamed while it is written to, searched and cached: nothing is lost, nothing is sent again.

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
my $node = tenancy_node('rename', search => $search, redis => $redis);
$node->start;

sub sql { return $node->safe_psql('postgres', join(';', @_)) }
sub synced { return sync_wait($node, 'postgres', 120) }
# Whether an alias has moved is no business of sync_wait.
sub agrees
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($node->poll_query_until('postgres', q{SELECT bool_and(state = 'ready') FROM tenancy.search_index}), "$_[0]: aliases are there");
	return all_agree($node, 'postgres', $search, @_);
}

sub docs { return sql(q{SELECT docs FROM tenancy.stat_sync WHERE sink = 'search'}) }

# Indices behind an alias, '' if there is none.
sub behind
{
	my ($alias) = @_;
	my ($status, $reply) = $search->request('GET', "/_alias/$alias");
	return $status == 200 ? join(',', sort keys %$reply) : '';
}

# Result of a statement as a tenant.
sub as_tenant
{
	my ($tenant, $statement) = @_;
	my @lines = split /\n/, sql("BEGIN; SELECT tenant_use('$tenant'); $statement; COMMIT");
	return $lines[-1];
}

sql(q{CREATE EXTENSION pg_tenancy}, q{SELECT tenant_create(n) FROM unnest(ARRAY['old', 'b']) n});
sql(q{INSERT INTO tenant_old.case_studies (title, timeline_weeks) SELECT 'story ' || n, n FROM generate_series(1, 300) n});
agrees('start');
my $index = behind('case_studies_tenant_old');
my $docs = docs();
as_tenant('old', q{SELECT tenant_cache_set('k', '1')});
is(as_tenant('old', q{SELECT tenant_cache_get('k')}), 1, 'something is cached');

sql(q{SELECT tenant_rename('old', 'new')});
like(as_tenant('new', q{SELECT tenant_search('story', page_size => 1)}), qr/story/, 'a search by the new name works at once');
is(as_tenant('new', q{SELECT coalesce(tenant_cache_get('k')::text, 'nothing')}), 'nothing', 'the cache of the new name is empty');
agrees('renamed');
is(docs(), $docs, 'renamed: no document was sent again');
is(behind('case_studies_tenant_new'), $index, 'renamed: the new alias names the same index');
is(behind('case_studies_tenant_old'), '', 'renamed: the old alias is gone');
is(join(',', grep { !/:#floor:/ } $redis->keys('tenant:old:*')), '', 'renamed: keys of the old name are gone, but for the floors');
isnt($node->psql('postgres', q{BEGIN; SELECT tenant_use('old')}), 0, 'renamed: the old name is unknown');
as_tenant('new', q{SELECT tenant_cache_set('k', '2')});
is(as_tenant('new', q{SELECT tenant_cache_get('k')}), 2, 'renamed: the cache works');

# Another tenant takes the old name.
sql(q{SELECT tenant_create('old')}, q{INSERT INTO tenant_old.case_studies (title) VALUES ('of another')});
agrees('the old name again');
is($search->count('case_studies_tenant_old'), 1, 'the old name again: only its own documents');

# Swapped, and there and back before the sink looks.
sql('BEGIN', q{SELECT tenant_rename('old', 'tmp')}, q{SELECT tenant_rename('new', 'old')}, q{SELECT tenant_rename('tmp', 'new')}, 'COMMIT');
agrees('swapped');
is(behind('case_studies_tenant_old'), $index, 'swapped: the alias moved');
$docs = docs();
sql(q{SELECT tenant_rename('old', 'x1')}, q{SELECT tenant_rename('x1', 'x2')}, q{SELECT tenant_rename('x2', 'old')});
agrees('there and back');
is(docs(), $docs, 'there and back: nothing was sent');
is(behind("case_studies_tenant_$_"), '', "there and back: no alias $_") for qw(x1 x2 tmp);

# While the search server is away.
$search->kill9;
sql(q{SELECT tenant_rename('old', 'away')}, q{UPDATE tenant_away.case_studies SET title = title || '.' WHERE timeline_weeks <= 10});
like(as_tenant('away', q{SELECT tenant_search('story', page_size => 1)}), qr/story/, 'server away: PostgreSQL answers');
$search->start;
agrees('server back', 240);
is(behind('case_studies_tenant_away'), $index, 'server back: the alias moved');

# A session that uses the tenant is waited for; the one that renames goes on under the new name.
my $user = $node->background_psql('postgres');
$user->query_safe(q{BEGIN; SELECT tenant_use('b'); INSERT INTO technologies (name) VALUES ('x')});
my $renamer = $node->background_psql('postgres');
$renamer->query_until(qr/waiting/, "\\echo waiting\nSELECT tenant_rename('b', 'bb');\n\\echo renamed\n");
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE NOT granted AND locktype = 'object'}), 'in use: it waits');
is($user->query_safe('SELECT count(*) FROM technologies'), 1, 'in use: the user is not disturbed');
$user->query_safe('COMMIT');
$renamer->query_until(qr/renamed/, '');
$_->quit for $user, $renamer;
is(sql(q{BEGIN; SELECT tenant_use('bb'); SELECT tenant_rename('bb', 'bc'); SELECT tenant_current(), current_schema(), (SELECT count(*) FROM technologies); COMMIT}) =~ /^bc\|tenant_bc\|1$/m, 1, 'its own transaction goes on under the new name');
is(sql(q{BEGIN; SELECT tenant_use('bc'); SAVEPOINT a; SELECT tenant_rename('bc', 'bd'); ROLLBACK TO a; SELECT tenant_current(), current_schema(); COMMIT}) =~ /^bc\|tenant_bc$/m, 1, 'and under the old one after a rollback');
agrees('in use');

# Under load: writers go on by the names there are.
my $load = start_load($node, 'postgres', tenants => [ 'away', 'far' ]);
my ($from, $to) = ('away', 'far');
for my $round (1 .. 6)
{
	my $runs = load_runs($load);
	my $error;
	ok(wait_until(sub { !$node->psql('postgres', "SELECT tenant_rename('$from', '$to')", stderr => \$error) }, 60), "load, $round: renamed") or diag($error);
	($from, $to) = ($to, $from);
	ok(wait_until(sub { load_runs($load) > $runs }, 60), "load, $round: writers go on");
}
stop_load($load);
agrees('load');
is(sql('SELECT count(*) FROM tenancy.dead_letter'), 0, 'nothing was refused');
unlike(slurp_file($node->logfile), qr/PANIC|was terminated by signal|exited with exit code [2-9]/, 'no worker died');
done_testing();
