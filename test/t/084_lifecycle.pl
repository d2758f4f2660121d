# Lifecycle of indices: the policy's body in a real ILM, phase by phase, and the phases as the search worker does them
# where the server has no such thing.

use strict;
use warnings;
use Test::More;
use File::Basename qw(dirname);
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;
use TenancySchema;

need_servers('elasticsearch6', 'elasticsearch7');
my $search = TenancySearch->start('elasticsearch7');
my $node = tenancy_node('lifecycle', search => $search, conf => "tenancy.lifecycle_interval = 1s\ntenancy.retry_max = 1s\n");
$node->start;
my $json = JSON::PP->new->canonical->allow_nonref;

sub sql { return $node->safe_psql('postgres', join(";\n", @_)) }

# A setting of an index as the server has it, '' if it is not set.
sub setting
{
	my ($server, $index, $name) = @_;
	my ($status, $reply) = $server->request('GET', "/$index/_settings?flat_settings=true");
	return "HTTP status $status" if $status != 200;
	return (values %$reply)[0]{settings}{"index.$name"} // '';
}

# True if the setting gets that value.
sub becomes
{
	my ($server, $index, $name, $value, $title) = @_;
	wait_until(sub { setting($server, $index, $name) eq $value }, 90);
	is(setting($server, $index, $name), $value, $title);
	return;
}

