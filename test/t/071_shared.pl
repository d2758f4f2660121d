# Shared placement: many tenants in one index, each seeing its own documents and no others, however it asks.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;
use TenancyLoad;

need_servers('elasticsearch7');
my $search = TenancySearch->start('elasticsearch7');
my $node = tenancy_node('shared', search => $search, conf => "tenancy.reindex_grace = '1s'\ntenancy.retry_max = '1s'\ntenancy.default_placement = 'shared'\nlog_min_messages = warning\n");
$node->start;

sub sql { return $node->safe_psql('postgres', join(';', @_)) }
sub state_text { return sql('SELECT index_name, role, shared, alias, state, filled, last_error FROM tenancy.search_index ORDER BY 1; TABLE tenancy.index_move; TABLE tenancy.resync; TABLE tenancy.stat_sync; TABLE tenancy.dead_letter') }
sub synced { local $Test::Builder::Level = $Test::Builder::Level + 1; return ok(sync_wait($node, 'postgres', 120), "$_[0]: in the sinks") || diag(state_text()) }
sub indices { my ($status, $text) = $search->raw('GET', '/_cat/indices/*,-.*?h=index&s=index'); return join(' ', split ' ', $text) }
sub places { my ($status, $reply) = $search->request('GET', "/_alias/$_[0]"); return $status == 200 ? join(' ', sort keys %$reply) : "status $status" }
sub verified { return $node->safe_psql('postgres', 'SELECT coalesce(sum(missing + stale + ghost), -1), coalesce(sum(checked), 0) FROM tenancy.verify()') }

# What tenant_search says, of the server for certain.
sub found
{
	my ($tenant, $query, $filters, $field) = @_;
	$search->request('POST', '/_all/_refresh');
	$filters //= '{}';
	$field //= 'total';
	return sql('BEGIN', "SELECT tenant_use('$tenant')", "SELECT 'answer ' || (tenant_search(" . (defined $query ? "'$query'" : 'NULL') . ", 'item', '$filters', options => '{\"engine\": \"server\"}') -> '$field')::text", 'COMMIT') =~ /answer (.*)/ ? $1 : undef;
}

