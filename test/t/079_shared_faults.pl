# A shared index whose faults must stay those of one part: it goes missing while a part cannot follow, a document pretends to be
# another tenant's, and a part is placed elsewhere while it is being made.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;
use TenancyLoad;

need_servers('elasticsearch7');
my $search = TenancySearch->start('elasticsearch7');
my $node = tenancy_node('faults', search => $search, conf => "tenancy.reindex_grace = '1s'\ntenancy.retry_max = '1s'\ntenancy.default_placement = 'shared'\nlog_min_messages = warning\n");
$node->start;

sub sql { return $node->safe_psql('postgres', join(';', @_)) }
sub state_text { return sql('SELECT index_name, role, shared, alias, state, filled, last_error FROM tenancy.search_index ORDER BY 1; TABLE tenancy.index_move; TABLE tenancy.resync; TABLE tenancy.stat_sync; TABLE tenancy.dead_letter') }
sub synced { local $Test::Builder::Level = $Test::Builder::Level + 1; return ok(sync_wait($node, 'postgres', 120), "$_[0]: in the sinks") || diag(state_text()) }
sub settled { return wait_until(sub { sql(q{SELECT count(*) FILTER (WHERE state <> 'ready' OR NOT (filled OR role = 'shared')), (SELECT count(*) FROM tenancy.resync) FROM tenancy.search_index}) eq '0|0' }, 120) }
sub verified { return sql('SELECT coalesce(sum(missing + stale + ghost), -1), coalesce(sum(checked), 0) FROM tenancy.verify()') }
sub places { my ($status, $reply) = $search->request('GET', "/_alias/$_[0]"); return $status == 200 ? join(' ', sort keys %$reply) : "status $status" }
sub documents { my ($alias) = @_; $search->request('POST', '/_all/_refresh'); my ($status, $reply) = $search->request('POST', "/$alias/_count", {}); return $status == 200 ? $reply->{count} : "status $status" }
sub letters { return sql('SELECT coalesce(string_agg(status || $$ $$ || reason, $$; $$), $$none$$) FROM tenancy.dead_letter') }