sql(<<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('l', 1, 'CREATE TABLE event (id int PRIMARY KEY, v text); CREATE TABLE other (id int PRIMARY KEY)');
SELECT tenancy.lifecycle_policy('quick', '{"hot": {"priority": 100}, "warm": {"after": "1d", "readonly": true, "replicas": 0, "nodes": "warm", "priority": 50}, "cold": {"after": "2d", "priority": 0}, "delete": {"after": "3d"}}');
SELECT tenancy.lifecycle_policy('fast', '{"hot": {"rollover": {"max_docs": 2}, "priority": 100}, "warm": {"after": "2s", "readonly": true, "replicas": 1, "nodes": "warm", "priority": 50}, "cold": {"after": "10s", "replicas": 0, "priority": 0}, "delete": {"after": "20s"}}');
SELECT tenant_sync_table('l', t, t) FROM unnest('{event,other}'::text[]) t;
SELECT tenancy.lifecycle_attach('l', 'event', 'quick', append_only => true);
SELECT tenant_create('l', 'l');
INSERT INTO tenant_l.event SELECT n, 'early' FROM generate_series(1, 3) n;
SQL
ok(sync_wait($node, 'postgres', 60), 'rows are in');

# Real ILM: the shipped policy is taken as it is, and the phases of a fast one are seen.
my $ilm = do
{
	local $ENV{SEARCH_SETTINGS} = "indices.lifecycle.poll_interval: 1s\nnode.attr.data: warm";
	TenancySearch->start('elasticsearch6');
};
for my $policy (qw(case_studies_ilm fast))
{
	my $body = sql("SELECT tenancy.lifecycle_ilm('$policy')");
	my ($status, $reply) = $ilm->raw('PUT', "/_ilm/policy/$policy", $body);
	is($status, 200, "ILM takes $policy") or diag($reply);
}
my ($status, $reply) = $ilm->request('GET', '/_ilm/policy/case_studies_ilm');
my $phases = $reply->{case_studies_ilm}{policy}{phases};
is_deeply([ sort keys %$phases ], [qw(cold delete hot warm)], 'ILM has its four phases');
is_deeply([ map { $phases->{$_}{min_age} } qw(hot warm cold delete) ], [qw(0ms 30d 90d 365d)], 'and their ages');
is_deeply($phases->{hot}{actions}{rollover}, { max_size => '50gb', max_age => '30d', max_docs => 10000000 }, 'rollover');
is_deeply([ sort keys %{ $phases->{warm}{actions} } ], [qw(allocate readonly set_priority)], 'what warm does');
is_deeply([ sort keys %{ $phases->{cold}{actions} } ], [qw(allocate set_priority)], 'what cold does');
is(($ilm->raw('PUT', '/logs-000001', '{"settings": {"number_of_shards": 1, "number_of_replicas": 0, "index.lifecycle.name": "fast", "index.lifecycle.rollover_alias": "logs"}, "aliases": {"logs": {"is_write_index": true}}}'))[0], 200, 'an index follows it');
becomes($ilm, 'logs-000001', 'priority', 100, 'ILM: hot has its priority');
is(($ilm->raw('POST', '/logs/_doc?refresh=true', '{"a": 1}'))[0], 201, 'ILM: a document') for 1 .. 3;
ok(wait_until(sub { ($ilm->request('GET', '/logs-000002'))[0] == 200 }, 90), 'ILM: it rolls over');
# A replica that cannot be placed keeps the only node's index in warm until it is told otherwise.
becomes($ilm, 'logs-000001', 'blocks.write', 'true', 'ILM: warm is readonly');
becomes($ilm, 'logs-000001', 'number_of_replicas', 1, 'ILM: warm has a replica');
becomes($ilm, 'logs-000001', 'routing.allocation.require.data', 'warm', 'ILM: warm is on warm nodes');
isnt(($ilm->raw('POST', '/logs-000001/_doc', '{"a": 1}'))[0], 201, 'ILM: readonly refuses a document');
$ilm->raw('PUT', '/logs-000001/_settings', '{"index.number_of_replicas": 0}');
becomes($ilm, 'logs-000001', 'priority', 0, 'ILM: cold has its priority');
ok(wait_until(sub { ($ilm->request('GET', '/logs-000001'))[0] == 404 }, 90), 'ILM: it is deleted');
$ilm->stop;

# ISM, whose plugin no server here has: bodies are what its documentation says.
my ($schema) = grep { -e } map { "$_/ism_policy.json" } 'test/schemas', dirname(__FILE__) . '/../schemas';
for my $policy (qw(case_studies_ilm fast quick))
{
	my $body = sql("SELECT tenancy.lifecycle_ism('$policy')");
	is(schema_errors($schema, $body), '', "ISM would take $policy");
	my $states = $json->decode($body)->{policy}{states};
	is(join(' ', map { $_->{name} } @$states), 'hot warm cold delete', "$policy: states");
	is(join(' ', map { map { $_->{state_name} } @{ $_->{transitions} } } @$states), 'warm cold delete', "$policy: from one to the next");
}
isnt(schema_errors($schema, sql("SELECT replace(tenancy.lifecycle_ism('fast')::text, 'read_only', 'readonly')")), '', 'the schema sees an unknown action');
isnt(schema_errors($schema, sql("SELECT replace(tenancy.lifecycle_ism('fast')::text, '\"20s\"', '20')")), '', 'the schema sees a wrong type');

# No ILM: the worker does it.
my $index = sql(q{SELECT index_name FROM tenancy.search_index WHERE index_type = 'event'});
my ($none) = $search->raw('GET', '/_ilm/status');
isnt($none, 200, 'this server has no ILM');
becomes($search, $index, 'priority', 100, 'hot has its priority');
is(sql(q{SELECT phase, applied, last_error FROM tenancy.lifecycle_index WHERE index_type = 'event'}), 'hot|hot|', 'the view says so');
is(setting($search, $index, 'blocks.write'), '', 'hot is not readonly');

sub age { return sql("UPDATE tenancy.search_index SET age_from = now() - '$_[0]'::interval WHERE index_name = '$index'") }
age('1 day');
becomes($search, $index, 'blocks.write', 'true', 'warm is readonly');
is(setting($search, $index, 'priority'), 50, 'warm has its priority');
is(setting($search, $index, 'number_of_replicas'), 0, 'warm has its replicas');
is(setting($search, $index, 'routing.allocation.require.data'), '', 'shards are not sent where no node is');
ok(wait_until(sub { sql(q{SELECT phase || applied || last_error FROM tenancy.lifecycle_index WHERE index_type = 'event'}) =~ /^warmwarmno node has/ }, 60), 'and the view says that');
is(setting($search, 'other_tenant_l', 'priority'), '', 'an index without a policy has none of it');

# Late changes come in all the same, and it is readonly again.
sql(q{INSERT INTO tenant_l.event VALUES (4, 'late')}, q{UPDATE tenant_l.event SET v = 'changed' WHERE id = 1}, q{INSERT INTO tenant_l.other VALUES (1)});
ok(wait_until(sub { my $d = $search->document('event_tenant_l', 4); $d && $d->{v} eq 'late' }, 60), 'a late row comes into a readonly index');
ok(sync_wait($node, 'postgres', 60), 'everything is in');
is($search->document('event_tenant_l', 1)->{v}, 'changed', 'a late change too');
is($search->document('other_tenant_l', 1)->{id}, 1, 'others did not wait for it');
ok(wait_until(sub { sql(q{SELECT lifted_at IS NULL FROM tenancy.lifecycle_index WHERE index_type = 'event'}) eq 't' }, 60), 'the view says that it is over');
becomes($search, $index, 'blocks.write', 'true', 'it is readonly again');
is(sql('SELECT count(*) FROM tenancy.dead_letter'), 0, 'nothing was refused');

age('2 days');
becomes($search, $index, 'priority', 0, 'cold has its priority');
is(setting($search, $index, 'blocks.write'), 'true', 'cold stays readonly');
sql(q{SELECT tenancy.lifecycle_policy('quick', '{"hot": {"priority": 100}, "warm": {"after": "1d", "readonly": true, "priority": 50}, "cold": {"after": "2d", "priority": 7}, "delete": {"after": "3d"}}')});
becomes($search, $index, 'priority', 7, 'a policy that was changed');

# A worker that dies goes on where it was.
kill 'KILL', worker_pids($node, 'pg_tenancy search%');
ok(wait_until(sub { eval { sql('SELECT 1') } }, 60), 'the server is back');
sql(q{SELECT tenancy.lifecycle_detach('l', 'event')});
becomes($search, $index, 'blocks.write', '', 'without a policy it is not readonly');
is(setting($search, $index, 'priority'), '', 'nor has a priority');
ok(wait_until(sub { sql(q{SELECT lifecycle FROM tenancy.search_index WHERE index_type = 'event'}) eq '{}' }, 60), 'nothing of it is left');

sql(q{SELECT tenancy.lifecycle_attach('l', 'event', 'quick', append_only => true)});
age('3 days');
ok(wait_until(sub { ($search->request('GET', "/$index"))[0] == 404 }, 90), 'the index is deleted');
sql(q{INSERT INTO tenant_l.event VALUES (5, 'next')});
ok(sync_wait($node, 'postgres', 60), 'a row after that is in');
ok(wait_until(sub { ($search->count('event_tenant_l') // 0) == 1 }, 60), 'in a new index, alone');
becomes($search, 'event_tenant_l', 'priority', 100, 'which is hot');
is(sql('SELECT count(*) FROM tenant_l.event'), 5, 'rows are where they were');
$node->stop;
$search->stop;
done_testing();
