# An index is replaced although it has documents that the server takes alone, but not twice in one request; and although
# there is one that it does not take at all.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;

need_servers('elasticsearch7');
$ENV{SEARCH_SETTINGS} = 'http.max_content_length: 512kb';
my $search = TenancySearch->start('elasticsearch7');
my $node = tenancy_node('large', search => $search, conf => "tenancy.reindex_grace = '600s'\ntenancy.retry_max = '1s'\ntenancy.search_compression = off\nlog_min_messages = warning\n");
$node->start;

sub sql { return $node->safe_psql('postgres', join(';', @_)) }
sub move { return sql(q{SELECT string_agg(concat_ws(' ', tenant, phase, last_error), ', ') FROM tenancy.stat_progress_reindex}) }
# Sizes of a document in the index that serves and in the other one.
sub sizes
{
	my ($id) = @_;
	my @names = split /\n/, sql(q{SELECT index_name FROM tenancy.search_index ORDER BY role DESC});
	return join ' ', map { my ($status, $reply) = $search->request('GET', "/$_/_doc/$id"); $status == 200 ? length $reply->{_source}{word} : $status } @names;
}

sql(<<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('shop', 1, 'CREATE TABLE item (id int PRIMARY KEY, word text)');
SELECT tenant_sync_table('shop', 'item', 'item', mapping => '{"mappings": {"dynamic": false}}');
SELECT tenant_create('one', 'shop');
INSERT INTO tenant_one.item SELECT n, repeat('x', 100) FROM generate_series(1, 50) n;
INSERT INTO tenant_one.item SELECT n, repeat('x', 300000) FROM generate_series(51, 53) n;
INSERT INTO tenant_one.item VALUES (54, repeat('x', 600000));
SQL
ok(sync_wait($node, 'postgres', 120), 'start: in the sinks');
is(sql('SELECT count(*), min(key[1]) FROM tenancy.dead_letter'), '1|54', 'start: one document is too large');
sql(q{SELECT tenancy.reindex('one')});
ok(wait_until(sub { move() =~ /one (?:grace|failed)/ }, 120), 'the index is made anew') or diag(move());
like(move(), qr/^one grace/, 'and serves');
is(sizes(51), '300000 300000', 'it has the large documents');
is(sql('SELECT coalesce(sum(missing + stale + ghost), -1) FROM tenancy.verify()'), '1', 'and lacks the one that is too large');

# Changes go to both while the old one is kept.
sql(q{UPDATE tenant_one.item SET word = repeat('y', 310000) WHERE id = 52}, q{UPDATE tenant_one.item SET word = repeat('y', 10) WHERE id = 53}, q{UPDATE tenant_one.item SET word = repeat('y', 600000) WHERE id = 51});
ok(sync_wait($node, 'postgres', 120), 'changes: in the sinks');
is(sizes(52), '310000 310000', 'changes: a large one is in both indices');
is(sizes(53), '10 10', 'changes: one that is large no more');
is(sizes(51), '300000 300000', 'changes: one that is too large now is in none');
is(sql(q{SELECT string_agg(key[1], ' ' ORDER BY key[1]) FROM tenancy.dead_letter}), '51 54', 'changes: and has a dead letter');
like(move(), qr/^one grace/, 'changes: the old index is still kept') or diag(sql('TABLE tenancy.search_index'));
sql('DELETE FROM tenant_one.item WHERE id IN (51, 52)', q{UPDATE tenant_one.item SET word = 'small' WHERE id = 54});
ok(sync_wait($node, 'postgres', 120), 'deleted: in the sinks');
is(sizes(52), '404 404', 'deleted: from both');
is(sizes(54), '5 5', 'deleted: the one that was too large is in both');
is(sql('SELECT count(*) FROM tenancy.dead_letter'), 0, 'deleted: no dead letter is left');
$node->stop;
done_testing();