sql(<<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('shop', 1, $$CREATE TABLE item (id text PRIMARY KEY, word text, extra jsonb)$$);
SELECT tenant_sync_table('shop', 'item', 'item', document => $$(to_jsonb(item) - 'extra') || coalesce(item.extra, '{}')$$,
    mapping => '{"mappings": {"dynamic": false, "properties": {"word": {"type": "text"}}}}');
SELECT tenant_create(n, 'shop') FROM unnest(ARRAY['one', 'two', 'three']) n;
INSERT INTO tenant_one.item SELECT 'x' || n, 'of one' FROM generate_series(1, 50) n;
INSERT INTO tenant_two.item SELECT 'x' || n, 'of two' FROM generate_series(1, 30) n;
INSERT INTO tenant_three.item SELECT 'x' || n, 'of three' FROM generate_series(1, 20) n;
SQL
synced('start');
ok(settled(), 'start: settled');
my $physical = sql(q{SELECT index_name FROM tenancy.search_index WHERE role = 'shared'});
is(verified(), '0|100', 'each tenant has its documents');

# It is deleted while one part is locked and another one waits for an alteration.
my $session = $node->background_psql('postgres');
$session->query_safe(q{BEGIN; SELECT FROM tenancy.search_index WHERE alias = 'item_tenant_two' FOR UPDATE});
sql(q{UPDATE tenancy.search_index SET state = 'altered', attempts = 1, updated_at = now() + interval '10 minutes' WHERE alias = 'item_tenant_three'});
$search->request('DELETE', "/$physical");
sql(q{UPDATE tenant_one.item SET word = 'new' WHERE id = 'x7'});
ok(wait_until(sub { sql(q{SELECT coalesce(max(last_error), '') FROM tenancy.search_index WHERE role = 'shared'}) =~ /transaction is changing a part/ }, 60), 'deleted: it waits for all of its parts, and says so') or diag(state_text());
$session->query_safe('COMMIT');
$session->quit;
ok(settled(), 'deleted: it is made again') or diag(state_text());
synced('deleted');
is(verified(), '0|100', 'deleted: every part was filled again') or diag(state_text());
is(documents("item_tenant_$_->[0]"), $_->[1], "deleted: the alias of $_->[0] has all") for [ 'one', 50 ], [ 'two', 30 ], [ 'three', 20 ];

# A document that says it is another tenant's.
my $part = sql(q{SELECT substring(index_name from '[0-9]+[.][0-9]+$') FROM tenancy.search_index WHERE alias = 'item_tenant_two'});
for my $forged (qq({"_tenancy.part": "$part"}), qq({"_tenancy": {"part": "$part"}}), '{"_tenancyx": 1}')
{
	sql(qq(INSERT INTO tenant_one.item VALUES ('forged', 'of one', '$forged')));
	ok(wait_until(sub { letters() =~ /begins with "_tenancy"/ }, 60), "forged: $forged is refused") or diag(letters());
	is(documents('item_tenant_two'), 30, 'forged: it shows nowhere else');
	sql(q{DELETE FROM tenant_one.item WHERE id = 'forged'});
	ok(wait_until(sub { letters() eq 'none' }, 60), 'forged: its letter goes with it') or diag(letters());
}
sql(q(INSERT INTO tenant_one.item VALUES ('plain', 'about tenancy', '{"x": {"_tenancy": "1"}, "y_tenancy": "\\\\u00e9"}')));
synced('a deeper field of that name');
is(letters(), 'none', 'a deeper field of that name is as good as any');
is(verified(), '0|101', 'forged: all agree');

# Placed elsewhere after the server had it and before that was written down, out and back.
for my $placement ('dedicated', 'shared')
{
	is(sql("BEGIN; UPDATE tenancy.search_index SET state = 'pending', filled = false WHERE alias = 'item_tenant_three' AND role = 'serving'; SELECT tenancy.place('three', 'item', '$placement'); COMMIT"), 't', "pending: placed $placement");
	ok(settled(), "pending: $placement: it is made") or diag(state_text());
	sql(q{SELECT tenancy.resync('three')}); # what the old one had, had it not been pending in truth
	ok(settled(), "pending: $placement: it is filled") or diag(state_text());
	my $is = places('item_tenant_three') eq $physical ? 'shared' : 'dedicated';
	is($is, $placement, "pending: the alias is where it should be, $placement");
	is(documents('item_tenant_three'), 20, "pending: with all documents, $placement");
	is(sql(q{SELECT count(*) FROM tenancy.search_index WHERE alias = 'item_tenant_three'}), 1, "pending: nothing is left of the other one, $placement");
}
is(verified(), '0|101', 'placed: all agree');

# Which placement counts when a move is asked for again; in transactions that no worker sees.
my $move = q{BEGIN; INSERT INTO tenancy.index_move (tenant_id, index_type, reason, placement, phase, again) SELECT id, 'item', 'test', 'dedicated', '%s', %s FROM tenancy.tenant WHERE name = 'one'};
my $placement = q{SELECT coalesce(placement, 'as it is') FROM tenancy.index_move; ROLLBACK};
like(sql(sprintf($move, 'failed', 'NULL'), q{SELECT tenancy.reindex('one')}, $placement), qr/as it is$/, 'a failed move to another place is not made again by a reindex');
like(sql(sprintf($move, 'creating', 'NULL'), q{SELECT tenancy.reindex('one')}, $placement), qr/dedicated$/, 'one under way begins anew');
like(sql(sprintf($move, 'grace', 'NULL'), q{SELECT tenancy.reindex('one')}, $placement), qr/as it is$/, 'one that is over is not made again');
like(sql(sprintf($move, 'grace', q{'again'}), q{SELECT tenancy.reindex('one')}, $placement), qr/dedicated$/, 'one that was asked for meanwhile is kept');
done_testing();
