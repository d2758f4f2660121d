# tenancy.reindex() when something is in its way: no table, users' locks, an index that cannot be changed, a registry from before a switch.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;
use TenancyLoad;

need_servers('elasticsearch7');
my $search = TenancySearch->start('elasticsearch7');
my $node = tenancy_node('movefaults', search => $search, conf => "tenancy.reindex_grace = '2s'\ntenancy.retry_max = '1s'\nlog_min_messages = warning\n");
$node->start;

sub sql { return $node->safe_psql('postgres', join(';', @_)) }
sub agrees { local $Test::Builder::Level = $Test::Builder::Level + 1; return all_agree($node, 'postgres', $search, @_) }
sub move { my ($column, $tenant, $type) = @_; return sql("SELECT $column FROM tenancy.stat_progress_reindex WHERE tenant = '" . ($tenant // 'one') . "' AND index_type = '" . ($type // 'item') . "'") }
sub state_text { return sql('SELECT index_name, role, state, filled, replaces, last_error FROM tenancy.search_index ORDER BY 1; TABLE tenancy.index_move; TABLE tenancy.resync; TABLE tenancy.stat_sync') }
sub serving { my ($alias) = @_; my ($status, $reply) = $search->request('GET', "/_alias/$alias"); return $status == 200 ? join(' ', sort keys %$reply) : "status $status" }
sub mapped { my ($alias, $name) = @_; my ($status, $reply) = $search->request('GET', "/$alias/_mapping"); my ($index) = values %$reply; return $index->{mappings}{properties}{$name}{type} // '' }

# A transaction that stays open after these statements.
sub open_session
{
	my $session = $node->background_psql('postgres');
	$session->query_safe(join ';', 'BEGIN', @_);
	return $session;
}
sub end { $_[0]->query_safe('ROLLBACK'); $_[0]->quit; return }

# Waits until the move is over.
sub over
{
	my ($name, @of) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok(wait_until(sub { move('phase', @of) eq '' }, 120), "$name: it is over") || diag(state_text());
}

# A change of a tenant gets in.
my $n = 0;
sub goes_on
{
	my ($tenant, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $word = 'change ' . ++$n;
	sql("UPDATE tenant_$tenant.item SET word = '$word' WHERE id = 1");
	return ok(wait_until(sub { ($search->document("item_tenant_$tenant", 1) // {})->{word} eq $word }, 60), "$name: a change of $tenant gets in") || diag(state_text());
}

my $body = '{"settings": {"refresh_interval": "200ms"}, "mappings": {"properties": {"id": {"type": "long"}, "word": {"type": "keyword"}}}}';
sql(<<"SQL");
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('shop', 1, 'CREATE TABLE item (id bigint PRIMARY KEY, word text)');
SELECT tenant_sync_table('shop', 'item', 'item', mapping => '$body');
SELECT tenant_create('one', 'shop'), tenant_create('two', 'shop');
INSERT INTO tenant_one.item SELECT n, 'word ' || n FROM generate_series(1, 3000) n;
INSERT INTO tenant_two.item SELECT n, 'word ' || n FROM generate_series(1, 100) n;
SQL
agrees('start');

# A user's lock on what a switch must write.
sql('ALTER SYSTEM SET tenancy.resync_rate = 500', 'SELECT pg_reload_conf()');
sql(q{SELECT tenancy.reindex('one', 'item')});
ok(wait_until(sub { move('phase') eq 'filling' }, 60), 'locked: it is being filled');
my $lock = open_session(q{SELECT FROM tenancy.search_index WHERE index_name = (SELECT from_index FROM tenancy.index_move WHERE phase = 'filling') FOR UPDATE});
ok(wait_until(sub { move('phase') eq 'switching' && serving('item_tenant_one') eq move('to_index') }, 120), 'locked: the alias is moved') or diag(state_text());
goes_on($_, 'locked') for qw(two one);
is(move('phase'), 'switching', 'locked: it cannot be written yet');
end($lock);
over('locked');
agrees('locked');

# The new index cannot be changed when its table is: the old one goes on without it.
sql(q{SELECT tenancy.reindex('one', 'item')});
ok(wait_until(sub { move('phase') eq 'filling' }, 60), 'unchangeable: it is being filled');
my $new = move('to_index');
$search->request('PUT', "/$new/_settings", { 'index.blocks.metadata' => JSON::PP::true });
sql('ALTER TABLE tenant_one.item ADD COLUMN n int', 'ALTER TABLE tenant_two.item ADD COLUMN n int');
goes_on('one', 'unchangeable');
$search->request('PUT', "/$new/_settings", { 'index.blocks.metadata' => undef });
over('unchangeable');
is(serving('item_tenant_one'), $new, 'unchangeable: it serves when it can be changed');
sql('UPDATE tenant_one.item SET n = id', 'UPDATE tenant_two.item SET n = id');
agrees('unchangeable');

# It may not take over either when that comes: the old one goes on as well.
sql(q{SELECT tenancy.reindex('one', 'item')});
ok(wait_until(sub { move('phase') eq 'filling' }, 60), 'barred: it is being filled');
$new = move('to_index');
$search->request('PUT', "/$new/_settings", { 'index.blocks.metadata' => JSON::PP::true });
ok(wait_until(sub { move('phase') eq 'switching' && move('last_error') ne '' }, 60), 'barred: it cannot take over') or diag(state_text());
sql('ALTER TABLE tenant_one.item ADD COLUMN m int');
goes_on('one', 'barred');
$search->request('PUT', "/$new/_settings", { 'index.blocks.metadata' => undef });
over('barred');
sql('UPDATE tenant_one.item SET m = id');
agrees('barred');

# The mapping is changed while an index with another one is filled.
sql(q{SELECT tenancy.reindex('one', 'item')});
ok(wait_until(sub { move('phase') eq 'filling' }, 60), 'changed meanwhile: it is being filled');
$body =~ s/"properties": \{/"properties": {"late": {"type": "keyword"}, /;
sql("SELECT tenant_sync_table('shop', 'item', 'item', mapping => '$body')");
over('changed meanwhile');
is(mapped('item_tenant_one', 'late'), 'keyword', 'changed meanwhile: the one that serves has it');

# A tenant that is paused has changes that no index gets: its new index is not to blame.
sql(q{SELECT tenancy.reindex('one', 'item')});
ok(wait_until(sub { move('phase') eq 'filling' }, 60), 'paused: it is being filled');
sql(q{SELECT tenancy.pause('search', 'one')}, q{UPDATE tenant_one.item SET word = 'while paused' WHERE id < 100});
goes_on('two', 'paused');
sleep 3;
is(move('attempts'), 0, 'paused: nothing counts against it');
sql(q{SELECT tenancy.resume('search', 'one')});
over('paused');
agrees('paused');

# The registry is from before a switch: the alias stands for an index that it does not know.
my $known = serving('item_tenant_two');
(my $unknown = $known) =~ s/\d+$/9/;
is(($search->request('PUT', "/$unknown"))[0], 200, 'restored: an index of a lost registry');
is(($search->request('POST', '/_aliases', { actions => [ { add => { index => $unknown, alias => 'item_tenant_two' } }, { remove_index => { index => $known } } ] }))[0], 200, 'restored: it serves');
sql('ALTER TABLE tenant_two.item ADD COLUMN m int');
ok(wait_until(sub { serving('item_tenant_two') eq $known }, 60), 'restored: the known one gets the alias') or diag(state_text());
ok(wait_until(sub { ($search->request('GET', "/$unknown"))[0] == 404 }, 60), 'restored: the unknown one is removed') or diag(state_text());
sql('UPDATE tenant_two.item SET m = id');
agrees('restored');

# A table that is not there yet.
sql(q{SELECT tenant_sync_table('shop', 'none', 'none')});
ok(wait_until(sub { sql(q{SELECT count(*) FROM tenancy.search_index WHERE index_type = 'none' AND state = 'ready'}) == 2 }, 60), 'no table: there are indices');
my $before = serving('none_tenant_one');
sql(q{SELECT tenancy.reindex('one', 'none')});
over('no table', 'one', 'none');
isnt(serving('none_tenant_one'), $before, 'no table: another index serves');
sql('CREATE TABLE tenant_one.none (id bigint PRIMARY KEY, word text)', q{INSERT INTO tenant_one.none VALUES (1, 'first')});
ok(wait_until(sub { ($search->document('none_tenant_one', 1) // {})->{word} // '' eq 'first' }, 60), 'no table: its rows come when it does') or diag(state_text());
sql(q{SELECT tenancy.reindex('one', 'none')});
sql('DROP TABLE tenant_one.none');
over('dropped table', 'one', 'none');
ok(wait_until(sub { !$search->document('none_tenant_one', 1) }, 60), 'dropped table: no document is left') or diag(state_text());

done_testing();