sql(<<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('shop', 1, $$
CREATE TABLE item (id text, k int, word text, PRIMARY KEY (id));
$$);
SELECT tenant_sync_table('shop', 'item', 'item', mapping => '{"mappings": {"dynamic": false, "properties": {"id": {"type": "keyword"}, "word": {"type": "text"}, "k": {"type": "integer"}}}}');
SELECT tenant_create(n, 'shop') FROM unnest(ARRAY['one', 'two', 'three']) n;
INSERT INTO tenant_one.item SELECT 'x' || n, n, 'secret of one' FROM generate_series(1, 50) n;
INSERT INTO tenant_two.item SELECT 'x' || n, n, 'secret of two' FROM generate_series(1, 30) n;
INSERT INTO tenant_one.item VALUES ('2.1:x1', 0, 'odd'), ('a:b\c', 0, 'odd');
SQL
synced('start');
my $physical = sql(q{SELECT index_name FROM tenancy.search_index WHERE role = 'shared'});
is(indices(), $physical, 'there is one index');
is(places("item_tenant_$_"), $physical, "the alias of $_ stands for it") for qw(one two three);
is(verified(), '0|82', 'each tenant has its documents');
is(found('one'), 52, 'one finds its own');
is(found('two'), 30, 'two finds its own');
is(found('three'), 0, 'three finds none');
like(found('one', 'secret', undef, 'results'), qr/"id": "x1"/, 'ids are as in the table');
unlike(found('one', 'secret', undef, 'results'), qr/_tenancy/, 'documents are as the row is');

# Ways to another tenant's documents.
is(found('three', 'secret'), 0, 'by a query');
is(found('three', undef, '{"id": "x1"}'), 0, 'by a filter');
is(found('three', '{"match_all": {}}'), 0, 'by syntax in a query');
for my $filter ('{"_tenancy.tenant": "1"}', '{"_tenancy.part": "1.1"}', '{"_id": "1.1:x1"}', '{"_routing": "1.1"}')
{
	my ($status, $out, $errors) = $node->psql('postgres', "BEGIN; SELECT tenant_use('three'); SELECT tenant_search('secret', 'item', '$filter', options => '{\"engine\": \"server\"}'); COMMIT", on_error_stop => 1);
	like($errors, qr/cannot filter by/, "by a filter on what is ours: $filter");
}
# The alias loses its filter, or is another's: we filter all the same.
$search->request('POST', '/_aliases', { actions => [ { add => { index => $physical, alias => 'item_tenant_three' } } ] });
is(found('three', 'secret'), 0, 'an alias without a filter shows nothing of others');
is(found('three'), 0, 'nor without a query');

# Rows change and go; a row's key may look like another tenant's id.
sql(q{UPDATE tenant_one.item SET word = 'new' WHERE id IN ('2.1:x1', 'x2')}, q{DELETE FROM tenant_one.item WHERE id = 'x1'}, q{UPDATE tenant_two.item SET id = 'moved' WHERE id = 'x5'});
synced('changes');
is(verified(), '0|81', 'changes reach only their own');
is(found('two', 'secret'), 30, 'the other one has all of its own');
sql('TRUNCATE tenant_two.item');
synced('TRUNCATE');
is(found('two'), 0, 'TRUNCATE takes the documents of one');
is(found('one'), 51, 'and of no other');
sql(q{INSERT INTO tenant_two.item SELECT 'y' || n, n, 'again' FROM generate_series(1, 20) n});
$search->raw('PUT', "/$physical/_doc/2.1:ghost?routing=2.1&version=1&version_type=external_gte", '{"_tenancy":{"tenant":"2","part":"2.1"},"id":"ghost"}');
$search->raw('DELETE', "/$physical/_doc/2.1:y3?routing=2.1");
synced('more rows');
is(sql(q{SELECT missing, stale, ghost FROM tenancy.verify('two', 'item')}), '1|0|1', 'verify finds what is missing and what has no row');
sql(q{SELECT tenancy.resync('two')});
synced('resync');
is(verified(), '0|71', 'a resync mends it');

# Names.
sql(q{SELECT tenant_rename('two', 'deux')}, q{SELECT tenant_create('two', 'shop')}, q{INSERT INTO tenant_two.item VALUES ('z', 1, 'of the new two')});
synced('rename');
is(found('deux'), 20, 'renamed: it finds its own');
is(found('two', 'new'), 1, 'its old name is another tenant');
is(found('two'), 1, 'with its own documents only');
is(verified(), '0|72', 'renamed: all agree');
sql(q{SELECT tenant_drop('deux')}, q{SELECT tenant_drop('three', purge => true)});
ok(wait_until(sub { sql(q{SELECT count(*) FROM tenancy.search_index WHERE state = 'dropping'}) == 0 }, 60), 'dropped: their rows have gone') or diag(state_text());
$search->request('POST', "/$physical/_refresh");
my (undef, $count) = $search->request('POST', "/$physical/_count", { query => { terms => { '_tenancy.tenant' => [ '2', '3' ] } } });
is($count->{count}, 0, 'dropped: so have their documents');
is(places('item_tenant_deux'), 'status 404', 'dropped: and the alias');
is(indices(), $physical, 'the shared index stays');
is(verified(), '0|52', 'dropped: the others have theirs');

# The index is deleted by hand.
$search->request('DELETE', "/$physical");
sql(q{UPDATE tenant_one.item SET k = k + 1 WHERE id = 'x7'});
ok(wait_until(sub { sql(q{SELECT bool_and(state = 'ready' AND (filled OR role = 'shared')) FROM tenancy.search_index}) eq 't' && eval { found('one') } == 51 }, 120), 'deleted by hand: made and filled again') or diag(state_text());
synced('deleted by hand');
is(verified(), '0|52', 'deleted by hand: all agree');

# Columns, a new generation, and the way out and back while a client asks.
sql('ALTER TABLE tenant_one.item ADD COLUMN more int', 'UPDATE tenant_one.item SET more = 1 WHERE k < 5');
synced('ADD COLUMN');
is(sql(q{SELECT tenancy.reindex('one')}), 1, 'reindex: asked for');
my $bad = 0;
my $over = sub { $bad++ if found('one') != 51 || found('two') != 1; return sql('SELECT count(*) FROM tenancy.stat_progress_reindex') == 0 };
ok(wait_until($over, 120), 'reindex: it is over') or diag(state_text());
is($bad, 0, 'reindex: nothing was missing meanwhile');
is(sql(q{SELECT tenancy.place('one', 'item', 'dedicated'), tenancy.place('two', 'item', 'shared')}), 't|f', 'moved out: asked for');
ok(wait_until($over, 120), 'moved out: it is over') or diag(state_text());
is($bad, 0, 'moved out: nothing was missing meanwhile');
unlike(places('item_tenant_one'), qr/shared/, 'moved out: it has an index of its own');
ok(wait_until(sub { $search->request('POST', '/_all/_refresh'); my (undef, $r) = $search->request('POST', "/$physical/_count", { query => { term => { '_tenancy.tenant' => '1' } } }); ($r->{count} // 0) == 0 }, 60), 'moved out: nothing of it is left behind');
my $older = $node->background_psql('postgres');
$older->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM tenancy.search_index');
is(sql(q{SELECT tenancy.place('one', 'item', 'shared')}), 't', 'moved back: asked for');
ok(wait_until($over, 120), 'moved back: it is over') or diag(state_text());
$older->query_safe(q{SELECT tenant_use('one')});
is($older->query_safe(q{SELECT tenant_search(NULL, 'item', '{"k": 3}', options => '{"engine": "server"}') #>> '{results,0,_id}'}), 'x3', 'moved back: a transaction with an older snapshot is shown keys too');
is($older->query_safe(q{SELECT tenant_search(NULL, 'item', '{"k": 3}', options => '{"engine": "server", "hydrate": true}') #>> '{results,0,id}'}), 'x3', 'moved back: and rows');
$older->query_safe('COMMIT');
$older->quit;
is($bad, 0, 'moved back: nothing was missing meanwhile');
like(places('item_tenant_one'), qr/shared/, 'moved back: it shares one');
synced('moved back');
is(verified(), '0|52', 'moved back: all agree');
is(sql(q{SELECT tenant, placement, advice FROM tenancy.placement_advice() ORDER BY 1}), "one|shared|keep\ntwo|shared|keep", 'advice');
my ($status, $out, $errors) = $node->psql('postgres', q{SELECT tenancy.place('one', 'item', 'nowhere')});
like($errors, qr/unknown placement/, 'an unknown placement is refused');
ok(wait_until(sub { sql(q{SELECT count(*) FROM tenancy.search_index WHERE state <> 'ready'}) == 0 }, 60), 'nothing is left to be done') or diag(state_text());
is(indices(), sql(q{SELECT string_agg(index_name, ' ' ORDER BY index_name COLLATE "C") FROM tenancy.search_index WHERE shared IS NULL}), 'the server has the indices that are registered and no other');
is(sql('SELECT count(*) FROM tenancy.dead_letter'), 0, 'nothing was refused');
done_testing();
