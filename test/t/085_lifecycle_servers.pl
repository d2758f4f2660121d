# Lifecycle policies where the server carries them out: ILM of a real Elasticsearch 6.8, and what is sent to ISM, whose plugin
# no server here has: a proxy stands in for its paths before a real OpenSearch.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;
use TenancyProxy;

need_servers('elasticsearch6', 'opensearch2');
my ($node, $search);

sub sql { return $node->safe_psql('postgres', join(";\n", @_)) }

# A setting of an index as the server has it, '' if it is not set.
sub setting
{
	my ($index, $name) = @_;
	my ($status, $reply) = $search->request('GET', "/$index/_settings?flat_settings=true");
	return "HTTP status $status" if $status != 200;
	return (values %$reply)[0]{settings}{"index.$name"} // '';
}

# True if the setting gets that value.
sub becomes
{
	my ($index, $name, $value, $title) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	wait_until(sub { setting($index, $name) eq $value }, 90);
	is(setting($index, $name), $value, $title) or diag(sql('SELECT * FROM tenancy.lifecycle_index; SELECT index_name, lifecycle, lifecycle_error FROM tenancy.search_index; TABLE tenancy.server_policy'));
	return;
}

# True if the query gives that.
sub gives
{
	my ($query, $wanted, $title) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	wait_until(sub { (eval { sql($query) } // '') eq $wanted }, 90);
	return is(sql($query), $wanted, $title);
}

# Our policies on the server.
sub policies { my ($status, $reply) = $search->request('GET', '/_ilm/policy'); return { map { $_ => $reply->{$_}{policy}{phases} } grep { /^pg_tenancy-/ } keys %$reply } }

sub phases { my ($warm, $cold, $more) = @_; return qq({"hot": {"priority": 100}, "warm": {"after": "$warm", "readonly": true, "replicas": 0, "nodes": "warm", "priority": 50}, "cold": {"after": "$cold", "nodes": "none", "priority": 0}$more}) }

my $setup = <<'SQL';
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('l', 1, 'CREATE TABLE event (id int PRIMARY KEY, v text); CREATE TABLE thing (id int PRIMARY KEY, v text)');
SELECT tenant_sync_table('l', t, t, mapping => '{"settings": {"number_of_replicas": 0}, "mappings": {"properties": {"v": {"type": "keyword"}}}}') FROM unnest('{event,thing}'::text[]) t;
SELECT tenant_create('l', 'l');
INSERT INTO tenant_l.event SELECT n, 'early' FROM generate_series(1, 3) n;
SQL

# ILM
{
	local $ENV{SEARCH_SETTINGS} = "indices.lifecycle.poll_interval: 1s\nnode.attr.data: warm";
	$search = TenancySearch->start('elasticsearch6');
}
$node = tenancy_node('ilm', search => $search, conf => "tenancy.lifecycle_interval = 1s\ntenancy.retry_max = 1s\ntenancy.reindex_grace = 1s\n");
$node->start;
sql($setup, "SELECT tenancy.lifecycle_policy('fast', '" . phases('8s', '100d', ', "delete": {"after": "200d"}') . "')", q{SELECT tenancy.lifecycle_attach('l', 'event', 'fast', append_only => true)});
my $index = sql(q{SELECT index_name FROM tenancy.search_index WHERE index_type = 'event'});
gives(q{SELECT policy, carried_out_by, applied IS NULL FROM tenancy.lifecycle_index WHERE index_type = 'event'}, 'fast|ilm|t', 'the server carries the policy out');
my $policy = setting($index, 'lifecycle.name');
like($policy, qr/^pg_tenancy-\w+-fast-[0-9a-f]{8}$/, 'the index says which');
my $phases = policies()->{$policy};
is(join(' ', sort keys %$phases), 'cold hot warm', 'the server has it, without delete');
is_deeply([ map { $phases->{$_}{min_age} } qw(hot warm cold) ], [qw(0ms 8s 100d)], 'with its ages');
is_deeply($phases->{warm}{actions}{allocate}{require}, { data => 'warm' }, 'with nodes that are there');
ok(!exists $phases->{cold}{actions}{allocate}, 'and without those that are not');
becomes($index, 'priority', 100, 'hot: it has its priority');
becomes($index, 'blocks.write', 'true', 'warm: the server has made it readonly');
becomes($index, 'routing.allocation.require.data', 'warm', 'and put it on its nodes');
becomes($index, 'priority', 50, 'and has given it its priority');
is(setting('thing_tenant_l', 'lifecycle.name'), '', 'an index without a policy has none there either');

sql(q{INSERT INTO tenant_l.event VALUES (4, 'late')}, q{UPDATE tenant_l.event SET v = 'changed' WHERE id = 1});
ok(wait_until(sub { my $d = $search->document('event_tenant_l', 4); $d && $d->{v} eq 'late' }, 60), 'a late row comes in');
ok(sync_wait($node, 'postgres', 60), 'everything is in');
is($search->document('event_tenant_l', 1)->{v}, 'changed', 'a late change too');
becomes($index, 'blocks.write', 'true', 'it is readonly again');
gives(q{SELECT lifted_at IS NULL FROM tenancy.lifecycle_index WHERE index_type = 'event'}, 't', 'the view says that it is over');
is(sql('SELECT count(*) FROM tenancy.dead_letter'), 0, 'nothing was refused');

# Another policy of that name; the old one goes.
sql("SELECT tenancy.lifecycle_policy('fast', '" . phases('1s', '2s', '') . "')");
becomes($index, 'priority', 0, 'a policy that was changed: cold');
isnt(setting($index, 'lifecycle.name'), $policy, 'has another name there');
ok(wait_until(sub { join(' ', keys %{ policies() }) eq setting($index, 'lifecycle.name') }, 60), 'the old one is gone');

# A server that forgets a policy gets it again from the next worker.
sql(q{SELECT tenancy.lifecycle_attach('l', 'thing', 'fast', append_only => true)});
gives(q{SELECT carried_out_by FROM tenancy.lifecycle_index WHERE index_type = 'thing'}, 'ilm', 'another index follows it');
kill_worker($node, 'pg_tenancy search sink');
sql(q{INSERT INTO tenant_l.thing VALUES (1, 'a')});
ok(wait_until(sub { ($search->count('thing_tenant_l') // 0) == 1 }, 60), 'and takes documents though it is readonly');

# Age that began before the server made the index: 6.8 cannot be told, so the worker does it.
sql(q{SELECT tenancy.reindex('l', 'thing')});
gives(q{SELECT count(*) FROM tenancy.index_move}, '0', 'a new generation');
gives(q{SELECT carried_out_by, applied FROM tenancy.lifecycle_index WHERE index_type = 'thing'}, 'worker|cold', 'is carried through by the worker');
is(setting('thing_tenant_l', 'lifecycle.name'), '', 'and not by the server');
becomes('thing_tenant_l', 'blocks.write', 'true', 'readonly');

# A table that is not append-only.
my ($rc, $out, $errors) = $node->psql('postgres', q{\set VERBOSITY verbose
SELECT tenancy.lifecycle_attach('l', 'event', 'fast')});
like($errors, qr/TN020.*cannot be attached.*Readonly would refuse documents/s, 'refused for a mutable table, with the reason');

# Delete is the worker's: what comes after goes into a new index.
sql("SELECT tenancy.lifecycle_policy('fast', '" . phases('1s', '2s', ', "delete": {"after": "3s"}') . "')");
ok(wait_until(sub { ($search->request('GET', "/$index"))[0] == 404 }, 90), 'the index is deleted');
is(sql('SELECT count(*) FROM tenant_l.event'), 4, 'its rows are not');
sql("SELECT tenancy.lifecycle_policy('fast', '" . phases('1d', '2d', '') . "')", q{INSERT INTO tenant_l.event VALUES (5, 'next')});
ok(wait_until(sub { ($search->count('event_tenant_l') // 0) == 1 }, 60), 'a row after that is in a new one, alone');
becomes('event_tenant_l', 'priority', 100, 'which is hot');

sql(q{SELECT tenancy.lifecycle_detach('l', t) FROM unnest('{event,thing}'::text[]) t});
becomes('event_tenant_l', 'lifecycle.name', '', 'without a policy the server has none to carry out');
becomes('event_tenant_l', 'priority', '', 'and what it set is taken back');
is(setting('event_tenant_l', 'number_of_replicas'), 0, 'replicas are what the mapping says');
ok(wait_until(sub { !%{ policies() } }, 60), 'none of our policies is left there');
gives('SELECT count(*) FROM tenancy.server_policy', '0', 'nor in the registry');
$node->stop;
$search->stop;

# ISM
$search = TenancySearch->start('opensearch2');
my $proxy = TenancyProxy->start(target => $search->port);
$proxy->fault('status', code => 200, match => qr{^GET /_plugins/_ism/policies\?}, body => '{"policies":[],"total_policies":0}');
$proxy->fault('status', code => 409, match => qr{^PUT /_plugins/_ism/policies/}, body => '{"error":{"type":"version_conflict_engine_exception","reason":"there"},"status":409}', times => 1);
$proxy->fault('status', code => 201, match => qr{^PUT /_plugins/_ism/policies/}, body => '{"_id":"x","_version":1}');
$proxy->fault('status', code => 200, match => qr{^DELETE /_plugins/_ism/policies/}, body => '{"result":"deleted"}');
$proxy->fault('status', code => 200, match => qr{^POST /_plugins/_ism/add/}, body => '{"updated_indices":0,"failures":true,"failed_indices":[{"index_name":"x","reason":"busy"}]}', times => 1);
$proxy->fault('status', code => 200, match => qr{^POST /_plugins/_ism/(?:add|remove)/}, body => '{"updated_indices":1,"failures":false,"failed_indices":[]}');
sub sent { return join("\n", map { $_->{line} } grep { $_->{line} !~ /^GET/ } $proxy->requests(qr{_ism})) }
$node = tenancy_node('ism', conf => "tenancy.search_url = '" . $proxy->url . "'\ntenancy.lifecycle_interval = 1s\ntenancy.retry_max = 1s\n");
$node->start;
sql($setup, "SELECT tenancy.lifecycle_policy('fast', '" . phases('100d', '200d', '') . "')", q{SELECT tenancy.lifecycle_attach('l', 'event', 'fast', append_only => true)});
$index = sql(q{SELECT index_name FROM tenancy.search_index WHERE index_type = 'event'});
gives(q{SELECT carried_out_by, last_error FROM tenancy.lifecycle_index WHERE index_type = 'event'}, 'ism|no node has the attribute data with value none or warm, shards stay where they are', 'OpenSearch: the server carries the policy out');
my $name = sql('SELECT name FROM tenancy.server_policy');
is(sent(), "PUT /_plugins/_ism/policies/$name\nPOST /_plugins/_ism/add/$index\nPOST /_plugins/_ism/add/$index", 'policy and index are told once it has not failed');
is(setting($index, 'priority'), '', 'the worker does nothing of it');
sql(q{SELECT tenancy.lifecycle_detach('l', 'event')});
gives('SELECT count(*) FROM tenancy.server_policy', '0', 'without it');
is(sent() =~ s/^.*?(?=POST \S*remove)//sr, "POST /_plugins/_ism/remove/$index\nDELETE /_plugins/_ism/policies/$name", 'index and policy are told');

# A server that has neither.
$proxy->clear;
sql(q{SELECT tenancy.lifecycle_attach('l', 'event', 'fast', append_only => true)}, q{UPDATE tenancy.search_index SET age_from = now() - interval '100 days'});
kill_worker($node, 'pg_tenancy search sink');
gives(q{SELECT carried_out_by, applied FROM tenancy.lifecycle_index WHERE index_type = 'event'}, 'worker|warm', 'without ISM the worker does it');
becomes($index, 'priority', 50, 'and has done it');
$node->stop;
$search->stop;
done_testing();
