# tenancy.verify() finds each kind of difference and nothing else, and mends it.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;

need_servers('elasticsearch7');
my $search = TenancySearch->start('elasticsearch7');
my $node = tenancy_node('verify', search => $search, conf => "log_min_messages = warning\ntenancy.search_timeout = '60s'\n");
$node->start;

sub sql { return $node->safe_psql('postgres', join(';', @_)) }
sub synced { return sync_wait($node, 'postgres', 300) }
sub verify { my ($args, $database) = @_; return $node->safe_psql($database // 'postgres', 'SELECT * FROM tenancy.verify(' . ($args // '') . ')') }

# (status, stdout, stderr) of a statement that may fail.
sub try_sql { my ($sql, $database) = @_; return $node->psql($database // 'postgres', $sql) }

sub encoded { my ($id) = @_; utf8::encode($id); $id =~ s/([^A-Za-z0-9._~-])/sprintf '%%%02X', ord $1/ge; return $id }

# One document as it is stored: text of it, version.
sub stored
{
	my ($alias, $id) = @_;
	my ($status, $text) = $search->raw('GET', "/$alias/_doc/" . encoded($id));
	die "$alias $id: $text" unless $status == 200;
	my ($version) = $text =~ /"_version":(\d+)/;
	my ($source) = $text =~ /"_source":(.*)\}\s*\z/s;
	return ($source, $version);
}

# Writes a document with a version, as no sync would.
sub plant
{
	my ($alias, $id, $source, $version) = @_;
	my ($status, $text) = $search->raw('PUT', "/$alias/_doc/" . encoded($id) . "?version=$version&version_type=external_gte", $source);
	die "$alias $id: $text" unless $status =~ /^20/;
}

sub erase
{
	my ($alias, $id, $version) = @_;
	my ($status, $text) = $search->raw('DELETE', "/$alias/_doc/" . encoded($id) . "?version=$version&version_type=external_gte");
	die "$alias $id: $text" unless $status =~ /^20/;
}

sql(<<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('shop', 1, $$
CREATE TABLE item (id bigint PRIMARY KEY, title text, price numeric(12,2), big numeric, ratio float8, flag boolean, tags jsonb, at timestamptz);
CREATE TABLE word (word text PRIMARY KEY, n int);
CREATE TABLE pair (a text, b int, n int, PRIMARY KEY (a, b));
CREATE TABLE part (id bigint, k int, n int, PRIMARY KEY (id, k)) PARTITION BY RANGE (k);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10);
CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (10) TO (20);
CREATE TABLE note (id int PRIMARY KEY, n int);
$$);
SELECT tenant_sync_table('shop', t, t, mapping => '{"mappings": {"dynamic": false}}') FROM unnest(ARRAY['item', 'word', 'pair', 'part']) t;
SELECT tenant_sync_table('shop', 'note', cache_tags => ARRAY['note']);
SELECT tenant_create('one', 'shop'), tenant_create('two', 'shop');
INSERT INTO tenant_one.item SELECT n, 'title ' || n, n + 0.10, 12345678901234567890123 + n, n / 7.0, n % 2 = 0, jsonb_build_object('a', n, 'b', NULL, 'c', 1.50), now() FROM generate_series(1, 1100) n;
INSERT INTO tenant_two.item (id, title) SELECT n, 'title ' || n FROM generate_series(1, 10) n;
INSERT INTO tenant_one.word SELECT w, 1 FROM unnest(ARRAY['a/b', 'a:b', 'a\b', '"q"', ' ', '%41', 'ü', 'a?b=c', E'x\ny', repeat('x', 512), '.', '_x']) w;
INSERT INTO tenant_one.pair SELECT w, n, 1 FROM unnest(ARRAY['a:b', '', 'a\', ':', 'ü']) w, generate_series(1, 3) n;
INSERT INTO tenant_one.part SELECT n, n % 20, 1 FROM generate_series(1, 100) n;
INSERT INTO tenant_one.note VALUES (1);
CREATE ROLE operator LOGIN IN ROLE tenancy_operator;
SQL
ok(synced(), 'everything is in the index');

is(verify(), <<'ROWS' =~ s/\n\z//r, 'all agrees, every indexed table of every tenant');
one|item|0|0|0|1100
one|pair|0|0|0|15
one|part|0|0|0|100
one|word|0|0|0|12
two|item|0|0|0|10
two|pair|0|0|0|0
two|part|0|0|0|0
two|word|0|0|0|0
ROWS
is(verify(q{'two'}), "two|item|0|0|0|10\ntwo|pair|0|0|0|0\ntwo|part|0|0|0|0\ntwo|word|0|0|0|0", 'one tenant');
is(verify(q{relation => 'item'}), "one|item|0|0|0|1100\ntwo|item|0|0|0|10", 'one table of all');
is($node->safe_psql('postgres', q{SELECT * FROM tenancy.verify('one', 'pair')}, connstr => $node->connstr('postgres') . ' user=operator'), 'one|pair|0|0|0|15', 'an operator may');
for ([ q{'three'}, qr/tenant "three" does not exist/ ], [ q{relation => 'note'}, qr/relation "note" is not indexed/ ], [ q{'one', 'case_studies'}, qr/not indexed/ ])
{
	like((try_sql("SELECT * FROM tenancy.verify($_->[0])"))[2], $_->[1], "refused: $_->[0]");
}

# One difference after the other, made behind the sync's back and mended.
my $alias = 'item_tenant_one';

sub differs
{
	my ($name, $table, $change, $expected) = @_;
	my $total = sql("SELECT count(*) FROM tenant_one.$table");
	$change->();
	is(verify("'one', '$table', true"), "one|$table|$expected|$total", "$name: seen");
	ok(synced(), "$name: mended");
	is(verify("'one', '$table'"), "one|$table|0|0|0|$total", "$name: nothing is left");
}

# Changes the text of a document and keeps its version, or raises it by some.
sub edit
{
	my ($id, $edit, $more) = @_;
	my ($source, $version) = stored($alias, $id);
	local $_ = $source;
	$edit->();
	die "nothing changed in $source" if $_ eq $source && !$more;
	plant($alias, $id, $_, $version + ($more // 0));
	return;
}

erase($alias, 6, (stored($alias, 6))[1]);
is(verify(q{'one', 'item'}), 'one|item|1|0|0|1100', 'a difference is seen') for 1, 2;
differs('document deleted', 'item', sub { erase($alias, 7, (stored($alias, 7))[1]) }, '2|0|0');
differs('text changed at the same version', 'item', sub { edit(8, sub { s/title 8/title 9/ }) }, '0|1|0');
differs('text changed at a higher version', 'item', sub { edit(9, sub { s/title 9/title 8/ }, 1) }, '0|1|0');
differs('a ghost', 'item', sub { plant($alias, 999999, '{"id": 999999}', (stored($alias, 1))[1]) }, '0|0|1');
differs('big number, last digit', 'item', sub { edit(10, sub { s/12345678901234567890133/12345678901234567890134/ }) }, '0|1|0');
differs('number became text', 'item', sub { edit(11, sub { s/"price":11\.10/"price":"11.10"/ }) }, '0|1|0');
differs('field too many', 'item', sub { edit(12, sub { s/\}\z/,"more":1}/ }) }, '0|1|0');
differs('inside an object', 'item', sub { edit(13, sub { s/"b": null, // }) }, '0|1|0');
differs('all kinds at once', 'item', sub {
	erase($alias, $_, (stored($alias, $_))[1]) for 20 .. 22;
	edit($_, sub { s/title/Title/ }) for 30 .. 34;
	plant($alias, $_, '{}', 1) for 5000 .. 5006;
}, '3|5|7');
differs('keys of odd characters', 'word', sub {
	erase('word_tenant_one', $_, (stored('word_tenant_one', $_))[1]) for 'a/b', 'a\b', '"q"', "\x{fc}", '%41';
	plant('word_tenant_one', $_, '{}', 1) for 'a|b', "\x{e9}", 'x y';
}, '5|0|3');
differs('keys of two columns', 'pair', sub {
	erase('pair_tenant_one', $_, (stored('pair_tenant_one', $_))[1]) for 'a\:b:1', ':2', 'a\\\\:3';
	plant('pair_tenant_one', $_, '{}', 1) for 'no such:1', 'one', 'a:b:c', 'x:y';
}, '3|0|4');
differs('partitions', 'part', sub {
	erase('part_tenant_one', $_, (stored('part_tenant_one', $_))[1]) for '1:1', '15:15';
	plant('part_tenant_one', '1:2', '{}', 1);
}, '2|0|1');

# What is written otherwise and means the same.
edit(40, sub { s/40\.10/4.01e1/ or die; s/,/ , /g });
edit(41, sub { s/"flag":\w+,// or die; s/"title":"[^"]*"/"flag":false,"title":"title 41"/ });
sql('UPDATE tenant_one.item SET title = NULL WHERE id = 42');
ok(synced(), 'a row with a null');
edit(42, sub { s/"title":null,// or die });
is(verify(q{'one', 'item'}), 'one|item|0|0|0|1100', 'numbers, order and nulls written otherwise are the same');

# A version that was never given out stays wrong: a repair cannot lower it.
edit(50, sub { }, 1_000_000_000_000);
is(verify(q{'one', 'item'}), 'one|item|0|1|0|1100', 'the same content at a version from the future is stale');
my (undef, $future) = stored($alias, 50);
erase($alias, 50, $future);
is(verify(q{'one', 'item'}), 'one|item|1|0|0|1100', 'and missing when it is deleted');
sql('DELETE FROM tenant_one.item WHERE id = 50');
ok(synced(), 'row 50 goes');
is(verify(q{'one', 'item'}), 'one|item|0|0|0|1099', 'and all agrees');

# A row that the server refused.
sql(q{INSERT INTO tenant_one.word VALUES (repeat('y', 600), 1)});
ok(synced(), 'a row that cannot get in');
is(verify(q{'one', 'word'}), 'one|word|1|0|0|13', 'a row with a dead letter is missing');
sql('DELETE FROM tenant_one.word WHERE length(word) = 600');

# A column that old documents lack, and large documents.
sql('ALTER TABLE tenant_one.part ADD COLUMN added text', q{INSERT INTO tenant_one.item (id, title) SELECT 10000 + n, repeat(chr(64 + n), 3000000) FROM generate_series(1, 10) n});
ok(synced(), 'large documents');
is(verify(q{'one', 'part'}), 'one|part|0|0|0|100', 'a new column that is null everywhere');
differs('large documents', 'item', sub { edit($_, sub { s/A|C/B/ }) for 10001, 10003; erase($alias, 10005, (stored($alias, 10005))[1]) }, '1|2|0');
sql('DELETE FROM tenant_one.item WHERE id > 10000');

unlike(slurp_file($node->logfile), qr/PANIC|TRAP|was terminated by signal/, 'nothing crashed');
$node->stop;
done_testing();
